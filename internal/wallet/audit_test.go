package wallet

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
	"github.com/scrimlabs/scrim/threshold/thresholdtest"
)

// threeOnChain is a chain with three committees: the second took over the key, the third has
// a new one, and what was sealed to the old key was ordered after that.
func threeOnChain(t *testing.T) (c *sim.Chain, receipts []commitreveal.Receipt) {
	t.Helper()
	c = sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	order := func(cts ...*threshold.Ciphertext) {
		for i, all := range c.Receipts(cts...) {
			receipts = append(receipts, all[0])
			c.Block(ordering.Proposal{Txs: [][]byte{ordering.CiphertextTx(cts[i].Bytes())}})
			c.Block(ordering.Proposal{Openings: c.OpenAll()})
		}
	}
	order(c.Seal("first"))
	waiting := c.Seal("ordered by the first committee, opened after it")
	c.Reshare(3, append(slices.Clone(c.Secrets[2:]), c.Newcomers(2)...)...)
	order(waiting)
	old := c.State.Committee().Key
	c.Rotate(500, 3, append(slices.Clone(c.Secrets[1:]), c.Newcomers(1)...)...)
	order(c.SealTo(old, "late, to the old key", c.State.Height()+200), c.Seal("to the new key"))
	return c, receipts
}

func TestAuditOfThreeCommittees(t *testing.T) {
	c, receipts := threeOnChain(t)
	var bundle bytes.Buffer
	c.Bundle(&bundle)
	hash := c.Genesis.Terms.Hash()
	o := audit.Options{TermsHash: &hash, Receipts: receipts}
	r := must(Audit(bytes.NewReader(bundle.Bytes()), o))(t)
	if r.Verdict != audit.Verified || !r.Anchored || !slices.Equal(r.Epochs, []uint64{1, 2, 3}) || r.Batches != 4 {
		t.Fatalf("%+v", r)
	}
	for i, want := range []uint64{1, 2, 3, 3} {
		if r.Receipts[i].Status != audit.ReceiptKept || r.Receipts[i].Epoch != want {
			t.Errorf("receipt %d: %+v", i, r.Receipts[i])
		}
	}
	var text strings.Builder
	if err := WriteReport(&text, r); err != nil || !strings.Contains(text.String(), "committee of epoch 3 in office after block") {
		t.Errorf("%v\n%s", err, text.String())
	}

	// The members' statements are in it, and nobody can change what they decided.
	for _, change := range [][2]string{{`"section":"0x01`, `"section":"0x02`}, {`"wait":4`, `"wait":5`}} {
		text, old, new := bundle.String(), change[0], change[1]
		if !strings.Contains(text, old) {
			old, new = hex.EncodeToString([]byte(old)), hex.EncodeToString([]byte(new))
		}
		changed := strings.Replace(text, old, new, 1)
		if changed == text {
			t.Fatalf("%s is not in the bundle", change[0])
		}
		if r := must(Audit(strings.NewReader(changed), o))(t); r.Verdict != audit.Violated || r.Findings[0].Code != audit.CodeOrder {
			t.Errorf("%s: %s, %d findings, missing %q", change[1], r.Verdict, len(r.Findings), r.Missing)
		}
	}

	wrong := receipts[1]
	wrong.Epoch = 1 // member 1 of epoch 2 is another one
	r = must(Audit(bytes.NewReader(bundle.Bytes()), audit.Options{Receipts: []commitreveal.Receipt{wrong}}))(t)
	if r.Receipts[0].Status != audit.ReceiptInvalid {
		t.Errorf("a receipt in another epoch's name: %+v", r.Receipts[0])
	}

	// One position of one identity's receive log, twice, in two committees.
	last := c.Secrets[0] // it was in the second and is in the third
	twice := []commitreveal.Receipt{receiptOfEpoch(t, c, last, 2, receipts[0].ID), receiptOfEpoch(t, c, last, 3, receipts[1].ID)}
	r = must(Audit(bytes.NewReader(bundle.Bytes()), audit.Options{Receipts: twice}))(t)
	if !slices.ContainsFunc(r.Findings, func(f audit.Finding) bool { return f.Code == audit.CodeContradiction }) {
		t.Errorf("contradicting receipts of two epochs: %+v", r)
	}
}

func receiptOfEpoch(t *testing.T, c *sim.Chain, secret *keygen.MemberSecret, epoch uint64, id threshold.ID) commitreveal.Receipt {
	t.Helper()
	for _, r := range c.Results {
		if r.Activated != nil && r.Activated.Epoch() == epoch {
			r := commitreveal.Receipt{ChainID: sim.ChainID, ID: id, Epoch: epoch, Member: must(r.Activated.Terms().IndexOf(secret))(t), ValidUntil: 1 << 20,
				Time: 1_800_000_000_000, Position: 7, Head: commitreveal.NextHead(commitreveal.Hash{}, id)}
			if err := commitreveal.SignReceipt(secret.Identity(), &r); err != nil {
				t.Fatal(err)
			}
			return r
		}
	}
	t.Fatalf("there was no epoch %d", epoch)
	return commitreveal.Receipt{}
}

