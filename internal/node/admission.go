package node

import (
	"errors"

	"github.com/scrimlabs/scrim/threshold"
)

// clientsOfShare: one client has at most this part of what this member's door has.
const clientsOfShare = 8

// Refusals at the door.
var (
	errLogFull     = errors.New("the receive log is full")
	errDoorFull    = errors.New("the receive log is busy, and this member's door has its share of it")
	errClientShare = errors.New("the receive log is busy, and the client has its share of it")
)

// admission says what may come into this member's receive log, so that nobody alone can fill the honest members' logs, and what one
// honest member has logged always finds room in the others' (decision 0128). It counts the ids of the log that are not done, and
// those on their way into it.
//
// Half of max_live is common: there whoever comes first is taken. In the other half every member of the committee has an equal
// share: this one for its door, where each client has an eighth of it; another one for ids that are among the first so many live
// ones of *its* log (its window). So, with n members, common + n shares are at most max_live.
//
// It has no clock and no lock; the announcer has both.
type admission struct {
	epoch                uint64
	limit, common, share int
	held                 map[threshold.ID]entry
	taken                map[account]int           // ids in the shares
	door                 int                       // those of them that came through the door
	windows              map[threshold.ID][]uint32 // ids that are not held: the members in whose window each is
	lacking              map[threshold.ID]bool     // windows of the block before
}

// account is who has an id in its share; the zero value is the common half.
type account struct {
	member uint32 // of whose log it is
	client string // who brought it to the door
}

func (a account) isDoor() bool { return a.client != "" }

type entry struct {
	account
	flying bool // on its way into the log
}

func newAdmission() admission {
	return admission{held: make(map[threshold.ID]entry), taken: make(map[account]int)}
}

// resize takes the limits for the committee in office. Another one begins with what is held in the common half: members have other numbers.
func (a *admission) resize(maxLive, n int, epoch uint64) {
	a.limit, a.common = maxLive, maxLive/2
	a.share = max(1, (maxLive-a.common)/max(1, n))
	if epoch == a.epoch {
		return
	}
	a.epoch, a.door, a.windows = epoch, 0, nil
	clear(a.taken)
	for id, e := range a.held {
		a.held[id] = entry{flying: e.flying}
	}
}

func (a *admission) perClient() int { return max(1, a.share/clientsOfShare) }

// takeDoor takes what a client brings. busy: the common half is not for it, as the mempool is full. What is held is taken again.
func (a *admission) takeDoor(id threshold.ID, client string, busy bool) error {
	if _, ok := a.held[id]; ok {
		return nil
	}
	on := account{client: "@" + client} // never empty
	switch {
	case len(a.held) >= a.limit:
		return errLogFull
	case len(a.held) < a.common && !busy:
		on = account{}
	case a.door >= a.share:
		return errDoorFull
	case a.taken[on] >= a.perClient():
		return errClientShare
	}
	a.put(id, on, true)
	return nil
}

// takeRelayed takes what another member has relayed, if there is room for it now. Nothing is refused for good: what a member has
// logged comes into its window sooner or later.
func (a *admission) takeRelayed(id threshold.ID) bool {
	if _, ok := a.held[id]; ok {
		return true
	}
	on, ok := a.accountFor(id)
	if ok {
		a.put(id, on, true)
	}
	return ok
}

func (a *admission) accountFor(id threshold.ID) (on account, ok bool) {
	switch {
	case len(a.held) >= a.limit:
		return on, false
	case len(a.held) < a.common:
		return on, true
	}
	for _, m := range a.windows[id] {
		if on := (account{member: m}); a.taken[on] < a.share {
			return on, true
		}
	}
	return on, false
}

func (a *admission) put(id threshold.ID, on account, flying bool) {
	a.held[id] = entry{on, flying}
	if on == (account{}) {
		return
	}
	a.taken[on]++
	if on.isDoor() {
		a.door++
	}
}

func (a *admission) drop(id threshold.ID) {
	on := a.held[id].account
	delete(a.held, id)
	if on == (account{}) {
		return
	}
	if a.taken[on]--; a.taken[on] <= 0 {
		delete(a.taken, on)
	}
	if on.isDoor() {
		a.door--
	}
}

// note counts an entry of the log that was not taken here: it was read from the database.
func (a *admission) note(id threshold.ID) {
	if _, ok := a.held[id]; !ok {
		a.put(id, account{}, false)
	}
}

// landed: the write of an id is over. If it did not come into the log, or is done there, settle forgets it.
func (a *admission) landed(id threshold.ID) {
	if e, ok := a.held[id]; ok {
		e.flying = false
		a.held[id] = e
	}
}

// settle takes the ids of the log that are not done, after a block. What is in the log and was not counted, as after a restart,
// is in the common half.
func (a *admission) settle(live map[threshold.ID]bool) {
	for id, e := range a.held {
		if !e.flying && !live[id] {
			a.drop(id)
		}
	}
	for id := range live {
		if _, ok := a.held[id]; !ok {
			a.put(id, account{}, false)
		}
	}
}

// look takes the windows after a block, that of member i at i-1: the first ids of its log that are not done, in its order. It gives
// in the same way those that were in a window after the block before as well, and for which there is room: their bodies did not
// come by themselves.
func (a *admission) look(windows [][]threshold.ID) (lost [][]threshold.ID) {
	before := a.lacking
	a.windows, a.lacking = make(map[threshold.ID][]uint32), make(map[threshold.ID]bool)
	for i, ids := range windows {
		windows[i] = ids[:min(len(ids), a.share)]
		for _, id := range windows[i] {
			if _, ok := a.held[id]; !ok {
				a.windows[id] = append(a.windows[id], uint32(i+1))
				a.lacking[id] = true
			}
		}
	}
	lost = make([][]threshold.ID, len(windows))
	for i, ids := range windows {
		for _, id := range ids {
			if _, fits := a.accountFor(id); fits && before[id] && a.lacking[id] {
				lost[i] = append(lost[i], id)
			}
		}
	}
	return lost
}

// counts is how many ids are held in the common half, in the door's share and in those of other members.
func (a *admission) counts() (common, door, relayed int) {
	for on, n := range a.taken {
		if !on.isDoor() {
			relayed += n
		}
	}
	return len(a.held) - a.door - relayed, a.door, relayed
}
