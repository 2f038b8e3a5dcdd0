package ordering

import (
	"cmp"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// EvidenceKind says what a piece of evidence is about. The number is its encoding.
type EvidenceKind byte

// The kinds of evidence that a block can carry: those that prove themselves with the committee and its terms.
const (
	EvidenceBadPoint          EvidenceKind = 1 // commitreveal.BadPoint
	EvidenceBadSignature      EvidenceKind = 2 // commitreveal.BadSignature
	EvidenceConflictingShares EvidenceKind = 3 // commitreveal.ConflictingShares
	EvidenceReceiveLogFork    EvidenceKind = 4 // fair.Equivocation
	EvidenceReceiveTimesFork  EvidenceKind = 5 // fair.Equivocation
	EvidenceCeremony          EvidenceKind = 6 // keygen.Evidence, of the ceremony that made the committee
)

var evidenceKinds = [...]string{
	EvidenceBadPoint: "bad_point", EvidenceBadSignature: "bad_signature", EvidenceConflictingShares: "conflicting_shares",
	EvidenceReceiveLogFork: "receive_log_fork", EvidenceReceiveTimesFork: "receive_times_fork", EvidenceCeremony: "ceremony",
}

// String gives the name in a misbehaviour entry, in snake_case.
func (k EvidenceKind) String() string {
	if !k.valid() {
		return fmt.Sprintf("evidence kind %d", byte(k))
	}
	return evidenceKinds[k]
}

func (k EvidenceKind) valid() bool { return k >= EvidenceBadPoint && k <= EvidenceCeremony }

// EvidenceKindOf is the kind with a name; false if blocks carry no such evidence.
func EvidenceKindOf(name string) (EvidenceKind, bool) {
	k := slices.Index(evidenceKinds[1:], name) + 1
	return EvidenceKind(k), k > 0
}

// Evidence is one piece of evidence against a member, as a block carries it.
type Evidence struct {
	Kind  EvidenceKind
	Epoch uint64 // of the committee in which the member counts
	Body  []byte // canonical, as its package encodes it; 1 to commitreveal.MaxEvidenceSize bytes
}

// Charge is what evidence proves. The chain records each once, as long as it knows the committee.
type Charge struct {
	Epoch  uint64
	Member uint32 // 1..n; of a ceremony, the number as a speaker
	Kind   EvidenceKind
}

// compare puts charges in their order in the state.
func (c Charge) compare(o Charge) int {
	return cmp.Or(cmp.Compare(c.Epoch, o.Epoch), cmp.Compare(c.Member, o.Member), cmp.Compare(c.Kind, o.Kind))
}

// Misbehaviour is a charge that a block recorded.
type Misbehaviour struct {
	Entry commitreveal.MisbehaviourEntry
	Body  []byte // the evidence, which Entry names
}

const (
	evidenceVersion = 1
	evidenceHead    = 1 + 1 + 8

	// MaxEvidenceTxs is how many pieces of evidence a block carries, at most. With the largest batch, the largest section and
	// these a block of 4 MiB has room for openings still (docs/spec/ordering.md).
	MaxEvidenceTxs = 2
	// MaxMempoolTx is the largest transaction of a mempool in bytes.
	MaxMempoolTx = max(MaxTxSize, 1+evidenceHead+commitreveal.MaxEvidenceSize)
)

var errEvidence = errors.New("ordering: evidence")

// EvidenceTx is the block transaction that carries a piece of evidence:
//
//	kind (1) | version (1) | kind of evidence (1) | epoch (8) | evidence
//
// The error says that no block carries it.
func EvidenceTx(e Evidence) ([]byte, error) {
	if !e.Kind.valid() {
		return nil, fmt.Errorf("%w: no block carries %s", errEvidence, e.Kind)
	}
	if n := len(e.Body); n == 0 || n > commitreveal.MaxEvidenceSize {
		return nil, fmt.Errorf("%w: %d bytes, 1 to %d allowed", errEvidence, n, commitreveal.MaxEvidenceSize)
	}
	b := binary.BigEndian.AppendUint64([]byte{byte(kindEvidence), evidenceVersion, byte(e.Kind)}, e.Epoch)
	return append(b, e.Body...), nil
}

// ChargeOf is the charge that a transaction with evidence makes; false if it is no such transaction. Whether it holds is not checked.
func ChargeOf(tx []byte) (Charge, bool) {
	kind, body, err := splitTx(tx)
	if err != nil || kind != kindEvidence {
		return Charge{}, false
	}
	a, err := parseEvidence(body)
	if err != nil {
		return Charge{}, false
	}
	return a.charge, true
}

// accusation is evidence that was parsed.
type accusation struct {
	Evidence
	charge Charge
	// holds is nil if the evidence proves the charge, whose member has this identity.
	holds func(c *threshold.Committee, t *keygen.Terms, identity ed25519.PublicKey) error
}

// parseEvidence is the strict inverse of EvidenceTx for a body without its kind. It verifies nothing.
func parseEvidence(b []byte) (*accusation, error) {
	if len(b) <= evidenceHead || len(b) > evidenceHead+commitreveal.MaxEvidenceSize {
		return nil, fmt.Errorf("%w: %d bytes, %d to %d allowed", errEvidence, len(b), evidenceHead+1, evidenceHead+commitreveal.MaxEvidenceSize)
	}
	if b[0] != evidenceVersion {
		return nil, fmt.Errorf("%w: version %d", errEvidence, b[0])
	}
	return readEvidence(Evidence{Kind: EvidenceKind(b[1]), Epoch: binary.BigEndian.Uint64(b[2:]), Body: b[evidenceHead:]})
}

// readEvidence parses the body.
func readEvidence(e Evidence) (a *accusation, err error) {
	a = &accusation{Evidence: e}
	var member uint32
	switch e.Kind {
	case EvidenceBadPoint, EvidenceBadSignature, EvidenceConflictingShares:
		member, err = a.readShare()
	case EvidenceReceiveLogFork:
		member, err = a.readFork(fair.ReceiveOrder)
	case EvidenceReceiveTimesFork:
		member, err = a.readFork(fair.ReceiveTime)
	case EvidenceCeremony:
		member, err = a.readCeremony()
	default:
		err = fmt.Errorf("%s", e.Kind)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errEvidence, err)
	}
	a.charge = Charge{Epoch: e.Epoch, Member: member, Kind: e.Kind}
	return a, nil
}