// A bundle in which somebody else takes over is not believed.
func TestAuditRefusesForgedSuccessions(t *testing.T) {
	c, _ := threeOnChain(t)
	var bundle bytes.Buffer
	c.Bundle(&bundle)
	other := sim.New(t, 4, ordering.DefaultParams()).Ceremony() // the same first committee, as it comes from the same seed
	other.Newcomers(9)
	other.Reshare(3, other.Secrets[0], other.Secrets[1], other.Secrets[2])
	usurper := other.State.Office()

	for name, forge := range map[string]func(epoch uint64, certificate []byte) []byte{
		"another second committee": func(epoch uint64, certificate []byte) []byte {
			if epoch == 2 {
				return must(usurper.Certificate().MarshalBinary())(t)
			}
			return certificate
		},
		"the second again as third": func(epoch uint64, certificate []byte) []byte {
			for _, r := range c.Results {
				if epoch == 3 && r.Activated != nil && r.Activated.Epoch() == 2 {
					return must(r.Activated.Certificate().MarshalBinary())(t)
				}
			}
			return certificate
		},
		"too few approvals": func(epoch uint64, certificate []byte) []byte {
			if epoch == 2 {
				k := must(keygen.ParseCertificate(certificate))(t)
				k.Approvals = k.Approvals[:2]
				return must(k.MarshalBinary())(t)
			}
			return certificate
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := must(Audit(rewrite(t, bundle.Bytes(), forge), audit.Options{}))(t)
			if r.Verdict != audit.Violated || !slices.ContainsFunc(r.Findings, func(f audit.Finding) bool {
				return f.Code == audit.CodeCommittee || f.Code == audit.CodeCertificate
			}) {
				t.Errorf("%+v", r)
			}
		})
	}
}

