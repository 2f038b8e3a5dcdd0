package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/threshold"
)

// fake is a small node in memory. A ciphertext is any bytes here; the namespace
// decides what becomes of it.
type fake struct {
	mu      sync.Mutex
	txs     map[threshold.ID]v1.Transaction
	stream  []v1.Transaction // revealed, in order
	ready   v1.Readiness
	err     error // what every method gives, if set
	export  func(ctx context.Context, w io.Writer) error
	block   chan struct{} // Submit waits for it, if set
	reads   chan struct{} // Transcript says here that it began, if set, and waits for release
	release chan struct{}
}

func newFake() *fake {
	f := &fake{
		txs:   make(map[threshold.ID]v1.Transaction),
		ready: v1.Readiness{Ready: true, Height: 40, Epoch: 1, InOffice: true, Peers: 3},
	}
	return f
}

func idOf(b []byte) threshold.ID { return sha256.Sum256(b) }

func repeat(b byte, n int) v1.Hex { return bytes.Repeat([]byte{b}, n) }

func ptr[T any](v T) *T { return &v }

func (f *fake) Limits(context.Context) v1.Limits {
	return v1.Limits{ChainID: "scrim-test", Height: 40, MaxSizeClass: 9, MaxPlaintextBytes: 131068,
		MaxCiphertextBytes: 131400, MaxValidity: 1000, MaxBatch: 512, MaxPending: 10000}
}

func (f *fake) Health(context.Context) v1.Health {
	return v1.Health{Status: "ok", ChainID: "scrim-test", Node: "alice", Height: 40, Version: "test", Time: v1.UnixMilli(1_700_000_000_123)}
}

func (f *fake) Ready(context.Context) v1.Readiness { return f.ready }

func (f *fake) EncryptionKeys(context.Context) (v1.EncryptionKeys, error) {
	return v1.EncryptionKeys{ChainID: "scrim-test", Height: 40, Keys: []v1.EncryptionKey{
		{KeyID: repeat(2, 32), Epoch: 2, Suite: threshold.Suite, PublicKey: repeat(5, 144), Threshold: 3, Members: 4, ValidFrom: 60},
		{KeyID: repeat(1, 32), Epoch: 1, Suite: threshold.Suite, PublicKey: repeat(4, 144), Threshold: 3, Members: 4, ValidFrom: 5, ValidUntil: ptr(uint64(80))},
	}}, f.err
}

func (f *fake) Committee(context.Context) (v1.Committee, error) {
	return v1.Committee{ChainID: "scrim-test", Epoch: 1, Change: v1.ChangeFirst, Since: 5, Threshold: 3, TermsHash: repeat(7, 32), Terms: v1.Hex{1}, Certificate: v1.Hex{2}, Committee: v1.Hex{3},
		Members: []v1.CommitteeMember{{Index: 1, Name: "alice", Identity: repeat(1, 32), Key: repeat(2, 96), Certified: true}}}, f.err
}

// Committees: the fake has had those of epochs 1 to 3.
func (f *fake) Committees(_ context.Context, from uint64, limit int) (v1.Committees, error) {
	out := v1.Committees{ChainID: "scrim-test", Height: 40}
	for e := max(from, 1); e <= 3; e++ {
		if len(out.Committees) == limit {
			out.Next = &e
			break
		}
		c := v1.CommitteeRecord{Epoch: e, Change: v1.ChangeReshare, Threshold: 3, Members: 4, Since: 10 * e, KeyID: repeat(1, 32), TermsHash: repeat(byte(e), 32), Certificate: v1.Hex{byte(e)}, LogIndex: 7 * e}
		if e == 1 {
			c.Change = v1.ChangeFirst
		}
		if e < 3 {
			c.Until = ptr(10 * (e + 1))
		}
		out.Committees = append(out.Committees, c)
	}
	return out, f.err
}

// Transcript: the fake keeps what was said in the newest ceremony only.
func (f *fake) Transcript(_ context.Context, id string) ([]byte, error) {
	if f.reads != nil {
		f.reads <- struct{}{}
		<-f.release
	}
	if id != repeat(9, 32).String() {
		return nil, Errorf(v1.CodeNotFound, "no transcript of this ceremony")
	}
	return []byte{1, 2, 3}, f.err
}