func (a *accusation) readShare() (uint32, error) {
	e, err := commitreveal.ParseEvidence(a.Body)
	if err != nil {
		return 0, err
	}
	if e.Kind() != a.Kind.String() {
		return 0, fmt.Errorf("%s is said to be %s", e.Kind(), a.Kind)
	}
	a.holds = func(c *threshold.Committee, t *keygen.Terms, identity ed25519.PublicKey) error {
		if e.ChainID() != t.ChainID {
			return fmt.Errorf("a share of chain %q", e.ChainID())
		}
		return e.Verify(c, identity)
	}
	return e.Member(), nil
}

func (a *accusation) readFork(rule fair.Rule) (uint32, error) {
	f, err := rule.ParseEquivocation(a.Body)
	if err != nil {
		return 0, err
	}
	a.holds = func(_ *threshold.Committee, t *keygen.Terms, identity ed25519.PublicKey) error {
		return f.Verify(t.ChainID, identity)
	}
	return f.Member(), nil
}

func (a *accusation) readCeremony() (uint32, error) {
	e, err := keygen.ParseEvidence(a.Body)
	if err != nil {
		return 0, err
	}
	a.holds = func(_ *threshold.Committee, t *keygen.Terms, _ ed25519.PublicKey) error { return e.Verify(t) }
	return e.Member, nil
}

// VerifyEvidence checks a piece of evidence with a committee and the terms of the ceremony that made it, and gives the member that it
// is against. A nil error means: that member, and nobody else, did it.
func VerifyEvidence(c *threshold.Committee, t *keygen.Terms, e Evidence) (member uint32, err error) {
	if n := len(e.Body); n == 0 || n > commitreveal.MaxEvidenceSize {
		return 0, fmt.Errorf("%w: %d bytes, 1 to %d allowed", errEvidence, n, commitreveal.MaxEvidenceSize)
	}
	a, err := readEvidence(e)
	if err != nil {
		return 0, err
	}
	return a.charge.Member, a.verify(c, t)
}

func (a *accusation) verify(c *threshold.Committee, t *keygen.Terms) error {
	if a.Epoch != t.Epoch || c == nil || a.Epoch != c.Epoch {
		return fmt.Errorf("%w: of epoch %d, the committee is of epoch %d", errEvidence, a.Epoch, t.Epoch)
	}
	m := t.Speaker(a.charge.Member)
	if m == nil || a.Kind != EvidenceCeremony && int(a.charge.Member) > t.N() {
		return fmt.Errorf("%w: no member %d in epoch %d", errEvidence, a.charge.Member, a.Epoch)
	}
	if err := a.holds(c, t, m.Identity); err != nil {
		return fmt.Errorf("%w: %w", errEvidence, err)
	}
	return nil
}

