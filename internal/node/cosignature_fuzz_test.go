package node

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/note"
)

// FuzzCosignature: what a member sends about its log is kept as it is, or refused.
func FuzzCosignature(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	text := note.Checkpoint{Origin: note.Origin("x"), Size: 5, Root: commitreveal.Hash{1}}.Text()
	good := cosignatureMessage(head{5, commitreveal.Hash{1}}, note.Cosign(key, "x", text, 7).Data)[1:]
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		p := newPublisher()
		p.chainID = "x"
		err := p.receive(key.Public().(ed25519.PublicKey), b)
		switch {
		case err != nil && !errors.Is(err, errPeerMessage):
			t.Error(err)
		case (err == nil) != (len(p.inbox) == 1):
			t.Errorf("%x: %v, %d kept", b, err, len(p.inbox))
		case err == nil:
			if again := cosignatureMessage(p.inbox[0].head, p.inbox[0].signature.Data)[1:]; !bytes.Equal(again, b) {
				t.Errorf("%x is kept as %x", b, again)
			}
		}
	})
}
