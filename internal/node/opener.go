package node

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

// Messages of the members' p2p channel: one kind byte and a body.
const (
	messageShare   = 1 // body: commitreveal.ShareMessage
	messageRequest = 2 // body: height (8) of the batch whose share is asked for
)

// earlyHeights is how far ahead of this node another member may be for its share to be
// kept until this node has committed the batch.
const earlyHeights = 8

// askAfter is how long a batch waits for shares before they are asked for again.
const askAfter = 250 * time.Millisecond

var (
	errPeerMessage = errors.New("node: malformed message of a member")
	errPeerSender  = errors.New("node: a member sent a share that is not its own")
)

// guard records durably which batch root a share was made for, before it leaves.
type guard interface {
	RecordShare(ctx context.Context, epoch, height uint64, root commitreveal.Hash) error
}

// evidenceKeeper stores what proves that a member did wrong.
type evidenceKeeper interface {
	AddEvidence(ctx context.Context, e pg.Evidence) error
}

// network carries messages to the other nodes, which it knows by their identity; both
// calls return at once.
type network interface {
	Broadcast(message []byte)
	Send(identity ed25519.PublicKey, message []byte) bool
}

// opener releases this member's share of each committed batch, gathers the others',
// and opens the batch when t of them hold. A batch belongs to the committee of its epoch:
// shares are made with the share of that epoch, and taken from its members only. It
// never makes a share of a batch that is not durable, nor before the guard's record is:
// release is only told of committed batches, and asks the guard first.
type opener struct {
	chainID  string
	identity ed25519.PrivateKey
	maxBatch int
	guard    guard
	evidence evidenceKeeper
	net      network
	verifier *ordering.Verifier
	metrics  *metrics
	log      *slog.Logger

	mu       sync.Mutex
	height   uint64             // of the last committed block
	offices  map[uint64]*office // by epoch: the committees that the state still needs
	given    map[uint64]sharer  // shares by epoch, of this member
	former   []sharer           // shares that are not needed any more, to be wiped
	active   bool               // false while catching up: nothing is released
	batches  map[uint64]*opening
	proven   []proof         // to be stored
	suspects map[string]bool // identities that sent a bad share since the start
	work     chan struct{}   // capacity 1: something may have become possible
}

// opening is what is known about one batch that is not opened on the chain yet.
type opening struct {
	batch    *ordering.OrderedBatch                 // nil until this node has committed it
	early    map[speaker]*commitreveal.ShareMessage // came before the batch; signature checked
	since    time.Time                              // when it was committed here
	asked    time.Time
	released []byte                                // this member's share message, once it has left
	shares   map[uint32]*commitreveal.ShareMessage // by member, signature checked
	odd      map[uint32]*commitreveal.ShareMessage // for another root of this height; signature checked
	bad      map[uint32]bool                       // members whose share of this batch does not verify
	unproven []*commitreveal.ShareMessage          // bad signature shares, until the certificate proves it
	openings ordering.BatchOpenings                // once opened
	outcomes []commitreveal.Outcome                // once opened
}

func (p *opening) opened() bool { return p.outcomes != nil }

// speaker is a member of the committee of an epoch.
type speaker struct {
	epoch  uint64
	member uint32
}

// proof is evidence with the epoch in which its member counts.
type proof struct {
	epoch uint64
	commitreveal.Evidence
}

func newOpener() *opener {
	return &opener{
		offices: make(map[uint64]*office), given: make(map[uint64]sharer),
		batches: make(map[uint64]*opening), suspects: make(map[string]bool), work: make(chan struct{}, 1),
	}
}

func (o *opener) wake() {
	select {
	case o.work <- struct{}{}:
	default:
	}
}

// setActive says whether this node has caught up with the others.
func (o *opener) setActive(active bool) {
	o.mu.Lock()
	o.active = active
	o.mu.Unlock()
	o.wake()
}