func ceremonies() []v1.Ceremony {
	return []v1.Ceremony{
		{CeremonySummary: v1.CeremonySummary{ID: repeat(9, 32), Epoch: 2, Attempt: 1, Threshold: 3, Members: 4, Change: v1.ChangeRotate, PreviousEpoch: ptr(uint64(1)), Overlap: 20, Outcome: v1.CeremonyRunning,
			Phase: "dealing", StartHeight: 30, Deadline: ptr(uint64(50))}, ChainID: "scrim-test", Waiting: []uint32{2, 4}, Aborting: []uint32{1}, Terms: v1.Hex{1},
			Status: []v1.CeremonyMember{{Index: 1, Role: v1.RoleMember, Name: "alice", Identity: repeat(1, 32), Deal: "sent", Response: "-", Justification: "-", Certification: "-", Consent: "-", Stored: "-"},
				{Index: 5, Role: v1.RolePrevious, Name: "bob", Identity: repeat(2, 32), Deal: "-", Response: "-", Justification: "-", Certification: "-", Consent: "sent", Stored: "-"}}},
		{CeremonySummary: v1.CeremonySummary{ID: repeat(8, 32), Epoch: 1, Attempt: 2, Threshold: 3, Members: 4, Change: v1.ChangeFirst, Outcome: v1.CeremonySucceeded,
			Phase: "active", StartHeight: 1}, ChainID: "scrim-test", Terms: v1.Hex{1}, Certificate: v1.Hex{2}},
		{CeremonySummary: v1.CeremonySummary{ID: repeat(7, 32), Epoch: 1, Attempt: 1, Threshold: 3, Members: 4, Change: v1.ChangeFirst, Outcome: v1.CeremonyFailed,
			Phase: "failed", StartHeight: 1}, ChainID: "scrim-test", Terms: v1.Hex{1}, EndedIn: ptr("dealing"), Evidence: []v1.Hex{{1, 2}},
			Blame: []v1.Fault{{Member: 3, Phase: "dealing", Height: 9, Reason: "carol sent nothing before the deadline"}}},
	}
}

func (f *fake) Ceremonies(_ context.Context, before string, limit int) (v1.Ceremonies, error) {
	var out v1.Ceremonies
	from := before == ""
	for _, c := range ceremonies() {
		switch {
		case !from:
			from = c.ID.String() == before
		case len(out.Ceremonies) == limit:
			out.Next = out.Ceremonies[limit-1].ID
			return out, f.err
		default:
			out.Ceremonies = append(out.Ceremonies, c.CeremonySummary)
		}
	}
	if !from {
		return out, Errorf(v1.CodeNotFound, "no ceremony has these terms")
	}
	return out, f.err
}

func (f *fake) Ceremony(_ context.Context, id string) (v1.Ceremony, error) {
	for _, c := range ceremonies() {
		if c.ID.String() == id {
			return c, f.err
		}
	}
	return v1.Ceremony{}, Errorf(v1.CodeNotFound, "no ceremony has these terms")
}

// Relay refuses with a code that is the message's text, if it is one.
func (f *fake) Relay(ctx context.Context, id string, message []byte) (v1.CeremonyMessage, error) {
	if _, err := f.Ceremony(ctx, id); err != nil {
		return v1.CeremonyMessage{}, err
	}
	if _, ok := ProblemTypeOf(string(message)); ok {
		return v1.CeremonyMessage{}, fmt.Errorf("relay: %w", Errorf(string(message), "the reason").With("reason", "early").With("phase", "dealing"))
	}
	return v1.CeremonyMessage{Ceremony: repeat(9, 32), Kind: "abort", Member: 2}, nil
}

