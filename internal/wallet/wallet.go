// Package wallet is the client's side of Scrim: what somebody does who holds a
// transaction, knows the addresses of some nodes, and trusts none of them.
//
// [Open] asks all nodes for the chain's committees, and follows their certificates from
// a pinned first one to the one in office. [Wallet.Seal] seals locally, [Wallet.Submit] hands the ciphertext to every
// node and checks the receipts, [Wallet.Check] checks what a node says became of
// it. [Audit] replays an exported bundle offline.
//
// Invariants: nothing is sealed to a key that does not go back, by t members of each
// committee between, to the pinned terms; a plaintext never leaves the process; what a node says is
// believed only as far as the committee's key or a member's signature proves it.
//
// Both cmd/scrim and the demo are built on it; it links neither CometBFT nor pgx.
package wallet

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/succession"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/threshold"
)

// Errors that callers branch on.
var (
	ErrNoNode      = errors.New("no node answered")
	ErrPin         = errors.New("the committee is not the pinned one")
	ErrDisagree    = errors.New("the nodes disagree about the committees")
	ErrUnconfirmed = errors.New("no node gave a valid receipt")
	ErrFalseClaim  = errors.New("the node's claim does not hold")
)

// Options say whom to trust and how to reach the nodes.
type Options struct {
	// TermsPin pins the terms of the chain's first committee (keygen.Terms.Pin).
	TermsPin *[32]byte
	// TermsHash pins exactly these terms of the first committee. Without either TrustFile decides.
	TermsHash *[32]byte
	// TrustFile holds a pin for each chain seen before, and gets one for a new chain.
	TrustFile string
	// Client says how the nodes are asked.
	Client client.Options
	// Timeout bounds the first questions to all nodes; 0 means 10 s.
	Timeout time.Duration
}

// Wallet is a checked connection to the nodes of one chain.
type Wallet struct {
	Certificate *keygen.Certificate // verified; of the committee in office when the nodes were asked
	TermsHash   [32]byte            // of the first committee's terms, which an audit is given
	TermsPin    [32]byte            // of the same: what is compared and kept
	Limits      v1.Limits           // of the node that answered with the median height
	// FirstUse says that nothing vouches for the committee but the nodes
	// themselves: no pin was known, and this one was stored.
	FirstUse bool
	// Warnings tell what went wrong without standing in the way, such as a node that does not answer.
	Warnings []string

	nodes     []*client.Client
	answering atomic.Int32 // index of the node that last proved a batch
	timeout   time.Duration
	mu        sync.Mutex
	line      succession.Line // all committees known so far; Certificate's is the last, or one before it
}

// answer is what one node said of the committees, checked as far as it goes alone.
type answer struct {
	line   succession.Line
	limits v1.Limits
	err    error
}

// Open asks the nodes at urls for the chain's committees. What they answer must be one
// line, of which some may not know the end yet, and it must begin with the pinned terms.
func Open(ctx context.Context, urls []string, o Options) (*Wallet, error) {
	nodes, err := connect(urls, o.Client)
	if err != nil {
		return nil, err
	}
	w := &Wallet{nodes: nodes, timeout: cmp.Or(o.Timeout, 10*time.Second)}
	if err := w.Refresh(ctx); err != nil {
		return nil, err
	}
	return w, w.pin(o)
}

// Refresh asks the nodes again: for the height, and for a committee that has come into
// office since. Certificate, Limits and Warnings change with it: nothing else may be
// called on the wallet at the same time.
func (w *Wallet) Refresh(ctx context.Context) error {
	line := w.known()
	var heights []answer
	var problems []string
	for i, a := range w.askAll(ctx) {
		if a.err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", w.nodes[i].URL(), a.err))
			continue
		}
		longer, err := succession.Longer(line, a.line)
		if err != nil {
			return fmt.Errorf("%w: %s tells of others than a node before it (%w); do not send until it is clear who is wrong", ErrDisagree, w.nodes[i].URL(), err)
		}
		line = longer
		heights = append(heights, a)
	}
	if len(heights) == 0 {
		return fmt.Errorf("%w with a committee: %s", ErrNoNode, strings.Join(problems, "; "))
	}
	w.Warnings = problems
	// The median: fewer than half of the nodes cannot move the height that validity is counted from.
	slices.SortFunc(heights, func(a, b answer) int { return cmp.Compare(a.limits.Height, b.limits.Height) })
	w.Limits = heights[len(heights)/2].limits
	w.Certificate, w.TermsHash, w.TermsPin = line.Office(), line.TermsHash(), line.Pin()
	w.learn(line)
	return nil
}

