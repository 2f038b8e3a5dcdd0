package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/internal/wallet"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// TestEvidenceOfEveryKind: each kind of evidence, against members and a committee that a real ceremony certified, goes through a
// file and the command, which has nothing else but the terms hash; and with a digit changed in the proof it convinces nobody.
func TestEvidenceOfEveryKind(t *testing.T) {
	c := newAudited(t, "hello")
	dir := t.TempDir()
	kinds := map[string]bool{}
	for name, f := range c.everyKind(t) {
		text, err := f.Marshal()
		c.Must(err)
		path := filepath.Join(dir, name+".json")
		c.Must(os.WriteFile(path, text, 0o600))
		out, code := command(t, "audit", "evidence", "verify", "--json", "--terms-hash", auditedTerms(c), path)
		var r struct {
			Proved      bool
			Established struct{ Kind, Who, What string }
		}
		c.Must(json.Unmarshal([]byte(out), &r))
		if code != 0 || !r.Proved || r.Established.Kind != f.Proof.Kind() || r.Established.Who == "" || r.Established.What == "" {
			t.Errorf("%s: exit code %d, %s", name, code, out)
		}
		kinds[r.Established.Kind] = true
		if out, code := command(t, "audit", "evidence", "show", path); code != 0 || !strings.HasPrefix(out, f.Proof.Kind()+" on chain "+sim.ChainID) {
			t.Errorf("show %s: exit code %d, %s", name, code, out)
		}
		if out, code := command(t, "audit", "evidence", "verify", "--terms-hash", "0x"+strings.Repeat("00", 32), path); code != 2 {
			t.Errorf("%s, another committee: exit code %d, %s", name, code, out)
		}
		c.Must(os.WriteFile(path, altered(t, text), 0o600))
		if out, code := command(t, "audit", "evidence", "verify", path); code == 0 {
			t.Errorf("%s, changed: %s", name, out)
		}
	}
	want := []string{
		"split_view", "broken_receipt", "wrong_order", "conflicting_commit", "early_share", "bad_share", "conflicting_shares",
		"conflicting_ceremony_message", "bad_deal", "omitted_transaction", "receive_log_fork", "receive_times_fork",
	}
	for _, kind := range want {
		if !kinds[kind] {
			t.Errorf("no evidence of kind %s", kind)
		}
	}
}

// command runs scrim and gives what it printed and its exit code.
func command(t *testing.T, args ...string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(&out)
	err := root.Execute()
	var code exitCode
	switch {
	case err == nil:
		return out.String(), 0
	case errors.As(err, &code):
		if code.error != nil {
			out.WriteString(code.Error())
		}
		return out.String(), code.code
	}
	t.Fatal(err)
	return "", 0
}

// altered changes a digit in what the proof rests on: the last signature, or other bytes of it.
func altered(t *testing.T, file []byte) []byte {
	t.Helper()
	at := bytes.LastIndex(file, []byte(`"proof":`))
	for i := len(file) - 40; i > at; i-- {
		if strings.IndexByte("0123456789abcdef", file[i]) >= 0 && strings.IndexByte("0123456789abcdef", file[i-1]) >= 0 && strings.IndexByte("0123456789abcdef", file[i+1]) >= 0 {
			bad := bytes.Clone(file)
			bad[i] = map[bool]byte{true: '1', false: '0'}[file[i] == '0']
			return bad
		}
	}
	t.Fatalf("no digit in %s", file[at:])
	return nil
}

