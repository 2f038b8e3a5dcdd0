package house

import (
	"slices"
	"strings"
	"testing"
)

// auditorPackages is all that the auditor's library links besides the standard library: who wants to check a chain
// without trusting anyone reads these. A new one is a decision.
var auditorPackages = []string{
	"github.com/bits-and-blooms/bitset",
	"github.com/cloudflare/circl/ecc/bls12381",
	"github.com/cloudflare/circl/ecc/bls12381/ff",
	"github.com/cloudflare/circl/expander",
	"github.com/cloudflare/circl/internal/conv",
	"github.com/cloudflare/circl/internal/sha3",
	"github.com/cloudflare/circl/simd/keccakf1600",
	"github.com/cloudflare/circl/xof",
	"github.com/cloudflare/circl/xof/k12",
	"github.com/consensys/gnark-crypto/ecc",
	"github.com/consensys/gnark-crypto/ecc/bls12-381",
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp",
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr",
	"github.com/consensys/gnark-crypto/ecc/bls12-381/hash_to_curve",
	"github.com/consensys/gnark-crypto/ecc/bls12-381/internal/fptower",
	"github.com/consensys/gnark-crypto/field/asm/element_4w",
	"github.com/consensys/gnark-crypto/field/asm/element_6w",
	"github.com/consensys/gnark-crypto/field/hash",
	"github.com/consensys/gnark-crypto/field/pool",
	"github.com/consensys/gnark-crypto/parallel",
	"github.com/consensys/gnark-crypto/utils/cpu",
	module + "/commitreveal",
	module + "/commitreveal/audit",
	module + "/commitreveal/mirror",
	module + "/commitreveal/note",
	module + "/commitreveal/tiles",
	module + "/internal/wire",
	module + "/threshold",
	"golang.org/x/crypto/blake2b",
	"golang.org/x/crypto/blake2s",
	"golang.org/x/crypto/cryptobyte",
	"golang.org/x/crypto/cryptobyte/asn1",
	"golang.org/x/mod/sumdb/tlog",
	"golang.org/x/sys/cpu",
}

// auditorModules are the modules that cmd/scrim is built from.
var auditorModules = []string{
	"filippo.io/age",
	"filippo.io/hpke",
	"github.com/BurntSushi/toml",
	"github.com/bits-and-blooms/bitset",
	"github.com/cloudflare/circl",
	"github.com/consensys/gnark-crypto",
	"github.com/google/btree",
	module,
	"github.com/spf13/cobra",
	"github.com/spf13/pflag",
	"go.dedis.ch/kyber/v3",
	"golang.org/x/crypto",
	"golang.org/x/mod",
	"golang.org/x/sync",
	"golang.org/x/sys",
}

func TestTheAuditorLinksExactlyThis(t *testing.T) {
	packages := listed(t, "{{if not .Standard}}{{.ImportPath}}{{end}}", module+"/commitreveal/audit", module+"/commitreveal/mirror")
	compare(t, "the auditor's library links", packages, auditorPackages)
	modules := listed(t, "{{with .Module}}{{.Path}}{{end}}", module+"/cmd/scrim")
	compare(t, "cmd/scrim is built from", modules, auditorModules)
}

// listed gives what go list says of all dependencies, each once.
func listed(t *testing.T, format string, packages ...string) []string {
	t.Helper()
	out := goCommand(t, append([]string{"list", "-deps", "-f", format}, packages...)...)
	list := strings.Fields(string(out))
	slices.Sort(list)
	return slices.Compact(list)
}

func compare(t *testing.T, what string, got, want []string) {
	t.Helper()
	for _, p := range got {
		if !slices.Contains(want, p) {
			t.Errorf("%s %s, which is not in the list", what, p)
		}
	}
	for _, p := range want {
		if !slices.Contains(got, p) {
			t.Errorf("%s %s no longer: take it off the list", what, p)
		}
	}
}
