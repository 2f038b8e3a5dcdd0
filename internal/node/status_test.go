package node

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/keygen"
)

// The REST matrix and the metrics follow a ceremony from phase to phase.
func TestCeremonyIsShown(t *testing.T) {
	b := newTable(t, 4)
	registry := prometheus.NewRegistry()
	m := newMetrics(registry)
	gauge := func(name string) int { return int(metric(t, registry, "scrim_"+name)) }
	b.until(keygen.PhaseStoring)
	b.must(os.Remove(b.file(3, "share")))
	b.block()
	b.block()
	s := b.chain.State.Ceremony()
	m.ceremony(b.chain.State)
	if gauge("ceremony_members_awaited") != 1 || gauge("ceremony_faults") != 0 || gauge("ceremonies_failed") != 0 {
		t.Error("metrics while storing")
	}
	if left := gauge("ceremony_blocks_left"); left != int(s.Deadline()-b.chain.State.Height()) {
		t.Errorf("%d blocks left", left)
	}
	for p, want := range map[string]int{"storing": 1, "certifying": 0, "active": 0} {
		if got := gauge("ceremony_phase " + p); got != want {
			t.Errorf("%s is %v", p, got)
		}
	}
	shown, err := ceremonyMatrix(s)
	b.must(err)
	if shown.Outcome != v1.CeremonyRunning || shown.EndedIn != nil || shown.Certificate != nil || *shown.Deadline != s.Deadline() {
		t.Errorf("%+v", shown.CeremonySummary)
	}
	if diff := cmp.Diff([]uint32{4}, shown.Waiting); diff != "" {
		t.Error(diff)
	}
	var stored []string
	for _, member := range shown.Status {
		stored = append(stored, member.Stored)
	}
	if diff := cmp.Diff([]string{"done", "done", "done", "awaited"}, stored); diff != "" {
		t.Error(diff)
	}

	b.run()
	s = b.chain.State.Ceremony()
	m.ceremony(b.chain.State)
	if gauge("ceremony_members_awaited") != 0 || gauge("ceremony_faults") != 1 || gauge("ceremony_blocks_left") != 0 || gauge("ceremony_phase active") != 1 {
		t.Error("metrics when active")
	}
	shown, err = ceremonyMatrix(s)
	b.must(err)
	if shown.Outcome != v1.CeremonySucceeded || *shown.EndedIn != "storing" || shown.Status[3].Stored != "absent" || shown.Certificate == nil {
		t.Errorf("%+v", shown)
	}
	text, err := json.Marshal(shown)
	b.must(err)
	if !strings.Contains(string(text), `"stored":"absent"`) {
		t.Error("the JSON has no column for the stored shares")
	}
}

// Evidence that the REST interface gives convinces whoever has the terms it gives.
func TestEvidenceIsShown(t *testing.T) {
	b := newTable(t, 4)
	terms := &b.chain.Genesis.Terms
	s := b.chain.State.Ceremony()
	for seed := range byte(2) { // member 1 deals twice, with two seeds
		p, err := keygen.NewParticipant(b.chain.Secrets[0], terms, [32]byte{seed})
		b.must(err)
		deal, err := p.Next(b.chain.State.Ceremony())
		b.must(err)
		s, _, err = keygen.Step(s, keygen.Event{Height: 1, Message: deal[0]})
		b.must(err)
	}
	shown, err := ceremonyMatrix(s)
	b.must(err)
	if len(shown.Evidence) != 1 {
		t.Fatalf("%d pieces of evidence", len(shown.Evidence))
	}
	e, err := keygen.ParseEvidence(shown.Evidence[0])
	b.must(err)
	parsed, err := keygen.ParseTerms(shown.Terms)
	b.must(err)
	if err := e.Verify(parsed); err != nil || e.Fault != keygen.FaultEquivocation || e.Member != 1 {
		t.Errorf("%+v: %v", e, err)
	}
}

// metric is the value of a gauge, named with the value of its label if it has one.
func metric(t *testing.T, r *prometheus.Registry, name string) float64 {
	t.Helper()
	name, label, _ := strings.Cut(name, " ")
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if l := m.GetLabel(); label == "" || l[0].GetValue() == label {
				return m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("there is no metric %s %s", name, label)
	return 0
}
