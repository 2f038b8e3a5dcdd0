package node

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
	"github.com/scrimlabs/scrim/httpapi"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

const (
	cosignatureVersion = 1
	cosignatureSize    = 1 + 8 + commitreveal.HashSize + 8 + ed25519.SignatureSize

	// Bounds of what waits: heads of this node to cosign, and cosignatures of others to look at. What is too much is left
	// out; a later checkpoint gets its own.
	maxHeads       = 256
	maxCosignInbox = 64 // of one member
	// maxBurst is how many of them are sent at once: the channel's queue is the shares', too.
	maxBurst = 32
	// Old cosignatures are deleted in steps: so many lines at once, so often, or sooner while there are more.
	pruneStep  = 1000
	pruneEvery = time.Minute
	// earlyPatience is how long a cosignature may wait for this node to have the checkpoint.
	earlyPatience = 10 * time.Second
)

// errDivided: what is stored is not what this node computed, so it signs nothing of the log any more.
var errDivided = errors.New("node: the log in the database is not the one that this node computed; stop it, keep the database for analysis, and replay the chain into an empty one")

// publishStore is what the publisher keeps and reads; it is a *pg.Store.
type publishStore interface {
	LogCheckpoint(ctx context.Context, size uint64) (*pg.LogCheckpoint, error)
	LogSignatures(ctx context.Context, size uint64) ([]note.Signature, error)
	LogSignatureFrom(ctx context.Context, size uint64, name string, id uint32) (*pg.LogSignature, error)
	AddLogSignatures(ctx context.Context, lines []pg.LogSignature) error
	PruneLogSignatures(ctx context.Context, keep, limit int) (int, error)
	LogHashes(ctx context.Context, indexes []int64) ([]commitreveal.Hash, error)
	Batch(ctx context.Context, height uint64) (*pg.BatchInfo, error)
	Certificates(ctx context.Context) ([][]byte, error)
	AddEvidence(ctx context.Context, e pg.Evidence) error
}

// publisher signs the heads of the log, cosigns them for the other members and gathers their cosignatures. It signs only
// what is durable and of one log with all that it has signed before, and works after the block: it never holds one up.
type publisher struct {
	chainID  string
	identity ed25519.PrivateKey
	store    publishStore
	net      network
	log      *slog.Logger
	now      func() time.Time
	before   *signedLog // what this member has signed
	keep     int        // newest checkpoints whose cosignatures are kept; 0 for all
	pruned   time.Time  // when the last step was done

	mu      sync.Mutex
	active  bool                            // false while catching up: nothing is sent
	greet   bool                            // the newest head is to be sent
	last    []byte                          // the message about it, once it has left
	size    uint64                          // of the newest head, durable
	epoch   uint64                          // of the committee in office: its members cosign
	members []keygen.Member                 // of it
	heads   []head                          // to be cosigned, oldest first
	inbox   []received                      // to be checked
	divided bool                            // see errDivided
	trouble string                          // why nothing is signed, "" if it is
	keys    map[uint64]*threshold.PublicKey // of committees, by epoch
	strange map[string]received             // by identity key, its first cosignature of another log than this node's
	work    chan struct{}                   // capacity 1
}

// head is a head of the log as this node computed it.
type head struct {
	size uint64
	root commitreveal.Hash
}

// received is a cosignature of another member.
type received struct {
	head
	identity  ed25519.PublicKey
	signature note.Signature
	at        time.Time
	epoch     uint64 // in which the member is, and its number there: set when it is looked at
	member    uint32
}

func newPublisher() *publisher {
	return &publisher{now: time.Now, work: make(chan struct{}, 1), strange: make(map[string]received)}
}

func (n *running) newPublisher(g *ordering.Genesis, secret *keygen.MemberSecret) (p *publisher, err error) {
	p = newPublisher()
	p.chainID, p.identity = g.ChainID, secret.Identity()
	p.store, p.log, p.keep = n.store, n.log.With("part", "log"), n.cfg.Log.KeepCosignatures
	p.before, err = openSignedLog(n.cfg.SignedLogFile(), g.ChainID)
	return p, err
}