// everyKind makes the evidence, with the members' and the committee's real keys.
func (c *audited) everyKind(t *testing.T) map[string]*audit.EvidenceFile {
	t.Helper()
	certificate, err := c.State.Ceremony().Certificate().MarshalBinary()
	c.Must(err)
	terms, err := c.Genesis.Terms.MarshalBinary()
	c.Must(err)
	file := func(p audit.Proof) *audit.EvidenceFile {
		return &audit.EvidenceFile{ChainID: sim.ChainID, Certificates: [][]byte{certificate}, Proof: p}
	}
	var bundle bytes.Buffer
	c.Bundle(&bundle)
	lines := func() audit.Lines { return commitreveal.NewBundleReader(bytes.NewReader(bundle.Bytes())) }
	out := map[string]*audit.EvidenceFile{}
	add := func(name string, p audit.Proof, err error) { c.Must(err); out[name] = file(p) }

	bob := c.Secrets[1].Identity()
	signed := func(root commitreveal.Hash) []byte {
		text := note.Checkpoint{Origin: note.Origin(sim.ChainID), Size: 5, Root: root}.Text()
		b, err := (&note.Note{Text: text, Signatures: []note.Signature{note.Cosign(bob, sim.ChainID, text, 1700000000)}}).Marshal()
		c.Must(err)
		return b
	}
	split, err := audit.NewSplitView(signed(commitreveal.Hash{1}), signed(commitreveal.Hash{2}), nil)
	add("split view", split, err)

	lost := c.records(t, []*threshold.Ciphertext{c.lost}, 2)[0].Receipts[0]
	out["broken receipt"], err = audit.ProveNotOrdered(lines(), &lost, 0)
	c.Must(err)

	ids := []threshold.ID{c.sealed[1].ID(), c.sealed[2].ID()}
	bodies := []audit.Bytes{c.sealed[1].Bytes(), c.sealed[2].Bytes()}
	if bytes.Compare(ids[0][:], ids[1][:]) < 0 { // they descend
		slices.Reverse(ids)
		slices.Reverse(bodies)
	}
	one, err := commitreveal.NamespaceRoot(ids[:1], []string{"test"})
	c.Must(err)
	log := c.lyingLog(ids, one)
	out["wrong order"] = file(&audit.WrongOrder{Log: log, IDs: []commitreveal.Hash{commitreveal.Hash(ids[0]), commitreveal.Hash(ids[1])}})
	out["omitted transaction"] = file(&audit.OmittedTransaction{Log: log, Path: []commitreveal.Hash{}, Ciphertexts: bodies})

	checkpoint := func(root byte) audit.Certified {
		return c.certified(commitreveal.Checkpoint{ChainID: sim.ChainID, Height: 9, Epoch: 1, BatchRoot: commitreveal.Hash{root}, LogSize: 9, LogRoot: commitreveal.Hash{9}})
	}
	out["conflicting commit"] = file(audit.NewConflictingCommit(checkpoint(1), checkpoint(2)))

	share := func(root commitreveal.Hash) *commitreveal.ShareMessage {
		m := &commitreveal.ShareMessage{ChainID: sim.ChainID, Epoch: 1, Height: 5, Root: root}
		m.Share.Member, m.Signature.Member = 2, 2
		m.Share.Points = make([][threshold.PointSize]byte, 1)
		c.Must(m.Sign(bob))
		return m
	}
	out["early share"], err = audit.ProveEarlyShare(lines(), share(commitreveal.Hash{1}))
	c.Must(err)
	checked, err := c.sealed[0].Check()
	c.Must(err)
	batch := commitreveal.BatchRoot([]threshold.ID{c.sealed[0].ID()})
	point, err := commitreveal.NewBadPoint(*share(batch), []*threshold.Checked{checked}, 0)
	c.Must(err)
	bad, err := audit.NewBadShare(point)
	add("bad share, a point", bad, err)
	signature, err := audit.NewBadShare(&commitreveal.BadSignature{Message: *share(batch), Checkpoint: c.checkpointOf(5), Certificate: c.sign(c.checkpointOf(5))})
	add("bad share, a signature", signature, err)
	two, err := audit.NewBadShare(commitreveal.NewConflictingShares(*share(commitreveal.Hash{1}), *share(commitreveal.Hash{2})))
	add("conflicting shares", two, err)

	for name, e := range map[string]*keygen.Evidence{"conflicting ceremony message": c.dealtTwice(), "bad deal": c.malformedDeal()} {
		b, err := e.MarshalBinary()
		c.Must(err)
		out[name] = &audit.EvidenceFile{ChainID: sim.ChainID, Terms: terms, Proof: audit.NewCeremonyFault(b, e.Fault == keygen.FaultEquivocation)}
	}

	said := func(rule fair.Rule, id byte) *fair.Announcement {
		a, err := rule.Say(bob, sim.ChainID, 5, fair.Chunk{
			Member: 2, Sequence: 1, IDs: []threshold.ID{{id}}, Head: commitreveal.NextHead(commitreveal.Hash{}, threshold.ID{id}),
			Times: []uint64{uint64(id)}, TimesHead: fair.NextTimes(commitreveal.Hash{}, uint64(id)), Watermark: 10,
		})
		c.Must(err)
		return a
	}
	for name, rule := range map[string]fair.Rule{"receive log fork": fair.ReceiveOrder, "receive times fork": fair.ReceiveTime} {
		fork := said(rule, 1).Fork(said(rule, 2))
		b, err := fork.MarshalBinary()
		c.Must(err)
		f, err := audit.PackEvidence(wallet.Checks(), b, nil, certificate)
		c.Must(err)
		out[name] = f
	}
	return out
}

