package commitreveal

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/threshold"
)

func id(name string) threshold.ID { return sha256.Sum256([]byte(name)) }

func ids(names string) (out []threshold.ID) {
	for n := range strings.SplitSeq(names, ",") {
		out = append(out, id(n))
	}
	return out
}

// TestBatchScripts runs the scripts in testdata/batch: events above the line,
// what must come of them below.
func TestBatchScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/batch/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			script, want, ok := strings.Cut(string(text), "----\n")
			if !ok {
				t.Fatal("no line ---- in the script")
			}
			if diff := cmp.Diff(want, runScript(t, script)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func runScript(t *testing.T, script string) string {
	var b Batch
	var out strings.Builder
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, args, _ := strings.Cut(line, " ")
		if name == "batch" {
			b = scriptBatch(t, args)
			fmt.Fprintln(&out, b.Phase)
			continue
		}
		next, effects, err := Step(b, scriptEvent(t, b, name, args))
		if err != nil {
			if diff := cmp.Diff(b, next); diff != "" || effects != nil {
				t.Errorf("%s: a refused event changed the batch:\n%s", line, diff)
			}
			_, short, found := strings.Cut(err.Error(), "the ")
			if short, _, _ = strings.Cut(short, " and root"); found {
				err = errors.New("the " + short)
			}
			fmt.Fprintf(&out, "%s: %v\n", line, err)
			continue
		}
		fmt.Fprintf(&out, "%s -> %s", line, next.Phase)
		for _, e := range effects {
			r := e.(ReleaseShare)
			if r.Root != b.Root || r.Epoch != b.Epoch || r.Checkpoint != b.Checkpoint {
				t.Errorf("%s: released %+v", line, r)
			}
			fmt.Fprintf(&out, ", release share of height %d", r.Height)
		}
		fmt.Fprintln(&out)
		b = next
	}
	return out.String()
}

func scriptArgs(t *testing.T, args string, height, epoch *uint64, root *Hash) {
	for arg := range strings.FieldsSeq(args) {
		key, value, _ := strings.Cut(arg, "=")
		var err error
		switch key {
		case "height":
			_, err = fmt.Sscan(value, height)
		case "epoch":
			_, err = fmt.Sscan(value, epoch)
		case "root":
			*root = BatchRoot(ids(value))
		default:
			err = errors.New("unknown argument")
		}
		if err != nil {
			t.Fatalf("%s: %v", arg, err)
		}
	}
}

func scriptBatch(t *testing.T, args string) Batch {
	args, names, _ := strings.Cut(args, "ids=")
	var height, epoch uint64
	scriptArgs(t, args, &height, &epoch, nil)
	b, err := NewBatch(height, epoch, ids(names))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func scriptEvent(t *testing.T, b Batch, name, args string) Event {
	height, epoch, root := b.Height, b.Epoch, b.Root
	scriptArgs(t, args, &height, &epoch, &root)
	switch name {
	case "logged":
		return Logged{Checkpoint{ChainID: "scrim-test", Height: height, Epoch: epoch, BatchRoot: root, LogSize: 4}}
	case "durable":
		return Durable{root}
	case "opened":
		return Opened{RevealEntry{Height: height, Root: root}}
	}
	t.Fatalf("unknown event %q", name)
	return nil
}

// TestStepEveryPair goes through every phase, also ones that do not exist, and
// every event.
func TestStepEveryPair(t *testing.T) {
	base, err := NewBatch(7, 1, ids("a,b"))
	if err != nil {
		t.Fatal(err)
	}
	checkpoint := base.CheckpointAt("scrim-test", mustAppend(t, Log{}, []byte("entry")))
	events := map[eventKind]Event{logged: Logged{checkpoint}, durable: Durable{base.Root}, opened: Opened{RevealEntry{Height: 7, Root: base.Root}}}
	legal := map[Phase]map[eventKind]Phase{
		Ordered:   {logged: Committed},
		Committed: {durable: Sharing, opened: Revealed},
		Sharing:   {durable: Sharing, opened: Revealed},
	}
	if len(events) != int(eventKinds) {
		t.Fatalf("%d events are tested, there are %d", len(events), eventKinds)
	}
	for phase := Phase(0); phase < Revealed+3; phase++ {
		for kind, ev := range events {
			b := base
			b.Phase = phase
			next, effects, err := Step(b, ev)
			want, ok := legal[phase][kind]
			if !ok {
				var refused *StepError
				if !errors.As(err, &refused) || !errors.Is(err, ErrInvalid) || refused.Phase != phase || next.Phase != phase || effects != nil {
					t.Errorf("%s in phase %s: got %s, %v, %v", eventNames[kind], phase, next.Phase, effects, err)
				}
				continue
			}
			if err != nil || next.Phase != want {
				t.Errorf("%s in phase %s: got %s, %v, want %s", eventNames[kind], phase, next.Phase, err, want)
			}
			if release := len(effects) > 0; release != (kind == durable) {
				t.Errorf("%s in phase %s: effects %v", eventNames[kind], phase, effects)
			}
		}
	}
	if _, _, err := Step(base, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("no event: %v", err)
	}
}

func TestStepLeavesItsInputAlone(t *testing.T) {
	b, _ := NewBatch(7, 1, ids("a,b"))
	before := b
	next, _, err := Step(b, Logged{b.CheckpointAt("scrim-test", mustAppend(t, Log{}, []byte("entry")))})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, b); diff != "" {
		t.Errorf("Step changed its input:\n%s", diff)
	}
	if next.Checkpoint.LogSize != 1 || next.Checkpoint.BatchRoot != b.Root {
		t.Errorf("checkpoint %+v", next.Checkpoint)
	}
}

