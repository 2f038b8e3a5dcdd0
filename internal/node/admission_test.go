package node

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

func numbered(n uint64) (id threshold.ID) {
	binary.BigEndian.PutUint64(id[:], n)
	return id
}

// Whoever comes first has the common half; then each has a share, of the door an eighth.
func TestAdmissionShares(t *testing.T) {
	a := newAdmission()
	a.resize(128, 4, 1)
	if a.common != 64 || a.share != 16 || a.perClient() != 2 {
		t.Fatalf("%+v", a)
	}
	next := uint64(0)
	take := func(client string) error {
		next++
		return a.takeDoor(numbered(next), client, false)
	}
	flood := func(client string) (n int, err error) {
		for err = take(client); err == nil; err = take(client) {
			n++
		}
		return n, err
	}
	step := func(what string, n int, err error, wantN int, wantErr error) {
		t.Helper()
		if n != wantN || !errors.Is(err, wantErr) {
			t.Errorf("%s: %d, %v; want %d, %v", what, n, err, wantN, wantErr)
		}
	}
	n, err := flood("a")
	step("one client", n, err, 66, errClientShare)
	for i := range 7 {
		n, err := flood(string(rune('b' + i)))
		want := errClientShare
		if i == 6 {
			want = errDoorFull
		}
		step("another", n, err, 2, want)
	}
	if err := a.takeDoor(numbered(1), "z", false); err != nil {
		t.Errorf("what is there is refused: %v", err)
	}
	if a.takeRelayed(numbered(1000)) {
		t.Error("taken, and no log has it")
	}
	window := func(from uint64) (ids []threshold.ID) {
		for i := range uint64(40) {
			ids = append(ids, numbered(from+i))
		}
		return ids
	}
	a.look([][]threshold.ID{nil, window(2000), window(3000), window(4000)})
	took := 0
	for _, from := range []uint64{2000, 3000, 4000} {
		for i := range uint64(40) {
			if a.takeRelayed(numbered(from + i)) {
				took++
			}
		}
	}
	step("others' windows", took, nil, 48, nil)
	if len(a.held) != 128 || a.takeRelayed(numbered(9999)) || a.takeDoor(numbered(9999), "y", false) == nil {
		t.Errorf("%d are held", len(a.held))
	}

	// A member that shows another log each time gets no more than its share.
	a.settle(nil) // all are flying still
	if len(a.held) != 128 {
		t.Errorf("%d are held after nothing has landed", len(a.held))
	}
	live := make(map[threshold.ID]bool)
	for id := range a.held {
		a.landed(id)
		live[id] = id != numbered(1) // one is done
	}
	delete(live, numbered(1))
	a.settle(live)
	a.look([][]threshold.ID{nil, window(5000), nil, nil})
	if a.takeRelayed(numbered(5000)) {
		t.Error("a member is given a second share")
	}
	if common, door, relayed := a.counts(); common != 63 || door != 16 || relayed != 48 {
		t.Errorf("%d, %d, %d", common, door, relayed)
	}
	a.resize(128, 7, 2) // another committee
	if common, door, relayed := a.counts(); common != 127 || door+relayed != 0 {
		t.Errorf("%d, %d, %d", common, door, relayed)
	}
	a.settle(nil)
	if len(a.held)+len(a.taken)+a.door != 0 {
		t.Errorf("left: %+v", a)
	}
	if err := a.takeDoor(numbered(1), "a", true); err != nil || a.door != 1 {
		t.Errorf("a full mempool: %v, %d through the door", err, a.door)
	}
}

// townNode is an honest member of the model.
type townNode struct {
	admission
	log    []threshold.ID // without what is done
	has    map[threshold.ID]bool
	bodies []threshold.ID // in its mempool, not logged
}

// town is a model of admission at n members, the last f of them hostile: what is logged, what is decided, who sends what to whom.
type town struct {
	r       *rand.Rand
	n, f    int
	honest  []*townNode
	lies    [][][]threshold.ID // of hostile member and honest one: what the first shows the second as its log
	done    map[threshold.ID]bool
	batch   int
	next    uint64
	receipt map[threshold.ID]bool // ids that an honest member's door has taken
}

