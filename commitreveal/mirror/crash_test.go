package mirror

import (
	"context"
	"errors"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/commitreveal/mirror/mirrortest"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
)

// committeeOnly believes a certificate's form; who signed it is tested elsewhere.
func committeeOnly(certificate []byte) (audit.CommitteeInfo, error) {
	c, err := keygen.ParseCertificate(certificate)
	if err != nil {
		return audit.CommitteeInfo{}, err
	}
	info := audit.CommitteeInfo{Committee: c.Committee, ChainID: c.Terms.ChainID, TermsHash: c.Terms.Hash()}
	for _, m := range c.Terms.Members {
		info.Identities = append(info.Identities, m.Identity)
	}
	return info, nil
}

// TestCrashAtEveryWrite: whichever write or sync is the last, in two updates, a new
// process goes on and ends with the same log, tile by tile.
func TestCrashAtEveryWrite(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	for range 5 {
		c.Block(ordering.Proposal{Txs: c.SealTxs("x"), Openings: c.Open(1, 2, 3)})
	}
	s := mirrortest.New(sim.ChainID, c.Secrets[0].Identity())
	c.Must(s.Add(mirrortest.FromChain(t, c)...))
	full := s.Size
	h := httptest.NewServer(s)
	defer h.Close()
	client, err := NewClient(h.URL, nil)
	c.Must(err)
	client.Attempts = 1
	o := Options{Checks: audit.Checks{Committee: committeeOnly}}
	died := errors.New("the process died")
	writes := 0
	for last := int64(1); ; last++ {
		dir := t.TempDir()
		var n atomic.Int64
		crash := func() error {
			if n.Add(1) > last {
				return died
			}
			return nil
		}
		err := updateTwice(dir, o, client, s, crash)
		if err == nil {
			break
		}
		if !errors.Is(err, died) {
			t.Fatal(err)
		}
		writes++
		s.Size = full
		if err := updateTwice(dir, o, client, s, nil); err != nil {
			t.Fatalf("after write %d: %v", last, err)
		}
		m, err := Open(dir, o)
		c.Must(err)
		lines, err := OpenLines(dir)
		c.Must(err)
		for err == nil {
			_, err = lines.Next()
		}
		if m.Size() != full || len(lines.Damage()) > 0 || errors.Is(err, ErrMirror) {
			t.Errorf("after write %d: %d entries of %d, %v, %v", last, m.Size(), full, lines.Damage(), err)
		}
		c.Must(errors.Join(lines.Close(), m.Close()))
	}
	if writes < 20 {
		t.Errorf("only %d writes were the last", writes)
	}
}

// updateTwice mirrors a part of the log and then all of it, one process each.
func updateTwice(dir string, o Options, client *Client, s *mirrortest.Server, crash func() error) error {
	full := s.Size
	defer func() { s.Size = full }()
	for _, size := range []uint64{full - 4, full} {
		s.Size = size
		if err := updateOnce(dir, o, client, size, crash); err != nil {
			return err
		}
	}
	return nil
}

func updateOnce(dir string, o Options, client *Client, size uint64, crash func() error) error {
	m, err := Open(dir, o)
	if err != nil {
		return err
	}
	defer m.Close() // as the kernel does for a dead process
	m.store.crash = crash
	if m.Size() > size || m.state.Seen > size {
		return nil // an earlier attempt came so far
	}
	u := &update{m: m, ctx: context.Background(), c: client}
	if err := u.begin(); err != nil {
		return err
	}
	return u.run()
}