// known is the line of committees so far.
func (w *Wallet) known() succession.Line {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.line
}

// learn keeps a line that goes on where the known one ends.
func (w *Wallet) learn(line succession.Line) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if longer, err := succession.Longer(w.line, line); err == nil {
		w.line = longer
	}
}

// committee is that of an epoch. One that is not known yet is asked for.
func (w *Wallet) committee(ctx context.Context, epoch uint64, nodes ...*client.Client) (*keygen.Certificate, error) {
	if c := w.known().Epoch(epoch); c != nil {
		return c, nil
	}
	for _, n := range nodes {
		line, err := succession.Fetch(ctx, n)
		if err != nil {
			continue // the node that named the epoch cannot prove it
		}
		w.learn(line)
		if c := w.known().Epoch(epoch); c != nil {
			return c, nil
		}
	}
	return nil, fmt.Errorf("%w: there is no committee of epoch %d", ErrFalseClaim, epoch)
}

func connect(urls []string, o client.Options) ([]*client.Client, error) {
	if len(urls) == 0 {
		return nil, errors.New("no node is named")
	}
	var nodes []*client.Client
	for _, u := range urls {
		c, err := client.New(u, o)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, c)
	}
	return nodes, nil
}

func (w *Wallet) askAll(ctx context.Context) []answer {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	answers := make([]answer, len(w.nodes))
	var wg sync.WaitGroup
	for i, n := range w.nodes {
		wg.Go(func() {
			answers[i] = ask(ctx, n)
			if errors.Is(answers[i].err, errOtherKey) { // perhaps the key was replaced between two questions
				answers[i] = ask(ctx, n)
			}
		})
	}
	wg.Wait()
	return answers
}

func ask(ctx context.Context, n *client.Client) (a answer) {
	limits, err := n.Limits(ctx)
	if err != nil {
		return answer{err: err}
	}
	line, err := succession.Fetch(ctx, n)
	if err != nil {
		return answer{err: err}
	}
	keys, err := n.EncryptionKeys(ctx)
	if err != nil {
		return answer{err: err}
	}
	if err := offersKey(keys, line.Office()); err != nil {
		return answer{err: fmt.Errorf("%w: %w", ErrFalseClaim, err)}
	}
	if limits.ChainID != line.ChainID() {
		return answer{err: fmt.Errorf("%w: its limits are for chain %q, its committee for %q", ErrFalseClaim, limits.ChainID, line.ChainID())}
	}
	return answer{line: line, limits: *limits}
}

var errOtherKey = errors.New("the encryption key is not the one that the committee in office certified")

// offersKey says whether a wallet that asks for the key is offered the certified one.
func offersKey(keys *v1.EncryptionKeys, office *keygen.Certificate) error {
	id := office.Committee.Key.ID()
	for _, k := range keys.Keys {
		if bytes.Equal(k.KeyID, id[:]) && bytes.Equal(k.PublicKey, office.Committee.Key.Bytes()) {
			return nil
		}
	}
	return errOtherKey
}

// pin compares the first committee's terms with the pinned ones.
func (w *Wallet) pin(o Options) error {
	chain := w.ChainID()
	if o.TermsHash != nil && w.TermsHash != *o.TermsHash {
		return otherPin(chain, "terms hash", w.TermsHash, *o.TermsHash, "the given one is")
	}
	if o.TermsPin != nil && w.TermsPin != *o.TermsPin {
		return otherPin(chain, "terms pin", w.TermsPin, *o.TermsPin, "the given one is")
	}
	if o.TermsHash != nil || o.TermsPin != nil {
		return nil
	}
	if o.TrustFile == "" {
		w.FirstUse = true
		return nil
	}
	trust, err := ReadTrust(o.TrustFile)
	if err != nil {
		return err
	}
	if pinned, ok := trust[chain]; ok {
		if pinned != w.TermsPin {
			return otherPin(chain, "terms pin", w.TermsPin, pinned, o.TrustFile+" says")
		}
		return nil
	}
	w.FirstUse = true
	trust[chain] = w.TermsPin
	return trust.Write(o.TrustFile)
}

func otherPin(chain, what string, have, want [32]byte, source string) error {
	return fmt.Errorf("%w: the nodes' first committee of chain %s has %s 0x%x, %s 0x%x; "+
		"the nodes deceive you, or the chain was begun anew under its old name: ask its members", ErrPin, chain, what, have, source, want)
}