// HasRecorded reports whether the chain has recorded a charge against a member of a committee that the state knows.
func (s *State) HasRecorded(c Charge) bool {
	_, found := slices.BinarySearchFunc(s.charges, c, Charge.compare)
	return found
}

// screenEvidence is the cheap part of accuse: everything but the proof.
func (s *State) screenEvidence(body []byte) (*accusation, *Tenure, error) {
	a, err := parseEvidence(body)
	if err != nil {
		return nil, nil, reject(CodeEvidence, "%v", err)
	}
	t := s.Tenure(a.Epoch)
	if t == nil {
		return nil, nil, reject(CodeEvidenceEpoch, "the chain knows no committee of epoch %d, not yet or not any more", a.Epoch)
	}
	if s.HasRecorded(a.charge) {
		return nil, nil, reject(CodeEvidenceRecorded, "%s by member %d of epoch %d is in the log already", a.Kind, a.charge.Member, a.Epoch)
	}
	return a, t, nil
}

// accuse decides whether the next block may record the evidence.
func (s *State) accuse(v *Verifier, body []byte) (*accusation, error) {
	a, t, err := s.screenEvidence(body)
	if err != nil {
		return nil, err
	}
	if err := v.evidence(t, a); err != nil {
		return nil, reject(CodeEvidence, "%v", err)
	}
	return a, nil
}

// record puts a charge into the state; it is not in there yet.
func (s *State) record(c Charge) {
	at, _ := slices.BinarySearchFunc(s.charges, c, Charge.compare)
	s.charges = slices.Insert(slices.Clone(s.charges), at, c)
}

// forgetCharges drops those against committees that the state does not know any more.
func (s *State) forgetCharges() {
	gone := func(c Charge) bool { return s.Tenure(c.Epoch) == nil }
	if slices.ContainsFunc(s.charges, gone) {
		s.charges = slices.DeleteFunc(slices.Clone(s.charges), gone)
	}
}

// evidence records a charge.
func (f *folding) evidence(body []byte) error {
	if len(f.result.Misbehaviour) >= MaxEvidenceTxs {
		return reject(codeProposal, "more than %d pieces of evidence", MaxEvidenceTxs)
	}
	a, err := f.next.accuse(f.v, body)
	if err != nil {
		return err
	}
	entry := commitreveal.MisbehaviourEntry{
		Height: f.next.height, Epoch: a.Epoch, Member: a.charge.Member, Kind: a.Kind.String(), Evidence: commitreveal.EvidenceHash(a.Body),
	}
	if err := f.append(entry); err != nil {
		return err
	}
	f.next.record(a.charge)
	f.result.Misbehaviour = append(f.result.Misbehaviour, Misbehaviour{entry, slices.Clone(a.Body)})
	return nil
}

// accusations picks what a proposer takes of the evidence in its mempool, as far as it fits.
func (s *State) accusations(v *Verifier, txs [][]byte, left int64) (out [][]byte) {
	running := *s
	for _, tx := range txs {
		kind, body, err := splitTx(tx)
		if err != nil || kind != kindEvidence || txCost(tx) > left {
			continue
		}
		if len(out) == MaxEvidenceTxs {
			return out
		}
		a, err := running.accuse(v, body)
		if err != nil {
			continue
		}
		running.record(a.charge)
		left -= txCost(tx)
		out = append(out, tx)
	}
	return out
}

// appendCharges encodes
//
//	count (4) | each: epoch (8) | member (4) | kind (1), strictly ascending
func appendCharges(b []byte, cs []Charge) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(cs)))
	for _, c := range cs {
		b = binary.BigEndian.AppendUint64(b, c.Epoch)
		b = append(binary.BigEndian.AppendUint32(b, c.Member), byte(c.Kind))
	}
	return b
}

// charges is the inverse; s says which committees there are.
func (r *reader) charges(s *State) (out []Charge, err error) {
	for range r.uint(4) {
		c := Charge{Epoch: r.uint(8), Member: uint32(r.uint(4)), Kind: EvidenceKind(r.uint(1))}
		t := s.Tenure(c.Epoch)
		if r.bad || !c.Kind.valid() || t == nil || t.Terms().Speaker(c.Member) == nil {
			return nil, errors.New("a charge of nobody")
		}
		if n := len(out); n > 0 && out[n-1].compare(c) >= 0 {
			return nil, errors.New("charges do not ascend")
		}
		out = append(out, c)
	}
	return out, nil
}
