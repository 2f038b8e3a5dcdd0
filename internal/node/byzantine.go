//go:build byzantine

package node

import (
	"context"
	"log/slog"
	"slices"
	"time"

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

type wrongSharer struct{ sharer }

func (w wrongSharer) ShareBatch(batch []*threshold.Checked) (*threshold.BatchShare, error) {
	wrong, err := threshold.NewSecretShare(w.Member(), &[threshold.ScalarSize]byte{threshold.ScalarSize - 1: 7})
	if err != nil {
		return nil, err
	}
	return wrong.ShareBatch(batch)
}
