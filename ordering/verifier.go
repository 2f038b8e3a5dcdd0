package ordering

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"golang.org/x/sync/singleflight"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
)

// Verifier checks ciphertexts, openings and evidence, and remembers what held, so that the
// same ciphertext is not proven again at the door, in the mempool, in a proposal
// and in the decided block. Only successes are remembered, under the hash of all
// their bytes; what falls out of memory is proven again. Safe for concurrent use.
type Verifier struct {
	checked  memo[threshold.ID, *threshold.Checked]
	checking singleflight.Group
	signed   memo[[32]byte, struct{}]
	opened   memo[[32]byte, []threshold.VerifiedOpening]
	proven   memo[[32]byte, struct{}]
}

// NewVerifier remembers ciphertexts of up to the given number of bytes together, and
// openings of as many.
func NewVerifier(bytes int) *Verifier {
	v := &Verifier{}
	v.checked.limit, v.opened.limit, v.signed.limit, v.proven.limit = bytes, bytes, bytes, bytes
	return v
}

// What a ciphertext and an opening take beside the ciphertext's bytes, roughly.
const (
	checkedOverhead = 1024
	openedSize      = 512
	signedSize      = 128
)

// Check proves one ciphertext.
func (v *Verifier) Check(c *threshold.Ciphertext) (*threshold.Checked, error) {
	id := c.ID()
	if k, ok := v.checked.get(id); ok {
		return k, nil
	}
	// A wallet's submission and another member's relay of it often come at once.
	k, err, _ := v.checking.Do(string(id[:]), func() (any, error) { return c.Check() })
	if err != nil {
		return nil, err
	}
	checked := k.(*threshold.Checked)
	v.checked.put(id, checked, len(c.Bytes())+checkedOverhead)
	return checked, nil
}

const domainOpenedMemo = "scrim/verifier/openings/v1"

func openedKey(key *threshold.PublicKey, root commitreveal.Hash, o BatchOpenings) [32]byte {
	h := sha256.New()
	h.Write([]byte(domainOpenedMemo))
	id := key.ID()
	h.Write(id[:])
	h.Write(root[:])
	for i := range o.Openings {
		h.Write(o.Openings[i][:])
	}
	return [32]byte(h.Sum(nil))
}

func (v *Verifier) openings(key *threshold.PublicKey, b *OrderedBatch, o BatchOpenings) ([]threshold.VerifiedOpening, error) {
	k := openedKey(key, b.Batch.Root, o)
	if vs, ok := v.opened.get(k); ok {
		return vs, nil
	}
	vs, err := threshold.VerifyOpenings(key, b.Ciphertexts, o.Openings)
	if err != nil {
		return nil, err
	}
	v.opened.put(k, vs, openedSize*len(vs))
	return vs, nil
}

const domainSignedMemo = "scrim/verifier/certificate/v1"

func signedKey(key *threshold.PublicKey, message []byte, sig threshold.Signature) [32]byte {
	id := key.ID()
	h := sha256.New()
	h.Write([]byte(domainSignedMemo))
	h.Write(id[:])
	h.Write(sig[:])
	h.Write(message)
	return [32]byte(h.Sum(nil))
}

// signature checks the committee's signature on a checkpoint.
func (v *Verifier) signature(key *threshold.PublicKey, message []byte, sig threshold.Signature) error {
	k := signedKey(key, message, sig)
	if _, ok := v.signed.get(k); ok {
		return nil
	}
	if err := threshold.VerifySignature(key, message, sig); err != nil {
		return err
	}
	v.signed.put(k, struct{}{}, signedSize)
	return nil
}

const domainProvenMemo = "scrim/verifier/evidence/v1"

// evidence checks what somebody is accused with, against a member of the tenure.
func (v *Verifier) evidence(t *Tenure, a *accusation) error {
	terms := t.Terms()
	h := sha256.New()
	h.Write([]byte(domainProvenMemo))
	h.Write(t.hash[:])
	h.Write(append(binary.BigEndian.AppendUint64(nil, a.Epoch), byte(a.Kind)))
	h.Write(a.Body)
	k := [32]byte(h.Sum(nil))
	if _, ok := v.proven.get(k); ok {
		return nil
	}
	if err := a.verify(t.Committee(), terms); err != nil {
		return err
	}
	v.proven.put(k, struct{}{}, signedSize)
	return nil
}

// Remember takes the openings of a batch and the certificate on its checkpoint that the
// caller itself combined, and that therefore hold.
func (v *Verifier) Remember(key *threshold.PublicKey, root commitreveal.Hash, vs []threshold.VerifiedOpening, checkpoint []byte, certificate threshold.Signature) {
	v.signed.put(signedKey(key, checkpoint, certificate), struct{}{}, signedSize)
	o := BatchOpenings{Openings: make([]threshold.Opening, len(vs))}
	for i := range vs {
		o.Openings[i] = vs[i].Opening()
	}
	v.opened.put(openedKey(key, root, o), vs, openedSize*len(vs))
}

// memo is a map that forgets its oldest entries when all together cost too much.
type memo[K comparable, V any] struct {
	mu    sync.Mutex
	limit int
	cost  int
	m     map[K]V
	order []costed[K] // oldest first
}

type costed[K comparable] struct {
	key  K
	cost int
}

func (c *memo[K, V]) get(k K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.m[k]
	return v, ok
}

func (c *memo[K, V]) put(k K, v V, cost int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.m[k]; ok || cost > c.limit {
		return
	}
	if c.m == nil {
		c.m = make(map[K]V)
	}
	c.m[k] = v
	c.order = append(c.order, costed[K]{k, cost})
	for c.cost += cost; c.cost > c.limit; {
		oldest := c.order[0]
		c.order = c.order[1:]
		c.cost -= oldest.cost
		delete(c.m, oldest.key)
	}
}
