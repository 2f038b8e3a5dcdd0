package fairsim

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// ErrConfig: a configuration that cannot be run.
var ErrConfig = errors.New("fairsim: invalid configuration")

// Config is everything that a run depends on.
type Config struct {
	Seed         uint64
	Members      int    // n, at least 4
	Transactions int    // that clients send; default 600
	Rate         int    // a second; default 100
	Scenario     string // one of Scenarios; default "calm"
	Wait         uint64 // W; default that of fair.DefaultParams
}

func (c Config) withDefaults() (Config, error) {
	if c.Transactions == 0 {
		c.Transactions = 600
	}
	if c.Rate == 0 {
		c.Rate = 100
	}
	if c.Scenario == "" {
		c.Scenario = "calm"
	}
	switch {
	case c.Members < 4 || c.Members > 64:
		return c, fmt.Errorf("%w: %d members, want 4 to 64", ErrConfig, c.Members)
	case c.Transactions < 0 || c.Transactions > 20_000 || c.Rate < 1 || c.Rate > 10_000:
		return c, fmt.Errorf("%w: %d transactions at %d a second", ErrConfig, c.Transactions, c.Rate)
	case !slices.Contains(Scenarios(), c.Scenario):
		return c, fmt.Errorf("%w: no scenario %q", ErrConfig, c.Scenario)
	}
	return c, nil
}

// How a block comes about, in simulated time.
const (
	interval = 200 * millisecond // from a proposer's commit to its proposal
	patience = 60 * millisecond  // that it waits for missing statements after that
	timeout  = 500 * millisecond // of a round
	drained  = 2000              // heights after which a run ends whatever is open
)

// tx is something that a client sent, or an id that somebody made up.
type tx struct {
	id             threshold.ID
	client         int
	sent, received clock // received: by the first honest member
	receivedHeight uint64
	epoch          int
	ghost          bool
}

// world is the state of a run.
type world struct {
	queue
	config   Config
	scenario scenario
	params   fair.Params
	rng      *rand.Rand
	net      *network
	members  []*member
	keys     []ed25519.PublicKey
	txs      []tx
	numbers  map[threshold.ID]int // never iterated

	state     fair.State
	timed     fair.TimedState
	committed []map[int]bool // what the chain has of every member's log, by number of the transaction
	commits   []clock        // when each member had the newest block
	epoch     int            // counts changes of the committee
	beacon    [32]byte       // of the newest height
	first     rule           // strong edges
	second    rule           // times
	result    Result
	failure   error
}

// Run simulates until everything that was sent is ordered. An error is a bad configuration, or a fault of this program
// or of package fair: a block that honest members made and that is refused, for instance.
func Run(c Config) (*Result, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	w := newWorld(c)
	w.load()
	for _, m := range w.members {
		w.commits[m.index] = 0
		m.speak(0)
	}
	for h := uint64(1); w.failure == nil && h <= drained && (w.now < w.loadEnds()+second || w.open()); h++ {
		if w.scenario.change && w.epoch == 0 && w.now > w.loadEnds()/2 {
			w.change()
		}
		w.block(h)
	}
	if w.failure != nil {
		return nil, w.failure
	}
	w.measure()
	return &w.result, nil
}

func newWorld(c Config) *world {
	w := &world{
		config: c, scenario: scenarios[c.Scenario], params: fair.DefaultParams(c.Members), rng: rand.New(rand.NewPCG(c.Seed, uint64(c.Members))),
		numbers: map[threshold.ID]int{}, commits: make([]clock, c.Members), first: newRule(), second: newRule(),
	}
	w.params.Horizon = 1000 // what is made up is forgotten within a long run
	if c.Wait != 0 {
		w.params.Wait = c.Wait
	}
	w.net = newNetwork(w.rng, c.Members, w.scenario.farther)
	w.result.Config, w.result.Params = c, w.params
	for i := range c.Members {
		m := &member{w: w, index: i, key: simulatedKey(i), skew: w.rng.Int64N(41) - 20, order: map[int]int{}, stamp: map[int]uint64{}, held: map[int][]*announcement{}}
		if i >= c.Members-w.params.Faulty {
			m.lie = w.scenario.lie
		}
		w.members = append(w.members, m)
		w.keys = append(w.keys, m.key.Public().(ed25519.PublicKey))
	}
	var err error
	w.state, err = fair.New(w.params, 0)
	w.check(err)
	w.timed, err = fair.NewTimed(w.params, 0)
	w.check(err)
	for range w.members {
		w.committed = append(w.committed, map[int]bool{})
	}
	if w.scenario.partition {
		from, until := w.loadEnds()/3, w.loadEnds()*2/3
		w.net.cut = func(member int, at clock) (clock, bool) {
			return until, member < w.params.Faulty && at >= from && at < until
		}
	}
	return w
}

