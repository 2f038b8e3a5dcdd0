package main

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/mirror/mirrortest"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/internal/sim"
)

// checkpoints writes those of 0, 3 and all 7 entries, signed by member 1, as old0, old3 and old7; fork7, by which member 2 says that the log is
// another one, and unsigned3, which a stranger signed.
func (c *audited) checkpoints(t testing.TB, dir string) {
	var log commitreveal.Log
	write := func(name string, head note.Checkpoint, sign func(text string) note.Signature) {
		head.Origin = note.Origin(sim.ChainID)
		b, err := (&note.Note{Text: head.Text(), Signatures: []note.Signature{sign(head.Text())}}).Marshal()
		c.Must(err)
		c.Must(os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	by := func(member int) func(text string) note.Signature {
		return func(text string) note.Signature {
			return note.SignLog(c.Secrets[member-1].Identity(), sim.ChainID, text)
		}
	}
	head := func() note.Checkpoint { return note.Checkpoint{Size: log.Size(), Root: log.Root()} }
	write("old0", head(), by(1))
	for _, line := range mirrortest.FromChain(t, c.Chain) {
		l, ok := line.(*commitreveal.BundleEntry)
		if !ok {
			continue
		}
		next, _, err := log.Append(l.Entry)
		c.Must(err)
		log = next
		if n := log.Size(); n == 3 || n == 7 {
			write("old"+strconv.FormatUint(n, 10), head(), by(1))
		}
		if log.Size() == 3 {
			stranger := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
			write("unsigned3", head(), func(text string) note.Signature { return note.SignLog(stranger, sim.ChainID, text) })
		}
	}
	other := head()
	other.Root[0] ^= 1
	write("fork7", other, by(2))
}
