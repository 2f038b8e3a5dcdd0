//go:build byzantine

package node

import (
	"context"
	"log/slog"

	"github.com/scrimlabs/scrim/threshold"
)

// RunByzantine is Run for a member that makes its shares with a wrong secret and signs
// checkpoints rightly. It exists in test builds only, to show that the others go on and
// keep the evidence.
func RunByzantine(ctx context.Context, cfg *Config, log *slog.Logger) error {
	return run(ctx, cfg, log, func(s sharer) sharer { return wrongSharer{s} })
}

type wrongSharer struct{ sharer }

func (w wrongSharer) ShareBatch(batch []*threshold.Checked) (*threshold.BatchShare, error) {
	wrong, err := threshold.NewSecretShare(w.Member(), &[threshold.ScalarSize]byte{threshold.ScalarSize - 1: 7})
	if err != nil {
		return nil, err
	}
	return wrong.ShareBatch(batch)
}