func newTown(seed uint64, n, maxLive, batch int) *town {
	w := &town{r: rand.New(rand.NewPCG(seed, 128)), n: n, f: (n - 1) / 3, done: make(map[threshold.ID]bool), batch: batch, receipt: make(map[threshold.ID]bool)}
	for range n - w.f {
		h := &townNode{admission: newAdmission(), has: make(map[threshold.ID]bool)}
		h.resize(maxLive, n, 1)
		w.honest = append(w.honest, h)
	}
	w.lies = make([][][]threshold.ID, w.f)
	for i := range w.lies {
		w.lies[i] = make([][]threshold.ID, len(w.honest))
	}
	return w
}

func (w *town) fresh() threshold.ID {
	w.next++
	return numbered(w.next)
}

func (h *townNode) write(id threshold.ID) {
	h.landed(id)
	if !h.has[id] {
		h.log, h.has[id] = append(h.log, id), true
	}
}

// door is a submission at an honest member; what is taken is relayed to those that are given.
func (w *town) door(at int, client string, to ...int) bool {
	id := w.fresh()
	h := w.honest[at]
	if h.takeDoor(id, client, false) != nil {
		return false
	}
	h.write(id)
	w.receipt[id] = true
	w.relay(id, to...)
	return true
}

func (w *town) relay(id threshold.ID, to ...int) {
	for _, i := range to {
		if h := w.honest[i]; len(h.bodies) < 2*h.limit { // else its mempool is full, and it is gone
			h.bodies = append(h.bodies, id)
		}
	}
}

// try takes what waits in the mempools, as after each block; what is lost is asked for.
func (w *town) try() {
	for _, h := range w.honest {
		h.bodies = slices.DeleteFunc(h.bodies, func(id threshold.ID) bool {
			if w.done[id] || h.has[id] {
				return true
			}
			if !h.takeRelayed(id) {
				return false
			}
			h.write(id)
			return true
		})
	}
}

func (w *town) live(log []threshold.ID) (out []threshold.ID) {
	for _, id := range log {
		if !w.done[id] {
			out = append(out, id)
		}
	}
	return out
}

// block decides what n-f logs hold, at most a batch; hostile logs hold what they show the first honest member.
func (w *town) block(t *testing.T) {
	t.Helper()
	decided := 0
	for _, id := range w.live(w.honest[w.r.IntN(len(w.honest))].log) {
		holders := 0
		for _, h := range w.honest {
			if h.has[id] {
				holders++
			}
		}
		if holders == len(w.honest) && decided < w.batch {
			w.done[id] = true
			decided++
		}
	}
	for _, h := range w.honest {
		h.log = w.live(h.log)
	}
	for i, h := range w.honest {
		live := make(map[threshold.ID]bool)
		for _, id := range h.log {
			live[id] = true
		}
		if len(live) > h.limit || len(h.held) > h.limit {
			t.Fatalf("member %d has %d live ids", i, len(live))
		}
		h.settle(live)
		windows := make([][]threshold.ID, w.n)
		for j := range windows {
			switch {
			case j >= len(w.honest):
				windows[j] = w.live(w.lies[j-len(w.honest)][i])
			case j != i:
				windows[j] = slices.Clone(w.honest[j].log)
			}
		}
		for j, ids := range h.look(windows) {
			for _, id := range ids { // the member of whose log it is has it, if it is honest
				if j < len(w.honest) && h.takeRelayed(id) {
					h.write(id)
				}
			}
		}
	}
	w.try()
}

// Hostile members and clients do what they can: flood doors, send each honest member other ciphertexts, show each another log, and
// another one each time. Whatever an honest door has given a receipt for comes into all honest logs and is decided; no log holds more
// than its limit; and at every honest door a client that sends a little is not kept out while the flood goes on.
func TestAdmissionKeepsHonestLogsEqual(t *testing.T) {
	for run := range 20 {
		n := []int{4, 5, 7, 10, 13}[run%5]
		w := newTown(uint64(run), n, 16*n+run%17, 8+run%40)
		everybody := make([]int, len(w.honest))
		for i := range everybody {
			everybody[i] = i
		}
		const blocks = 120
		tried, passed := make([]int, len(w.honest)), make([]int, len(w.honest))
		for b := range blocks {
			for at := range w.honest {
				if w.r.IntN(2) == 0 { // a client floods
					for range w.r.IntN(2 * w.honest[0].limit) {
						w.door(at, "flood", w.some(everybody)...)
					}
				}
				for i := range w.lies { // a hostile member sends, and shows, this one something else
					var lie []threshold.ID
					for range w.r.IntN(3 * w.honest[0].limit) {
						id := w.fresh()
						lie = append(lie, id)
						w.relay(id, at)
					}
					switch w.r.IntN(3) {
					case 0:
						w.lies[i][at] = append(w.live(w.lies[i][at]), lie...)
					case 1:
						w.lies[i][at] = lie
					}
				}
				if b%4 == 0 {
					tried[at]++
					if w.door(at, "quiet", w.some(everybody)...) {
						passed[at]++
					}
				}
			}
			w.try()
			w.block(t)
		}
		for at := range tried {
			if passed[at]*20 < tried[at] {
				t.Errorf("run %d, n = %d: at door %d %d of %d quiet submissions pass", run, n, at, passed[at], tried[at])
			}
		}
		if left := w.drain(t); left > 0 {
			t.Fatalf("run %d, n = %d: %d ids of honest logs are never decided", run, n, left)
		}
		for id := range w.receipt {
			if !w.done[id] {
				t.Fatalf("run %d: an id with a receipt is lost", run)
			}
		}
	}
}

