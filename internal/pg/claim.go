package pg

import (
	"context"
	"fmt"
	"time"
)

const (
	claimLock = 0x7363_7269_6d_02 // "scrim", 2
	claimPoll = 100 * time.Millisecond
)

// claimWait is for the server to notice that a predecessor's process has gone.
var claimWait = 10 * time.Second

// Claim makes the database this store's alone until it is closed or its process
// ends: two members, or one member twice, must not share a receive log and a share guard.
// ErrClaimed if another process has it and keeps it. Reading, as an export does, needs no claim.
//
// The claim is a lock on a connection. It is lost with the server's restart, and is
// meant for mistakes of configuration, which show at the start.
func (s *Store) Claim(ctx context.Context) error {
	pooled, err := s.write.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("claim database: %w", err)
	}
	conn := pooled.Hijack() // stays out of the pool: the lock lives as long as it does
	for deadline := time.Now().Add(claimWait); ; {
		var ok bool
		err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, int64(claimLock)).Scan(&ok)
		if err == nil && !ok && time.Now().After(deadline) {
			err = ErrClaimed
		}
		if err == nil && !ok {
			err = sleep(ctx, claimPoll)
		}
		if err != nil {
			_ = conn.Close(context.WithoutCancel(ctx))
			return fmt.Errorf("claim database %q: %w", conn.Config().Database, err)
		}
		if ok {
			s.claim = conn
			return nil
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
