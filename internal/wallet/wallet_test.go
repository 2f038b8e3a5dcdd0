package wallet

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/httpapi"
	"github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/threshold"
)

// committee is a real one, made by a real ceremony.
type committee struct {
	secrets     []*keygen.MemberSecret
	shares      []*threshold.SecretShare
	certificate *keygen.Certificate
}

func newCommittee(t *testing.T, chain string) *committee {
	t.Helper()
	c := &committee{}
	terms := &keygen.Terms{ChainID: chain, Epoch: 1, Attempt: 1, Threshold: 3, Phases: keygen.Phases{Deal: 5, Respond: 5, Justify: 5, Certify: 5}, StartHeight: 1}
	for _, name := range []string{"alice", "bob", "carol", "dave"} {
		s := must(keygen.NewMemberSecret(rand.Reader))(t)
		c.secrets = append(c.secrets, s)
		terms.Members = append(terms.Members, s.Member(name))
	}
	var participants []*keygen.Participant
	for i, s := range c.secrets {
		participants = append(participants, must(keygen.NewParticipant(s, terms, [32]byte{byte(i)}))(t))
	}
	state := must(keygen.New(terms))(t)
	for height := uint64(1); !state.Done() && height < 50; height++ {
		messages := []*keygen.Message{nil} // a nil ends the height
		for _, p := range participants {
			if state.Phase() == keygen.PhaseCertifying && len(c.shares) < len(participants) {
				share := must(p.Share(state))(t)
				c.shares = append(c.shares, share)
				if err := p.ConfirmStored(share); err != nil {
					t.Fatal(err)
				}
			}
			if m := must(p.Next(state))(t); m != nil {
				messages = append([]*keygen.Message{m}, messages...)
			}
		}
		for _, m := range messages {
			next, _, err := keygen.Step(state, keygen.Event{Height: height, Message: m})
			if err != nil {
				t.Fatal(err)
			}
			state = next
		}
	}
	if c.certificate = state.Certificate(); c.certificate == nil {
		t.Fatalf("the ceremony ended %v: %v", state.Phase(), state.Blame())
	}
	return c
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// member is a node of one member: it orders and opens what it gets at once. The
// hooks let it lie.
type member struct {
	httpapi.Backend
	committee *committee
	index     uint32
	height    uint64

	mu      sync.Mutex
	txs     map[threshold.ID]v1.Transaction
	batches map[uint64]v1.Batch

	lieCommittee func(*v1.Committee)
	lieKeys      func(*v1.EncryptionKeys)
	lieLimits    func(*v1.Limits)
	lieReceipt   func(*commitreveal.Receipt) // before it is signed
	lieAnswer    func(*v1.Transaction)       // to a submission
	lieStatus    func(*v1.Transaction)
	lieBatch     func(*v1.Batch)
}

func (c *committee) member(index uint32) *member {
	return &member{committee: c, index: index, height: 100, txs: map[threshold.ID]v1.Transaction{}, batches: map[uint64]v1.Batch{}}
}

func (m *member) serve(t *testing.T) string {
	s := httptest.NewServer(httpapi.New(m, httpapi.Options{}))
	t.Cleanup(s.Close)
	return s.URL
}

func (m *member) Limits(context.Context) v1.Limits {
	l := v1.Limits{ChainID: m.committee.certificate.Terms.ChainID, Height: m.height, MaxValidity: 1000, MaxSizeClass: 9}
	if m.lieLimits != nil {
		m.lieLimits(&l)
	}
	return l
}

func (m *member) EncryptionKeys(context.Context) (v1.EncryptionKeys, error) {
	c := m.committee.certificate
	id := c.Committee.Key.ID()
	keys := v1.EncryptionKeys{ChainID: c.Terms.ChainID, Height: m.height, Keys: []v1.EncryptionKey{{KeyID: id[:], PublicKey: c.Committee.Key.Bytes(), Suite: threshold.Suite}}}
	if m.lieKeys != nil {
		m.lieKeys(&keys)
	}
	return keys, nil
}

func (m *member) Committee(context.Context) (v1.Committee, error) {
	c := m.committee.certificate
	b, err := c.MarshalBinary()
	if err != nil {
		return v1.Committee{}, err
	}
	out := v1.Committee{ChainID: c.Terms.ChainID, Certificate: b, Members: []v1.CommitteeMember{}}
	if m.lieCommittee != nil {
		m.lieCommittee(&out)
	}
	return out, nil
}

func (m *member) Submit(_ context.Context, namespace string, ciphertext []byte) (v1.Transaction, error) {
	ct, err := threshold.ParseCiphertext(ciphertext)
	if err != nil {
		return v1.Transaction{}, err
	}
	id := ct.ID()
	m.mu.Lock()
	defer m.mu.Unlock()
	r := commitreveal.Receipt{ChainID: ct.Header().ChainID, ID: id, Member: m.index, ValidUntil: ct.Header().ValidUntil, Time: 1_700_000_000_000,
		Position: uint64(len(m.txs) + 1), Head: commitreveal.NextHead(commitreveal.Hash{}, id)}
	if m.lieReceipt != nil {
		m.lieReceipt(&r)
	}
	if err := commitreveal.SignReceipt(m.committee.secrets[m.index-1].Identity(), &r); err != nil {
		return v1.Transaction{}, err
	}
	tx, err := m.open(ct)
	if err != nil {
		return v1.Transaction{}, err
	}
	tx.Receipt = &v1.Receipt{ChainID: r.ChainID, ID: r.ID[:], Member: r.Member, ValidUntil: r.ValidUntil, Time: v1.UnixMilli(r.Time),
		Position: r.Position, Head: r.Head[:], Signature: r.Signature[:]}
	m.txs[id] = tx
	if m.lieAnswer != nil {
		m.lieAnswer(&tx)
	}
	return tx, nil
}

// open makes a batch of the ciphertext alone.
func (m *member) open(ct *threshold.Ciphertext) (v1.Transaction, error) {
	c, id := m.committee.certificate.Committee, ct.ID()
	m.height++
	height, position, reveal := m.height, uint32(0), m.height+1
	tx := v1.Transaction{ID: id[:], Namespace: ct.Header().Namespace, Status: v1.StatusRevealed, ValidUntil: ct.Header().ValidUntil,
		Height: &height, Position: &position, RevealHeight: &reveal}
	checked, err := ct.Check()
	if err != nil {
		return tx, err
	}
	batch := []*threshold.Checked{checked}
	checkpoint := commitreveal.Checkpoint{ChainID: ct.Header().ChainID, Height: height, Epoch: c.Epoch, BatchRoot: commitreveal.BatchRoot([]threshold.ID{id}), LogSize: height}
	message, err := checkpoint.MarshalBinary()
	if err != nil {
		return tx, err
	}
	var shares []*threshold.BatchShare
	var signatures []threshold.SignatureShare
	for _, s := range m.committee.shares[:3] {
		share, err := s.ShareBatch(batch)
		if err != nil {
			return tx, err
		}
		signature, err := s.Sign(message)
		if err != nil {
			return tx, err
		}
		shares, signatures = append(shares, share), append(signatures, signature)
	}
	openings, _, err := threshold.Combine(c, batch, shares)
	if err != nil {
		return tx, err
	}
	certificate, _, err := threshold.CombineSignature(c, message, signatures)
	if err != nil {
		return tx, err
	}
	opening := openings[0].Opening()
	tx.Opening = opening[:]
	if tx.Plaintext, err = threshold.Open(openings[0]); err != nil {
		return tx, err
	}
	m.batches[height] = v1.Batch{
		BatchSummary: v1.BatchSummary{Height: height, Epoch: c.Epoch, Phase: v1.PhaseRevealed, Count: 1, RevealHeight: &reveal, Certificate: certificate[:],
			Checkpoint: &v1.Checkpoint{ChainID: checkpoint.ChainID, Height: height, Epoch: c.Epoch, LogSize: checkpoint.LogSize, LogRoot: checkpoint.LogRoot[:], Message: message}},
		Transactions: []v1.BatchItem{{ID: id[:], Status: v1.StatusRevealed, Opening: opening[:]}},
	}
	return tx, nil
}

func (m *member) Transaction(_ context.Context, id threshold.ID) (v1.Transaction, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	tx, ok := m.txs[id]
	if !ok {
		return tx, httpapi.Errorf(v1.CodeNotFound, "unknown")
	}
	if m.lieStatus != nil {
		m.lieStatus(&tx)
	}
	return tx, nil
}

func (m *member) Batch(_ context.Context, height uint64) (v1.Batch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.batches[height]
	if !ok {
		return b, httpapi.Errorf(v1.CodeNotFound, "unknown")
	}
	if m.lieBatch != nil {
		m.lieBatch(&b)
	}
	return b, nil
}

var quick = client.Options{Timeout: 5 * time.Second, Retries: -1}

const nobody = "http://127.0.0.1:1"

func TestOpenPins(t *testing.T) {
	c := newCommittee(t, "wallet-test")
	url := c.member(1).serve(t)
	right, wrong := c.certificate.Terms.Hash(), [32]byte{1}
	trust := filepath.Join(t.TempDir(), "a", "trust.json")

	if _, err := Open(t.Context(), []string{url}, Options{TermsHash: &wrong, Client: quick}); !errors.Is(err, ErrPin) {
		t.Errorf("wrong terms hash: %v", err)
	}
	w, err := Open(t.Context(), []string{url}, Options{TermsHash: &right, TrustFile: trust, Client: quick})
	if err != nil || w.FirstUse {
		t.Fatalf("right terms hash: %v, first use %v", err, w != nil && w.FirstUse)
	}
	for _, first := range []bool{true, false} {
		w, err := Open(t.Context(), []string{url}, Options{TrustFile: trust, Client: quick})
		if err != nil || w.FirstUse != first {
			t.Fatalf("trust on first use: %v, first use %v", err, w != nil && w.FirstUse)
		}
	}
	other := newCommittee(t, "wallet-test").member(1).serve(t)
	if _, err := Open(t.Context(), []string{other}, Options{TrustFile: trust, Client: quick}); !errors.Is(err, ErrPin) {
		t.Errorf("another committee of the same chain: %v", err)
	}
	if _, err := Open(t.Context(), []string{url, other}, Options{Client: quick}); !errors.Is(err, ErrDisagree) {
		t.Errorf("two committees: %v", err)
	}
	if _, err := Open(t.Context(), []string{nobody}, Options{Client: quick}); !errors.Is(err, ErrNoNode) {
		t.Errorf("nobody there: %v", err)
	}
	if w, err := Open(t.Context(), []string{nobody, url}, Options{Client: quick}); err != nil || len(w.Warnings) != 1 {
		t.Errorf("one of two there: %v, %v", err, w)
	}
	if err := os.WriteFile(trust, []byte(`{"terms_hashes":{"wallet-test":"0x00"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), []string{url}, Options{TrustFile: trust, Client: quick}); err == nil {
		t.Error("a damaged trust file was overwritten")
	}
}

// A node that lies about its committee is as good as none.
func TestOpenRefusesFalseCommittees(t *testing.T) {
	c, other := newCommittee(t, "wallet-test"), newCommittee(t, "wallet-test")
	for name, lie := range map[string]func(*member){
		"garbled certificate": func(m *member) {
			m.lieCommittee = func(c *v1.Committee) { c.Certificate = c.Certificate[1:] }
		},
		"changed certificate": func(m *member) {
			m.lieCommittee = func(c *v1.Committee) {
				c.Certificate = bytes.Clone(c.Certificate)
				c.Certificate[len(c.Certificate)-1] ^= 1
			}
		},
		"another key": func(m *member) {
			m.lieKeys = func(k *v1.EncryptionKeys) { k.Keys[0].PublicKey = other.certificate.Committee.Key.Bytes() }
		},
		"another key with its id": func(m *member) {
			m.lieKeys = func(k *v1.EncryptionKeys) {
				id := other.certificate.Committee.Key.ID()
				k.Keys[0].PublicKey, k.Keys[0].KeyID = other.certificate.Committee.Key.Bytes(), id[:]
			}
		},
		"no key":        func(m *member) { m.lieKeys = func(k *v1.EncryptionKeys) { k.Keys = []v1.EncryptionKey{} } },
		"another chain": func(m *member) { m.lieLimits = func(l *v1.Limits) { l.ChainID = "elsewhere" } },
	} {
		t.Run(name, func(t *testing.T) {
			liar := c.member(2)
			lie(liar)
			url := liar.serve(t)
			_, err := Open(t.Context(), []string{url}, Options{Client: quick})
			if !errors.Is(err, ErrNoNode) {
				t.Errorf("alone: %v", err)
			}
			w, err := Open(t.Context(), []string{url, c.member(1).serve(t)}, Options{Client: quick})
			if err != nil || len(w.Warnings) != 1 {
				t.Errorf("beside an honest one: %v", err)
			}
		})
	}
}

func TestSendAndCheck(t *testing.T) {
	c := newCommittee(t, "wallet-test")
	honest, late := c.member(1), c.member(2)
	late.height = 1
	w := must(Open(t.Context(), []string{honest.serve(t), nobody, late.serve(t), c.member(3).serve(t)}, Options{Client: quick}))(t)
	if w.Limits.Height != 100 {
		t.Errorf("height %d: one late node moved it", w.Limits.Height)
	}
	plaintext := []byte("a transaction")
	ct := must(w.Seal(rand.Reader, SealOptions{Namespace: "eth", MinSizeClass: 2}, plaintext))(t)
	if h := ct.Header(); h.ValidUntil != 600 || h.Namespace != "eth" || h.SizeClass != 2 || h.ChainID != "wallet-test" {
		t.Errorf("sealed with %+v", h)
	}
	record, warnings, err := w.Submit(t.Context(), ct)
	if err != nil || len(warnings) != 1 || len(record.Receipts) != 3 {
		t.Fatalf("submit: %v, %v, %v", record, warnings, err)
	}

	// What is kept is enough for another day.
	file := filepath.Join(t.TempDir(), "a", "receipts.jsonl")
	for range 2 {
		if err := AppendRecords(file, record); err != nil {
			t.Fatal(err)
		}
	}
	if text := must(os.ReadFile(file))(t); bytes.Contains(text, []byte("transaction")) || bytes.Contains(text, []byte("61207472616e73")) {
		t.Error("the plaintext is in the receipts file")
	}
	records := must(ReadRecords(file))(t)
	if diff := cmp.Diff([]Record{*record, *record}, records); diff != "" {
		t.Error(diff)
	}
	if n := len(Receipts(records)); n != 6 {
		t.Errorf("%d receipts", n)
	}
	own := must(Find(records, ct.ID()).Sealed())(t)
	if Find(records, threshold.ID{}) != nil {
		t.Error("found what is not there")
	}

	tx := must(w.Await(t.Context(), ct.ID()))(t)
	got, err := w.Check(t.Context(), tx, own)
	if err != nil || !bytes.Equal(got, plaintext) {
		t.Errorf("check: %q, %v", got, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := w.Await(ctx, threshold.ID{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("awaiting what nobody knows: %v", err)
	}
}

// Receipts that do not hold are none.
func TestSubmitRefusesFalseReceipts(t *testing.T) {
	c := newCommittee(t, "wallet-test")
	for name, lie := range map[string]func(*member){
		"none":            func(m *member) { m.lieAnswer = func(tx *v1.Transaction) { tx.Receipt = nil } },
		"another id":      func(m *member) { m.lieReceipt = func(r *commitreveal.Receipt) { r.ID[0] ^= 1 } },
		"another time":    func(m *member) { m.lieReceipt = func(r *commitreveal.Receipt) { r.ValidUntil++ } },
		"another chain":   func(m *member) { m.lieReceipt = func(r *commitreveal.Receipt) { r.ChainID = "elsewhere" } },
		"another member":  func(m *member) { m.lieReceipt = func(r *commitreveal.Receipt) { r.Member = 3 } },
		"unknown member":  func(m *member) { m.lieReceipt = func(r *commitreveal.Receipt) { r.Member = 9 } },
		"other signature": func(m *member) { m.lieAnswer = func(tx *v1.Transaction) { tx.Receipt.Signature[3] ^= 1 } },
		"short signature": func(m *member) {
			m.lieAnswer = func(tx *v1.Transaction) { tx.Receipt.Signature = tx.Receipt.Signature[:63] }
		},
	} {
		t.Run(name, func(t *testing.T) {
			liar := c.member(2)
			lie(liar)
			w := must(Open(t.Context(), []string{liar.serve(t)}, Options{Client: quick}))(t)
			ct := must(w.Seal(rand.Reader, SealOptions{Namespace: "eth"}, []byte("x")))(t)
			if _, _, err := w.Submit(t.Context(), ct); !errors.Is(err, ErrUnconfirmed) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Nothing that a node says of an opening is believed.
func TestCheckRefusesFalseOpenings(t *testing.T) {
	c := newCommittee(t, "wallet-test")
	flip := func(h *v1.Hex, at int) { *h = bytes.Clone(*h); (*h)[at] ^= 1 }
	for name, lie := range map[string]func(*member){
		"another plaintext": func(m *member) { m.lieStatus = func(tx *v1.Transaction) { flip(&tx.Plaintext, 0) } },
		"no plaintext":      func(m *member) { m.lieStatus = func(tx *v1.Transaction) { tx.Plaintext = nil } },
		"another opening":   func(m *member) { m.lieStatus = func(tx *v1.Transaction) { flip(&tx.Opening, 5) } },
		"no opening":        func(m *member) { m.lieStatus = func(tx *v1.Transaction) { tx.Opening = nil } },
		"void": func(m *member) {
			m.lieStatus = func(tx *v1.Transaction) { tx.Status, tx.Plaintext = v1.StatusVoid, nil }
		},
		"not open yet":  func(m *member) { m.lieStatus = func(tx *v1.Transaction) { tx.Status = v1.StatusOrdered } },
		"no place":      func(m *member) { m.lieStatus = func(tx *v1.Transaction) { tx.Height = nil } },
		"another place": func(m *member) { m.lieStatus = func(tx *v1.Transaction) { *tx.Position = 1 } },
		"another batch": func(m *member) { m.lieBatch = func(b *v1.Batch) { flip(&b.Transactions[0].ID, 0) } },
		"further in batch": func(m *member) {
			m.lieBatch = func(b *v1.Batch) { b.Transactions = append(b.Transactions, b.Transactions[0]) }
		},
		"another log root": func(m *member) {
			m.lieBatch = func(b *v1.Batch) { k := *b.Checkpoint; b.Checkpoint = &k; flip(&k.LogRoot, 0) }
		},
		"another certificate": func(m *member) { m.lieBatch = func(b *v1.Batch) { flip(&b.Certificate, 9) } },
		"no certificate":      func(m *member) { m.lieBatch = func(b *v1.Batch) { b.Certificate = nil } },
	} {
		t.Run(name, func(t *testing.T) {
			liar := c.member(2)
			w := must(Open(t.Context(), []string{liar.serve(t)}, Options{Client: quick}))(t)
			ct := must(w.Seal(rand.Reader, SealOptions{Namespace: "eth"}, []byte("a transaction")))(t)
			must(w.SubmitTo(t.Context(), 0, ct))(t)
			if _, err := w.Check(t.Context(), must(w.Status(t.Context(), ct.ID()))(t), ct); err != nil {
				t.Fatalf("before the lie: %v", err)
			}
			lie(liar)
			if _, err := w.Check(t.Context(), must(w.Status(t.Context(), ct.ID()))(t), ct); !errors.Is(err, ErrFalseClaim) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestReadRecordsRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"unknown field": `{"id":"0x00","ciphertext":"0x00","receipts":[],"more":1}`,
		"no object":     `[]`,
		"hex":           `{"id":"0xZZ","ciphertext":"0x00","receipts":[]}`,
		"receipt":       `{"id":"0x00","ciphertext":"0x00","receipts":[{}]}`,
		"long":          `{"id":"0x` + strings.Repeat("00", maxRecord) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "receipts.jsonl")
			if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := ReadRecords(file); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestParseHexLines(t *testing.T) {
	got, err := ParseHexLines(strings.NewReader("0x00ff\n\n  0xAB \n0x"))
	if diff := cmp.Diff([][]byte{{0, 0xff}, {0xab}, {}}, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	for _, text := range []string{"", "\n", "00", "0x0", "0xsecret", "0x00 0x00"} {
		if _, err := ParseHexLines(strings.NewReader(text)); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