// peerUp greets a member that has just connected.
func (p *publisher) peerUp(identity ed25519.PublicKey) {
	if m := p.newest(); m != nil {
		p.net.Send(identity, m)
	}
}

func (p *publisher) wake() {
	select {
	case p.work <- struct{}{}:
	default:
	}
}

// setActive says that this node has caught up with the others. They get its cosignature on the newest head, also if that
// is older than the process.
func (p *publisher) setActive() {
	p.mu.Lock()
	p.active, p.greet = true, true
	p.mu.Unlock()
	p.wake()
}

// newest is this member's message about the newest head that it has cosigned, for a member that has just connected; nil if
// there is none.
func (p *publisher) newest() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// committed takes over a durable block's log. It returns at once.
func (p *publisher) committed(next *ordering.State, r *ordering.Result) {
	if len(r.Records) > 0 {
		p.take(next)
	}
}

// begin takes over the log with which the node starts, so that the database is held to it from the first.
func (p *publisher) begin(s *ordering.State) {
	signed, size := p.before.largest().size, s.Log().Size()
	switch {
	case signed > size:
		p.log.Warn("the database has less of the log than this member has signed: it was put back to an older state, or is filled again; nothing of the log is signed until the blocks are replayed", "signed", signed, "here", size)
	case signed == 0 && size > 0:
		p.log.Warn("there is no record of the log that this member has signed; from now on there is", "file", p.before.path, "entries", size)
	}
	if size > 0 {
		p.take(s)
	}
}

func (p *publisher) take(s *ordering.State) {
	l := s.Log()
	p.mu.Lock()
	if office := s.Office(); office != nil {
		p.epoch, p.members = office.Epoch(), office.Terms().Members
	}
	p.size = l.Size()
	p.heads = append(p.heads, head{l.Size(), l.Root()})
	if n := len(p.heads) - maxHeads; n > 0 {
		p.heads = slices.Delete(p.heads, 0, n)
	}
	p.mu.Unlock()
	p.wake()
}

// receive takes a cosignature of the member with the identity key, whom the channel knows. It costs nothing but the room that
// one member has.
func (p *publisher) receive(identity ed25519.PublicKey, body []byte) error {
	if len(body) != cosignatureSize || body[0] != cosignatureVersion {
		return errPeerMessage
	}
	k := note.MemberKey(p.chainID, identity)
	r := received{
		head:     head{binary.BigEndian.Uint64(body[1:]), commitreveal.Hash(body[9:41])},
		identity: identity, signature: note.Signature{Name: k.Name, KeyID: k.ID(), Data: slices.Clone(body[41:])}, at: p.now(),
	}
	if r.size == 0 || r.size > tiles.MaxSize {
		return errPeerMessage
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	mine := 0
	for _, other := range p.inbox {
		if other.identity.Equal(identity) {
			mine++
		}
	}
	if mine >= maxCosignInbox {
		return nil // a member that sends faster than we look loses its own
	}
	p.inbox = append(p.inbox, r)
	p.wake()
	return nil
}

func (p *publisher) run(ctx context.Context) {
	tick := time.NewTicker(time.Second) // for what came early, and after the database was away
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.work:
		case <-tick.C:
		}
		if err := p.once(ctx); err != nil && ctx.Err() == nil {
			p.log.Warn("log not cosigned for now", "err", err)
		}
		if err := p.prune(ctx); err != nil && ctx.Err() == nil {
			p.log.Warn("old cosignatures not deleted for now", "err", err)
		}
	}
}

// prune deletes cosignatures on old checkpoints, a bounded number at once, when it is time.
func (p *publisher) prune(ctx context.Context) error {
	if p.keep == 0 || p.now().Sub(p.pruned) < pruneEvery {
		return nil
	}
	n, err := p.store.PruneLogSignatures(ctx, p.keep, pruneStep)
	if err == nil && n < pruneStep { // else there may be more, for the next time around
		p.pruned = p.now()
	}
	return err
}

