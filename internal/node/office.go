package node

import (
	"crypto/ed25519"

	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

// sharer is what the opener does with this member's share of a committee's key; it is a
// *threshold.SecretShare.
type sharer interface {
	Member() uint32
	ShareBatch([]*threshold.Checked) (*threshold.BatchShare, error)
	Sign([]byte) (threshold.SignatureShare, error)
	Wipe()
}

// office is what the opener knows of one committee whose batches may be open.
type office struct {
	committee *threshold.Committee
	members   []keygen.Member
	secret    sharer // this member's share of its key; nil: not a member, or no share (yet)
}

// identity is a member's, nil if there is no such member.
func (f *office) identity(member uint32) ed25519.PublicKey {
	if member < 1 || int(member) > len(f.members) {
		return nil
	}
	return f.members[member-1].Identity
}

// setOffices takes over the committees that a durable state needs. The shares of others
// are wiped: nothing of theirs is open any more.
func (o *opener) setOffices(tenures []*ordering.Tenure) {
	before := o.offices
	o.offices = make(map[uint64]*office, len(tenures))
	for _, t := range tenures {
		f := before[t.Epoch()]
		if f == nil {
			f = &office{committee: t.Committee(), members: t.Terms().Members, secret: o.given[t.Epoch()]}
			delete(o.given, t.Epoch())
		}
		o.offices[t.Epoch()] = f
	}
	for epoch, s := range o.given { // too late: the committee is over
		if len(tenures) > 0 && epoch < tenures[0].Epoch() {
			o.former = append(o.former, s)
			delete(o.given, epoch)
		}
	}
	for epoch, f := range before {
		if o.offices[epoch] == nil && f.secret != nil {
			o.former = append(o.former, f.secret)
		}
	}
}

// setShare gives the opener this member's share of the key of an epoch's committee. It
// may come before the block that puts the committee in office is taken over.
func (o *opener) setShare(epoch uint64, s sharer) {
	o.mu.Lock()
	if f := o.offices[epoch]; f != nil {
		f.secret = s
	} else {
		o.given[epoch] = s
	}
	o.mu.Unlock()
	o.wake()
}

// hasShare reports whether this member's share of the epoch's key is here.
func (o *opener) hasShare(epoch uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.offices[epoch]
	return f != nil && f.secret != nil
}

// member reports whether this node is a member of a committee that is needed.
func (o *opener) member() bool {
	own := o.identity.Public().(ed25519.PublicKey)
	for _, f := range o.offices {
		if indexOf(f.members, own) > 0 {
			return true
		}
	}
	return false
}

// wipeFormer overwrites the shares that are not needed any more. It runs where shares are
// used, so that none is overwritten while it is.
func (o *opener) wipeFormer() {
	o.mu.Lock()
	former := o.former
	o.former = nil
	o.mu.Unlock()
	for _, s := range former {
		s.Wipe()
	}
}

// indexOf is the number of the member with the identity, 0 if there is none.
func indexOf(members []keygen.Member, identity ed25519.PublicKey) uint32 {
	for i, m := range members {
		if m.Identity.Equal(identity) {
			return uint32(i + 1)
		}
	}
	return 0
}
