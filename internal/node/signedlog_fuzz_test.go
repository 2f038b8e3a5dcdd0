package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal/tiles"
)

// FuzzSignedLog: what a member remembers to have signed is read, or refused; never taken for nothing.
func FuzzSignedLog(f *testing.F) {
	good := `{"format":"scrim-signed-log/v1","chain_id":"x","size":5,"root":"0x` + strings.Repeat("0a", 32) + `"}`
	f.Add([]byte(good))
	f.Add([]byte(good[:len(good)-2]))
	f.Add([]byte(strings.Replace(good, "5", "0", 1)))
	f.Add([]byte{})
	path := filepath.Join(f.TempDir(), "signed-log.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := openSignedLog(path, "x")
		if err != nil {
			return
		}
		if size := l.largest().size; size == 0 || size > tiles.MaxSize {
			t.Errorf("%s is read as a log of %d entries", b, size)
		}
	})
}