// committed takes over a durable state: its committees, new batches to open, opened ones
// to forget.
func (o *opener) committed(s *ordering.State) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.height = s.Height()
	o.setOffices(s.Tenures())
	pending := make(map[uint64]bool, len(s.Pending()))
	for _, b := range s.Pending() {
		pending[b.Batch.Height] = true
		if p := o.at(b.Batch.Height); p.batch == nil {
			p.batch, p.since = b, time.Now()
			p.sift()
		}
	}
	for h := range o.batches {
		if h <= o.height && !pending[h] {
			delete(o.batches, h)
		}
	}
	o.wake()
}

func (o *opener) at(height uint64) *opening {
	p := o.batches[height]
	if p == nil {
		p = &opening{
			early:  make(map[speaker]*commitreveal.ShareMessage),
			shares: make(map[uint32]*commitreveal.ShareMessage), odd: make(map[uint32]*commitreveal.ShareMessage),
			bad: make(map[uint32]bool),
		}
		o.batches[height] = p
	}
	return p
}

// sift takes over the shares that came before the batch was known, if they are for it or
// contradict it. Those of another epoch say nothing about it.
func (p *opening) sift() {
	for who, m := range p.early {
		switch {
		case fits(p.batch, m):
			p.shares[who.member] = m
		case conflicts(p.batch, m):
			p.odd[who.member] = m
		}
	}
	p.early = nil
}

// conflicts: the share is for another batch of the same height and committee. Together with
// the member's share of the committed one it proves that the member shared two.
func conflicts(b *ordering.OrderedBatch, m *commitreveal.ShareMessage) bool {
	return m.Epoch == b.Batch.Epoch && m.Root != b.Batch.Root
}

func fits(b *ordering.OrderedBatch, m *commitreveal.ShareMessage) bool {
	return m.Epoch == b.Batch.Epoch && m.Root == b.Batch.Root && len(m.Share.Points) == len(b.Ciphertexts)
}

// PeerUp sends a node that has just connected our shares of the open batches.
func (o *opener) PeerUp(identity ed25519.PublicKey) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range o.batches {
		if p.released != nil {
			o.net.Send(identity, p.released)
		}
	}
}

// Receive takes a message of another node. Size, sender and signature are checked before
// anything costs curve arithmetic.
func (o *opener) Receive(identity ed25519.PublicKey, message []byte) error {
	if len(message) == 0 {
		return errPeerMessage
	}
	body := message[1:]
	switch message[0] {
	case messageShare:
		return o.receiveShare(identity, body)
	case messageRequest:
		if len(body) != 8 {
			return errPeerMessage
		}
		o.answer(identity, binary.BigEndian.Uint64(body))
		return nil
	default:
		return errPeerMessage
	}
}

func (o *opener) answer(identity ed25519.PublicKey, height uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if p := o.batches[height]; p != nil && p.released != nil {
		o.net.Send(identity, p.released)
	}
}

