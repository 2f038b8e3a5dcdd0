package pg

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// durableSettings are the server's settings on which it depends that what was committed is still there after a crash, the
// values that are good, and what the others lead to.
var durableSettings = []struct {
	name  string
	good  []string
	risks string
}{
	{"fsync", []string{"on"}, "a crash of the machine may lose or damage everything"},
	{"full_page_writes", []string{"on"}, "a crash of the machine may leave pages half written"},
	{"synchronous_commit", []string{"on", "remote_apply", "remote_write", "local"}, "a crash of the server loses what it said was stored"},
}

// CheckDurable reads on a connection that blocks are written with whether the server keeps what it says it stored:
// fsync, full_page_writes and synchronous_commit. ErrUnsafe if it need not; the text says which setting and what to do.
// [Open] has asked for synchronous_commit itself, whatever the server's, the database's or the role's default, so that one is wrong only
// if something between node and server drops what a connection asks for.
func (s *Store) CheckDurable(ctx context.Context) error {
	var wrong []string
	for _, want := range durableSettings {
		var have string
		if err := s.write.QueryRow(ctx, `SELECT current_setting($1)`, want.name).Scan(&have); err != nil {
			return fmt.Errorf("read the setting %s: %w", want.name, err)
		}
		if !slices.Contains(want.good, have) {
			wrong = append(wrong, fmt.Sprintf("%s = %s (%s)", want.name, have, want.risks))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%w: it runs with %s; set each to on in postgresql.conf and restart the server", ErrUnsafe, strings.Join(wrong, ", "))
	}
	return nil
}