// rewrite changes the certificates of a bundle, and what its committee entries say of them.
func rewrite(t *testing.T, bundle []byte, forge func(epoch uint64, certificate []byte) []byte) io.Reader {
	t.Helper()
	in := commitreveal.NewBundleReader(bytes.NewReader(bundle))
	header := must(in.Next())(t).(*commitreveal.BundleHeader)
	out := new(bytes.Buffer)
	w := must(commitreveal.NewBundleWriter(out, *header))(t)
	var entry commitreveal.CommitteeEntry
	var index uint64
	for {
		line, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch l := line.(type) {
		case *commitreveal.BundleEntry:
			var ok bool
			if entry, ok = must(commitreveal.ParseEntry(l.Entry))(t).(commitreveal.CommitteeEntry); ok {
				index = l.Index
				continue
			}
			err = w.Entry(l.Index, l.Entry)
		case *commitreveal.BundleCertificate:
			certificate := forge(entry.Epoch, l.Certificate)
			entry = must(commitreveal.NewCommitteeEntry(entry.Height, certificate, must(keygen.ParseCertificate(certificate))(t).Committee))(t)
			if err = w.Entry(index, must(commitreveal.MarshalEntry(entry))(t)); err == nil {
				err = w.Certificate(certificate)
			}
		case *commitreveal.BundleRound:
			err = w.Round(*l)
		case *commitreveal.BundleTransaction:
			err = w.Transaction(*l)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

// What does not decrypt, and what blocks set aside because it was too late or its key was replaced, is in the log, and the
// replay of the receive logs finds the same.
func TestAuditOfVoidAndSetAside(t *testing.T) {
	params := ordering.DefaultParams()
	params.MaxBatch = 1
	c := sim.New(t, 4, params).Ceremony()
	txs := func(cts ...*threshold.Ciphertext) (out [][]byte) {
		for _, ct := range cts {
			out = append(out, ordering.CiphertextTx(ct.Bytes()))
		}
		return out
	}
	void := thresholdtest.Void("v", c.State.Committee().Key, threshold.SealOptions{ChainID: sim.ChainID, Namespace: "test", ValidUntil: c.State.Height() + 20})
	c.Block(ordering.Proposal{Txs: txs(void)})
	c.Block(ordering.Proposal{Txs: txs(c.Seal("1"), c.SealUntil("2", c.State.Height()+1), c.SealUntil("3", c.State.Height()+1)), Openings: c.OpenAll()})
	for range 3 {
		c.Block(ordering.Proposal{Openings: c.OpenAll()})
	}
	old := c.State.Committee().Key
	c.Rotate(1, 3, c.Secrets...)
	c.Block(ordering.Proposal{Txs: txs(c.SealTo(old, "4", c.State.Height()+9), c.SealTo(old, "5", c.State.Height()+9))})
	c.Block(ordering.Proposal{Openings: c.OpenAll()})
	c.Block(ordering.Proposal{Txs: c.SealTxs("6")})
	c.Block(ordering.Proposal{Openings: c.OpenAll()})

	var got []string
	for _, r := range c.Results {
		for _, record := range r.Records {
			switch e := must(commitreveal.ParseEntry(record.Entry))(t).(type) {
			case commitreveal.VoidEntry:
				got = append(got, "void")
			case commitreveal.ExpiredEntry:
				got = append(got, e.Reason.String())
			}
		}
	}
	if !slices.Equal(got, []string{"void", "too late", "too late", "key"}) && !slices.Equal(got, []string{"void", "too late", "key"}) {
		t.Fatalf("the log has %q", got)
	}
	var bundle bytes.Buffer
	c.Bundle(&bundle)
	r := must(Audit(&bundle, audit.Options{}))(t)
	if r.Verdict != audit.Verified || r.Voids != 1 || int(r.Expired) != len(got)-1 {
		t.Errorf("%s %+v %v: %d void, %d expired", r.Verdict, r.Findings, r.Missing, r.Voids, r.Expired)
	}
}

// Under receive-time a receipt and the committed log have the same time for an id. Members that keep to it are never accused, whatever
// they receive when; one that signed another time is, and the file convinces without the log.
func TestAuditComparesTimes(t *testing.T) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 130))
		params := ordering.DefaultParams()
		if seed%2 == 0 {
			params.Order.Rule = fair.ReceiveTime
		}
		c := sim.New(t, 4, params).Ceremony()
		var cts []*threshold.Ciphertext
		for i := range 8 {
			ct := c.Seal(fmt.Sprint(i))
			cts = append(cts, ct)
			for _, m := range r.Perm(4) { // each in its own order
				if m == 0 || r.IntN(4) > 0 {
					c.Receive(m+1, ordering.CiphertextTx(ct.Bytes()))
				}
			}
			if r.IntN(3) == 0 {
				c.Block(ordering.Proposal{Openings: c.OpenAll(), Announcements: c.Announce()})
			}
		}
		for m := range 4 { // what was relayed late
			for _, ct := range cts {
				c.Receive(m+1, ordering.CiphertextTx(ct.Bytes()))
			}
		}
		for range 8 {
			c.Block(ordering.Proposal{Openings: c.OpenAll(), Announcements: c.Announce()})
		}
		var bundle bytes.Buffer
		c.Bundle(&bundle)
		receipt := func(m, i int, at uint64) commitreveal.Receipt {
			log := c.Log(m + 1)
			var head commitreveal.Hash
			for _, id := range log.IDs[:i+1] {
				head = commitreveal.NextHead(head, id)
			}
			which := slices.IndexFunc(cts, func(ct *threshold.Ciphertext) bool { return ct.ID() == log.IDs[i] })
			rc := commitreveal.Receipt{ChainID: sim.ChainID, ID: log.IDs[i], Epoch: 1, Member: uint32(m + 1), ValidUntil: cts[which].Header().ValidUntil,
				Time: int64(at), Position: uint64(i + 1), Head: head}
			if err := commitreveal.SignReceipt(c.Secrets[m].Identity(), &rc); err != nil {
				t.Fatal(err)
			}
			return rc
		}
		var honest []commitreveal.Receipt
		for m := range 4 {
			for i := range c.Log(m + 1).IDs {
				at := uint64(1_800_000_000_000 + i)
				if params.Order.Rule == fair.ReceiveTime {
					at = c.Log(m + 1).Times[i]
				}
				honest = append(honest, receipt(m, i, at))
			}
		}
		report := must(Audit(bytes.NewReader(bundle.Bytes()), audit.Options{Receipts: honest}))(t)
		if report.Verdict != audit.Verified || len(report.Receipts) != len(honest) || len(honest) < 24 {
			t.Fatalf("seed %d: %s %+v %v", seed, report.Verdict, report.Findings, report.Missing)
		}
		if params.Order.Rule != fair.ReceiveTime {
			continue
		}
		m := r.IntN(4)
		i := r.IntN(len(c.Log(m + 1).IDs))
		lie := receipt(m, i, c.Log(m + 1).Times[i]+1)
		report = must(Audit(bytes.NewReader(bundle.Bytes()), audit.Options{Receipts: []commitreveal.Receipt{lie}}))(t)
		if report.Verdict != audit.Violated || len(report.Findings) != 1 || report.Findings[0].Code != audit.CodeLog || report.Findings[0].Proof == nil || report.Receipts[0].Status != audit.ReceiptBroken {
			t.Fatalf("seed %d: %+v", seed, report)
		}
		wire := must(report.Findings[0].Proof.Marshal())(t)
		file := must(audit.ParseEvidence(wire))(t)
		if e := must(file.Verify(Checks()))(t); !strings.HasPrefix(e.Who, fmt.Sprintf("member %d", m+1)) {
			t.Errorf("against %s: %s", e.Who, e.What)
		}
		proof, ok := file.Proof.(*audit.BrokenReceipt)
		if !ok {
			t.Fatalf("%T", file.Proof)
		}
		proof.Receipt = must(new(receipt(m, i, c.Log(m + 1).Times[i])).MarshalBinary())(t) // an honest receipt
		if _, err := file.Verify(Checks()); !errors.Is(err, audit.ErrNotProved) {
			t.Errorf("an honest receipt: %v", err)
		}
		proof.Receipt = must(lie.MarshalBinary())(t)
		proof.Times[3] ^= 1 // other times before it
		if _, err := file.Verify(Checks()); !errors.Is(err, audit.ErrNotProved) {
			t.Errorf("a statement after other times: %v", err)
		}
	}
}