// maySign says whether this member may put its name to a head, which is durable, and makes it durable that it does. Errors are
// those of signedLog.extend, and errDivided.
func (p *publisher) maySign(ctx context.Context, h head) error {
	p.mu.Lock()
	divided := p.divided
	p.mu.Unlock()
	if divided {
		return errDivided
	}
	err := p.before.extend(h, p.reader(ctx))
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case errors.Is(err, errSignedOther):
		p.divided, p.trouble = true, err.Error()
		p.log.Error("this member signs nothing of the log any more", "err", err)
	case errors.Is(err, errSignedMore):
		p.trouble = err.Error()
	case err == nil:
		p.trouble = ""
	}
	return err
}

// why says why nothing is signed, "" if it is.
func (p *publisher) why() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trouble
}

// once cosigns the heads there are and looks at the cosignatures of others.
func (p *publisher) once(ctx context.Context) error {
	p.mu.Lock()
	heads, inbox, active, greet := p.heads, p.inbox, p.active, p.greet
	member := indexOf(p.members, p.identity.Public().(ed25519.PublicKey)) > 0
	p.heads, p.inbox, p.greet = nil, nil, false
	p.mu.Unlock()
	if greet && len(heads) == 0 {
		row, err := p.store.LogCheckpoint(ctx, 0)
		if err == nil {
			heads = []head{{row.Size, row.Root}}
		} else if !errors.Is(err, pg.ErrNotFound) {
			p.setActive()
			p.putBack(inbox)
			return err
		}
	}
	if !active && len(heads) > 1 {
		heads = heads[len(heads)-1:] // while catching up, the others are further
	}
	err := p.cosign(ctx, heads, member, active)
	if err != nil && !errors.Is(err, errDivided) && !errors.Is(err, errSignedOther) {
		p.mu.Lock()
		p.heads = append(heads, p.heads...)
		p.mu.Unlock()
	}
	return errors.Join(err, p.gather(ctx, inbox))
}

// cosign makes this member's cosignatures durable, and then sends them. A node that is not in the committee in office only
// holds the database to its heads.
func (p *publisher) cosign(ctx context.Context, heads []head, member, send bool) error {
	var fresh, all []pg.LogSignature
	for _, h := range heads {
		row, err := p.store.LogCheckpoint(ctx, h.size)
		if err != nil {
			return err
		}
		if row.Root != h.root {
			p.mu.Lock()
			p.divided, p.trouble = true, errDivided.Error()
			p.mu.Unlock()
			return errDivided
		}
	}
	if !member || len(heads) == 0 {
		return nil
	}
	// The largest first: it is one write to the disk for all of them.
	for _, h := range slices.Backward(heads) {
		err := p.maySign(ctx, h)
		if errors.Is(err, errSignedMore) {
			return nil // a later one is signed, when what was lost is there again
		}
		if err != nil {
			return err
		}
	}
	for _, h := range heads {
		s := pg.LogSignature{Size: h.size, Signature: note.Cosign(p.identity, p.chainID, p.text(h), uint64(p.now().Unix()))}
		switch before, err := p.store.LogSignatureFrom(ctx, h.size, s.Name, s.KeyID); {
		case err == nil && before.Size == h.size: // before a restart
			s = *before
		case err == nil || errors.Is(err, pg.ErrNotFound):
			fresh = append(fresh, s)
		default:
			return err
		}
		all = append(all, s)
	}
	if len(fresh) > 0 {
		if err := p.store.AddLogSignatures(ctx, fresh); err != nil {
			return err
		}
	}
	for i := max(0, len(all)-maxBurst); i < len(all); i++ {
		if send {
			m := cosignatureMessage(heads[i], all[i].Data)
			p.mu.Lock()
			p.last = m
			p.mu.Unlock()
			p.net.Broadcast(m)
		}
	}
	return nil
}

func (p *publisher) text(h head) string {
	return note.Checkpoint{Origin: note.Origin(p.chainID), Size: h.size, Root: h.root}.Text()
}

