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
	AddEvidence(ctx context.Context, kind string, member uint32, height uint64, body []byte) error
}

// network carries messages to the other members; both calls return at once.
type network interface {
	Broadcast(message []byte)
	Send(member uint32, message []byte) bool
}

// sharer is what the opener does with this member's share of the key; it is a
// *threshold.SecretShare.
type sharer interface {
	Member() uint32
	ShareBatch([]*threshold.Checked) (*threshold.BatchShare, error)
	Sign([]byte) (threshold.SignatureShare, error)
}

// opener releases this member's share of each committed batch, gathers the others',
// and opens the batch when t of them hold. It never makes a share of a batch that is
// not durable, nor before the guard's record is: release is only told of committed
// batches, and asks the guard first.
type opener struct {
	chainID    string
	identity   ed25519.PrivateKey
	identities []ed25519.PublicKey // of member i+1
	maxBatch   int
	guard      guard
	net        network
	verifier   *ordering.Verifier
	metrics    *metrics
	log        *slog.Logger

	mu        sync.Mutex
	height    uint64 // of the last committed block
	committee *threshold.Committee
	secret    sharer
	active    bool // false while catching up: nothing is released
	batches   map[uint64]*opening
	proven    []commitreveal.Evidence // to be stored
	suspects  map[uint32]bool         // members that sent a bad share since the start
	work      chan struct{}           // capacity 1: something may have become possible
}

// opening is what is known about one batch that is not opened on the chain yet.
type opening struct {
	batch    *ordering.OrderedBatch // nil until this node has committed it
	since    time.Time              // when it was committed here
	asked    time.Time
	released []byte                                // this member's share message, once it has left
	shares   map[uint32]*commitreveal.ShareMessage // by member, signature checked
	odd      map[uint32]*commitreveal.ShareMessage // for another root of this height; signature checked
	bad      map[uint32]bool                       // members whose share of this batch does not verify
	unproven []*commitreveal.ShareMessage          // bad signature shares, until the certificate proves it
	openings ordering.BatchOpenings                // once opened
	outcomes []commitreveal.Outcome                // once opened
}

func (o *opening) opened() bool { return o.outcomes != nil }

func newOpener() *opener {
	return &opener{batches: make(map[uint64]*opening), suspects: make(map[uint32]bool), work: make(chan struct{}, 1)}
}

func (o *opener) wake() {
	select {
	case o.work <- struct{}{}:
	default:
	}
}

// setShare gives the opener this member's share of the committee's key.
func (o *opener) setShare(s sharer) {
	o.mu.Lock()
	o.secret = s
	o.mu.Unlock()
	o.wake()
}

func (o *opener) hasShare() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.secret != nil
}

// setActive says whether this node has caught up with the others.
func (o *opener) setActive(active bool) {
	o.mu.Lock()
	o.active = active
	o.mu.Unlock()
	o.wake()
}

// committed takes over a durable state: new batches to open, opened ones to forget.
func (o *opener) committed(s *ordering.State) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.height, o.committee = s.Height(), s.Committee()
	pending := make(map[uint64]bool, len(s.Pending()))
	for _, b := range s.Pending() {
		pending[b.Batch.Height] = true
		if p := o.at(b.Batch.Height); p.batch == nil {
			p.batch, p.since = b, time.Now()
			o.sift(p)
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
			shares: make(map[uint32]*commitreveal.ShareMessage), odd: make(map[uint32]*commitreveal.ShareMessage),
			bad: make(map[uint32]bool),
		}
		o.batches[height] = p
	}
	return p
}

// sift sorts out shares that came before the batch was known and are for another batch.
func (o *opener) sift(p *opening) {
	for member, m := range p.shares {
		if fits(p.batch, m) {
			continue
		}
		delete(p.shares, member)
		if conflicts(p.batch, m) {
			p.odd[member] = m
		}
	}
}

// conflicts: the share is for another batch of the same height and committee. Together with
// the member's share of the committed one it proves that the member shared two.
func conflicts(b *ordering.OrderedBatch, m *commitreveal.ShareMessage) bool {
	return m.Epoch == b.Batch.Epoch && m.Root != b.Batch.Root
}