// checkpointOf is that of the batch of a height.
func (c *audited) checkpointOf(height uint64) commitreveal.Checkpoint {
	return c.Results[height-1].Batch.Batch.Checkpoint
}

// lyingLog is a log of one commit entry that the committee signed, of these ids in this order and with this namespaces root.
func (c *audited) lyingLog(ids []threshold.ID, namespaces commitreveal.Hash) audit.Range {
	e := commitreveal.CommitEntry{Height: 3, Epoch: 1, KeyID: c.State.Committee().Key.ID(), Count: uint32(len(ids)), Root: commitreveal.BatchRoot(ids), Namespaces: namespaces}
	wire, err := commitreveal.MarshalEntry(e)
	c.Must(err)
	before, err := commitreveal.Log{}.MarshalBinary()
	c.Must(err)
	log, _, err := commitreveal.Log{}.Append(wire)
	c.Must(err)
	signed := c.certified(commitreveal.Checkpoint{ChainID: sim.ChainID, Height: 3, Epoch: 1, BatchRoot: e.Root, LogSize: 1, LogRoot: log.Root()})
	return audit.Range{Before: before, Entries: []audit.Bytes{wire}, Signed: signed}
}

func (c *audited) certified(cp commitreveal.Checkpoint) audit.Certified {
	out, err := audit.NewCertified(cp, c.sign(cp))
	c.Must(err)
	return out
}

// sign is the committee's signature on a checkpoint.
func (c *audited) sign(cp commitreveal.Checkpoint) threshold.Signature {
	message, err := cp.MarshalBinary()
	c.Must(err)
	var parts []threshold.SignatureShare
	for _, s := range c.Shares[:3] {
		part, err := s.Sign(message)
		c.Must(err)
		parts = append(parts, part)
	}
	out, _, err := threshold.CombineSignature(c.State.Committee(), message, parts)
	c.Must(err)
	return out
}

// begun is the chain's ceremony when dealing has begun, and what bob says first with a seed.
func (c *audited) begun(seed byte) (*keygen.State, *keygen.Message) {
	s, err := keygen.New(&c.Genesis.Terms)
	c.Must(err)
	s, _, err = keygen.Step(s, keygen.Event{Height: 1})
	c.Must(err)
	p, err := keygen.NewParticipant(c.Secrets[1], &c.Genesis.Terms, [32]byte{seed})
	c.Must(err)
	m, err := p.Next(s)
	c.Must(err)
	return s, m[0]
}

func (c *audited) fault(s *keygen.State, messages ...*keygen.Message) *keygen.Evidence {
	var err error
	for _, m := range messages {
		s, _, err = keygen.Step(s, keygen.Event{Height: 1, Message: m})
		c.Must(err)
	}
	all := s.Evidence()
	if len(all) != 1 {
		c.Must(errors.New("there must be one piece of evidence"))
	}
	return &all[0]
}

func (c *audited) dealtTwice() *keygen.Evidence {
	s, first := c.begun(1)
	_, second := c.begun(2)
	return c.fault(s, first, second)
}

// malformedDeal is one that bob signed, and that is cut.
func (c *audited) malformedDeal() *keygen.Evidence {
	s, m := c.begun(1)
	m.Body = m.Body[:len(m.Body)-1]
	digest := sha256.Sum256(m.Body)
	b := append([]byte("scrim/ceremony-message/v1"), byte(len(sim.ChainID))) // docs/spec/keygen.md, messages
	b = append(append(b, sim.ChainID...), m.Ceremony[:]...)
	b = binary.BigEndian.AppendUint32(append(b, byte(m.Kind)), m.Member)
	copy(m.Signature[:], ed25519.Sign(c.Secrets[1].Identity(), append(b, digest[:]...)))
	return c.fault(s, m)
}