// ChainID is the committee's chain.
func (w *Wallet) ChainID() string { return w.Certificate.Terms.ChainID }

// Nodes are the addresses of all known nodes.
func (w *Wallet) Nodes() []string {
	urls := make([]string, len(w.nodes))
	for i, n := range w.nodes {
		urls[i] = n.URL()
	}
	return urls
}

// SealOptions say how a transaction is sealed.
type SealOptions struct {
	Namespace    string
	Validity     uint64 // blocks that it may wait for its order; 0: half of what the chain allows
	MinSizeClass uint8  // pads to at least 256<<class bytes
}

// Seal encrypts plaintext to the newest key that the wallet knows. It talks to nobody.
func (w *Wallet) Seal(rand io.Reader, o SealOptions, plaintext []byte) (*threshold.Ciphertext, error) {
	validity := o.Validity
	if validity == 0 {
		validity = max(1, w.Limits.MaxValidity/2) // the nodes' heights differ a little
	}
	return threshold.Seal(rand, w.Certificate.Committee.Key, threshold.SealOptions{
		ChainID:      w.ChainID(),
		Namespace:    o.Namespace,
		ValidUntil:   w.Limits.Height + validity,
		MinSizeClass: o.MinSizeClass,
	}, plaintext)
}

// Submit hands the ciphertext to every node and keeps the receipts that hold.
// It fails with ErrUnconfirmed, and the nodes' reasons, if there is none.
func (w *Wallet) Submit(ctx context.Context, ct *threshold.Ciphertext) (*Record, []string, error) {
	type outcome struct {
		receipt *commitreveal.Receipt
		err     error
	}
	outcomes := make([]outcome, len(w.nodes))
	var wg sync.WaitGroup
	for i, n := range w.nodes {
		wg.Go(func() {
			receipt, err := w.submitTo(ctx, n, ct)
			outcomes[i] = outcome{receipt, err}
		})
	}
	wg.Wait()
	record := NewRecord(ct)
	var problems []string
	for i, o := range outcomes {
		if o.err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", w.nodes[i].URL(), o.err))
			continue
		}
		record.Receipts = append(record.Receipts, *o.receipt)
	}
	if len(record.Receipts) == 0 {
		return nil, problems, fmt.Errorf("%w: %s", ErrUnconfirmed, strings.Join(problems, "; "))
	}
	return record, problems, nil
}

// SubmitTo hands the ciphertext to the node at position i of Nodes alone.
func (w *Wallet) SubmitTo(ctx context.Context, i int, ct *threshold.Ciphertext) (*commitreveal.Receipt, error) {
	return w.submitTo(ctx, w.nodes[i], ct)
}

func (w *Wallet) submitTo(ctx context.Context, n *client.Client, ct *threshold.Ciphertext) (*commitreveal.Receipt, error) {
	header := ct.Header()
	tx, err := n.Submit(ctx, header.Namespace, ct.Bytes())
	if err != nil {
		return nil, err
	}
	if tx.Receipt == nil {
		return nil, fmt.Errorf("%w: it gave no receipt", ErrFalseClaim)
	}
	r, err := receiptOf(tx.Receipt)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFalseClaim, err)
	}
	if r.ID != ct.ID() || r.ChainID != header.ChainID || r.ValidUntil != header.ValidUntil {
		return nil, fmt.Errorf("%w: its receipt is for something else", ErrFalseClaim)
	}
	if _, err := w.committee(ctx, r.Epoch, n); err != nil {
		return nil, err
	}
	return r, w.CheckReceipt(r)
}

// CheckReceipt verifies the member's signature on the receipt. The committee of its epoch
// must be one that the wallet has heard of; see Refresh.
func (w *Wallet) CheckReceipt(r *commitreveal.Receipt) error {
	c := w.known().Epoch(r.Epoch)
	if c == nil {
		return fmt.Errorf("%w: the receipt is of epoch %d, which has no committee", ErrFalseClaim, r.Epoch)
	}
	members := c.Terms.Members
	if r.Member < 1 || int(r.Member) > len(members) {
		return fmt.Errorf("%w: the receipt names member %d of %d", ErrFalseClaim, r.Member, len(members))
	}
	if err := commitreveal.VerifyReceipt(members[r.Member-1].Identity, r); err != nil {
		return fmt.Errorf("%w: receipt: %w", ErrFalseClaim, err)
	}
	return nil
}

