package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
	"github.com/scrimlabs/scrim/threshold"
)

// SplitView is two signed tree heads of the log that no one log has: of one size
// with two roots, or the larger one over a log whose beginning is not the smaller.
// Who signed both, as publisher, cosigner or committee, signed two logs.
type SplitView struct {
	A string `json:"a"` // signed notes; A is the smaller, or of one size the lower text
	B string `json:"b"`
	// Of two sizes: what B's tree has instead of A's root, and the RFC 6962 proof of
	// its consistency with B's root. Of one size null and empty.
	Prefix *commitreveal.Hash  `json:"prefix"`
	Path   []commitreveal.Hash `json:"path"`
}

// NewSplitView makes the evidence from two signed notes. Of two sizes, read gives
// the stored hashes of the tree of the larger one (see package tiles); it may be
// nil if the sizes are equal.
func NewSplitView(a, b []byte, read tiles.Reader) (*SplitView, error) {
	_, x, err := note.ParseSigned(a)
	if err != nil {
		return nil, err
	}
	_, y, err := note.ParseSigned(b)
	if err != nil {
		return nil, err
	}
	if x.Size > y.Size || x.Size == y.Size && string(a) > string(b) {
		a, b, x, y = b, a, y, x
	}
	p := &SplitView{A: string(a), B: string(b), Path: []commitreveal.Hash{}}
	if x.Size == y.Size {
		return p, nil
	}
	if read == nil {
		return nil, fmt.Errorf("%w: the tree of %d entries is needed", ErrNotFound, y.Size)
	}
	root, err := tiles.Root(x.Size, read)
	if err != nil {
		return nil, err
	}
	path, err := tiles.ProveConsistency(x.Size, y.Size, read)
	if err != nil {
		return nil, err
	}
	p.Prefix, p.Path = &root, append(p.Path, path...)
	return p, nil
}

// Kind implements [Proof].
func (*SplitView) Kind() string { return KindSplitView }

func (p *SplitView) validate() error {
	_, _, err := p.heads()
	return err
}

func (p *SplitView) heads() (a, b *signedHead, err error) {
	if a, err = parseHead(p.A); err != nil {
		return nil, nil, err
	}
	if b, err = parseHead(p.B); err != nil {
		return nil, nil, err
	}
	same := a.Size == b.Size
	if a.Size > b.Size || same && p.A >= p.B || same != (p.Prefix == nil) || same && len(p.Path) > 0 || len(p.Path) > 64 || p.Path == nil {
		return nil, nil, fmt.Errorf("%w: a split view is two notes, the smaller first, with a proof if their sizes differ", ErrEvidence)
	}
	return a, b, nil
}

// signedHead is a note with the tree head that it states.
type signedHead struct {
	note.Checkpoint
	note *note.Note
}