func (w *world) check(err error) {
	if err != nil && w.failure == nil {
		w.failure = fmt.Errorf("fairsim: %s, seed %d, height %d: %w", w.config.Scenario, w.config.Seed, w.height(), err)
	}
}

func (w *world) height() uint64 { return w.state.Height() }

func (w *world) loadEnds() clock { return clock(w.config.Transactions) * second / clock(w.config.Rate) }

// newTx gives a transaction of a client the number that it has from now on.
func (w *world) newTx(client int, sent clock) int {
	var id threshold.ID
	for i := 0; i < len(id); i += 8 {
		binary.BigEndian.PutUint64(id[i:], w.rng.Uint64())
	}
	return w.addTx(tx{id: id, client: client, sent: sent})
}

func (w *world) addTx(t tx) int {
	w.numbers[t.id] = len(w.txs)
	w.txs = append(w.txs, t)
	return len(w.txs) - 1
}

// ghost is an id that nobody sent.
func (w *world) ghost() int {
	x := w.newTx(-1, w.now)
	w.txs[x].ghost = true
	return x
}

// open says whether some transaction that an honest member received is not ordered under either rule.
func (w *world) open() bool {
	for x := range w.txs {
		if t := &w.txs[x]; t.received != 0 && (w.first.place[x] == nil || w.second.place[x] == nil) {
			return true
		}
	}
	return false
}

// block takes one height, in as many rounds as it needs.
func (w *world) block(height uint64) {
	for round := range uint64(10_000) {
		p := w.members[(height+round)%uint64(len(w.members))]
		if round > 0 {
			w.result.Rounds++
		}
		if w.net.cut != nil {
			if _, cut := w.net.cut(p.index, w.now); cut {
				w.run(w.now + timeout)
				continue
			}
		}
		w.run(max(w.commits[p.index], w.now) + interval)
		for range patience / (5 * millisecond) {
			if len(p.choose().Entries) == len(w.members) {
				break
			}
			w.run(w.now + 5*millisecond)
		}
		if chunks, timed, ok := w.propose(p); ok {
			w.run(w.now + 3*w.net.late(22*millisecond)) // proposal, prevote, precommit
			w.decide(height, chunks, timed)
			for _, m := range w.members {
				at := w.net.arrives(w.now, p.index, m.index)
				w.commits[m.index] = at
				w.plan(at, func() { m.speak(height) })
			}
			return
		}
		if w.failure != nil {
			return
		}
		w.run(w.now + timeout)
	}
	w.check(errors.New("no round ends"))
}

// choose is the section that a member would propose.
func (m *member) choose() *fair.Section {
	var held []*fair.Announcement
	for i := range m.w.members {
		base, _, err := m.w.state.Base(uint32(i + 1))
		m.w.check(err)
		for _, a := range m.held[i] {
			if rest := a.plain.After(base.Sequence); rest != nil {
				held = append(held, rest)
			}
		}
	}
	section := fair.NewSection(m.w.state, held)
	return &section
}

// withTimes is the section of the other rule with the same statements.
func (m *member) withTimes(section *fair.Section) *fair.Section {
	out := &fair.Section{Height: section.Height}
	for i := range section.Entries {
		st := &section.Entries[i].Statement
		for _, a := range m.held[int(st.Member)-1] {
			if a.plain.Statement == *st {
				t := a.timed
				n := len(section.Entries[i].IDs)
				t.IDs, t.Times = t.IDs[len(t.IDs)-n:], t.Times[len(t.Times)-n:]
				out.Entries = append(out.Entries, t)
				break
			}
		}
	}
	return out
}