func receiptOf(r *v1.Receipt) (*commitreveal.Receipt, error) {
	out := &commitreveal.Receipt{
		ChainID:    r.ChainID,
		Epoch:      r.Epoch,
		Member:     r.Member,
		ValidUntil: r.ValidUntil,
		Time:       r.Time.UnixMilli(),
		Position:   r.Position,
	}
	if len(r.ID) != len(out.ID) || len(r.Head) != len(out.Head) || len(r.Signature) != len(out.Signature) {
		return nil, errors.New("receipt: a field has the wrong length")
	}
	copy(out.ID[:], r.ID)
	copy(out.Head[:], r.Head)
	copy(out.Signature[:], r.Signature)
	return out, nil
}

// Status asks the nodes, the first first, until one knows the transaction. A
// status that is not final is asked of all: another node may know more.
func (w *Wallet) Status(ctx context.Context, id threshold.ID) (*v1.Transaction, error) {
	return status(ctx, w.nodes, id)
}

func status(ctx context.Context, nodes []*client.Client, id threshold.ID) (best *v1.Transaction, err error) {
	var problems []error
	for _, n := range nodes {
		tx, err := n.Transaction(ctx, v1.HexOf(id[:]))
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", n.URL(), err))
			continue
		}
		if !bytes.Equal(tx.ID, id[:]) {
			problems = append(problems, fmt.Errorf("%s: %w: it answered for another id", n.URL(), ErrFalseClaim))
			continue
		}
		if best == nil || rank(tx.Status) >= rank(best.Status) {
			best = tx
		}
		// "expired" is only one node's word until the others agree.
		if Settled(tx) && tx.Status != v1.StatusExpired {
			return tx, nil
		}
	}
	if best == nil {
		return nil, errors.Join(problems...)
	}
	return best, nil
}

func rank(s v1.Status) int {
	return slices.Index([]v1.Status{v1.StatusExpired, v1.StatusReceived, v1.StatusOrdered, v1.StatusVoid, v1.StatusRevealed}, s)
}

// Status asks nodes without checking their committee: what they say is what they say.
func Status(ctx context.Context, urls []string, o client.Options, id threshold.ID) (*v1.Transaction, error) {
	nodes, err := connect(urls, o)
	if err != nil {
		return nil, err
	}
	return status(ctx, nodes, id)
}

// Check verifies what a node says became of the ciphertext ct: that the opening
// is the committee's, that the plaintext is what the opening yields, that the
// batch has it at the said position, and that the committee signed the batch,
// which is so once the transaction is Settled.
// It returns the plaintext as computed here, nil for a void ciphertext.
func (w *Wallet) Check(ctx context.Context, tx *v1.Transaction, ct *threshold.Ciphertext) ([]byte, error) {
	plaintext, err := w.checkOpening(tx, ct)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFalseClaim, err)
	}
	if err := w.checkBatch(ctx, tx, ct); err != nil {
		return nil, err
	}
	return plaintext, nil
}

func (w *Wallet) checkOpening(tx *v1.Transaction, ct *threshold.Ciphertext) ([]byte, error) {
	if tx.Status != v1.StatusRevealed && tx.Status != v1.StatusVoid {
		return nil, fmt.Errorf("status %q is not an opened one", tx.Status)
	}
	id := ct.ID()
	if !bytes.Equal(tx.ID, id[:]) {
		return nil, errors.New("the answer is for another id")
	}
	var opening threshold.Opening
	if len(tx.Opening) != len(opening) {
		return nil, fmt.Errorf("the opening has %d bytes, not %d", len(tx.Opening), len(opening))
	}
	copy(opening[:], tx.Opening)
	checked, err := ct.Check()
	if err != nil {
		return nil, fmt.Errorf("own ciphertext: %w", err)
	}
	key := w.known().Key(ct.Header().KeyID)
	if key == nil {
		return nil, errors.New("own ciphertext: it is sealed to a key that no committee has held")
	}
	verified, err := threshold.VerifyOpenings(key, []*threshold.Checked{checked}, []threshold.Opening{opening})
	if err != nil {
		return nil, err
	}
	plaintext, err := threshold.Open(verified[0])
	switch void := errors.Is(err, threshold.ErrVoid); {
	case err != nil && !void:
		return nil, err
	case void != (tx.Status == v1.StatusVoid):
		return nil, fmt.Errorf("it says %q, the opening says otherwise", tx.Status)
	case !void && !bytes.Equal(plaintext, tx.Plaintext):
		return nil, errors.New("the plaintext is not what the opening yields")
	}
	return plaintext, nil
}