func parseHead(text string) (*signedHead, error) {
	n, c, err := note.ParseSigned([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	return &signedHead{c, n}, nil
}

func (p *SplitView) check(j *judge) (*Established, error) {
	a, b, err := p.heads()
	if err != nil {
		return nil, err
	}
	if a.Origin != note.Origin(j.chainID) || b.Origin != a.Origin {
		return nil, notProved("the notes are of %q and %q, the evidence is about chain %q", a.Origin, b.Origin, j.chainID)
	}
	what := fmt.Sprintf("signed two logs of %d entries, with the roots %s and %s", a.Size, a.Root, b.Root)
	if p.Prefix == nil {
		if a.Root == b.Root {
			return nil, notProved("both notes state one root")
		}
	} else {
		if err := tiles.CheckConsistency(p.Path, a.Size, *p.Prefix, b.Size, b.Root); err != nil {
			return nil, notProved("%w", err)
		}
		if *p.Prefix == a.Root {
			return nil, notProved("the larger log extends the smaller one")
		}
		what = fmt.Sprintf("signed a log of %d entries with root %s, and one of %d entries that begins with %s instead", a.Size, a.Root, b.Size, *p.Prefix)
	}
	first, second := j.signers(a.note), j.signers(b.note)
	var both []string
	for _, who := range first {
		if slices.Contains(second, who) {
			both = append(both, who)
		}
	}
	switch {
	case len(both) > 0:
		return &Established{Who: strings.Join(both, ", "), What: what}, nil
	case len(first) > 0 && len(second) > 0:
		either := []string{strings.Join(first, ", "), strings.Join(second, ", ")}
		slices.Sort(either)
		return &Established{
			Who: strings.Join(either, " or "), What: what,
			Remains: "which of the two logs is the one that the committee made: its signature on a checkpoint of either tells",
		}, nil
	}
	return nil, notProved("a note is signed by nobody whose certificate is in the file")
}

// signers names those of the file's committees whose signatures on the note verify.
func (j *judge) signers(n *note.Note) (who []string) {
	for _, info := range j.committees {
		if signs(n, note.CommitteeKey(j.chainID, info.Committee.Key)) {
			who = append(who, committeeName(info.Committee.Epoch))
		}
		for i, identity := range info.Identities {
			if signs(n, note.LogKey(j.chainID, identity), note.MemberKey(j.chainID, identity)) {
				who = append(who, memberOf(info, uint32(i+1)))
			}
		}
	}
	return who
}

// signs reports whether one of the keys signed the note.
func signs(n *note.Note, keys ...note.Key) bool {
	return slices.ContainsFunc(keys, func(k note.Key) bool {
		_, err := k.Verify(n)
		return err == nil
	})
}

// OmittedTransaction is a batch whose namespace root leaves out one of its own
// transactions: a proof of a namespace's completeness that does not have it, or the
// whole batch, whose namespaces give another root. The range ends with the batch's
// commit entry.
type OmittedTransaction struct {
	Log Range `json:"log"`
	// A false proof of completeness, as commitreveal.NamespaceProof's MarshalBinary,
	// with the ciphertext that it omits and its place in the batch; or empty.
	Completeness Bytes               `json:"completeness"`
	Position     uint32              `json:"position"`
	Path         []commitreveal.Hash `json:"path"`
	// The omitted ciphertext; or, without Completeness, all of the batch's in order.
	Ciphertexts []Bytes `json:"ciphertexts"`
}

// Kind implements [Proof].
func (*OmittedTransaction) Kind() string { return KindOmitted }

func (p *OmittedTransaction) validate() error {
	if p.Path == nil || p.Ciphertexts == nil || len(p.Ciphertexts) > commitreveal.MaxBatch {
		return fmt.Errorf("%w: %d ciphertexts", ErrEvidence, len(p.Ciphertexts))
	}
	if len(p.Completeness) == 0 {
		if p.Position != 0 || len(p.Path) != 0 {
			return fmt.Errorf("%w: a place in a batch that is there as a whole", ErrEvidence)
		}
		return p.Log.validate()
	}
	if _, err := commitreveal.ParseNamespaceProof(p.Completeness); err != nil {
		return fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	if len(p.Ciphertexts) != 1 {
		return fmt.Errorf("%w: %d omitted ciphertexts, want 1", ErrEvidence, len(p.Ciphertexts))
	}
	return p.Log.validate()
}

func (p *OmittedTransaction) check(j *judge) (*Established, error) {
	log, c, err := p.Log.verifyLast(j)
	if err != nil {
		return nil, err
	}
	e := &Established{Who: committeeName(log.committee.Committee.Epoch), Height: c.Height}
	if len(p.Completeness) > 0 {
		e.What, err = p.omits(c)
	} else {
		e.What, err = p.otherRoot(c)
	}
	return e, err
}

// omits checks a proof of completeness against a ciphertext that it leaves out.
func (p *OmittedTransaction) omits(c *commitreveal.CommitEntry) (string, error) {
	proof, err := commitreveal.ParseNamespaceProof(p.Completeness)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	if err := proof.Verify(*c); err != nil {
		return "", notProved("%w", err)
	}
	ct, err := threshold.ParseCiphertext(p.Ciphertexts[0])
	if err != nil {
		return "", notProved("%w", err)
	}
	if err := commitreveal.VerifyInBatch(c.Root, c.Count, p.Position, ct.ID(), p.Path); err != nil {
		return "", notProved("%w", err)
	}
	if ct.Header().Namespace != proof.Namespace {
		return "", notProved("the ciphertext is of namespace %s, the proof of %s", ct.Header().Namespace, proof.Namespace)
	}
	for _, t := range proof.Transactions {
		if t.Position == p.Position && t.ID == ct.ID() {
			return "", notProved("the proof has the ciphertext")
		}
	}
	return fmt.Sprintf("left %s, which is at position %d of block %d, out of the transactions of namespace %s", commitreveal.Hash(ct.ID()), p.Position, c.Height, proof.Namespace), nil
}

// otherRoot computes the namespace root again from the whole batch.
func (p *OmittedTransaction) otherRoot(c *commitreveal.CommitEntry) (string, error) {
	var ids []threshold.ID
	var namespaces []string
	for _, b := range p.Ciphertexts {
		ct, err := threshold.ParseCiphertext(b)
		if err != nil {
			return "", notProved("%w", err)
		}
		ids, namespaces = append(ids, ct.ID()), append(namespaces, ct.Header().Namespace)
	}
	if len(ids) != int(c.Count) || commitreveal.BatchRoot(ids) != c.Root {
		return "", notProved("the ciphertexts are not those of the batch of height %d", c.Height)
	}
	root, err := commitreveal.NamespaceRoot(ids, namespaces)
	if err != nil {
		return "", notProved("%w", err)
	}
	if root == c.Namespaces {
		return "", notProved("the namespace root is that of the batch")
	}
	return fmt.Sprintf("committed to the namespaces of block %d with root %s; its transactions give %s", c.Height, c.Namespaces, root), nil
}
