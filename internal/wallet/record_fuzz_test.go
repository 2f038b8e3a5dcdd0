package wallet_test

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/scrimlabs/scrim/internal/wallet"
	"github.com/scrimlabs/scrim/threshold"
	"github.com/scrimlabs/scrim/threshold/thresholdtest"
)

// FuzzReadRecords: a receipts file is read, or refused.
func FuzzReadRecords(f *testing.F) {
	c, _ := thresholdtest.Deal("records", 1, 4, 3)
	ct, err := threshold.Seal(rand.NewChaCha8([32]byte{}), c.Key, threshold.SealOptions{ChainID: "x", Namespace: "n", ValidUntil: 9}, []byte("p"))
	if err != nil {
		f.Fatal(err)
	}
	line, err := json.Marshal(wallet.NewRecord(ct))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(line)
	f.Add(append(line, line...))
	f.Add([]byte("{}\n[]"))
	name := filepath.Join(f.TempDir(), "receipts.jsonl")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		records, err := wallet.ReadRecords(name)
		if err != nil && records != nil {
			t.Errorf("%d records of a file that is refused", len(records))
		}
		_ = wallet.Receipts(records)
	})
}
