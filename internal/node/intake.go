package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/abci"
	"github.com/scrimlabs/scrim/threshold"
)

const (
	groupLimit = 128 // submissions made durable in one transaction
	// writeEvery is the shortest time between the beginnings of two such transactions, unless a quarter of the most waits: under
	// load most of a small one would be Postgres' own work.
	writeEvery = 10 * time.Millisecond
	offerEvery = 3 * time.Second
	offerPage  = 200
)

// intake takes admitted ciphertexts, from the door and from other members through the mempool: it writes them to the one
// receive log in the order in which they come, signs receipts, and offers them to the mempool until they are ordered or expired.
// Whatever is in the log is offered again after a restart.
type intake struct {
	chainID string
	key     ed25519.PrivateKey
	store   *pg.Store
	chain   consensus
	metrics *metrics
	log     *slog.Logger
	queue   chan submission

	tamper    func(group []submission, more <-chan submission) []submission // nil but in fault injection
	announcer *announcer
	open      atomic.Bool // the node has caught up: what other members relay is received
	mu        sync.Mutex
	known     [2]map[threshold.ID]bool // in the log or on the way to it; the second is older
}

type submission struct {
	ct    *threshold.Ciphertext
	as    pg.Receiver
	reply chan<- stored // nil: nobody waits
}

type stored struct {
	row pg.Received
	err error
}

func newIntake() *intake {
	return &intake{queue: make(chan submission, 4*groupLimit), known: [2]map[threshold.ID]bool{{}, {}}}
}

// knownLimit is how many ids are remembered as received, at least; others cost a look into the database.
const knownLimit = 1 << 14

// know reports whether the id was known, and remembers it.
func (i *intake) know(id threshold.ID) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.known[0][id] || i.known[1][id] {
		return true
	}
	if len(i.known[0]) >= knownLimit {
		i.known[0], i.known[1] = make(map[threshold.ID]bool), i.known[0]
	}
	i.known[0][id] = true
	return false
}

func (i *intake) forget(id threshold.ID) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.known[0], id)
	delete(i.known[1], id)
}

// arrived takes an admitted ciphertext that is in the mempool. If there is no room now, it comes again after the next block.
func (i *intake) arrived(ct *threshold.Ciphertext) {
	if !i.open.Load() || i.know(ct.ID()) {
		return
	}
	as := i.announcer.receiver()
	if as.Member == 0 || !i.announcer.takeRelayed(ct.ID()) || !i.enqueue(submission{ct: ct, as: as}) {
		i.forget(ct.ID())
	}
}

// fetchLogged asks for the bodies of what other members' logs have and this one's lacks, and takes them as what is relayed, until
// ctx ends. So what one honest member has logged comes into the others' logs also if the mempool has lost it.
func (i *intake) fetchLogged(ctx context.Context, b *bodies, admit func(*threshold.Ciphertext) error) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-i.announcer.fetch:
			if i.open.Load() {
				b.askLogged(i.announcer.wanted())
			}
		case ct := <-b.logged:
			if err := admit(ct); err != nil {
				i.log.Debug("not taken from another member's log", "id", ct.ID(), "err", err)
				continue
			}
			i.metrics.order.fetched.Inc()
			i.arrived(ct)
		}
	}
}

func (i *intake) enqueue(s submission) bool {
	i.announcer.begin(1)
	select {
	case i.queue <- s:
		return true
	default:
		i.announcer.appended(1, nil)
		i.announcer.landed(s.ct.ID())
		return false
	}
}

// accept makes one ciphertext durable, for which the announcer has made room, received as the given member, and gives its place in
// the receive log. When it returns without an error the ciphertext will be ordered, or
// expires.
func (i *intake) accept(ctx context.Context, as pg.Receiver, ct *threshold.Ciphertext, offer bool) (pg.Received, error) {
	reply := make(chan stored, 1)
	i.know(ct.ID())
	i.announcer.begin(1)
	select {
	case i.queue <- submission{ct, as, reply}:
	case <-ctx.Done():
		i.announcer.appended(1, nil)
		i.announcer.landed(ct.ID())
		i.forget(ct.ID())
		return pg.Received{}, ctx.Err()
	}
	select {
	case s := <-reply:
		if s.err == nil && offer {
			i.offer(ct.Bytes())
		}
		return s.row, s.err
	case <-ctx.Done():
		return pg.Received{}, ctx.Err()
	}
}