func (o *opener) receiveShare(identity ed25519.PublicKey, body []byte) error {
	m, err := commitreveal.ParseShareMessage(body, o.maxBatch)
	if err != nil {
		return fmt.Errorf("%w: %w", errPeerMessage, err)
	}
	if m.ChainID != o.chainID {
		return errPeerSender
	}
	if wanted, err := o.wanted(identity, m); err != nil || !wanted {
		return err
	}
	if err := m.Verify(identity); err != nil {
		return fmt.Errorf("%w: %w", errPeerMessage, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.wantedLocked(m) {
		return nil
	}
	o.takeLocked(m)
	o.wake()
	return nil
}

// takeLocked keeps a share that is wanted.
func (o *opener) takeLocked(m *commitreveal.ShareMessage) {
	p, member := o.at(m.Height), m.Share.Member
	switch {
	case p.batch == nil:
		p.early[speaker{m.Epoch, member}] = m
		return
	case conflicts(p.batch, m):
		p.odd[member] = m
	default:
		p.shares[member] = m
	}
	if good, odd := p.shares[member], p.odd[member]; good != nil && odd != nil {
		o.proven = append(o.proven, proof{m.Epoch, commitreveal.NewConflictingShares(*good, *odd)})
	}
}

// wanted also checks that the share is its sender's own. One of an epoch that is unknown
// here is nobody's fault: a committee comes and goes at other moments at every node.
func (o *opener) wanted(identity ed25519.PublicKey, m *commitreveal.ShareMessage) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.offices[m.Epoch]
	if f == nil {
		return false, nil
	}
	if own := f.identity(m.Share.Member); own == nil || !own.Equal(identity) {
		return false, errPeerSender
	}
	return o.wantedLocked(m), nil
}

// wantedLocked: the batch is open or about to be, and this member's share is not here yet;
// or the share is the first that contradicts the batch.
func (o *opener) wantedLocked(m *commitreveal.ShareMessage) bool {
	p := o.batches[m.Height]
	switch {
	case o.offices[m.Epoch] == nil:
		return false
	case p == nil || p.batch == nil && p.early[speaker{m.Epoch, m.Share.Member}] == nil:
		return m.Height > o.height && m.Height <= o.height+earlyHeights
	case p.batch == nil:
		return false
	case conflicts(p.batch, m):
		return p.odd[m.Share.Member] == nil
	case p.opened(), p.bad[m.Share.Member], p.shares[m.Share.Member] != nil:
		return false
	default:
		return fits(p.batch, m)
	}
}

// run does the opener's work until ctx ends: one batch at a time, the oldest first.
func (o *opener) run(ctx context.Context) {
	tick := time.NewTicker(askAfter)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.work:
		case <-tick.C:
			o.ask()
		}
		o.wipeFormer()
		o.keepProven(ctx)
		for o.once(ctx) && ctx.Err() == nil {
		}
	}
}

// once does the most urgent piece of work, and reports whether there was any. Shares of
// our own come first: others wait for them.
func (o *opener) once(ctx context.Context) bool {
	o.mu.Lock()
	j := o.next()
	o.mu.Unlock()
	switch {
	case j.release != nil:
		if err := o.release(ctx, j.secret, j.release); err != nil {
			o.log.Error("share not released", "height", j.release.batch.Batch.Height, "err", err)
			return false // tried again at the next tick
		}
		return true
	case j.combine != nil:
		o.combine(ctx, j.office, j.combine, j.shares)
		return true
	default:
		return false
	}
}

// job is what next found.
type job struct {
	release *opening // to release a share of
	secret  sharer   // with which

	combine *opening // to open
	office  *office  // whose batch it is
	shares  []*commitreveal.ShareMessage
}

// next finds the oldest batch to release a share of, and the oldest that can be opened.
func (o *opener) next() (j job) {
	for _, p := range o.batches {
		if p.batch == nil {
			continue
		}
		f := o.offices[p.batch.Batch.Epoch]
		if f == nil {
			continue
		}
		if o.active && f.secret != nil && p.released == nil && older(p, j.release) {
			j.release, j.secret = p, f.secret
		}
		if p.opened() || len(p.shares) < f.committee.Threshold || !older(p, j.combine) {
			continue
		}
		if usable := o.usable(f, p); len(usable) >= f.committee.Threshold {
			j.combine, j.office, j.shares = p, f, usable
		}
	}
	return j
}

// usable gives the shares to open a batch with. Those of members that have sent a bad
// share before are used only if the batch has waited for others in vain: each bad share
// costs the verification of all.
func (o *opener) usable(f *office, p *opening) (out []*commitreveal.ShareMessage) {
	late := time.Since(p.since) > askAfter
	for member := uint32(1); int(member) <= f.committee.N(); member++ {
		if m := p.shares[member]; m != nil && (late || !o.suspects[string(f.identity(member))]) {
			out = append(out, m)
		}
	}
	return out
}

func older(p, than *opening) bool {
	return than == nil || p.batch.Batch.Height < than.batch.Batch.Height
}