// checkBatch looks for one node that proves the transaction's place.
func (w *Wallet) checkBatch(ctx context.Context, tx *v1.Transaction, ct *threshold.Ciphertext) error {
	if tx.Height == nil || tx.Position == nil {
		return fmt.Errorf("%w: it is opened, but has no place in a batch", ErrFalseClaim)
	}
	var problems []error
	first := int(w.answering.Load()) // to ask one that is down in vain for every batch takes long
	for i := range w.nodes {
		at := (first + i) % len(w.nodes)
		n := w.nodes[at]
		batch, err := n.Batch(ctx, *tx.Height)
		if err == nil {
			err = w.provesPlace(ctx, n, batch, tx, ct)
		}
		if err == nil {
			w.answering.Store(int32(at))
			return nil
		}
		problems = append(problems, fmt.Errorf("%s: batch %d: %w", n.URL(), *tx.Height, err))
	}
	return errors.Join(problems...)
}

func (w *Wallet) provesPlace(ctx context.Context, n *client.Client, b *v1.Batch, tx *v1.Transaction, ct *threshold.Ciphertext) error {
	c, err := w.committee(ctx, b.Epoch, n)
	if err != nil {
		return err
	}
	key := c.Committee.Key
	if key.ID() != ct.Header().KeyID {
		return fmt.Errorf("%w: the batch is of epoch %d, whose key is another than the one it is sealed to", ErrFalseClaim, b.Epoch)
	}
	if int(*tx.Position) >= len(b.Transactions) || !bytes.Equal(b.Transactions[*tx.Position].ID, tx.ID) {
		return fmt.Errorf("%w: the batch does not have it at position %d", ErrFalseClaim, *tx.Position)
	}
	ids := make([]threshold.ID, len(b.Transactions))
	for i, item := range b.Transactions {
		if len(item.ID) != len(ids[i]) {
			return fmt.Errorf("%w: an id has %d bytes", ErrFalseClaim, len(item.ID))
		}
		copy(ids[i][:], item.ID)
	}
	if b.Checkpoint == nil || len(b.Certificate) != threshold.PointSize || len(b.Checkpoint.LogRoot) != 32 {
		return fmt.Errorf("%w: the batch has no certificate", ErrFalseClaim)
	}
	checkpoint := commitreveal.Checkpoint{
		ChainID:   w.ChainID(),
		Height:    *tx.Height,
		Epoch:     b.Epoch,
		BatchRoot: commitreveal.BatchRoot(ids),
		LogSize:   b.Checkpoint.LogSize,
	}
	copy(checkpoint.LogRoot[:], b.Checkpoint.LogRoot)
	message, err := checkpoint.MarshalBinary()
	if err != nil {
		return fmt.Errorf("%w: checkpoint: %w", ErrFalseClaim, err)
	}
	if err := threshold.VerifySignature(key, message, threshold.Signature(b.Certificate)); err != nil {
		return fmt.Errorf("%w: certificate: %w", ErrFalseClaim, err)
	}
	return nil
}

// Settled reports whether nothing can change any more. A node gives an opening
// as soon as it verifies, one block before the chain records it with the batch's
// certificate: until then it is right, but its place is not yet proved.
func Settled(tx *v1.Transaction) bool {
	return tx.Status.Final() && (tx.Status == v1.StatusExpired || tx.RevealHeight != nil)
}

// Await asks until the transaction is settled, or ctx ends. Only some nodes know a
// ciphertext at first, so one that nobody knows is waited for too.
func (w *Wallet) Await(ctx context.Context, id threshold.ID) (*v1.Transaction, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	last := errors.New("no node was asked")
	for {
		tx, err := w.Status(ctx, id)
		if err == nil && Settled(tx) {
			return tx, nil
		}
		if err == nil {
			err = fmt.Errorf("its status is still %q", tx.Status)
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ctx.Err(), last)
		case <-tick.C:
		}
	}
}

// ParseHexLines reads a plaintext in 0x-hex from each line; empty lines are left
// out. Errors name the line, never what is in it.
func ParseHexLines(r io.Reader) ([][]byte, error) {
	var all [][]byte
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxRecord)
	for n := 1; scanner.Scan(); n++ {
		line := strings.TrimSpace(scanner.Text())
		if line == "" {
			continue
		}
		p, err := v1.ParseHex(strings.ToLower(line))
		if err != nil {
			return nil, fmt.Errorf("line %d is not 0x and an even number of hex digits", n)
		}
		all = append(all, p)
	}
	if err := scanner.Err(); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, errors.New("there is no transaction in it")
	}
	return all, nil
}
