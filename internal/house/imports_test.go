package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/scrimlabs/scrim"

// rooms says which of our own packages each package may import. A package that
// is missing here is a new room, and a new room is a decision: add both.
var rooms = map[string][]string{
	"threshold":          {},
	"keygen":             {"threshold"},
	"keygen/sharefile":   {"keygen", "threshold"},
	"commitreveal":       {"threshold"},
	"commitreveal/tiles": {"commitreveal"},
	"commitreveal/note":  {"commitreveal", "commitreveal/tiles", "threshold"},
	"commitreveal/audit": {"commitreveal", "commitreveal/note", "commitreveal/tiles", "threshold"},
	// The auditor's hands: it asks nodes and keeps files, so that package audit need not.
	"commitreveal/mirror":            {"commitreveal", "commitreveal/audit", "commitreveal/note", "commitreveal/tiles", "threshold"},
	"commitreveal/mirror/mirrortest": {"commitreveal", "commitreveal/note", "commitreveal/tiles", "internal/sim", "ordering", "threshold"},
	"ordering":                       {"ordering/fair", "commitreveal", "keygen", "threshold"},
	"ordering/fair":                  {"commitreveal", "threshold"},
	"ordering/abci":                  {"ordering", "ordering/fair", "commitreveal", "keygen", "threshold"},
	"migrations":                     {},
	"httpapi":                        {"httpapi/explorer", "httpapi/v1", "commitreveal", "commitreveal/tiles", "keygen", "threshold"},
	"httpapi/explorer":               {"httpapi/v1", "threshold"},
	"httpapi/v1":                     {"commitreveal", "keygen", "threshold"},
	"httpapi/client":                 {"httpapi/v1", "commitreveal", "keygen", "threshold"},
	"internal/pg":                    {"ordering", "commitreveal", "commitreveal/note", "commitreveal/tiles", "keygen", "threshold", "migrations"},
	"internal/home":                  {"keygen", "keygen/sharefile"},
	"internal/version":               {},
	"internal/node": {"ordering/fair", "httpapi", "httpapi/v1", "ordering/abci", "internal/pg", "internal/home", "internal/version", "keygen/sharefile", "ordering",
		"keygen", "commitreveal", "commitreveal/note", "commitreveal/tiles", "threshold"},

	// What a client does with nodes that it does not trust: the logic of cmd/scrim and of the demo.
	"internal/wallet": {"internal/succession", "httpapi/client", "httpapi/v1", "commitreveal", "commitreveal/audit", "commitreveal/mirror", "commitreveal/note", "keygen", "ordering", "ordering/fair", "threshold"},
	// Which committees a chain has had: wallets and members follow them in the same way.
	"internal/succession": {"httpapi/client", "httpapi/v1", "keygen", "threshold"},
	// What a committee member does by hand: the logic of scrim member. The devnet agrees on terms the same way.
	"internal/member": {"internal/home", "internal/succession", "httpapi/client", "httpapi/v1", "commitreveal/audit", "keygen", "keygen/sharefile", "ordering", "threshold"},

	// For tests, demo and local networks only.
	"threshold/thresholdtest": {"threshold"},
	"internal/sim":            {"ordering", "ordering/fair", "commitreveal", "keygen", "threshold"},
	"internal/fairsim":        {"ordering/fair", "commitreveal", "threshold"},
	"internal/child":          {},
	"internal/pgcluster":      {"internal/child"},
	"internal/pg/pgtest":      {"internal/pg", "internal/pgcluster", "migrations"},
	"internal/devnet": {"internal/child", "internal/home", "internal/node", "internal/member", "internal/pgcluster", "internal/wallet", "httpapi/client", "httpapi/v1", "commitreveal", "commitreveal/audit",
		"ordering", "keygen", "keygen/sharefile", "threshold"},
	"internal/devnet/load":       {"internal/wallet", "httpapi/client", "httpapi/v1", "threshold"},
	"internal/wallet/wallettest": {"httpapi", "httpapi/v1", "commitreveal", "keygen", "ordering", "threshold"},
	"internal/devnet/demo": {"internal/devnet", "internal/node", "internal/pgcluster", "internal/wallet", "httpapi/client", "httpapi/v1",
		"commitreveal", "commitreveal/audit", "ordering", "keygen", "threshold"},
	"internal/e2e":           {}, // tests only
	"internal/e2e/byzantine": {"internal/node", "internal/devnet", "ordering", "ordering/abci", "commitreveal", "keygen", "keygen/sharefile", "threshold"},
	"internal/house":         {}, // tests only

	"cmd/scrimd": {"internal/node", "internal/home", "internal/version", "internal/devnet", "internal/devnet/demo", "internal/devnet/load", "internal/fairsim", "internal/wallet", "httpapi/client", "keygen", "keygen/sharefile", "ordering"},
	// ordering is pure: the auditor recomputes the order with the node's own function (docs/decisions/0003).
	"cmd/scrim": {"internal/wallet", "internal/home", "internal/member", "internal/succession", "internal/version", "httpapi/client", "httpapi/v1", "commitreveal", "commitreveal/audit", "commitreveal/mirror", "commitreveal/note",
		"keygen", "keygen/sharefile", "ordering", "threshold"},
}

