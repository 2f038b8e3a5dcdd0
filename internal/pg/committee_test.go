package pg_test

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/internal/pg/pgtest"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/migrations"
	"github.com/scrimlabs/scrim/ordering"
)

// successions is a chain that has had three committees, in a store.
func successions(t *testing.T) (*sim.Chain, *pg.Store) {
	t.Helper()
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	c.Reshare(4, append(c.Secrets[1:], c.Newcomers(2)...)...)
	c.Rotate(20, 3, c.Secrets[:4]...)
	s := begin(t, c)
	commit(t, s, c.Results...)
	return c, s
}

// Every committee that a block puts in office is found again, with all that proves it.
func TestCommittees(t *testing.T) {
	c, s := successions(t)
	ctx := t.Context()
	var want []pg.Committee
	for _, r := range c.Results {
		if r.Activated == nil {
			continue
		}
		wire, err := r.Activated.Certificate().MarshalBinary()
		c.Must(err)
		terms := r.Activated.Terms()
		if n := len(want); n > 0 {
			want[n-1].Until = r.Height
		}
		want = append(want, pg.Committee{Epoch: terms.Epoch, Since: r.Height, Change: terms.Change.String(),
			Threshold: uint32(terms.Threshold), Members: uint32(len(terms.Members)),
			KeyID: r.Activated.Committee().Key.ID(), TermsHash: terms.Hash(), LogIndex: r.Records[len(r.Records)-1].Index, Certificate: wire})
	}
	if len(want) != 3 || want[1].KeyID != want[0].KeyID || want[2].KeyID == want[1].KeyID {
		t.Fatalf("the test is wrong: %d committees", len(want))
	}
	got, err := s.Committees(ctx, 0, 0)
	c.Must(err)
	equal(t, "all", got, want)
	var before *keygen.Certificate
	for _, have := range got {
		entries, err := s.LogEntries(ctx, have.LogIndex, 1)
		c.Must(err)
		entry, err := commitreveal.ParseEntry(entries[0].Entry)
		c.Must(err)
		if e, ok := entry.(commitreveal.CommitteeEntry); !ok || e.Certificate != commitreveal.CertificateHash(have.Certificate) || e.Height != have.Since {
			t.Errorf("epoch %d: its log entry is %T", have.Epoch, entry)
		}
		cert, err := keygen.ParseCertificate(have.Certificate)
		c.Must(err)
		if before != nil {
			c.Must(keygen.VerifySuccession(cert, before))
		}
		before = cert
	}

	page, err := s.Committees(ctx, 2, 1)
	c.Must(err)
	equal(t, "a page", page, want[1:2])
	none, err := s.Committees(ctx, 4, 0)
	c.Must(err)
	equal(t, "none left", none, []pg.Committee(nil))
	none, err = s.Committees(ctx, 1<<64-1, 0)
	c.Must(err)
	equal(t, "no such epoch", none, []pg.Committee(nil))
	defer pg.SetCommitteeBytes(len(want[0].Certificate))()
	page, err = s.Committees(ctx, 0, 0)
	c.Must(err)
	equal(t, "a page has room for one", page, want[:1])

	for epoch, height := range map[uint64]uint64{1: want[1].Since, 2: want[2].Since, 3: 0, 9: 0} {
		if ended, err := s.OfficeEnded(ctx, epoch); err != nil || ended != height {
			t.Errorf("epoch %d ended at %d, %v; want %d", epoch, ended, err, height)
		}
	}
	for height, at := range map[uint64]int{want[0].Since + 1: 0, want[1].Since: 0, want[1].Since + 1: 1, want[2].Since: 1, 1<<64 - 1: 2} {
		cert, since, err := s.OfficeBefore(ctx, height)
		c.Must(err)
		equal(t, "certificate", cert, want[at].Certificate)
		equal(t, "since", since, want[at].Since)
	}
	if _, _, err := s.OfficeBefore(ctx, want[0].Since); !errors.Is(err, pg.ErrNotFound) {
		t.Errorf("before the first committee: %v", err)
	}
}

// A chain of a version that kept less is refused with words, and left as it is.
func TestOldChain(t *testing.T) {
	files, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"_committees.sql": "from before committees could change", "_ceremonies.sql": "kept no ended ceremonies", "_log.sql": "whose log was not published"} {
		url := pgtest.New(t)
		conn := connect(t, url)
		before := slices.IndexFunc(files, func(f string) bool { return strings.HasSuffix(f, name) })
		script := []string{`DROP SCHEMA public CASCADE`, `CREATE SCHEMA public`}
		for _, file := range files[:before] {
			sql, err := migrations.FS.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			script = append(script, string(sql))
		}
		script = append(script, `CREATE TABLE schema_version (version int4 NOT NULL)`, fmt.Sprintf(`INSERT INTO schema_version VALUES (%d)`, before),
			`INSERT INTO chain (chain_id, genesis_hash, height, app_hash, snapshot, ceremony) VALUES ('old', sha256('g'), 7, sha256('a'), 's', 'c')`)
		for _, sql := range script {
			if _, err := conn.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := pg.Open(t.Context(), url); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "the node an empty database") {
			t.Errorf("got %v", err)
		}
		if version, _ := schemaVersion(t, conn); version != before {
			t.Errorf("version %d", version)
		}
		if _, err := conn.Exec(t.Context(), `DELETE FROM chain`); err != nil {
			t.Fatal(err)
		}
		open(t, url)
	}
}

// A result that puts a committee in office without saying so in the log is refused whole.
func TestCommitteeWithoutEntry(t *testing.T) {
	c := sim.New(t, 1, ordering.DefaultParams()).Ceremony()
	s := begin(t, c)
	last := len(c.Results) - 1
	commit(t, s, c.Results[:last]...)
	bad := *c.Results[last]
	bad.Records = nil
	if err := s.CommitBlock(t.Context(), &bad); !errors.Is(err, pg.ErrInvalid) || !strings.Contains(err.Error(), "without an entry") {
		t.Errorf("got %v", err)
	}
	commit(t, s, c.Results[last])
}

// What was received as one member keeps that, whoever the node is later.
func TestReceivedAs(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	cts := plain(seal(t, 1, 3, "shop", 100))
	bob := pg.Receiver{Epoch: epoch + 1, Member: 1}
	_, err := s.Receive(ctx, 1, []pg.Receiver{alice}, cts[:1])
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Receive(ctx, 2, []pg.Receiver{bob, alice, bob}, cts)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "receivers", []pg.Receiver{got[0].Receiver, got[1].Receiver, got[2].Receiver}, []pg.Receiver{alice, alice, bob})
	tx, err := s.Transaction(ctx, cts[0].ID())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "as stored", tx.Received.Receiver, alice)
	waiting, err := s.Waiting(ctx, 1, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "waiting", waiting[2].Receiver, bob)
	for what, as := range map[string][]pg.Receiver{"too few": {alice}, "no member": {alice, alice, alice, {Epoch: 1}}} {
		more := plain(seal(t, 2, 4, "shop", 100))
		if _, err := s.Receive(ctx, 3, as, more); !errors.Is(err, pg.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n, _, _, _, err := s.Counts(ctx); n != 3 || err != nil {
		t.Errorf("%d received, %v", n, err)
	}
}
