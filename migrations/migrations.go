// Package migrations carries the database schema: numbered SQL files in tern's
// format, forward only. internal/pg applies them when it opens a database.
//
// A file that has been released is never edited; a change is the next number.
package migrations

import "embed"

// FS holds the files NNN_name.sql, numbered from 001 without a gap.
//
//go:embed *.sql
var FS embed.FS