// libraries says where a library from outside may be imported, tests included.
// A library that is missing here has not been decided on.
var libraries = map[string][]string{
	"github.com/consensys/gnark-crypto":     {"threshold", "threshold/thresholdtest", "keygen"},
	"github.com/cloudflare/circl":           {"threshold", "threshold/thresholdtest", "keygen"},
	"go.dedis.ch/kyber":                     {"keygen"},
	"filippo.io/age":                        {"keygen/sharefile", "internal/home", "internal/node"},
	"github.com/cometbft":                   {"ordering/abci"},
	"github.com/cosmos/gogoproto":           {"ordering/abci"},
	"github.com/jackc":                      {"internal/pg", "internal/pg/pgtest"},
	"github.com/google/btree":               {"ordering"},
	"golang.org/x/mod":                      {"commitreveal", "commitreveal/audit", "commitreveal/mirror", "commitreveal/note", "commitreveal/tiles"},
	"github.com/go-chi":                     {"httpapi", "httpapi/explorer"},
	"github.com/prometheus":                 {"httpapi", "internal/node", "ordering/abci"},
	"github.com/BurntSushi/toml":            {"internal/home", "internal/node"},
	"github.com/spf13/cobra":                {"cmd/scrim", "cmd/scrimd"},
	"golang.org/x/sync":                     {"ordering", "internal/wallet", "httpapi", "httpapi/client", "internal/node", "internal/devnet", "internal/devnet/demo", "internal/pg", "cmd/scrim", "cmd/scrimd"},
	"github.com/google/go-cmp":              nil, // nil: any test, no product code
	"github.com/rogpeppe/go-internal":       nil,
	"github.com/santhosh-tekuri/jsonschema": nil,
	"github.com/pb33f":                      nil,
	"go.yaml.in/yaml/v3":                    nil,
}

// pure are the packages whose rules are functions of state and input alone.
var pure = []string{"threshold", "keygen", "ordering", "ordering/fair", "commitreveal", "commitreveal/audit", "commitreveal/note", "commitreveal/tiles"}

// shell are the packages that have the effects. No pure package may need one, not even in its tests; internal/sim has none.
var shell = []string{"internal/", "httpapi", "ordering/abci", "cmd/"}

type goPackage struct {
	ImportPath, Dir, Name, Doc         string
	GoFiles, TestGoFiles, XTestGoFiles []string
	Imports, TestImports, XTestImports []string
}

// room is the package's path below the module.
func (p goPackage) room() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