func cosignatureMessage(h head, data []byte) []byte {
	b := binary.BigEndian.AppendUint64([]byte{messageCosignature, cosignatureVersion}, h.size)
	return append(append(b, h.root[:]...), data...)
}

// gather keeps the cosignatures that are on this node's own heads, and as evidence those that are on another.
func (p *publisher) gather(ctx context.Context, inbox []received) error {
	var lines []pg.LogSignature
	for i, r := range inbox {
		row, err := p.store.LogCheckpoint(ctx, r.size)
		if errors.Is(err, pg.ErrNotFound) {
			p.keepEarly(r)
			continue
		}
		if err != nil {
			p.putBack(inbox[i:])
			return err
		}
		if !p.verify(r) {
			p.log.Warn("a member's cosignature does not verify", "key", r.signature.Name, "size", r.size)
			continue
		}
		p.mu.Lock()
		r.epoch, r.member = p.epoch, indexOf(p.members, r.identity)
		p.mu.Unlock()
		if r.member == 0 {
			continue // it has left, or is not in office yet
		}
		if r.root != row.Root {
			p.log.Error("a member cosigned another log than this node's", "key", r.signature.Name, "size", r.size, "root", r.root, "ours", row.Root)
			if _, known := p.strange[string(r.identity)]; !known {
				p.strange[string(r.identity)] = r
			}
			continue
		}
		lines = append(lines, pg.LogSignature{Size: r.size, Signature: r.signature})
	}
	if len(lines) > 0 {
		if err := p.store.AddLogSignatures(ctx, lines); err != nil {
			return err
		}
	}
	return p.splitViews(ctx)
}

// splitViews keeps as evidence what a member cosigned that is not this log's, as soon as there is a cosignature of its own
// on this log that is not smaller: then it signed two logs.
func (p *publisher) splitViews(ctx context.Context) error {
	for key, r := range p.strange {
		good, err := p.store.LogSignatureFrom(ctx, r.size, r.signature.Name, r.signature.KeyID)
		if errors.Is(err, pg.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		row, err := p.store.LogCheckpoint(ctx, good.Size)
		if err != nil {
			return err
		}
		body, err := splitView(
			&note.Note{Text: p.text(r.head), Signatures: []note.Signature{r.signature}},
			&note.Note{Text: p.text(head{row.Size, row.Root}), Signatures: []note.Signature{good.Signature}})
		if err != nil {
			return err
		}
		if err := p.store.AddEvidence(ctx, pg.Evidence{Kind: evidenceSplitView, Epoch: r.epoch, Member: r.member, Height: row.Height, Body: body}); err != nil {
			return err
		}
		delete(p.strange, key)
	}
	return nil
}

const evidenceSplitView = "split_view"

// splitView is the body of the evidence: both notes, each after its length in four bytes.
func splitView(a, b *note.Note) ([]byte, error) {
	var body []byte
	for _, n := range []*note.Note{a, b} {
		wire, err := n.Marshal()
		if err != nil {
			return nil, err
		}
		body = append(binary.BigEndian.AppendUint32(body, uint32(len(wire))), wire...)
	}
	return body, nil
}

func (p *publisher) verify(r received) bool {
	n := &note.Note{Text: p.text(r.head), Signatures: []note.Signature{r.signature}}
	_, err := note.MemberKey(p.chainID, r.identity).Verify(n)
	return err == nil
}

// keepEarly keeps a cosignature on a size that this node does not have yet. A size that it passed without a block ending
// there never comes.
func (p *publisher) keepEarly(r received) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.size > p.size && p.now().Sub(r.at) < earlyPatience {
		p.inbox = append(p.inbox, r)
	}
}

// putBack keeps for later what could not be looked at; receive bounds it again.
func (p *publisher) putBack(inbox []received) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inbox = append(inbox, p.inbox...)
}

