package node

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/internal/pg/pgtest"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// hands is a clock that the test sets.
type hands struct{ at int64 }

func (h *hands) now() time.Time { return time.UnixMilli(h.at) }

func TestIngressClockNeverGoesBack(t *testing.T) {
	h := &hands{at: 1000}
	c := &ingressClock{now: h.now}
	step := func(what string, got, want uint64) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	step("promise", c.promise(), 1000)
	h.at = 400 // the machine's clock is set back
	step("write after it", c.begin(), 1000)
	h.at = 5000
	step("promise during the write", c.promise(), 1000)
	c.end()
	step("promise after the write", c.promise(), 5000)
	c.atLeast(9000) // what is durable
	step("after a restart", c.begin(), 9000)
	c.end()
	c.atLeast(8000)
	step("later", c.promise(), 9000)
	h.at = 1 << 60
	step("far future", c.promise(), fair.MaxTime)
	h.at = -5
	step("before 1970", c.begin(), fair.MaxTime)
}

// timedMember is a member of a chain with the second rule, its log, and a clock that stands at 1000.
func timedMember(t *testing.T) (*sim.Chain, *announcer, *disk, *hands) {
	t.Helper()
	params := ordering.DefaultParams()
	params.Order.Rule = fair.ReceiveTime
	c := sim.New(t, 4, params).Ceremony()
	h := &hands{at: 1000}
	d := &disk{}
	return c, restarted(t, c, d, h), d, h
}

// restarted is member 1's announcer as a start makes it.
func restarted(t *testing.T, c *sim.Chain, d *disk, h *hands) *announcer {
	t.Helper()
	a := newAnnouncer()
	a.chainID, a.key, a.store, a.blame, a.log = sim.ChainID, c.Secrets[0].Identity(), d, d, slog.New(slog.DiscardHandler)
	a.net = &wire{member: 1, identity: c.Identities()[0], all: &[]*announcer{}}
	a.clock = &ingressClock{now: h.now}
	c.Must(a.load(t.Context(), c.State))
	return a
}

// receive writes transactions as the intake does; lost: the answer of the database does not come.
func (d *disk) receive(a *announcer, lost bool, txs ...[]byte) {
	a.begin(len(txs))
	at := a.clock.begin()
	rows := d.write(txs...)
	for i := range rows {
		rows[i].Time = int64(at)
	}
	if lost {
		a.failed(len(txs))
		return
	}
	a.appended(len(txs), rows)
	a.clock.end()
}

// said is what the member announces now.
func said(t *testing.T, c *sim.Chain, a *announcer) *fair.Announcement {
	t.Helper()
	c.Must(a.fill(context.Background()))
	return saidNow(t, c, a)
}

// saidNow is what it announces if nothing is read again.
func saidNow(t *testing.T, c *sim.Chain, a *announcer) *fair.Announcement {
	t.Helper()
	c.Must(a.reserve(context.Background()))
	announceNow(t, a)
	all := a.heard[1].announcements
	an := all[len(all)-1]
	if an.Statement.Rule != fair.ReceiveTime || an.Statement.Verify(c.Identities()[0]) != nil {
		t.Fatalf("announced %+v", all[len(all)-1])
	}
	return an
}