func goCommand(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("go", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return out
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	return filepath.Dir(strings.TrimSpace(string(goCommand(t, "env", "GOMOD"))))
}

var listOnce = sync.OnceValues(func() ([]byte, error) {
	return exec.Command("go", "list", "-e", "-json=ImportPath,Dir,Name,Doc,GoFiles,TestGoFiles,XTestGoFiles,Imports,TestImports,XTestImports", module+"/...").Output()
})

// noticeChanges reads all our folders, so that the go command does not take the result of this test from its cache
// although a file that only `go list` has seen is new or has changed.
func noticeChanges(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(moduleRoot(t), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() != "." && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// packages lists our own packages; there are some, or the test proves nothing.
func packages(t *testing.T) []goPackage {
	t.Helper()
	noticeChanges(t)
	out, err := listOnce()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list found only %d packages", len(all))
	}
	return all
}

func TestRoomsImportOnlyWhatTheyMay(t *testing.T) {
	for _, p := range packages(t) {
		room := p.room()
		allowed, known := rooms[parentRoom(room)]
		if !known {
			t.Errorf("%s is not in the table of rooms", room)
			continue
		}
		for _, path := range p.Imports {
			own, ok := strings.CutPrefix(path, module+"/")
			if ok && !slices.Contains(allowed, own) && parentRoom(own) != parentRoom(room) {
				t.Errorf("%s may not import %s", room, own)
			}
		}
	}
}

// parentRoom is the room by whose rules a package lives: keygen's for keygen/internal/g1, which only keygen can
// import, and internal/pgcluster's for its command.
func parentRoom(room string) string {
	if i := strings.Index(room, "/internal/"); i > 0 {
		return room[:i]
	}
	if strings.HasPrefix(room, "internal/pgcluster/") {
		return "internal/pgcluster"
	}
	return room
}

// A package named ...test, or that imports testing, makes secrets, databases or whole chains for tests. No product code
// may reach it.
func TestTestHelpersServeTestsOnly(t *testing.T) {
	helpers := map[string]bool{}
	for _, p := range packages(t) {
		if strings.HasSuffix(p.Name, "test") || slices.Contains(p.Imports, "testing") {
			helpers[p.ImportPath] = true
		}
	}
	for _, p := range packages(t) {
		for _, path := range p.Imports {
			if helpers[path] && !helpers[p.ImportPath] {
				t.Errorf("%s imports %s outside its tests", p.room(), path)
			}
		}
	}
}

func TestTestsOfPurePackagesNeedNoShell(t *testing.T) {
	for _, p := range packages(t) {
		if !slices.Contains(pure, parentRoom(p.room())) {
			continue
		}
		for _, path := range slices.Concat(p.TestImports, p.XTestImports) {
			own, ok := strings.CutPrefix(path, module+"/")
			if ok && own != "internal/sim" && slices.ContainsFunc(shell, func(s string) bool { return strings.HasPrefix(own, s) }) {
				t.Errorf("a test of %s imports %s", p.room(), own)
			}
		}
	}
}

func TestLibrariesStayInTheirRooms(t *testing.T) {
	for _, p := range packages(t) {
		room := parentRoom(p.room())
		check := func(paths []string, inTest bool) {
			for _, path := range paths {
				if !strings.Contains(strings.SplitN(path, "/", 2)[0], ".") || strings.HasPrefix(path, module) {
					continue // standard library, or ours
				}
				allowed, known := library(path)
				switch {
				case !known:
					t.Errorf("%s imports %s, which is not in the table of libraries", p.room(), path)
				case allowed == nil && !inTest:
					t.Errorf("%s imports %s, which is for tests only", p.room(), path)
				case allowed != nil && !slices.Contains(allowed, room):
					t.Errorf("%s may not import %s", p.room(), path)
				}
			}
		}
		check(p.Imports, false)
		check(p.TestImports, true)
		check(p.XTestImports, true)
	}
}

func library(path string) (allowed []string, known bool) {
	for prefix, rooms := range libraries {
		if path == prefix || strings.HasPrefix(path, prefix+"/") {
			return rooms, true
		}
	}
	return nil, false
}

// What wallets and auditors install must not carry a consensus engine or a database driver.
func TestScrimLinksNeitherCometBFTNorPgx(t *testing.T) {
	deps := strings.Fields(string(goCommand(t, "list", "-deps", module+"/cmd/scrim")))
	if !slices.Contains(deps, module+"/commitreveal/audit") {
		t.Fatalf("cmd/scrim does not link commitreveal/audit: is this the right list? (%d packages)", len(deps))
	}
	own := []string{module + "/internal/wallet", module + "/internal/home", module + "/internal/member", module + "/internal/succession", module + "/internal/version"}
	for _, dep := range deps {
		for _, never := range []string{"github.com/cometbft", "github.com/jackc", module + "/internal"} {
			if strings.HasPrefix(dep, never) && !slices.Contains(own, dep) {
				t.Errorf("cmd/scrim links %s", dep)
			}
		}
	}
}

func TestPackagesAreNamedAndDescribed(t *testing.T) {
	empty := []string{"util", "utils", "common", "helpers", "helper", "types", "misc", "shared"}
	for _, p := range packages(t) {
		if slices.Contains(empty, p.Name) {
			t.Errorf("%s: the name says nothing about what it is for", p.room())
		}
		if p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("%s has no package comment", p.room())
		}
	}
}
