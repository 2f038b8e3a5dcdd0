package tiles_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal/tiles"
)

func FuzzParseHashes(f *testing.F) {
	f.Add(0, 2, make([]byte, 64))
	f.Add(-1, 2, make([]byte, 64))
	f.Add(0, 256, make([]byte, 63))
	f.Fuzz(func(t *testing.T, level, width int, b []byte) {
		hashes, err := tiles.ParseHashes(tiles.Tile{Level: level, Width: width}, b)
		if err != nil {
			if !errors.Is(err, tiles.ErrEncoding) {
				t.Error(err)
			}
			return
		}
		if again := tiles.AppendHashes(nil, hashes); !bytes.Equal(again, b) || len(hashes) != width {
			t.Errorf("%x encodes to %x", b, again)
		}
	})
}