// signed is the checkpoint of a durable head: this node's signature first, then what others have signed.
func (p *publisher) signed(ctx context.Context, row *pg.LogCheckpoint) (*note.Note, error) {
	if err := p.maySign(ctx, head{row.Size, row.Root}); err != nil {
		return nil, err
	}
	text := p.text(head{row.Size, row.Root})
	n := &note.Note{Text: text, Signatures: []note.Signature{note.SignLog(p.identity, p.chainID, text)}}
	line, err := p.certificateLine(ctx, row)
	if err != nil {
		return nil, err
	}
	if line != nil {
		n.Signatures = append(n.Signatures, *line)
	}
	others, err := p.store.LogSignatures(ctx, row.Size)
	if err != nil {
		return nil, err
	}
	n.Signatures = append(n.Signatures, others...)
	return n, nil
}

// certificateLine is the committee's line of a checkpoint, if the block ended with a batch that is revealed by now.
func (p *publisher) certificateLine(ctx context.Context, row *pg.LogCheckpoint) (*note.Signature, error) {
	b, err := p.store.Batch(ctx, row.Height)
	if errors.Is(err, pg.ErrNotFound) || err == nil && (b.RevealHeight == 0 || b.Checkpoint.LogSize != row.Size) {
		return nil, nil //nolint:nilnil // there is none, and that is no error
	}
	if err != nil {
		return nil, err
	}
	key, err := p.committeeKey(ctx, b.Epoch)
	if err != nil {
		return nil, err
	}
	line := note.CertificateLine(key, b.Checkpoint, b.Certificate)
	return &line, nil
}

// committeeKey is the public key of the committee of an epoch, from its certificate.
func (p *publisher) committeeKey(ctx context.Context, epoch uint64) (*threshold.PublicKey, error) {
	p.mu.Lock()
	key := p.keys[epoch]
	p.mu.Unlock()
	if key != nil {
		return key, nil
	}
	certificates, err := p.store.Certificates(ctx)
	if err != nil {
		return nil, err
	}
	keys := make(map[uint64]*threshold.PublicKey)
	for _, wire := range certificates {
		c, err := keygen.ParseCertificate(wire)
		if err != nil {
			return nil, err
		}
		keys[c.Committee.Epoch] = c.Committee.Key
	}
	if keys[epoch] == nil {
		return nil, fmt.Errorf("node: no certificate of epoch %d", epoch)
	}
	p.mu.Lock()
	p.keys = keys
	p.mu.Unlock()
	return keys[epoch], nil
}

// reader reads the log's hashes for proofs.
func (p *publisher) reader(ctx context.Context) tiles.Reader {
	return func(indexes []int64) ([]commitreveal.Hash, error) { return p.store.LogHashes(ctx, indexes) }
}

// LogCheckpoint is part of httpapi.LogBackend.
func (b backend) LogCheckpoint(ctx context.Context, size uint64) ([]byte, error) {
	row, err := b.n.store.LogCheckpoint(ctx, size)
	if errors.Is(err, pg.ErrNotFound) {
		return nil, httpapi.Errorf(v1.CodeNotFound, "no block has ended with a log of %d entries here; the log grows by blocks", size)
	}
	if err != nil {
		return nil, err
	}
	n, err := b.n.publish.signed(ctx, row)
	if errors.Is(err, errSignedMore) {
		return nil, errNotSynced
	}
	if err != nil {
		return nil, err
	}
	return n.Marshal()
}

// LogTile is part of httpapi.LogBackend.
func (b backend) LogTile(ctx context.Context, t tiles.Tile) ([]byte, error) {
	content, err := b.n.store.LogTile(ctx, t)
	if errors.Is(err, pg.ErrNotFound) {
		return nil, httpapi.Errorf(v1.CodeNotFound, "the log does not have all of %s (yet); fetch what a checkpoint's size asks for", t.Path())
	}
	return content, err
}

// LogBatch is part of httpapi.LogBackend.
func (b backend) LogBatch(ctx context.Context, height uint64) (lines []byte, revealed bool, err error) {
	txs, err := b.n.store.BatchTransactions(ctx, height)
	if errors.Is(err, pg.ErrNotFound) {
		return nil, false, noBatch(height)
	}
	if err != nil {
		return nil, false, err
	}
	for i := range txs {
		line := bundleLine(&txs[i], math.MaxInt64)
		text, err := commitreveal.MarshalBundleLine(&line)
		if err != nil {
			return nil, false, err
		}
		lines = append(append(lines, text...), '\n')
	}
	return lines, txs[0].Revealed, nil // a batch is revealed as a whole
}

