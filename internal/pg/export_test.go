package pg

import (
	"context"
	"time"
)

// The queries that must use an index.
const (
	TransactionQuery       = transactionQuery
	BatchTransactionsQuery = batchTransactionsQuery
	StreamQuery            = streamQuery
	BatchesQuery           = batchesQuery
	WaitingQuery           = waitingQuery
	LogEntriesQuery        = logEntriesQuery
	SeenQuery              = seenQuery
	CommitteesQuery        = committeesQuery
	CeremoniesQuery        = ceremoniesQuery
)

// Setting reads a server setting on a connection that blocks are written with.
func Setting(ctx context.Context, s *Store, name string) (value string, err error) {
	err = s.write.QueryRow(ctx, `SELECT current_setting($1)`, name).Scan(&value)
	return value, err
}

// SetClaimWait changes how long Claim waits for a database in use.
func SetClaimWait(d time.Duration) (restore func()) {
	before := claimWait
	claimWait = d
	return func() { claimWait = before }
}

// PageBytes is how many bytes of bodies a page holds; SetPageBytes changes it.
func PageBytes() int { return pageBytes }

func SetPageBytes(n int) (restore func()) {
	before := pageBytes
	pageBytes = n
	return func() { pageBytes = before }
}

// CommitteeBytes is how many bytes of certificates a page holds; SetCommitteeBytes changes it.
func CommitteeBytes() int { return committeeBytes }

func SetCommitteeBytes(n int) (restore func()) {
	before := committeeBytes
	committeeBytes = n
	return func() { committeeBytes = before }
}

// SetMentionBytes changes how many bytes of sections a page of Mentions looks through.
func SetMentionBytes(n int) (restore func()) {
	before := mentionBytes
	mentionBytes = n
	return func() { mentionBytes = before }
}
