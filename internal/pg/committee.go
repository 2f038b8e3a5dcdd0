package pg

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

// Committee is one that is or was in office.
type Committee struct {
	Epoch       uint64
	Since       uint64 // height of the block that put it in office
	Until       uint64 // height of the block that put the next in office; 0: in office
	Change      string // as keygen.Change spells it
	Threshold   uint32
	Members     uint32
	KeyID       threshold.KeyID
	TermsHash   [32]byte
	LogIndex    uint64 // of its entry in the commit-reveal log
	Certificate []byte // keygen.Certificate, as in the log entry
}

// committeeOf gives the row of the committee that a block puts in office, nil if it puts
// none there.
func committeeOf(r *ordering.Result) (*Committee, error) {
	if r.Activated == nil {
		return nil, nil //nolint:nilnil // most blocks activate none
	}
	cert, terms := r.Activated.Certificate(), r.Activated.Terms()
	if r.Activated.Since != r.Height {
		return nil, fmt.Errorf("its committee is in office since block %d", r.Activated.Since)
	}
	index, _, err := committeeEntry(r.Records)
	if err != nil {
		return nil, err
	}
	return &Committee{
		Epoch: terms.Epoch, Since: r.Height, Change: terms.Change.String(),
		Threshold: uint32(terms.Threshold), Members: uint32(len(terms.Members)),
		KeyID: cert.Committee.Key.ID(), TermsHash: terms.Hash(), LogIndex: index, Certificate: r.Certificates[0],
	}, nil
}

func committeeEntry(records []ordering.Record) (index uint64, entry commitreveal.CommitteeEntry, err error) {
	for _, r := range records {
		e, err := commitreveal.ParseEntry(r.Entry)
		if err != nil {
			return 0, entry, err
		}
		if entry, ok := e.(commitreveal.CommitteeEntry); ok {
			return r.Index, entry, nil
		}
	}
	return 0, entry, errors.New("it puts a committee in office without an entry in the log")
}

// queue adds the committee's row to a block's.
func (c *Committee) queue(q *pgx.Batch) {
	q.Queue(`INSERT INTO committees (epoch, since, change, threshold, members, key_id, terms_hash, log_index, certificate)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		c.Epoch, c.Since, c.Change, c.Threshold, c.Members, c.KeyID[:], c.TermsHash[:], c.LogIndex, c.Certificate)
}

// committeeBytes bounds the certificates in one page, so that it is no large answer in hex.
var committeeBytes = 4 << 20

const committeesQuery = `
SELECT epoch, since, coalesce((SELECT min(since) FROM committees n WHERE n.since > page.since), 0),
	change, threshold, members, key_id, terms_hash, log_index, certificate FROM (
	SELECT *, sum(octet_length(certificate)) OVER (ORDER BY epoch) AS bytes
	FROM (SELECT * FROM committees WHERE epoch >= $1 ORDER BY epoch LIMIT $2) c
) page WHERE bytes - octet_length(certificate) < $3 ORDER BY epoch`

// Committees gives the chain's committees from an epoch on, oldest first. limit: see
// [MaxPage]; a page is the last one only when it is empty.
func (s *Store) Committees(ctx context.Context, from uint64, limit int) ([]Committee, error) {
	rows, err := s.read.Query(ctx, committeesQuery, min(from, maxHeight), pageLimit(limit), committeeBytes)
	if err != nil {
		return nil, fmt.Errorf("read committees: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c Committee, err error) {
		err = row.Scan(&c.Epoch, &c.Since, &c.Until, &c.Change, &c.Threshold, &c.Members,
			fixed(c.KeyID[:]), fixed(c.TermsHash[:]), &c.LogIndex, &c.Certificate)
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("read committees: %w", err)
	}
	return all, nil
}

// OfficeBefore gives the certificate (keygen.Certificate) of the committee that was in office before the block of a height, and the height of
// the block that put it there; ErrNotFound if there was none.
func (s *Store) OfficeBefore(ctx context.Context, height uint64) (certificate []byte, since uint64, err error) {
	err = s.read.QueryRow(ctx, `SELECT certificate, since FROM committees WHERE since < $1 ORDER BY since DESC LIMIT 1`, min(height, maxHeight)).
		Scan(&certificate, &since)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, 0, fmt.Errorf("committee before block %d: %w", height, ErrNotFound)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read committee: %w", err)
	}
	return certificate, since, nil
}

// OfficeEnded gives the height of the block that ended the office of an epoch's
// committee, 0 if it has not ended or never began.
func (s *Store) OfficeEnded(ctx context.Context, epoch uint64) (height uint64, err error) {
	err = s.read.QueryRow(ctx, `SELECT coalesce(min(n.since), 0) FROM committees c JOIN committees n ON n.since > c.since WHERE c.epoch = $1`, epoch).Scan(&height)
	if err != nil {
		return 0, fmt.Errorf("read the end of epoch %d: %w", epoch, err)
	}
	return height, nil
}
