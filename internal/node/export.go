package node

import (
	"context"
	"fmt"
	"io"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
)

const exportPage = 200

// export writes the audit bundle as of the state s: all log entries, each batch with its
// ciphertexts and what they had opened to by then. Blocks that are committed meanwhile
// are left out.
func export(ctx context.Context, store *pg.Store, s *ordering.State, w io.Writer) error {
	g, size := s.Genesis(), s.Log().Size()
	terms, err := firstTerms(ctx, store, s)
	if err != nil {
		return err
	}
	bundle, err := commitreveal.NewBundleWriter(w, commitreveal.BundleHeader{ChainID: g.ChainID, Terms: terms})
	if err != nil {
		return err
	}
	for from := uint64(0); from < size; {
		entries, err := store.LogEntries(ctx, from, int(min(exportPage, size-from)))
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			return fmt.Errorf("export: the database has %d of %d log entries", from, size)
		}
		for _, e := range entries {
			if err := exportEntry(ctx, store, bundle, s.Height(), e); err != nil {
				return fmt.Errorf("export log entry %d: %w", e.Index, err)
			}
		}
		from += uint64(len(entries))
	}
	return bundle.Close()
}

// firstTerms are those of the chain's first committee, or of its newest ceremony while
// there is none: whoever trusts them can follow the committees in the log from there on.
func firstTerms(ctx context.Context, store *pg.Store, s *ordering.State) ([]byte, error) {
	if s.Office() == nil {
		return s.Ceremony().Terms().MarshalBinary()
	}
	first, err := store.Committees(ctx, 0, 1)
	if err != nil {
		return nil, err
	}
	if len(first) == 0 {
		return nil, fmt.Errorf("export: the database has not the first committee of %s", s.Genesis().ChainID)
	}
	c, err := keygen.ParseCertificate(first[0].Certificate)
	if err != nil {
		return nil, fmt.Errorf("export: first committee: %w", err)
	}
	return c.Terms.MarshalBinary()
}

func exportEntry(ctx context.Context, store *pg.Store, bundle *commitreveal.BundleWriter, height uint64, e pg.LogEntry) error {
	entry, err := commitreveal.ParseEntry(e.Entry)
	if err != nil {
		return err
	}
	if err := bundle.Entry(e.Index, e.Entry); err != nil {
		return err
	}
	commit, ok := entry.(commitreveal.CommitEntry)
	if !ok {
		return nil
	}
	txs, err := store.BatchTransactions(ctx, commit.Height)
	if err != nil {
		return err
	}
	for i := range txs {
		t := &txs[i]
		line := commitreveal.BundleTransaction{Height: t.Height, Position: t.Position, Ciphertext: t.Ciphertext}
		if t.Revealed && t.RevealHeight <= height {
			line.Opening, line.Void, line.Plaintext = &t.Opening, t.Void, t.Plaintext
		}
		if err := bundle.Transaction(line); err != nil {
			return err
		}
	}
	return nil
}