// Statements have the times of the log, and promise nothing that a later one breaks: not when the clock is set back, not over a
// restart, and not for an entry whose write seemed to fail.
func TestTimedAnnouncements(t *testing.T) {
	c, a, d, h := timedMember(t)
	txs := c.SealTxs("1", "2", "3", "4", "5")
	check := func(what string, a *announcer, watermark uint64, times ...uint64) {
		t.Helper()
		an := said(t, c, a)
		if an.Statement.Watermark != watermark || !slices.Equal(an.Times, times) {
			t.Errorf("%s: times %v, watermark %d; want %v, %d", what, an.Times, an.Statement.Watermark, times, watermark)
		}
	}
	check("empty", a, 1000)
	d.receive(a, false, txs[0])
	h.at = 1500
	check("one", a, 1500, 1000)
	h.at = 200
	d.receive(a, false, txs[1])
	check("set back", a, 1500, 1000, 1500)

	h.at = 2000
	d.receive(a, true, txs[2]) // it is in the database, and the announcer does not know
	h.at = 3000
	if an := saidNow(t, c, a); an.Statement.Watermark != 2000 || len(an.Times) != 2 {
		t.Errorf("an answer is lost: %+v", an) // nothing is promised that the entry would break
	}
	h.at = 3500
	d.receive(a, false, txs[3])
	if an := saidNow(t, c, a); an.Statement.Watermark != 2000 || len(an.Times) != 2 {
		t.Errorf("an entry is missing: %+v", an)
	}
	h.at = 4000
	check("it is read again", a, 4000, 1000, 1500, 2000, 3500)
	d.receive(a, true) // a write that came to nothing
	h.at = 5000
	if an := saidNow(t, c, a); an.Statement.Watermark != 4000 {
		t.Errorf("a write that failed: %+v", an)
	}
	check("and is known to have failed", a, 5000, 1000, 1500, 2000, 3500)
	for i, r := range d.rows { // what receipts say
		if at := a.own[i].at; int64(at) != r.Time {
			t.Errorf("entry %d is stated with %d, its receipt says %d", i+1, at, r.Time)
		}
	}
	for _, x := range a.heard[1].announcements { // nothing that was said contradicts the rest
		for _, y := range a.heard[1].announcements {
			if x.Fork(y) != nil {
				t.Errorf("%+v and %+v are evidence", x, y)
			}
		}
	}

	h.at = 10 // a restart with a wrong clock goes on from what was reserved, which nothing promised is beyond
	again := restarted(t, c, d, h)
	d.receive(again, false, txs[4])
	if an := said(t, c, again); an.Times[4] != 7000 || an.Statement.Watermark != 7000 {
		t.Errorf("after a restart: times %v, watermark %d", an.Times, an.Statement.Watermark)
	}
}

// Time is reserved once in a second, and what is not reserved is not promised.
func TestReserveTime(t *testing.T) {
	c, a, d, h := timedMember(t)
	last := uint64(0)
	for h.at = 10_000; h.at < 20_000; h.at += 10 {
		an := saidNow(t, c, a)
		if n := len(d.reserved); n == 0 || an.Statement.Watermark > d.reserved[n-1] || an.Statement.Watermark < last {
			t.Fatalf("promised %d after %d, reserved %v", an.Statement.Watermark, last, d.reserved)
		}
		last = an.Statement.Watermark
	}
	if last != 19_990 || len(d.reserved) > 11 {
		t.Errorf("promised %d with %d reservations in 10 s", last, len(d.reserved))
	}
	h.at = 60_000 // nothing can be reserved: the database is away
	announceNow(t, a)
	all := a.heard[1].announcements
	if an := all[len(all)-1]; an.Statement.Watermark != d.reserved[len(d.reserved)-1] {
		t.Errorf("promised without a reservation: %+v", all[len(all)-1])
	}
	select {
	case <-a.ahead:
	default:
		t.Error("no reservation is asked for")
	}

	params := ordering.DefaultParams()
	order := sim.New(t, 4, params).Ceremony()
	other := &disk{}
	b := restarted(t, order, other, h)
	b.begin(0)
	announceNow(t, b)
	if len(b.ahead) > 0 || len(other.reserved) > 0 {
		t.Error("a chain without times reserves time")
	}
}