// release makes this member's share of a committed batch and lets it leave. The guard's
// record is durable first, and a batch with another root than recorded is refused.
func (o *opener) release(ctx context.Context, secret sharer, p *opening) error {
	b := p.batch.Batch
	if err := o.guard.RecordShare(ctx, b.Epoch, b.Height, b.Root); err != nil {
		return err
	}
	_, effects, err := commitreveal.Step(b, commitreveal.Durable{Root: b.Root})
	if err != nil {
		return err
	}
	for _, effect := range effects {
		if e, ok := effect.(commitreveal.ReleaseShare); ok {
			return o.share(secret, p, e)
		}
	}
	return nil
}

// share performs the effect that allows it.
func (o *opener) share(secret sharer, p *opening, b commitreveal.ReleaseShare) error {
	share, err := secret.ShareBatch(p.batch.Ciphertexts)
	if err != nil {
		return err
	}
	checkpoint, err := b.Checkpoint.MarshalBinary()
	if err != nil {
		return err
	}
	signature, err := secret.Sign(checkpoint)
	if err != nil {
		return err
	}
	m := &commitreveal.ShareMessage{
		ChainID: o.chainID, Epoch: b.Epoch, Height: b.Height, Root: b.Root,
		Share: *share, Signature: signature,
	}
	if err := m.Sign(o.identity); err != nil {
		return err
	}
	wire, err := m.MarshalBinary()
	if err != nil {
		return err
	}
	wire = append([]byte{messageShare}, wire...)
	o.net.Broadcast(wire)
	o.mu.Lock()
	defer o.mu.Unlock()
	p.released = wire
	p.shares[share.Member] = m
	o.metrics.sharesReleased.Inc()
	return nil
}

// combine opens a batch from the shares that are there. Members whose share does not
// verify are named, their share is kept as evidence, and others are waited for.
func (o *opener) combine(ctx context.Context, f *office, p *opening, shares []*commitreveal.ShareMessage) {
	committee, epoch := f.committee, p.batch.Batch.Epoch
	batchShares := make([]*threshold.BatchShare, len(shares))
	signatures := make([]threshold.SignatureShare, len(shares))
	for i, m := range shares {
		batchShares[i], signatures[i] = &m.Share, m.Signature
	}
	openings, bad, err := threshold.Combine(committee, p.batch.Ciphertexts, batchShares)
	for _, m := range o.exclude(f, p, bad) {
		o.keep(ctx, proof{epoch, badPoint(committee, p.batch, m)})
	}
	if err != nil {
		o.combineFailed(f, p, err)
		return
	}
	checkpoint, err := p.batch.Batch.Checkpoint.MarshalBinary()
	if err != nil {
		o.combineFailed(f, p, err)
		return
	}
	certificate, bad, err := threshold.CombineSignature(committee, checkpoint, signatures)
	p.unproven = append(p.unproven, o.exclude(f, p, bad)...)
	if err != nil {
		o.combineFailed(f, p, err)
		return
	}
	for _, m := range p.unproven {
		o.keep(ctx, proof{epoch, &commitreveal.BadSignature{Message: *m, Checkpoint: p.batch.Batch.Checkpoint, Certificate: certificate}})
	}
	p.unproven = nil
	outcomes, err := ordering.Outcomes(p.batch, openings)
	if err != nil {
		o.combineFailed(f, p, err)
		return
	}
	o.verifier.Remember(committee.Key, p.batch.Batch.Root, openings, checkpoint, certificate)
	found := ordering.BatchOpenings{Height: p.batch.Batch.Height, Certificate: certificate}
	for _, v := range openings {
		found.Openings = append(found.Openings, v.Opening())
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	p.openings, p.outcomes = found, outcomes
	o.metrics.openLatency.Observe(time.Since(p.since).Seconds())
}

// combineFailed: fewer than t of the shares held. Blame has taken the others out, so the
// batch waits for more; should nobody be to blame, the shares are dropped and asked for
// again rather than tried for ever.
func (o *opener) combineFailed(f *office, p *opening, err error) {
	o.log.Warn("batch not opened yet", "height", p.batch.Batch.Height, "err", err)
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(p.shares) < f.committee.Threshold {
		return
	}
	for member := range p.shares {
		if f.secret == nil || member != f.secret.Member() {
			delete(p.shares, member)
		}
	}
}

// exclude takes the members' shares of a batch out, for good, and gives them back.
func (o *opener) exclude(f *office, p *opening, members []uint32) (out []*commitreveal.ShareMessage) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, member := range members {
		p.bad[member], o.suspects[string(f.identity(member))] = true, true
		m := p.shares[member]
		if m == nil {
			continue
		}
		delete(p.shares, member)
		out = append(out, m)
		o.metrics.badShares.WithLabelValues(fmt.Sprint(m.Epoch), fmt.Sprint(member)).Inc()
		o.log.Warn("share does not verify", "height", m.Height, "epoch", m.Epoch, "member", member)
	}
	return out
}