// Submit refuses with a code that is the ciphertext's text, if it is one.
func (f *fake) Submit(ctx context.Context, namespace string, ciphertext []byte) (v1.Transaction, error) {
	if f.block != nil {
		select {
		case <-f.block:
		case <-ctx.Done():
			return v1.Transaction{}, fmt.Errorf("wait for a place: %w", ctx.Err())
		}
	}
	if f.err != nil {
		return v1.Transaction{}, f.err
	}
	if string(ciphertext) == "panic" {
		panic("secret detail")
	}
	if _, ok := ProblemTypeOf(string(ciphertext)); ok {
		return v1.Transaction{}, fmt.Errorf("submit: %w", Errorf(string(ciphertext), "the reason"))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	id := idOf(ciphertext)
	if tx, ok := f.txs[id]; ok {
		return tx, nil
	}
	tx := v1.Transaction{ID: id[:], Namespace: namespace, Status: v1.StatusReceived, ValidUntil: 100, Receipt: &v1.Receipt{
		ChainID: "scrim-test", ID: id[:], Epoch: 1, Member: 1, ValidUntil: 100, Time: v1.UnixMilli(1_700_000_000_000),
		Position: uint64(len(f.txs) + 1), Head: repeat(3, 32), Signature: repeat(4, 64)}}
	f.txs[id] = tx
	return tx, nil
}

// reveal makes the transaction final.
func (f *fake) reveal(id threshold.ID, height uint64, position uint32, plaintext []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	tx := f.txs[id]
	tx.Status, tx.Height, tx.Position, tx.Place, tx.RevealHeight = v1.StatusRevealed, &height, &position, &position, ptr(height+1)
	tx.Opening, tx.Plaintext = repeat(6, 48), v1.HexOf(plaintext)
	tx.Times = blockTimes(true)
	f.txs[id] = tx
	f.stream = append(f.stream, tx)
}

func (f *fake) Transaction(_ context.Context, id threshold.ID) (v1.Transaction, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	tx, ok := f.txs[id]
	if !ok {
		return tx, Errorf(v1.CodeNotFound, "this node knows nothing of the transaction")
	}
	return tx, f.err
}

func (f *fake) Order(_ context.Context, id threshold.ID, other *threshold.ID) (v1.Order, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	tx, ok := f.txs[id]
	if !ok {
		return v1.Order{}, Errorf(v1.CodeNotFound, "this node knows nothing of the transaction")
	}
	o := v1.Order{ID: id[:], State: v1.OrderStated, Epoch: ptr(uint64(1)), SearchedFrom: ptr(uint64(1)), Logs: []v1.LogPlace{{Member: 1, Place: ptr(uint32(1)), Position: ptr(uint64(7)), Time: ptr(v1.UnixMilli(1_800_000_000_000))}, {Member: 2}}, Wait: &v1.OrderWait{Held: 1, Solid: 3, ForgottenAt: ptr(uint64(9))}}
	if tx.Height != nil {
		o.State, o.Height, o.Place, o.Wait = v1.OrderOrdered, tx.Height, tx.Place, nil
		o.Time = ptr(v1.UnixMilli(1_800_000_000_000))
	}
	if other != nil {
		o.Other = &v1.OrderBetween{First: id[:], Second: other[:], Reason: "beacon", Forward: 2, Backward: 2, Won: id[:], Lost: other[:]}
	}
	return o, f.err
}

// blockTimes are those of a revealed batch, whose reveal may be followed by a block or not yet.
func blockTimes(followed bool) *v1.BlockTimes {
	t := &v1.BlockTimes{Header: v1.UnixMilli(1_700_000_000_000), Ordered: ptr(v1.UnixMilli(1_700_000_000_100))}
	if followed {
		t.Recorded = ptr(v1.UnixMilli(1_700_000_000_200))
	}
	return t
}

func batchSummary(height uint64) v1.BatchSummary {
	b := v1.BatchSummary{Height: height, Epoch: 1, Phase: "sharing", Count: 1, Root: repeat(1, 32), Checkpoint: &v1.Checkpoint{
		ChainID: "scrim-test", Height: height, Epoch: 1, BatchRoot: repeat(1, 32), LogSize: height, LogRoot: repeat(2, 32), Message: v1.Hex{9}}}
	if height < 40 {
		b.Phase, b.RevealHeight, b.Certificate = v1.PhaseRevealed, ptr(height+1), repeat(3, 48)
		b.Times = blockTimes(height < 39)
	}
	return b
}

// Batches: the fake has one at each height from 1 to 40.
func (f *fake) Batches(_ context.Context, before uint64, limit int) (v1.Batches, error) {
	var out v1.Batches
	if before == 0 || before > 41 {
		before = 41
	}
	for h := before - 1; h > 0 && len(out.Batches) < limit; h-- {
		out.Batches = append(out.Batches, batchSummary(h))
	}
	if n := len(out.Batches); n > 0 && out.Batches[n-1].Height > 1 {
		out.Next = ptr(out.Batches[n-1].Height)
	}
	return out, f.err
}

func (f *fake) Batch(_ context.Context, height uint64) (v1.Batch, error) {
	if height > 40 {
		return v1.Batch{}, Errorf(v1.CodeNotFound, "height %d ordered nothing", height)
	}
	b := v1.Batch{BatchSummary: batchSummary(height), Transactions: []v1.BatchItem{{ID: repeat(1, 32), Namespace: "demo", Status: v1.StatusOrdered}}}
	if height < 40 {
		b.Transactions[0].Status, b.Transactions[0].Opening = v1.StatusVoid, repeat(6, 48)
	}
	return b, f.err
}

func (f *fake) Stream(_ context.Context, namespace string, after v1.Cursor, limit int) (v1.StreamPage, error) {
	if namespace == "-" {
		return v1.StreamPage{}, (&Error{Code: v1.CodeInvalidNamespace})
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	page := v1.StreamPage{Namespace: namespace, Next: after}
	for _, tx := range f.stream {
		at := v1.Cursor{Height: *tx.Height, Place: *tx.Place}
		if tx.Namespace != namespace || at.Height < after.Height || at.Height == after.Height && at.Place <= after.Place {
			continue
		}
		if len(page.Transactions) == limit {
			page.More = true
			break
		}
		page.Transactions = append(page.Transactions, tx)
		page.Next = at
	}
	return page, f.err
}

func (f *fake) Export(ctx context.Context, w io.Writer) error {
	if f.export != nil {
		return f.export(ctx, w)
	}
	_, err := io.WriteString(w, "{\"format\":\"scrim-audit-bundle/v1\"}\n")
	return errors.Join(err, f.err)
}
