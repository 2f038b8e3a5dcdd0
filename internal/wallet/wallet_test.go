package wallet

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/wallet/wallettest"
	"github.com/scrimlabs/scrim/threshold"
)

var quick = client.Options{Timeout: 5 * time.Second, Retries: -1}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func flip(h *v1.Hex, at int) { *h = bytes.Clone(*h); (*h)[at] ^= 1 }

const nobody = "http://127.0.0.1:1"

func TestOpenPins(t *testing.T) {
	c := wallettest.NewCommittee(t, "wallet-test")
	url := c.Member(1).Serve(t)
	right, wrong := c.Certificate.Terms.Hash(), [32]byte{1}
	trust := filepath.Join(t.TempDir(), "a", "trust.json")

	if _, err := Open(t.Context(), []string{url}, Options{TermsHash: &wrong, Client: quick}); !errors.Is(err, ErrPin) {
		t.Errorf("wrong terms hash: %v", err)
	}
	w, err := Open(t.Context(), []string{url}, Options{TermsHash: &right, TrustFile: trust, Client: quick})
	if err != nil || w.FirstUse {
		t.Fatalf("right terms hash: %v, first use %v", err, w != nil && w.FirstUse)
	}
	pin := c.Certificate.Terms.Pin()
	if _, err := Open(t.Context(), []string{url}, Options{TermsPin: &wrong, Client: quick}); !errors.Is(err, ErrPin) {
		t.Errorf("wrong terms pin: %v", err)
	}
	if w, err := Open(t.Context(), []string{url}, Options{TermsPin: &pin, TrustFile: trust, Client: quick}); err != nil || w.FirstUse {
		t.Errorf("right terms pin: %v", err)
	}
	for _, first := range []bool{true, false} {
		w, err := Open(t.Context(), []string{url}, Options{TrustFile: trust, Client: quick})
		if err != nil || w.FirstUse != first {
			t.Fatalf("trust on first use: %v, first use %v", err, w != nil && w.FirstUse)
		}
	}
	other := wallettest.NewCommittee(t, "wallet-test").Member(1).Serve(t)
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
	if err := os.WriteFile(trust, []byte(`{"terms_pins":{"wallet-test":"0x00"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), []string{url}, Options{TrustFile: trust, Client: quick}); err == nil {
		t.Error("a damaged trust file was overwritten")
	}
}

// A node that lies about its committee is as good as none.
func TestOpenRefusesFalseCommittees(t *testing.T) {
	c, other := wallettest.NewCommittee(t, "wallet-test"), wallettest.NewCommittee(t, "wallet-test")
	for name, lie := range map[string]func(*wallettest.Member){
		"garbled certificate": func(m *wallettest.Member) {
			m.LieCommittees = func(c *v1.Committees) { c.Committees[0].Certificate = c.Committees[0].Certificate[1:] }
		},
		"changed certificate": func(m *wallettest.Member) {
			m.LieCommittees = func(c *v1.Committees) { flip(&c.Committees[0].Certificate, len(c.Committees[0].Certificate)-1) }
		},
		"no committee": func(m *wallettest.Member) {
			m.LieCommittees = func(c *v1.Committees) { c.Committees = []v1.CommitteeRecord{} }
		},
		"another key": func(m *wallettest.Member) {
			m.LieKeys = func(k *v1.EncryptionKeys) { k.Keys[0].PublicKey = other.Certificate.Committee.Key.Bytes() }
		},
		"another key with its id": func(m *wallettest.Member) {
			m.LieKeys = func(k *v1.EncryptionKeys) {
				id := other.Certificate.Committee.Key.ID()
				k.Keys[0].PublicKey, k.Keys[0].KeyID = other.Certificate.Committee.Key.Bytes(), id[:]
			}
		},
		"no key":        func(m *wallettest.Member) { m.LieKeys = func(k *v1.EncryptionKeys) { k.Keys = []v1.EncryptionKey{} } },
		"another chain": func(m *wallettest.Member) { m.LieLimits = func(l *v1.Limits) { l.ChainID = "elsewhere" } },
	} {
		t.Run(name, func(t *testing.T) {
			liar := c.Member(2)
			lie(liar)
			url := liar.Serve(t)
			_, err := Open(t.Context(), []string{url}, Options{Client: quick})
			if !errors.Is(err, ErrNoNode) {
				t.Errorf("alone: %v", err)
			}
			w, err := Open(t.Context(), []string{url, c.Member(1).Serve(t)}, Options{Client: quick})
			if err != nil || len(w.Warnings) != 1 {
				t.Errorf("beside an honest one: %v", err)
			}
		})
	}
}

func TestSendAndCheck(t *testing.T) {
	c := wallettest.NewCommittee(t, "wallet-test")
	honest, late := c.Member(1), c.Member(2)
	late.Height = 1
	w := must(Open(t.Context(), []string{honest.Serve(t), nobody, late.Serve(t), c.Member(3).Serve(t)}, Options{Client: quick}))(t)
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
	c := wallettest.NewCommittee(t, "wallet-test")
	for name, lie := range map[string]func(*wallettest.Member){
		"none":            func(m *wallettest.Member) { m.LieAnswer = func(tx *v1.Transaction) { tx.Receipt = nil } },
		"another id":      func(m *wallettest.Member) { m.LieReceipt = func(r *commitreveal.Receipt) { r.ID[0] ^= 1 } },
		"another time":    func(m *wallettest.Member) { m.LieReceipt = func(r *commitreveal.Receipt) { r.ValidUntil++ } },
		"another chain":   func(m *wallettest.Member) { m.LieReceipt = func(r *commitreveal.Receipt) { r.ChainID = "elsewhere" } },
		"another member":  func(m *wallettest.Member) { m.LieReceipt = func(r *commitreveal.Receipt) { r.Member = 3 } },
		"unknown member":  func(m *wallettest.Member) { m.LieReceipt = func(r *commitreveal.Receipt) { r.Member = 9 } },
		"other signature": func(m *wallettest.Member) { m.LieAnswer = func(tx *v1.Transaction) { tx.Receipt.Signature[3] ^= 1 } },
		"short signature": func(m *wallettest.Member) {
			m.LieAnswer = func(tx *v1.Transaction) { tx.Receipt.Signature = tx.Receipt.Signature[:63] }
		},
	} {
		t.Run(name, func(t *testing.T) {
			liar := c.Member(2)
			lie(liar)
			w := must(Open(t.Context(), []string{liar.Serve(t)}, Options{Client: quick}))(t)
			ct := must(w.Seal(rand.Reader, SealOptions{Namespace: "eth"}, []byte("x")))(t)
			if _, _, err := w.Submit(t.Context(), ct); !errors.Is(err, ErrUnconfirmed) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Nothing that a node says of an opening is believed.
func TestCheckRefusesFalseOpenings(t *testing.T) {
	c := wallettest.NewCommittee(t, "wallet-test")
	for name, lie := range map[string]func(*wallettest.Member){
		"another plaintext": func(m *wallettest.Member) { m.LieStatus = func(tx *v1.Transaction) { flip(&tx.Plaintext, 0) } },
		"no plaintext":      func(m *wallettest.Member) { m.LieStatus = func(tx *v1.Transaction) { tx.Plaintext = nil } },
		"another opening":   func(m *wallettest.Member) { m.LieStatus = func(tx *v1.Transaction) { flip(&tx.Opening, 5) } },
		"no opening":        func(m *wallettest.Member) { m.LieStatus = func(tx *v1.Transaction) { tx.Opening = nil } },
		"void": func(m *wallettest.Member) {
			m.LieStatus = func(tx *v1.Transaction) { tx.Status, tx.Plaintext = v1.StatusVoid, nil }
		},
		"not open yet":  func(m *wallettest.Member) { m.LieStatus = func(tx *v1.Transaction) { tx.Status = v1.StatusOrdered } },
		"no place":      func(m *wallettest.Member) { m.LieStatus = func(tx *v1.Transaction) { tx.Height = nil } },
		"another place": func(m *wallettest.Member) { m.LieStatus = func(tx *v1.Transaction) { *tx.Position = 1 } },
		"another batch": func(m *wallettest.Member) { m.LieBatch = func(b *v1.Batch) { flip(&b.Transactions[0].ID, 0) } },
		"further in batch": func(m *wallettest.Member) {
			m.LieBatch = func(b *v1.Batch) { b.Transactions = append(b.Transactions, b.Transactions[0]) }
		},
		"another log root": func(m *wallettest.Member) {
			m.LieBatch = func(b *v1.Batch) { k := *b.Checkpoint; b.Checkpoint = &k; flip(&k.LogRoot, 0) }
		},
		"another certificate": func(m *wallettest.Member) { m.LieBatch = func(b *v1.Batch) { flip(&b.Certificate, 9) } },
		"no certificate":      func(m *wallettest.Member) { m.LieBatch = func(b *v1.Batch) { b.Certificate = nil } },
	} {
		t.Run(name, func(t *testing.T) {
			liar := c.Member(2)
			w := must(Open(t.Context(), []string{liar.Serve(t)}, Options{Client: quick}))(t)
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
