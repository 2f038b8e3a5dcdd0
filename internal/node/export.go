package node

import (
	"context"
	"encoding/json"
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
	limits, err := json.Marshal(g.Params)
	if err != nil {
		return err
	}
	bundle, err := commitreveal.NewBundleWriter(w, commitreveal.BundleHeader{ChainID: g.ChainID, Terms: terms, Limits: limits})
	if err != nil {
		return err
	}
	x := exporter{store: store, bundle: bundle}
	for from := uint64(0); from < size; {
		entries, err := store.LogEntries(ctx, from, int(min(exportPage, size-from)))
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			return fmt.Errorf("export: the database has %d of %d log entries", from, size)
		}
		for _, e := range entries {
			if err := x.entry(ctx, s.Height(), e); err != nil {
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

// exporter writes entries, with the rounds before and the transactions after them.
type exporter struct {
	store  *pg.Store
	bundle *commitreveal.BundleWriter
	rounds uint64 // height up to which they are written
}

func (x *exporter) entry(ctx context.Context, height uint64, e pg.LogEntry) error {
	entry, err := commitreveal.ParseEntry(e.Entry)
	if err != nil {
		return err
	}
	switch entry := entry.(type) {
	case commitreveal.CommitteeEntry:
		err = x.roundsUpTo(ctx, entry.Height)
	case commitreveal.CommitEntry:
		err = x.roundsUpTo(ctx, entry.Height)
	case commitreveal.ExpiredEntry:
		err = x.roundsUpTo(ctx, entry.Height)
	}
	if err != nil {
		return err
	}
	if err := x.bundle.Entry(e.Index, e.Entry); err != nil {
		return err
	}
	switch entry := entry.(type) {
	case commitreveal.CommitteeEntry:
		certificate, err := x.store.Certificate(ctx, entry.Certificate)
		if err != nil {
			return err
		}
		return x.bundle.Certificate(certificate)
	case commitreveal.MisbehaviourEntry:
		body, err := x.store.RecordedEvidence(ctx, entry.Evidence)
		if err != nil {
			return err
		}
		return x.bundle.Evidence(body)
	case commitreveal.CommitEntry:
		return x.batch(ctx, height, entry.Height)
	}
	return nil
}

func (x *exporter) roundsUpTo(ctx context.Context, height uint64) error {
	for x.rounds < height {
		rounds, err := x.store.Rounds(ctx, x.rounds, height, exportPage)
		if err != nil {
			return err
		}
		for _, r := range rounds {
			if err := x.bundle.Round(bundleRound(r)); err != nil {
				return err
			}
			x.rounds = r.Height
		}
		if len(rounds) == 0 {
			x.rounds = height
		}
	}
	return nil
}

func bundleRound(r ordering.Round) commitreveal.BundleRound {
	return commitreveal.BundleRound{Height: r.Height, Section: r.Section, Aside: r.Aside}
}

// batch writes the batch of a height as of the height now.
func (x *exporter) batch(ctx context.Context, now, height uint64) error {
	txs, err := x.store.BatchTransactions(ctx, height)
	if err != nil {
		return err
	}
	for i := range txs {
		if err := x.bundle.Transaction(bundleLine(&txs[i], now)); err != nil {
			return err
		}
	}
	return nil
}

// bundleLine is a transaction as of a height.
func bundleLine(t *pg.Transaction, now uint64) commitreveal.BundleTransaction {
	line := commitreveal.BundleTransaction{Height: t.Height, Position: t.Position, Ciphertext: t.Ciphertext}
	if t.Revealed && t.RevealHeight <= now {
		line.Opening, line.Void, line.Plaintext = &t.Opening, t.Void, t.Plaintext
	}
	return line
}
