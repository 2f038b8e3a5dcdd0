package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/commitreveal/mirror/mirrortest"
	"github.com/scrimlabs/scrim/commitreveal/note"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/internal/wallet"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

// audited is a chain of three batches, all opened, with four ciphertexts, a receipt of
// every member for each of them, and one of bob's for a ciphertext that he lost.
type audited struct {
	*sim.Chain
	sealed []*threshold.Ciphertext
	lost   *threshold.Ciphertext
}

func newAudited(t testing.TB, first string) *audited {
	c := &audited{Chain: sim.New(t, 4, ordering.DefaultParams()).Ceremony()}
	c.lost = c.SealUntil("lost", c.State.Height()+2)
	for _, texts := range [][]string{{first}, {"b", "c"}, {"d"}} {
		var txs [][]byte
		for _, text := range texts {
			ct := c.SealUntil(text, c.State.Height()+3)
			c.sealed = append(c.sealed, ct)
			txs = append(txs, ordering.CiphertextTx(ct.Bytes()))
		}
		c.Block(ordering.Proposal{Txs: txs, Openings: c.Open(1, 2, 3)})
	}
	c.Block(ordering.Proposal{Openings: c.Open(1, 2, 3)})
	return c
}

// records are what a wallet keeps of the ciphertexts, with the receipts of members.
func (c *audited) records(t testing.TB, cts []*threshold.Ciphertext, members ...uint32) []*wallet.Record {
	heads := map[uint32]commitreveal.Hash{}
	var out []*wallet.Record
	for i, ct := range cts {
		r := wallet.NewRecord(ct)
		for _, m := range members {
			heads[m] = commitreveal.NextHead(heads[m], ct.ID())
			receipt := commitreveal.Receipt{
				ChainID: sim.ChainID, ID: ct.ID(), Epoch: 1, Member: m, ValidUntil: ct.Header().ValidUntil,
				Time: 1700000000000, Position: uint64(i + 1), Head: heads[m],
			}
			if err := commitreveal.SignReceipt(c.Secrets[m-1].Identity(), &receipt); err != nil {
				t.Fatal(err)
			}
			r.Receipts = append(r.Receipts, receipt)
		}
		out = append(out, r)
	}
	return out
}

// serve gives a node that shows the chain's log, signed by a member.
func (c *audited) serve(t *testing.T, member int) string {
	s := mirrortest.New(sim.ChainID, c.Secrets[member-1].Identity())
	c.Must(s.Add(mirrortest.FromChain(t, c.Chain)...))
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return h.URL
}

// files writes bundle.jsonl, receipts.jsonl, broken.jsonl, and policies that ask for
// no and for two cosignatures; tx.tlog-proof and certificate are what nodes serve.
func (c *audited) files(t testing.TB, dir string) error {
	var bundle bytes.Buffer
	c.Bundle(&bundle)
	if err := os.WriteFile(filepath.Join(dir, "bundle.jsonl"), bundle.Bytes(), 0o600); err != nil {
		return err
	}
	var identities []ed25519.PublicKey
	for _, s := range c.Secrets {
		identities = append(identities, s.Identity().Public().(ed25519.PublicKey))
	}
	for _, quorum := range []int{0, 2} {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("policy%d", quorum)), note.CommitteePolicy(sim.ChainID, identities, quorum), 0o600); err != nil {
			return err
		}
	}
	c.checkpoints(t, dir)
	certificate, err := c.State.Ceremony().Certificate().MarshalBinary()
	c.Must(err)
	lines := commitreveal.NewBundleReader(bytes.NewReader(bundle.Bytes()))
	p, err := audit.ProveTx(lines, wallet.Checks(), c.sealed[0].ID())
	c.Must(err)
	c.Must(os.WriteFile(filepath.Join(dir, "tx.tlog-proof"), p.Proof, 0o600))
	c.Must(os.WriteFile(filepath.Join(dir, "certificate"), certificate, 0o600))
	if err := os.Remove(filepath.Join(dir, "receipts.jsonl")); err != nil {
		return err
	}
	if err := wallet.AppendRecords(filepath.Join(dir, "receipts.jsonl"), c.records(t, c.sealed, 1, 2, 3, 4)...); err != nil {
		return err
	}
	c.Must(os.WriteFile(filepath.Join(dir, "shares.bin"), c.twoShares(), 0o600))
	c.Must(os.WriteFile(filepath.Join(dir, "answer.json"), c.namespaceAnswer(bundle.Bytes(), 6), 0o600))
	c.Must(wallet.AppendRecords(filepath.Join(dir, "denied.jsonl"), c.records(t, c.sealed[1:2], 2)...))
	return wallet.AppendRecords(filepath.Join(dir, "broken.jsonl"), c.records(t, []*threshold.Ciphertext{c.lost}, 2)...)
}

// twoShares is evidence, as a node serves it, that member 3 shared two batches of the last block with one.
func (c *audited) twoShares() []byte {
	share := func(root commitreveal.Hash) commitreveal.ShareMessage {
		m := commitreveal.ShareMessage{ChainID: sim.ChainID, Epoch: 1, Height: 7, Root: root}
		m.Share.Member, m.Signature.Member = 3, 3
		m.Share.Points = make([][threshold.PointSize]byte, 1)
		c.Must(m.Sign(c.Secrets[2].Identity()))
		return m
	}
	two, err := commitreveal.MarshalEvidence(commitreveal.NewConflictingShares(share(commitreveal.Hash{1}), share(commitreveal.Hash{2})))
	c.Must(err)
	return two
}

// namespaceAnswer is what a node answers under /v1/log/namespace/{height}/test.
func (c *audited) namespaceAnswer(bundle []byte, height uint64) []byte {
	p, err := audit.ProveNamespace(commitreveal.NewBundleReader(bytes.NewReader(bundle)), wallet.Checks(), height, "test")
	c.Must(err)
	r, err := p.Verify(wallet.Checks(), nil)
	c.Must(err)
	a := v1.NamespaceProof{Height: height, Namespace: "test", EntryIndex: r.LogSize - 1, Entry: p.Entry, Proof: p.Namespace, TlogProof: string(p.Proof)}
	for _, t := range r.Transactions {
		a.Transactions = append(a.Transactions, v1.NamespaceID{Position: t.Position, ID: v1.HexOf(t.ID[:])})
	}
	text, err := json.MarshalIndent(a, "", "  ")
	c.Must(err)
	return text
}

// The scripts of the audit have nodes: $NODE and $NODE2 of members 1 and 2 of one chain,
// and $FORK, where member 1 shows another log. $ID is a transaction.
func TestAuditScripts(t *testing.T) {
	c := newAudited(t, "hello")
	id := c.sealed[0].ID()
	accuser := mirrortest.New(sim.ChainID, c.Secrets[0].Identity())
	c.Must(accuser.Add(mirrortest.FromChain(t, c.Chain)...))
	accuser.AddEvidence(c.twoShares())
	server := httptest.NewServer(accuser)
	t.Cleanup(server.Close)
	runScripts(t, "testdata/audit", map[string]string{
		"NODE": c.serve(t, 1), "NODE2": c.serve(t, 2), "FORK": newAudited(t, "another").serve(t, 1),
		"ID": v1.HexOf(id[:]).String(), "AUDITED": auditedTerms(c), "HELLO": fmt.Sprintf("%x", "hello"), "ACCUSER": server.URL,
	}, func(dir string) error { return c.files(t, dir) })
}

func auditedTerms(c *audited) string {
	hash := c.Genesis.Terms.Hash()
	return v1.HexOf(hash[:]).String()
}
