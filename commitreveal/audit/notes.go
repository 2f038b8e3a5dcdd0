package audit

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/note"
)

// SignedNote is a checkpoint of the log as somebody signed it, for
// [Options].Checkpoints.
type SignedNote struct {
	Name string // for people
	Text []byte
	// Policy says that it must have the signatures that [Options].Policy asks for.
	Policy bool
}

// CheckpointResult is what came of a signed checkpoint.
type CheckpointResult struct {
	Name    string            `json:"name"`
	Size    uint64            `json:"size"`
	Root    commitreveal.Hash `json:"root"`
	Matches bool              `json:"matches"` // the log has this root at this size
	// Signers are the members and committees whose signatures on it verify.
	Signers []string `json:"signers"`
	// Witnesses are those of the user's policy that cosigned, in order.
	Witnesses []string `json:"witnesses"`
}

// heads are the signed checkpoints that are to be compared with the log.
type heads struct {
	all  []*head // by size
	next int     // the first whose size the log has not reached
}

type head struct {
	SignedNote
	note    *note.Note
	at      note.Checkpoint
	reached bool
	root    commitreveal.Hash // of the log at its size, if reached
}

func (a *auditor) readHeads() {
	for _, s := range a.opts.Checkpoints {
		n, c, err := note.ParseSigned(s.Text)
		if err != nil {
			a.missing("%s: it cannot be read: %v", s.Name, err)
			continue
		}
		a.heads.all = append(a.heads.all, &head{SignedNote: s, note: n, at: c})
	}
	slices.SortStableFunc(a.heads.all, func(x, y *head) int { return cmp.Compare(x.at.Size, y.at.Size) })
	a.reachHeads()
}

// reachHeads notes the log's root for the checkpoints of its size.
func (a *auditor) reachHeads() {
	h := &a.heads
	for h.next < len(h.all) && h.all[h.next].at.Size <= a.log.Size() {
		h.all[h.next].reached, h.all[h.next].root = true, a.log.Root()
		h.next++
	}
}

// checkHeads compares the signed checkpoints with the log.
func (a *auditor) checkHeads() {
	for _, h := range a.heads.all {
		r := CheckpointResult{Name: h.Name, Size: h.at.Size, Root: h.at.Root, Signers: a.signersOf(h), Witnesses: []string{}}
		r.Matches = h.reached && h.root == h.at.Root && a.header != nil && h.at.Origin == note.Origin(a.header.ChainID)
		switch {
		case a.header == nil:
		case h.at.Origin != note.Origin(a.header.ChainID):
			a.altered(CodeChain, 0, "%s is a checkpoint of %q, the log is of chain %q", h.Name, h.at.Origin, a.header.ChainID)
		case !h.reached:
			a.missing("%s: the log has %d entries, the checkpoint is of %d", h.Name, a.log.Size(), h.at.Size)
		case h.root != h.at.Root:
			a.otherRoot(h, r.Signers)
		case len(r.Signers) == 0:
			a.missing("%s: no member of the committee signed it", h.Name)
		}
		a.checkPolicy(h, &r)
		a.report.Checkpoints = append(a.report.Checkpoints, r)
	}
}

// otherRoot blames who signed a checkpoint that the log does not have: if the
// committee certified the log up to there, the signers; else whoever made the copy.
func (a *auditor) otherRoot(h *head, signers []string) {
	f := &finding{entry: -1, Finding: Finding{Code: CodeLogRoot, What: h.Name + ": the checkpoint's root is not that of the log"}}
	if len(signers) > 0 && h.at.Size <= a.certified {
		f.Who = strings.Join(signers, ", ")
	}
	a.add(f)
}

// signersOf names the committees and members whose signatures on the note verify.
func (a *auditor) signersOf(h *head) []string {
	out := []string{}
	for _, epoch := range a.report.Epochs {
		info := a.office(epoch)
		if signs(h.note, note.CommitteeKey(info.ChainID, info.Committee.Key)) {
			out = append(out, committeeName(epoch))
		}
		for i, identity := range info.Identities {
			if signs(h.note, note.LogKey(info.ChainID, identity), note.MemberKey(info.ChainID, identity)) {
				out = append(out, memberOf(info, uint32(i+1)))
			}
		}
	}
	return out
}

func (a *auditor) checkPolicy(h *head, r *CheckpointResult) {
	if !h.Policy || a.opts.Policy == nil {
		return
	}
	s, err := a.opts.Policy.CheckNote(h.note, h.at)
	switch {
	case errors.Is(err, note.ErrPolicy):
		a.missing("%s: %v", h.Name, err)
	case err != nil:
		a.altered(CodePolicy, 0, "%s: %v", h.Name, err)
	default:
		for _, w := range a.opts.Policy.Witnesses {
			if _, cosigned := s.Witnesses[w.Name]; cosigned {
				r.Witnesses = append(r.Witnesses, w.Name)
			}
		}
	}
}