func fits(b *ordering.OrderedBatch, m *commitreveal.ShareMessage) bool {
	return m.Epoch == b.Batch.Epoch && m.Root == b.Batch.Root && len(m.Share.Points) == len(b.Ciphertexts)
}

// PeerUp sends a member that has just connected our shares of the open batches.
func (o *opener) PeerUp(member uint32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range o.batches {
		if p.released != nil {
			o.net.Send(member, p.released)
		}
	}
}

// Receive takes a message of another member's node. Size, sender and signature are
// checked before anything costs curve arithmetic.
func (o *opener) Receive(member uint32, message []byte) error {
	if len(message) == 0 {
		return errPeerMessage
	}
	body := message[1:]
	switch message[0] {
	case messageShare:
		return o.receiveShare(member, body)
	case messageRequest:
		if len(body) != 8 {
			return errPeerMessage
		}
		o.answer(member, binary.BigEndian.Uint64(body))
		return nil
	default:
		return errPeerMessage
	}
}

func (o *opener) answer(member uint32, height uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if p := o.batches[height]; p != nil && p.released != nil {
		o.net.Send(member, p.released)
	}
}

func (o *opener) receiveShare(member uint32, body []byte) error {
	m, err := commitreveal.ParseShareMessage(body, o.maxBatch)
	if err != nil {
		return fmt.Errorf("%w: %w", errPeerMessage, err)
	}
	if m.Share.Member != member || member < 1 || int(member) > len(o.identities) || m.ChainID != o.chainID {
		return errPeerSender
	}
	if !o.wanted(m) {
		return nil
	}
	if err := m.Verify(o.identities[member-1]); err != nil {
		return fmt.Errorf("%w: %w", errPeerMessage, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.wantedLocked(m) {
		return nil
	}
	p := o.at(m.Height)
	if p.batch != nil && conflicts(p.batch, m) {
		p.odd[member] = m
	} else {
		p.shares[member] = m
	}
	if good, odd := p.shares[member], p.odd[member]; good != nil && odd != nil {
		o.proven = append(o.proven, commitreveal.NewConflictingShares(*good, *odd))
	}
	o.wake()
	return nil
}

func (o *opener) wanted(m *commitreveal.ShareMessage) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.wantedLocked(m)
}

// wantedLocked: the batch is open or about to be, and this member's share is not here yet;
// or the share is the first that contradicts the batch.
func (o *opener) wantedLocked(m *commitreveal.ShareMessage) bool {
	p := o.batches[m.Height]
	switch {
	case p == nil || p.batch == nil && p.shares[m.Share.Member] == nil:
		return m.Height > o.height && m.Height <= o.height+earlyHeights
	case p.batch != nil && conflicts(p.batch, m):
		return p.odd[m.Share.Member] == nil
	case p.batch == nil, p.opened(), p.bad[m.Share.Member], p.shares[m.Share.Member] != nil:
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
		o.keepProven(ctx)
		for o.once(ctx) && ctx.Err() == nil {
		}
	}
}

// once does the most urgent piece of work, and reports whether there was any. Shares of
// our own come first: others wait for them.
func (o *opener) once(ctx context.Context) bool {
	o.mu.Lock()
	release, combine, shares := o.next()
	secret, committee := o.secret, o.committee
	o.mu.Unlock()
	switch {
	case release != nil:
		if err := o.release(ctx, secret, release); err != nil {
			o.log.Error("share not released", "height", release.batch.Batch.Height, "err", err)
			return false // tried again at the next tick
		}
		return true
	case combine != nil:
		o.combine(ctx, committee, combine, shares)
		return true
	default:
		return false
	}
}

// next finds the oldest batch to release a share of, and the oldest that can be opened,
// with the shares to do it.
func (o *opener) next() (release, combine *opening, shares []*commitreveal.ShareMessage) {
	for _, p := range o.batches {
		if p.batch == nil || o.committee == nil || p.batch.Batch.Epoch != o.committee.Epoch {
			continue
		}
		if o.active && o.secret != nil && p.released == nil && older(p, release) {
			release = p
		}
		if p.opened() || len(p.shares) < o.committee.Threshold || !older(p, combine) {
			continue
		}
		if usable := o.usable(p); len(usable) >= o.committee.Threshold {
			combine, shares = p, usable
		}
	}
	return release, combine, shares
}

// usable gives the shares to open a batch with. Those of members that have sent a bad
// share before are used only if the batch has waited for others in vain: each bad share
// costs the verification of all.
func (o *opener) usable(p *opening) (out []*commitreveal.ShareMessage) {
	late := time.Since(p.since) > askAfter
	for member := uint32(1); int(member) <= o.committee.N(); member++ {
		if m := p.shares[member]; m != nil && (late || !o.suspects[member]) {
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
func (o *opener) combine(ctx context.Context, committee *threshold.Committee, p *opening, shares []*commitreveal.ShareMessage) {
	batchShares := make([]*threshold.BatchShare, len(shares))
	signatures := make([]threshold.SignatureShare, len(shares))
	for i, m := range shares {
		batchShares[i], signatures[i] = &m.Share, m.Signature
	}
	openings, bad, err := threshold.Combine(committee, p.batch.Ciphertexts, batchShares)
	for _, m := range o.exclude(p, bad) {
		o.keep(ctx, badPoint(committee, p.batch, m))
	}
	if err != nil {
		o.combineFailed(p, err)
		return
	}
	checkpoint, err := p.batch.Batch.Checkpoint.MarshalBinary()
	if err != nil {
		o.combineFailed(p, err)
		return
	}
	certificate, bad, err := threshold.CombineSignature(committee, checkpoint, signatures)
	p.unproven = append(p.unproven, o.exclude(p, bad)...)
	if err != nil {
		o.combineFailed(p, err)
		return
	}
	for _, m := range p.unproven {
		o.keep(ctx, &commitreveal.BadSignature{Message: *m, Checkpoint: p.batch.Batch.Checkpoint, Certificate: certificate})
	}
	p.unproven = nil
	outcomes, err := ordering.Outcomes(p.batch, openings)
	if err != nil {
		o.combineFailed(p, err)
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
func (o *opener) combineFailed(p *opening, err error) {
	o.log.Warn("batch not opened yet", "height", p.batch.Batch.Height, "err", err)
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(p.shares) < o.committee.Threshold {
		return
	}
	own := o.secret
	for member := range p.shares {
		if own == nil || member != own.Member() {
			delete(p.shares, member)
		}
	}
}

// exclude takes the members' shares of a batch out, for good, and gives them back.
func (o *opener) exclude(p *opening, members []uint32) (out []*commitreveal.ShareMessage) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, member := range members {
		p.bad[member], o.suspects[member] = true, true
		m := p.shares[member]
		if m == nil {
			continue
		}
		delete(p.shares, member)
		out = append(out, m)
		o.metrics.badShares.WithLabelValues(fmt.Sprint(member)).Inc()
		o.log.Warn("share does not verify", "height", m.Height, "member", member)
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
		o.log.Warn("a member shared two batches of one height", "height", e.Height(), "member", e.Member())
		o.keep(ctx, e)
	}
}

// keep stores evidence, which carries its own proof.
func (o *opener) keep(ctx context.Context, e commitreveal.Evidence) {
	if e == nil {
		return
	}
	wire, err := commitreveal.MarshalEvidence(e)
	if err == nil {
		err = o.guard.AddEvidence(ctx, e.Kind(), e.Member(), e.Height(), wire)
	}
	if err != nil {
		o.log.Error("evidence not stored", "kind", e.Kind(), "height", e.Height(), "member", e.Member(), "err", err)
	}
}

// ask requests the missing shares of batches that have waited for a while.
func (o *opener) ask() {
	o.mu.Lock()
	defer o.mu.Unlock()
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