// A real database: a member promises, is killed, and starts again with a clock that is behind. Whatever it says then agrees with
// what it said before.
func TestRestartWithClockSetBack(t *testing.T) {
	params := ordering.DefaultParams()
	params.Order.Rule = fair.ReceiveTime
	c := sim.New(t, 4, params).Ceremony()
	url := pgtest.New(t)
	ctx := t.Context()
	r := rand.New(rand.NewPCG(4, 128))
	h := &hands{at: 1_700_000_000_000}
	var before []*fair.Announcement
	var mark uint64
	for life := range 5 {
		store, err := pg.Open(ctx, url)
		c.Must(err)
		a := newAnnouncer()
		a.chainID, a.key, a.store, a.log = sim.ChainID, c.Secrets[0].Identity(), store, slog.New(slog.DiscardHandler)
		a.net = &wire{member: 1, identity: c.Identities()[0], all: &[]*announcer{}}
		a.clock = &ingressClock{now: h.now}
		c.Must(a.load(ctx, c.State))
		for step := range 4 {
			if life+step > 0 && r.IntN(2) == 0 {
				ct := ordering.CiphertextOf(c.SealTxs(fmt.Sprint(life, step))[0])
				a.begin(1)
				at := a.clock.begin()
				rows, err := store.Receive(ctx, int64(at), []pg.Receiver{{Epoch: 1, Member: 1}}, []*threshold.Ciphertext{ct})
				c.Must(err)
				a.appended(1, rows)
				a.clock.end()
				if at < mark {
					t.Fatalf("life %d: received at %d after promising %d", life, at, mark)
				}
			}
			h.at += r.Int64N(1500)
			an := said(t, c, a)
			if an.Statement.Watermark < mark {
				t.Fatalf("life %d: the watermark goes from %d to %d", life, mark, an.Statement.Watermark)
			}
			mark = an.Statement.Watermark
			for _, was := range before {
				if was.Fork(an) != nil {
					t.Fatalf("life %d: %+v and %+v are evidence", life, was, an)
				}
			}
			before = append(before, an)
		}
		store.Close()
		h.at -= 3_600_000 // an hour back
	}
	if len(before[len(before)-1].IDs) == 0 {
		t.Fatal("nothing was received")
	}
}

// What the chain has committed binds a member that has lost its database.
func TestLostTimesGoOn(t *testing.T) {
	c, a, d, h := timedMember(t)
	h.at = 7_000_000
	d.receive(a, false, c.SealTxs("1")...)
	others := c.Announce(2, 3)
	c.Apply(ordering.Propose(c.State, c.Verifier, ordering.Proposal{MaxBytes: 1 << 20, Announcements: append(others, said(t, c, a))}))
	h.at = 100
	lost := restarted(t, c, &disk{}, h)
	c.Must(lost.resume(t.Context()))
	id := sim.IDOf(c.SealTxs("2")[0])
	lost.begin(1)
	lost.appended(1, []pg.Received{{Position: 2, ID: id, Time: int64(lost.clock.begin()), Head: lost.last.head}})
	lost.clock.end()
	logs, _ := c.State.ReceiveLogs()
	base, _, err := logs.Base(1)
	c.Must(err)
	if ch := lost.chunkLocked(1, base, 1); base.Sequence != 1 || base.Watermark != 7_000_000 || ch.Times[0] != 7_000_000 || ch.Watermark != 7_000_000 {
		t.Errorf("committed %+v, goes on with %+v", base, ch)
	}
}

// Two logs with other times are evidence, as two heads are.
func TestTimesThatConflict(t *testing.T) {
	c, a, d, _ := timedMember(t)
	id := ordering.CiphertextOf(c.SealTxs("1")[0]).ID()
	for _, at := range []uint64{5, 6} {
		an := c.Timed(2, fair.Base{}, []threshold.ID{id}, []uint64{at}, 9)
		b, err := an.MarshalBinary()
		c.Must(err)
		c.Must(a.receive(c.Identities()[1], b))
	}
	a.keepProven(t.Context())
	if !slices.Equal(d.evidence, []string{"receive_times_fork"}) {
		t.Errorf("evidence: %v", d.evidence)
	}
	plain := c.Timed(2, fair.Base{}, nil, nil, 9)
	st := fair.Statement{ChainID: sim.ChainID, Height: plain.Statement.Height, Member: 2}
	b, err := (&fair.Announcement{Statement: st}).MarshalBinary()
	c.Must(err)
	if err := a.receive(c.Identities()[1], b); err == nil {
		t.Error("a statement of the other rule is taken")
	}
}
