package audit

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/commitreveal"
)

// A member that was caught is in the report, with a file that convinces somebody who has nothing else, and the log is verified.
func TestCaughtMembers(t *testing.T) {
	n := newNetwork(t)
	n.block(3, n.seal("a"))
	bodies := map[string][]byte{
		"bad_point": n.badPoint(false), "ceremony": []byte("conflict"), KindLogFork: []byte("fork of logs"), KindTimesFork: []byte("fork of times"),
	}
	kinds := []string{"bad_point", "ceremony", KindLogFork, KindTimesFork}
	for _, kind := range kinds {
		n.caught(4, kind, bodies[kind])
	}
	n.block(4, n.seal("b"))
	n.reveal(0)
	r := run(t, n.bundle(), Options{})
	if r.Verdict != Verified || len(r.Misbehaviour) != len(kinds) {
		t.Fatalf("%s: %v %v, %d entries", r.Verdict, r.Findings, r.Missing, len(r.Misbehaviour))
	}
	for i, m := range r.Misbehaviour {
		want := Misbehaviour{
			Height: 4, Epoch: 1, Member: 2, Kind: kinds[i], Evidence: commitreveal.EvidenceHash(bodies[kinds[i]]), Proved: true, Who: m.Who, What: m.What,
		}
		file := m.File
		m.File = nil
		if diff := cmp.Diff(want, m); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if e := judged(t, file); e.Who != m.Who || e.What != m.What || !strings.Contains(m.Who, "bob") {
			t.Errorf("the file says %s %s, the report %s %s", e.Who, e.What, m.Who, m.What)
		}
	}
}

// A recorded entry whose evidence is not there says nothing for sure; evidence that the user has beside the log will do.
func TestMissingEvidence(t *testing.T) {
	n := newNetwork(t)
	n.block(3, n.seal("a"))
	body := n.badPoint(false)
	n.accuse(4, 1, 2, "bad_point", commitreveal.EvidenceHash(body), nil)
	n.block(5, n.seal("b"))
	n.reveal(0)
	r := run(t, n.bundle(), Options{})
	if r.Verdict != CannotTell || len(r.Missing) != 1 || len(r.Misbehaviour) != 1 || r.Misbehaviour[0].Proved {
		t.Errorf("%s: %v %v, %+v", r.Verdict, r.Findings, r.Missing, r.Misbehaviour)
	}
	r = run(t, n.bundle(), Options{Evidence: []EvidenceBody{{Name: "x", Body: []byte("other")}, {Name: "mine", Body: body}}})
	if r.Verdict != Verified || !r.Misbehaviour[0].Proved {
		t.Errorf("%s: %v %v, %+v", r.Verdict, r.Findings, r.Missing, r.Misbehaviour)
	}

	// As the very last line of what is there.
	n = newNetwork(t)
	n.block(3, n.seal("a"))
	n.reveal(0)
	n.accuse(4, 1, 2, "bad_point", commitreveal.EvidenceHash(body), nil)
	if r := run(t, n.bundle(), Options{}); r.Verdict != CannotTell {
		t.Errorf("%s: %v %v", r.Verdict, r.Findings, r.Missing)
	}

	// Without the check for its kind.
	n = newNetwork(t)
	n.caught(3, KindLogFork, []byte("fork of logs"))
	n.block(4, n.seal("a"))
	n.reveal(0)
	checks := testChecks()
	checks.Fork = nil
	r, err := Run(strings.NewReader(n.bundle()), checks, Options{})
	record(r.Findings, r.Missing)
	if err != nil || r.Verdict != CannotTell {
		t.Errorf("%+v, %v", r, err)
	}
}

// linesOf gives lines in whatever order, which the readers of bundles and mirrors do not.
type linesOf []commitreveal.BundleLine

func (l *linesOf) Next() (commitreveal.BundleLine, error) {
	if len(*l) == 0 {
		return nil, io.EOF
	}
	line := (*l)[0]
	*l = (*l)[1:]
	return line, nil
}

// What is beside the log comes after the entry that names it, and nowhere else.
func TestLinesOutOfPlace(t *testing.T) {
	for want, line := range map[string]commitreveal.BundleLine{
		"evidence without a misbehaviour entry before it":   &commitreveal.BundleEvidence{Body: []byte("conflict")},
		"a certificate without a committee entry before it": &commitreveal.BundleCertificate{Certificate: []byte("x")},
	} {
		n := newNetwork(t)
		n.block(3, n.seal("a"))
		n.reveal(0)
		lines := linesOf(append(slices.Clone(n.lines), line))
		r, err := Replay(&lines, testChecks(), Options{})
		n.must(err)
		record(r.Findings, r.Missing)
		if r.Verdict != CannotTell || len(r.Findings) != 0 || !slices.Contains(r.Missing, want) {
			t.Errorf("%s: %s %v %v", want, r.Verdict, r.Findings, r.Missing)
		}
	}
}