// offer gives a ciphertext to the mempool. A full mempool is no loss: the ciphertext is
// durable, and offered again.
func (i *intake) offer(ciphertext []byte) {
	if err := i.chain.Submit(ordering.CiphertextTx(ciphertext), nil); err != nil && !errors.Is(err, abci.ErrMempoolFull) {
		i.log.Warn("ciphertext not offered to the mempool; it will be again", "err", err)
	}
}

// run writes what arrives meanwhile as one transaction, one after the other.
func (i *intake) run(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		var group []submission
		select {
		case <-ctx.Done():
			return
		case s := <-i.queue:
			group = append(group, s)
		}
		for paused := true; paused && len(group) < groupLimit/4; {
			select {
			case s := <-i.queue:
				group = append(group, s)
			case <-pause.C:
				paused = false
			case <-ctx.Done():
				return
			}
		}
		pause.Reset(writeEvery)
		for more := true; more && len(group) < groupLimit; {
			select {
			case s := <-i.queue:
				group = append(group, s)
			default:
				more = false
			}
		}
		if i.tamper != nil {
			group = i.tamper(group, i.queue)
		}
		i.write(ctx, group)
	}
}

func (i *intake) write(ctx context.Context, group []submission) {
	cts, as := make([]*threshold.Ciphertext, len(group)), make([]pg.Receiver, len(group))
	for j, s := range group {
		cts[j], as[j] = s.ct, s.as
	}
	rows, err := i.store.Receive(ctx, int64(i.announcer.clock.begin()), as, cts)
	if err != nil {
		i.log.Error("ciphertexts not written to the receive log", "count", len(cts), "err", err)
		i.announcer.failed(len(group))
	} else {
		i.announcer.appended(len(group), rows)
		i.announcer.clock.end() // after the announcer has them: it promises nothing that these break
	}
	for j, s := range group {
		i.announcer.landed(s.ct.ID())
		if err != nil {
			i.forget(s.ct.ID())
		}
		if s.reply == nil {
			continue
		}
		if err != nil {
			s.reply <- stored{err: err}
			continue
		}
		s.reply <- stored{row: rows[j]}
	}
}

// offerWaiting offers what was received here and is still not ordered: after a restart,
// or when the mempool was full or has dropped it. It goes on when the member has left the
// committee: what it promised is to be kept.
func (i *intake) offerWaiting(ctx context.Context, height func() uint64) {
	tick := time.NewTicker(offerEvery)
	defer tick.Stop()
	age := time.Duration(0) // everything at the first time, then what has waited
	for {
		if err := i.offerOlder(ctx, height(), time.Now().Add(-age).UnixMilli()); err != nil && ctx.Err() == nil {
			i.log.Error("waiting ciphertexts not offered again", "err", err)
		}
		age = offerEvery
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (i *intake) offerOlder(ctx context.Context, height uint64, before int64) error {
	for after := uint64(0); ; {
		rows, err := i.store.Waiting(ctx, height, after, offerPage)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if r.Time > before {
				return nil
			}
			if err := i.chain.Submit(ordering.CiphertextTx(r.Ciphertext), nil); errors.Is(err, abci.ErrMempoolFull) {
				return nil
			}
			after = r.Position
		}
		if len(rows) < offerPage {
			return nil
		}
	}
}

// receipt signs the member's promise for a row of its receive log, as the member that it
// was then. Signing the same row again gives the same bytes.
func (i *intake) receipt(r *pg.Received) (*commitreveal.Receipt, error) {
	receipt := &commitreveal.Receipt{
		ChainID: i.chainID, ID: r.ID, Epoch: r.Epoch, Member: r.Member, ValidUntil: r.ValidUntil,
		Time: r.Time, Position: r.Position, Head: r.Head,
	}
	return receipt, commitreveal.SignReceipt(i.key, receipt)
}