// badPoint finds the point of a bad share that proves it; nil if there is none.
func badPoint(c *threshold.Committee, b *ordering.OrderedBatch, m *commitreveal.ShareMessage) commitreveal.Evidence {
	for i := range b.Ciphertexts {
		single := &threshold.BatchShare{Member: m.Share.Member, Points: m.Share.Points[i : i+1]}
		if _, err := threshold.VerifyBatchShare(c, b.Ciphertexts[i:i+1], single); err == nil {
			continue
		}
		if e, err := commitreveal.NewBadPoint(*m, b.Ciphertexts, i); err == nil {
			return e
		}
	}
	return nil
}

// keepProven stores the evidence that came up where no database may be waited for.
func (o *opener) keepProven(ctx context.Context) {
	o.mu.Lock()
	proven := o.proven
	o.proven = nil
	o.mu.Unlock()
	for _, e := range proven {
		o.log.Warn("a member shared two batches of one height", "height", e.Height(), "epoch", e.epoch, "member", e.Member())
		o.keep(ctx, e)
	}
}

// keep stores evidence, which carries its own proof.
func (o *opener) keep(ctx context.Context, e proof) {
	if e.Evidence == nil {
		return
	}
	wire, err := commitreveal.MarshalEvidence(e.Evidence)
	if err == nil {
		err = o.evidence.AddEvidence(ctx, pg.Evidence{Kind: e.Kind(), Epoch: e.epoch, Member: e.Member(), Height: e.Height(), Body: wire})
	}
	if err != nil {
		o.log.Error("evidence not stored", "kind", e.Kind(), "height", e.Height(), "epoch", e.epoch, "member", e.Member(), "err", err)
	}
}

// ask requests the missing shares of batches that have waited for a while. A node that is
// in no committee does not: the others need not know it, and the chain brings the openings.
func (o *opener) ask() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.member() {
		return
	}
	now := time.Now()
	for height, p := range o.batches {
		if p.batch == nil || p.opened() || now.Sub(p.since) < askAfter || now.Sub(p.asked) < askAfter {
			continue
		}
		p.asked = now
		o.net.Broadcast(binary.BigEndian.AppendUint64([]byte{messageRequest}, height))
	}
}

// openings gives what a proposer may put into the block after s.
func (o *opener) openings(s *ordering.State) []ordering.BatchOpenings {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []ordering.BatchOpenings
	for _, b := range s.Pending() {
		p := o.batches[b.Batch.Height]
		if p == nil || !p.opened() {
			break
		}
		out = append(out, p.openings)
	}
	return out
}

// outcome finds a ciphertext in the batches that are opened here, but not yet by a block.
func (o *opener) outcome(height uint64, position uint32) (commitreveal.Outcome, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.batches[height]
	if p == nil || int(position) >= len(p.outcomes) {
		return commitreveal.Outcome{}, false
	}
	return p.outcomes[position], true
}