func (w *town) some(all []int) (out []int) {
	for _, i := range all {
		if w.r.IntN(3) > 0 {
			out = append(out, i)
		}
	}
	return out
}

// drain goes on without anything new, and gives what stays undecided.
func (w *town) drain(t *testing.T) (left int) {
	t.Helper()
	for range 4000 {
		for _, h := range w.honest {
			h.bodies = nil // the mempools lose everything
		}
		w.block(t)
		left = 0
		for _, h := range w.honest {
			left += len(w.live(h.log))
		}
		if left == 0 {
			return 0
		}
	}
	return left
}

// What another member has logged comes into this one's log although nobody relays it; also what has expired meanwhile, so that the
// logs become equal. Bodies that are no ciphertexts of this chain, and those that nobody asked for, do not.
func TestLoggedIsFetched(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	d := newDesk(t, c, c.Secrets[0])
	who := c.Identities()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	other, network := newBodies(), map[string]*bodies{}
	network[string(who[0])], network[string(who[1])] = d.n.bodies, other
	d.n.bodies.net = hand{who[0], network}
	shelf := shelf{}
	other.store, other.net, other.maxBatch, other.log = shelf, hand{who[1], network}, 8, slog.New(slog.DiscardHandler)
	wg.Go(func() { other.run(ctx) })
	var state atomic.Pointer[ordering.State] // the simulated chain's own is the test's
	state.Store(c.State)
	wg.Go(func() {
		d.n.intake.fetchLogged(ctx, d.n.bodies, func(ct *threshold.Ciphertext) error { return ordering.AdmitLogged(state.Load(), d.n.verifier, ct) })
	})
	d.n.intake.open.Store(true)

	good, late, damaged := c.Seal("good"), c.SealUntil("late", c.State.Height()+1), c.Seal("damaged")
	wire := slices.Clone(damaged.Bytes())
	wire[len(wire)-1] ^= 1 // its proof does not hold; it has an id all the same
	broken, err := threshold.ParseCiphertext(wire)
	c.Must(err)
	var ids []threshold.ID
	for _, ct := range []*threshold.Ciphertext{broken, late, good} {
		ids = append(ids, ct.ID())
		shelf[ct.ID()] = ct.Bytes()
	}
	said := c.Statement(2, 0, commitreveal.Hash{}, ids)
	b, err := said.MarshalBinary()
	c.Must(err)
	c.Must(d.n.announcer.receive(who[1], b))
	c.Must((peers{bodies: d.n.bodies}).Receive(who[1], append([]byte{messageBody}, c.Seal("unasked").Bytes()...)))
	logged := func() (got []threshold.ID) {
		rows, err := d.store.ReceivedAfter(ctx, 0, 10)
		c.Must(err)
		for _, r := range rows {
			got = append(got, r.ID)
		}
		return got
	}
	block := func() {
		c.Apply(nil)
		state.Store(c.State)
		d.follow()
	}
	block()
	time.Sleep(50 * time.Millisecond)
	if got := logged(); len(got) > 0 {
		t.Fatalf("asked for at once: %v", got) // it may be on its way
	}
	for deadline := time.Now().Add(10 * time.Second); len(logged()) < 2; {
		if time.Now().After(deadline) {
			t.Fatalf("logged: %v", logged())
		}
		block()
		time.Sleep(20 * time.Millisecond)
	}
	block()
	time.Sleep(50 * time.Millisecond)
	got := logged()
	if len(got) != 2 || !slices.Contains(got, good.ID()) || !slices.Contains(got, late.ID()) {
		t.Errorf("logged: %v", got)
	}
}