func noBatch(height uint64) error {
	return httpapi.Errorf(v1.CodeNotFound, "the block of height %d has no batch, or is not there yet", height)
}

// LogRounds is part of httpapi.LogBackend.
func (b backend) LogRounds(ctx context.Context, after, height uint64) (lines []byte, err error) {
	if now := b.n.state().Height(); height > now {
		return nil, httpapi.Errorf(v1.CodeNotFound, "the block of height %d is not there yet", height)
	}
	rounds, err := b.n.store.Rounds(ctx, after, height, roundsPage)
	if err != nil {
		return nil, err
	}
	for _, r := range rounds {
		line := bundleRound(r)
		text, err := commitreveal.MarshalBundleLine(&line)
		if err != nil {
			return nil, err
		}
		lines = append(append(lines, text...), '\n')
	}
	return lines, nil
}

// roundsPage is how many rounds one answer has at most.
const roundsPage = 64

// LogLimits is part of httpapi.LogBackend.
func (b backend) LogLimits() ([]byte, error) { return json.Marshal(b.n.state().Genesis().Params) }

// LogCertificate is part of httpapi.LogBackend.
func (b backend) LogCertificate(ctx context.Context, hash commitreveal.Hash) ([]byte, error) {
	body, err := b.n.store.Certificate(ctx, hash)
	if errors.Is(err, pg.ErrNotFound) {
		return nil, httpapi.Errorf(v1.CodeNotFound, "no committee entry of the log names the certificate %s", hash)
	}
	return body, err
}

// LogEvidence is part of httpapi.LogBackend.
func (b backend) LogEvidence(ctx context.Context, hash commitreveal.Hash) ([]byte, error) {
	body, err := b.n.store.RecordedEvidence(ctx, hash)
	if errors.Is(err, pg.ErrNotFound) {
		return nil, httpapi.Errorf(v1.CodeNotFound, "no misbehaviour entry of the log names the evidence %s", hash)
	}
	return body, err
}

// LogProof is part of httpapi.LogBackend.
func (b backend) LogProof(ctx context.Context, id threshold.ID) ([]byte, error) {
	t, err := b.n.store.Transaction(ctx, id)
	if errors.Is(err, pg.ErrNotFound) || err == nil && t.Height == 0 {
		return nil, httpapi.Errorf(v1.CodeNotFound, "the transaction 0x%x is not in the log; a block has to order it first", id)
	}
	if err != nil {
		return nil, err
	}
	batch, err := b.n.store.Batch(ctx, t.Height)
	if err != nil {
		return nil, err
	}
	proof, _, entry, err := b.n.publish.proveCommit(ctx, b.n.store, batch)
	if err != nil {
		return nil, err
	}
	path, err := commitreveal.ProveInBatch(batch.IDs, int(t.Position))
	if err != nil {
		return nil, err
	}
	extra := commitreveal.TransactionProof{Entry: entry, Position: t.Position, Path: path, Ciphertext: t.Ciphertext}
	if t.Revealed {
		extra.Opening = &t.Opening
	}
	if proof.Extra, err = extra.MarshalBinary(); err != nil {
		return nil, err
	}
	return proof.Marshal()
}