// propose lets a member make a block, and the others check it; ok says whether they accept.
func (w *world) propose(p *member) (chunks []fair.Chunk, timed []fair.Chunk, ok bool) {
	section := p.choose()
	faulty := p.index >= len(w.members)-w.params.Faulty
	switch {
	case faulty && w.scenario.stall:
		section.Entries = nil
		w.result.Stalled++
	case faulty && w.scenario.censor:
		w.leaveOut(section)
	}
	withTimes := p.withTimes(section)
	b, err := section.MarshalBinary()
	w.check(err)
	t, err := withTimes.MarshalBinary()
	w.check(err)
	if faulty && w.scenario.hostile {
		if b = w.breakSection(section, b); w.accepts(b) {
			w.check(errors.New("a block that was tampered with is accepted"))
		}
		w.result.Refused++
		return nil, nil, false
	}
	parsed, err := fair.ParseSection(w.state, chainID, b)
	w.check(err)
	other, err := fair.ParseSection(w.timed, chainID, t)
	w.check(err)
	if w.failure != nil {
		return nil, nil, false
	}
	chunks, err = parsed.Verify(w.state, chainID, w.keys)
	w.check(err)
	timed, err = other.Verify(w.timed, chainID, w.keys)
	w.check(err)
	w.compare(parsed)
	w.first.bytes, w.second.bytes = append(w.first.bytes, len(b)), append(w.second.bytes, len(t))
	return chunks, timed, w.failure == nil
}

func (w *world) accepts(b []byte) bool {
	section, err := fair.ParseSection(w.state, chainID, b)
	if err != nil {
		return false
	}
	_, err = section.Verify(w.state, chainID, w.keys)
	return err == nil
}

// decide applies a block under both rules.
func (w *world) decide(height uint64, chunks []fair.Chunk, timed []fair.Chunk) {
	w.beacon = sha256.Sum256(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, w.config.Seed), height))
	for _, c := range chunks {
		for _, id := range c.IDs {
			w.committed[c.Member-1][w.numbers[id]] = true
		}
	}
	state, d, err := fair.Step(w.state, height, chunks, func(id threshold.ID) bool { return w.first.place[w.numbers[id]] != nil })
	w.check(err)
	w.state = state
	for i := range d.Frames {
		w.record(&w.first, d.Frames[i].Forced, d.Frames[i].Order(w.params, w.beacon))
	}
	after, t, err := fair.TimedStep(w.timed, height, timed, func(id threshold.ID) bool { return w.second.place[w.numbers[id]] != nil })
	w.check(err)
	w.timed = after
	for i := range t.Frames {
		w.record(&w.second, t.Frames[i].Forced, t.Frames[i].Order(w.beacon))
	}
	w.first.live, w.second.live = max(w.first.live, w.state.Live()), max(w.second.live, w.timed.Live())
	w.result.Heights++
}

// change replaces the first member in the middle of a run: a new one comes, with another key and an empty log, and learns from the
// second what is not done. The others go on with their logs.
func (w *world) change() {
	w.epoch++
	n := len(w.members)
	from := make([]uint32, n)
	for i := range n - 1 {
		from[i+1] = uint32(i + 2)
	}
	var err error
	w.state, err = fair.Reform(w.state, w.params, w.height(), from, make([]fair.Base, n))
	w.check(err)
	w.timed, err = fair.ReformTimed(w.timed, w.params, w.height(), from, make([]fair.Base, n))
	w.check(err)
	w.committed[0] = map[int]bool{}
	newcomer, teacher := w.members[0], w.members[1]
	newcomer.key = simulatedKey(n)
	w.keys[0] = newcomer.key.Public().(ed25519.PublicKey)
	newcomer.log, newcomer.held = nil, map[int][]*announcement{}
	for _, e := range teacher.log {
		if w.first.place[e.tx] == nil || w.second.place[e.tx] == nil {
			newcomer.learn(e.tx)
		}
	}
	for _, m := range w.members {
		delete(m.held, 0)
		m.speak(w.height())
	}
}

// simulatedKey is a key that follows from a number.
func simulatedKey(number int) ed25519.PrivateKey {
	seed := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("scrim simulation"), uint64(number)))
	return ed25519.NewKeyFromSeed(seed[:])
}