func TestNewBatchRefuses(t *testing.T) {
	tests := map[string]struct {
		height uint64
		ids    []threshold.ID
	}{
		"no ciphertexts":   {7, nil},
		"height 0":         {0, ids("a")},
		"one id twice":     {7, ids("a,b,a")},
		"more than it may": {7, make([]threshold.ID, MaxBatch+1)},
	}
	for name, tt := range tests {
		if _, err := NewBatch(tt.height, 1, tt.ids); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPhaseText(t *testing.T) {
	for p := Ordered; p <= Revealed; p++ {
		if got, err := ParsePhase(p.String()); err != nil || got != p {
			t.Errorf("%s: %v, %v", p, got, err)
		}
	}
	for _, s := range []string{"", "Ordered", "phase(0)", Phase(0).String(), Phase(9).String()} {
		if _, err := ParsePhase(s); !errors.Is(err, ErrEncoding) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// TestRootsBindEverything changes each part of what a root is over.
func TestRootsBindEverything(t *testing.T) {
	if BatchRoot(ids("a,b,c")) == BatchRoot(ids("a,c,b")) || BatchRoot(ids("a,b")) == BatchRoot(ids("a,b,c")) {
		t.Error("the batch root does not bind order or number")
	}
	base := func() []Outcome {
		return []Outcome{{ID: id("a"), Plaintext: []byte("x")}, {ID: id("b"), Void: true}}
	}
	want := OutcomesRoot(base())
	changes := map[string]func(o []Outcome) []Outcome{
		"id":        func(o []Outcome) []Outcome { o[0].ID[31]++; return o },
		"opening":   func(o []Outcome) []Outcome { o[1].Opening[47]++; return o },
		"plaintext": func(o []Outcome) []Outcome { o[0].Plaintext = []byte("y"); return o },
		"void":      func(o []Outcome) []Outcome { o[0].Void = true; return o },
		"not void":  func(o []Outcome) []Outcome { o[1].Void = false; return o },
		"order":     func(o []Outcome) []Outcome { o[0], o[1] = o[1], o[0]; return o },
		"number":    func(o []Outcome) []Outcome { return o[:1] },
	}
	for name, change := range changes {
		if OutcomesRoot(change(base())) == want {
			t.Errorf("%s is not bound", name)
		}
	}
	if OutcomesRoot(base()) != want {
		t.Error("not a function")
	}
}

func TestReveal(t *testing.T) {
	b, _ := NewBatch(7, 1, ids("a,b,c"))
	outcomes := []Outcome{{ID: id("a")}, {ID: id("b"), Void: true}, {ID: id("c"), Plaintext: []byte("c")}}
	order := slices.Clone(b.IDs)
	slices.Reverse(order)
	e, err := b.Reveal(outcomes, order, threshold.Signature{1})
	want := RevealEntry{Height: 7, Root: b.Root, Openings: OutcomesRoot(outcomes), Order: BatchRoot(order), Voids: 1, Certificate: threshold.Signature{1}}
	if err != nil || e != want {
		t.Errorf("got %+v, %v", e, err)
	}
	if _, err := b.Reveal(outcomes[:2], order, threshold.Signature{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("too few: %v", err)
	}
	for name, bad := range map[string][]threshold.ID{"none": nil, "one missing": order[:2], "one twice": {order[0], order[1], order[1]}, "another": {order[0], order[1], {9}}, "one more": append(order[:3:3], threshold.ID{9})} {
		if _, err := b.Reveal(outcomes, bad, threshold.Signature{}); !errors.Is(err, ErrInvalid) {
			t.Errorf("an order with %s: %v", name, err)
		}
	}
	outcomes[0], outcomes[1] = outcomes[1], outcomes[0]
	if _, err := b.Reveal(outcomes, order, threshold.Signature{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("swapped: %v", err)
	}
	key := threshold.KeyID{9}
	names := []string{"b", "a", "b"}
	root, err := NamespaceRoot(b.IDs, names)
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.Commit(key, [32]byte{8}, names)
	if want := (CommitEntry{Height: 7, Epoch: 1, KeyID: key, Count: 3, Root: b.Root, Rounds: [32]byte{8}, Namespaces: root}); err != nil || got != want {
		t.Errorf("commit entry %+v, %v", got, err)
	}
	if _, err := b.Commit(key, [32]byte{8}, names[:2]); !errors.Is(err, ErrInvalid) {
		t.Errorf("too few namespaces: %v", err)
	}
}
