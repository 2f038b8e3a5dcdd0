package commitreveal

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/scrimlabs/scrim/threshold"
)

// spread gives n ids, with a namespace for each out of k.
func spread(n, k int) (out []threshold.ID, names []string) {
	for i := range n {
		out = append(out, id(fmt.Sprint(i)))
		names = append(names, fmt.Sprintf("ns-%03d", 2*(i*7%k)))
	}
	return out, names
}

// Whatever the batch and the namespace, the proof holds, and says what a plain look at the batch says.
func TestNamespaceProofs(t *testing.T) {
	for _, k := range []int{1, 2, 3, 5, 8} {
		for _, n := range []int{k, k + 1, 3*k + 2} {
			batch, names := spread(n, k)
			root, err := NamespaceRoot(batch, names)
			if err != nil {
				t.Fatal(err)
			}
			e := CommitEntry{Height: 7, Count: uint32(n), Namespaces: root}
			for i := -1; i <= 2*k; i++ {
				name := fmt.Sprintf("ns-%03d", i)
				if i < 0 {
					name = "a"
				}
				var want []NamespaceID
				for j := range batch {
					if names[j] == name {
						want = append(want, NamespaceID{uint32(j), batch[j]})
					}
				}
				p, err := ProveNamespace(batch, names, name)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(p.Transactions, want) {
					t.Errorf("%d of %d, %s: %d transactions, want %d", k, n, name, len(p.Transactions), len(want))
				}
				if err := p.Verify(e); err != nil {
					t.Errorf("%d of %d, %s: %v", k, n, name, err)
				}
			}
		}
	}
}

// A proof that leaves out a transaction, or denies a namespace that is there, does not hold.
func TestNamespaceProofsCannotLie(t *testing.T) {
	batch, names := spread(20, 5) // ns-000, ns-002 ... ns-008
	root, err := NamespaceRoot(batch, names)
	if err != nil {
		t.Fatal(err)
	}
	entry := CommitEntry{Height: 7, Count: 20, Namespaces: root}
	proof := func(name string) *NamespaceProof {
		p, err := ProveNamespace(batch, names, name)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	leaf := func(name string) NamespaceLeaf { return proof(name).Leaves[0] }
	tests := map[string]func() *NamespaceProof{
		"one left out": func() *NamespaceProof {
			p := proof("ns-004")
			p.Transactions = p.Transactions[1:]
			return p
		},
		"one left out, count too": func() *NamespaceProof {
			p := proof("ns-004")
			p.Transactions = p.Transactions[1:]
			p.Leaves[0].Count--
			return p
		},
		"another id": func() *NamespaceProof {
			p := proof("ns-004")
			p.Transactions[0].ID[0] ^= 1
			return p
		},
		"another position": func() *NamespaceProof {
			p := proof("ns-004")
			p.Transactions[len(p.Transactions)-1].Position++
			return p
		},
		"two exchanged": func() *NamespaceProof {
			p := proof("ns-004")
			p.Transactions[0].ID, p.Transactions[1].ID = p.Transactions[1].ID, p.Transactions[0].ID
			return p
		},
		"all of another namespace": func() *NamespaceProof {
			p := proof("ns-004")
			p.Namespace, p.Leaves[0].Namespace = "ns-006", "ns-006"
			return p
		},
		"denied between neighbours that are none": func() *NamespaceProof {
			return &NamespaceProof{Namespace: "ns-004", Namespaces: 5, Leaves: []NamespaceLeaf{leaf("ns-002"), leaf("ns-006")}}
		},
		"denied with places that lie": func() *NamespaceProof {
			right := leaf("ns-006")
			right.Place--
			return &NamespaceProof{Namespace: "ns-004", Namespaces: 5, Leaves: []NamespaceLeaf{leaf("ns-002"), right}}
		},
		"denied by one neighbour": func() *NamespaceProof {
			return &NamespaceProof{Namespace: "ns-004", Namespaces: 5, Leaves: []NamespaceLeaf{leaf("ns-006")}}
		},
		"denied at the end": func() *NamespaceProof {
			return &NamespaceProof{Namespace: "ns-008", Namespaces: 5, Leaves: []NamespaceLeaf{leaf("ns-006")}}
		},
		"denied at the end of fewer": func() *NamespaceProof {
			return &NamespaceProof{Namespace: "ns-008", Namespaces: 4, Leaves: []NamespaceLeaf{leaf("ns-006")}}
		},
		"denied without a leaf": func() *NamespaceProof { return &NamespaceProof{Namespace: "ns-004", Namespaces: 5} },
		"an altered path": func() *NamespaceProof {
			p := proof("ns-005")
			p.Leaves[1].Path[0][0] ^= 1
			return p
		},
	}
	for name, make := range tests {
		if err := make().Verify(entry); !errors.Is(err, ErrNoProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, e := range map[string]CommitEntry{
		"another root":           {Height: 7, Count: 20},
		"fewer than namespaces":  {Height: 7, Count: 4, Namespaces: root},
		"position out of bounds": {Height: 7, Count: 5, Namespaces: root},
	} {
		if err := proof("ns-004").Verify(e); !errors.Is(err, ErrNoProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNamespaceRootRefuses(t *testing.T) {
	for name, names := range map[string][]string{"none": nil, "too few": {"a"}, "not a namespace": {"a", "A B"}} {
		if _, err := NamespaceRoot(ids("a,b"), names); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ProveNamespace(ids("a"), []string{"a"}, ""); !errors.Is(err, ErrInvalid) {
		t.Errorf("no name: %v", err)
	}
}

func TestTransactionProof(t *testing.T) {
	cts, batch := sealed(t, 3)
	path, err := ProveInBatch(batch, 2)
	if err != nil {
		t.Fatal(err)
	}
	good := TransactionProof{
		Entry:    CommitEntry{Height: 7, KeyID: cts[2].Header().KeyID, Count: 3, Root: BatchRoot(batch)},
		Position: 2, Path: path, Ciphertext: cts[2].Ciphertext().Bytes(),
	}
	if ct, err := good.Verify(); err != nil || ct.ID() != batch[2] {
		t.Fatal(err)
	}
	for name, change := range map[string]func(p *TransactionProof){
		"position":   func(p *TransactionProof) { p.Position = 1 },
		"count":      func(p *TransactionProof) { p.Entry.Count = 4 },
		"root":       func(p *TransactionProof) { p.Entry.Root[0] ^= 1 },
		"ciphertext": func(p *TransactionProof) { p.Ciphertext = cts[1].Ciphertext().Bytes() },
		"no cipher":  func(p *TransactionProof) { p.Ciphertext = []byte("x") },
		"path":       func(p *TransactionProof) { p.Path = p.Path[1:] },
	} {
		bad := good
		change(&bad)
		if _, err := bad.Verify(); !errors.Is(err, ErrNoProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
