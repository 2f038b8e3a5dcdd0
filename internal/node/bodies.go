package node

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

const (
	// fetchFor is how long a proposer waits for bodies that it has not received: about half of what the others wait for it.
	fetchFor = 150 * time.Millisecond
	// askNext is how long one member is waited for before another one is asked.
	askNext = 30 * time.Millisecond
	// servedAtOnce is how many requests of other members wait to be answered.
	servedAtOnce = 16
	// loggedAtOnce is how many bodies of other members' logs wait to be checked; what is more is asked for again.
	loggedAtOnce = 256
)

// bodyStore has the ciphertexts that this member received and that are not ordered yet.
type bodyStore interface {
	Bodies(ctx context.Context, ids []threshold.ID) ([][]byte, error)
}

// bodies finds the ciphertexts that a block must have: in the inbox, or at a member that has them. What is ordered is in the
// logs of at least f+1 honest members.
type bodies struct {
	store    bodyStore
	net      network
	maxBatch int
	members  func() []ed25519.PublicKey // in office; this one may be among them
	log      *slog.Logger
	requests chan bodyRequest

	mu     sync.Mutex
	wanted map[threshold.ID][]byte // nil until it has come
	came   chan struct{}           // capacity 1
	next   int                     // member to ask first
	lacked map[threshold.ID]bool   // asked for since another member's log has them
	logged chan *threshold.Ciphertext
}

type bodyRequest struct {
	from ed25519.PublicKey
	ids  []threshold.ID
}

func newBodies() *bodies {
	return &bodies{requests: make(chan bodyRequest, servedAtOnce), wanted: make(map[threshold.ID][]byte), came: make(chan struct{}, 1), logged: make(chan *threshold.Ciphertext, loggedAtOnce)}
}

// find gives the ciphertexts as far as they can be had soon.
func (b *bodies) find(ctx context.Context, ids []threshold.ID) [][]byte {
	if len(ids) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, fetchFor)
	defer cancel()
	found, err := b.store.Bodies(ctx, ids)
	if err != nil {
		b.log.Warn("bodies not read; they are asked for", "err", err)
	}
	have := make(map[threshold.ID]bool, len(ids))
	for _, body := range found {
		if ct, err := threshold.ParseCiphertext(body); err == nil {
			have[ct.ID()] = true
		}
	}
	var missing []threshold.ID
	for _, id := range ids {
		if !have[id] {
			missing = append(missing, id)
		}
	}
	return append(found, b.fetch(ctx, missing)...)
}

// fetch asks one member after the other.
func (b *bodies) fetch(ctx context.Context, ids []threshold.ID) [][]byte {
	if len(ids) == 0 {
		return nil
	}
	b.mu.Lock()
	for _, id := range ids {
		b.wanted[id] = nil
	}
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		clear(b.wanted)
		b.mu.Unlock()
	}()
	ask := time.NewTicker(askNext)
	defer ask.Stop()
	for {
		b.ask(ids)
		for asked := true; asked; {
			found, whole := b.arrived(ids)
			if whole {
				b.log.Info("bodies fetched from other members for a proposal", "count", len(ids))
				return found
			}
			select {
			case <-ctx.Done():
				b.log.Warn("bodies of decided ciphertexts are missing; this turn to propose may be lost", "missing", len(ids)-len(found))
				return found
			case <-b.came:
			case <-ask.C:
				asked = false
			}
		}
	}
}

// ask sends what is missing to the next member that is connected.
func (b *bodies) ask(ids []threshold.ID) {
	message := []byte{messageWantBodies}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range ids {
		if b.wanted[id] == nil {
			message = append(message, id[:]...)
		}
	}
	members := b.members()
	for range members {
		b.next = (b.next + 1) % len(members)
		if b.net.Send(members[b.next], message) {
			return
		}
	}
}

// askLogged asks members for what their logs have, as much as one message asks for. It forgets what it has asked for before.
func (b *bodies) askLogged(from []ed25519.PublicKey, lost [][]threshold.ID) {
	lacked, messages := make(map[threshold.ID]bool), make([][]byte, len(lost))
	for i, ids := range lost {
		messages[i] = []byte{messageWantBodies}
		for _, id := range ids {
			if !lacked[id] && len(messages[i]) < 1+b.maxBatch*len(id) {
				lacked[id] = true
				messages[i] = append(messages[i], id[:]...)
			}
		}
	}
	b.mu.Lock()
	b.lacked = lacked
	b.mu.Unlock()
	for i, message := range messages {
		if len(message) > 1 {
			b.net.Send(from[i], message)
		}
	}
}

func (b *bodies) arrived(ids []threshold.ID) (found [][]byte, whole bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range ids {
		if body := b.wanted[id]; body != nil {
			found = append(found, body)
		}
	}
	return found, len(found) == len(ids)
}

// receiveBody takes a body that was asked for. Others are not kept, but it is no fault: they may come late.
func (b *bodies) receiveBody(body []byte) error {
	if len(body) > ordering.MaxTxSize {
		return errPeerMessage
	}
	ct, err := threshold.ParseCiphertext(body)
	if err != nil {
		return errPeerMessage
	}
	b.mu.Lock()
	if _, ok := b.wanted[ct.ID()]; ok {
		b.wanted[ct.ID()] = ct.Bytes()
	}
	if b.lacked[ct.ID()] {
		select {
		case b.logged <- ct:
			delete(b.lacked, ct.ID())
		default:
		}
	}
	b.mu.Unlock()
	select {
	case b.came <- struct{}{}:
	default:
	}
	return nil
}

// receiveRequest takes another member's request. It asks again elsewhere if there is no room.
func (b *bodies) receiveRequest(from ed25519.PublicKey, body []byte) error {
	const size = len(threshold.ID{})
	if len(body) == 0 || len(body)%size != 0 || len(body)/size > b.maxBatch {
		return errPeerMessage
	}
	r := bodyRequest{from: from, ids: make([]threshold.ID, len(body)/size)}
	for i := range r.ids {
		copy(r.ids[i][:], body[i*size:])
	}
	select {
	case b.requests <- r:
	default:
	}
	return nil
}

// run answers requests until ctx ends.
func (b *bodies) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-b.requests:
			found, err := b.store.Bodies(ctx, r.ids)
			if err != nil {
				b.log.Warn("bodies not read for another member", "identity", fmt.Sprintf("0x%x", []byte(r.from)), "err", err)
			}
			for _, body := range found {
				b.net.Send(r.from, append([]byte{messageBody}, body...))
			}
		}
	}
}
