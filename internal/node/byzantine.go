//go:build byzantine

package node

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"slices"
	"time"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// RunByzantine is Run for a member that makes its shares with a wrong secret and signs
// checkpoints rightly. It exists in test builds only, to show that the others go on and
// keep the evidence.
func RunByzantine(ctx context.Context, cfg *Config, log *slog.Logger) error {
	return runWith(ctx, cfg, log, tampering{share: func(s sharer) sharer { return wrongSharer{s} }})
}

// RunReversing is Run for a member that keeps what it receives back for a moment and logs it in the opposite order.
func RunReversing(ctx context.Context, cfg *Config, log *slog.Logger) error {
	return runWith(ctx, cfg, log, tampering{log: func(group []submission, more <-chan submission) []submission {
		for wait := time.After(keepBack); ; {
			select {
			case s := <-more:
				group = append(group, s)
				continue
			case <-wait:
			}
			slices.Reverse(group)
			return group
		}
	}})
}

// keepBack is for how long a reversing member collects.
const keepBack = 400 * time.Millisecond

// RunCensoring is Run for a member that, as proposer, leaves all statements out while they have something of a namespace.
func RunCensoring(ctx context.Context, cfg *Config, log *slog.Logger, namespace string) error {
	return runWith(ctx, cfg, log, tampering{propose: func(store *pg.Store, all []*fair.Announcement) []*fair.Announcement {
		var ids []threshold.ID
		for i := range all {
			ids = append(ids, all[i].IDs...)
		}
		bodies, err := store.Bodies(ctx, ids)
		if err != nil {
			return nil
		}
		for _, body := range bodies {
			if ct, err := threshold.ParseCiphertext(body); err == nil && ct.Header().Namespace == namespace {
				log.Info("proposing without statements")
				return nil
			}
		}
		return all
	}})
}

// RunDropping is Run for a member that, as proposer, leaves out one of the ciphertexts that its block must have.
func RunDropping(ctx context.Context, cfg *Config, log *slog.Logger) error {
	return runWith(ctx, cfg, log, tampering{block: func(txs [][]byte) [][]byte {
		if len(txs) == 0 || ordering.CiphertextOf(txs[len(txs)-1]) == nil {
			return txs
		}
		log.Info("proposing a block without its last ciphertext")
		return txs[:len(txs)-1]
	}})
}

// RunForking is Run for a member that has two receive logs: it tells every second of the others that what it received last is something
// else, under a good signature.
func RunForking(ctx context.Context, cfg *Config, log *slog.Logger) error {
	return runWith(ctx, cfg, log, tampering{channel: func(n *running, net network) network { return &forkingChannel{network: net, n: n} }})
}

// RunSecretive is Run for a member that tells what it received to the first two members only, and gives nobody a body.
func RunSecretive(ctx context.Context, cfg *Config, log *slog.Logger) error {
	return runWith(ctx, cfg, log, tampering{channel: func(n *running, net network) network { return secretiveChannel{net, n} }})
}

type forkingChannel struct {
	network
	n *running
}

func (f *forkingChannel) Broadcast(message []byte) {
	other := f.other(message)
	for i, member := range f.n.state().Identities() {
		if i%2 == 0 && other != nil {
			f.Send(member, other)
			continue
		}
		f.Send(member, message)
	}
}

// other is an announcement of as many ids, the last of which is another one; nil if there is nothing to change.
func (f *forkingChannel) other(message []byte) []byte {
	s := f.n.state()
	an, err := s.Genesis().Params.Order.Rule.ParseAnnouncement(message[1:])
	if err != nil || message[0] != messageAnnouncement || len(an.IDs) == 0 {
		return nil
	}
	base, _ := s.CommittedLog(f.n.self)
	if base.Sequence+uint64(len(an.IDs)) != an.Statement.Sequence {
		return nil // the state is a block ahead of the announcement
	}
	c := fair.Chunk{Member: an.Statement.Member, Sequence: an.Statement.Sequence, IDs: slices.Clone(an.IDs), Head: base.Head}
	c.IDs[len(c.IDs)-1][0] ^= 1
	for _, id := range c.IDs {
		c.Head = commitreveal.NextHead(c.Head, id)
	}
	forged, err := fair.ReceiveOrder.Say(f.n.announcer.key, s.Genesis().ChainID, an.Statement.Height, c)
	if err != nil {
		return nil
	}
	wire, err := forged.MarshalBinary()
	if err != nil {
		return nil
	}
	return append([]byte{messageAnnouncement}, wire...)
}

type secretiveChannel struct {
	network
	n *running
}

func (c secretiveChannel) Broadcast(message []byte) {
	for _, member := range c.n.state().Identities()[:2] {
		c.network.Send(member, message)
	}
}

func (c secretiveChannel) Send(to ed25519.PublicKey, message []byte) bool {
	if len(message) > 0 && message[0] == messageBody {
		return true // it is not given
	}
	return c.network.Send(to, message)
}

type wrongSharer struct{ sharer }

func (w wrongSharer) ShareBatch(batch []*threshold.Checked) (*threshold.BatchShare, error) {
	wrong, err := threshold.NewSecretShare(w.Member(), &[threshold.ScalarSize]byte{threshold.ScalarSize - 1: 7})
	if err != nil {
		return nil, err
	}
	return wrong.ShareBatch(batch)
}