// LogNamespace is part of httpapi.LogBackend.
func (b backend) LogNamespace(ctx context.Context, height uint64, namespace string) (v1.NamespaceProof, error) {
	if err := threshold.ValidNamespace(namespace); err != nil {
		return v1.NamespaceProof{}, httpapi.Errorf(ordering.CodeBadNamespace, "%v", err)
	}
	batch, err := b.n.store.Batch(ctx, height)
	if errors.Is(err, pg.ErrNotFound) {
		return v1.NamespaceProof{}, noBatch(height)
	}
	if err != nil {
		return v1.NamespaceProof{}, err
	}
	ids, namespaces, err := b.n.store.BatchNamespaces(ctx, height)
	if err != nil {
		return v1.NamespaceProof{}, err
	}
	complete, err := commitreveal.ProveNamespace(ids, namespaces, namespace)
	if err != nil {
		return v1.NamespaceProof{}, err
	}
	proof, wire, _, err := b.n.publish.proveCommit(ctx, b.n.store, batch)
	if err != nil {
		return v1.NamespaceProof{}, err
	}
	out := v1.NamespaceProof{Height: height, Namespace: namespace, Transactions: []v1.NamespaceID{}, EntryIndex: proof.Index, Entry: wire}
	for _, t := range complete.Transactions {
		out.Transactions = append(out.Transactions, v1.NamespaceID{Position: t.Position, ID: v1.HexOf(t.ID[:])})
	}
	if out.Proof, err = complete.MarshalBinary(); err != nil {
		return v1.NamespaceProof{}, err
	}
	text, err := proof.Marshal()
	out.TlogProof = string(text)
	return out, err
}

// proveCommit proves that the commit entry of a batch is in the log, at the batch's own checkpoint.
func (p *publisher) proveCommit(ctx context.Context, store *pg.Store, batch *pg.BatchInfo) (*note.Proof, []byte, commitreveal.CommitEntry, error) {
	size := batch.Checkpoint.LogSize
	fail := func(err error) (*note.Proof, []byte, commitreveal.CommitEntry, error) {
		return nil, nil, commitreveal.CommitEntry{}, err
	}
	row, err := store.LogCheckpoint(ctx, size)
	if err != nil {
		return fail(err)
	}
	entries, err := store.LogEntries(ctx, size-1, 1)
	if err != nil {
		return fail(err)
	}
	if len(entries) != 1 {
		return fail(fmt.Errorf("log entry %d is not there", size-1))
	}
	parsed, err := commitreveal.ParseEntry(entries[0].Entry)
	if err != nil {
		return fail(err)
	}
	entry, ok := parsed.(commitreveal.CommitEntry)
	if !ok || entry.Height != batch.Height {
		return fail(fmt.Errorf("log entry %d does not commit the batch of height %d", size-1, batch.Height))
	}
	proof := &note.Proof{Index: size - 1}
	if proof.Path, err = tiles.ProveInclusion(size, size-1, p.reader(ctx)); err != nil {
		return fail(err)
	}
	if proof.Note, err = p.signed(ctx, row); errors.Is(err, errSignedMore) {
		return fail(errNotSynced)
	} else if err != nil {
		return fail(err)
	}
	return proof, entries[0].Entry, entry, nil
}

// EvidenceList is part of httpapi.LogBackend.
func (b backend) EvidenceList(ctx context.Context, after uint64, limit int) (v1.EvidenceList, error) {
	all, err := b.n.store.Evidence(ctx, after, limit+1)
	if err != nil {
		return v1.EvidenceList{}, err
	}
	out := v1.EvidenceList{Evidence: []v1.EvidenceSummary{}}
	for i, e := range all {
		if i == limit {
			next := all[i-1].Number
			out.Next = &next
			break
		}
		hash := commitreveal.EvidenceHash(e.Body)
		out.Evidence = append(out.Evidence, v1.EvidenceSummary{
			Number: e.Number, Kind: e.Kind, Epoch: e.Epoch, Member: e.Member, Height: e.Height, Size: uint64(len(e.Body)), Hash: v1.HexOf(hash[:]),
		})
	}
	return out, nil
}

// OneEvidence is part of httpapi.LogBackend.
func (b backend) OneEvidence(ctx context.Context, number uint64) (kind string, body []byte, err error) {
	e, err := b.n.store.OneEvidence(ctx, number)
	if errors.Is(err, pg.ErrNotFound) {
		return "", nil, httpapi.Errorf(v1.CodeNotFound, "this node holds no evidence with the number %d", number)
	}
	if err != nil {
		return "", nil, err
	}
	return e.Kind, e.Body, nil
}
