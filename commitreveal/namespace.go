package commitreveal

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/scrimlabs/scrim/threshold"
)

const (
	domainNamespaceID   = "scrim/namespace-id/v1"
	domainNamespaceLeaf = "scrim/namespace-leaf/v1"
)

// NamespaceID is one transaction of a namespace in a batch.
type NamespaceID struct {
	Position uint32 // in the batch, from 0
	ID       threshold.ID
}

// namespaceLeaf is a namespace of a batch: how many transactions it has there, and the root over them.
type namespaceLeaf struct {
	namespace string
	count     uint32
	root      Hash
}

// NamespaceRoot is the RFC 6962 root over one record per namespace of a batch, in ascending order of their bytes:
// "scrim/namespace-leaf/v1" | 4 number of namespaces | 4 place from 0 | 1 length, namespace | 4 count | 32 root of the namespace's ids,
// which is that over "scrim/namespace-id/v1" | 4 count | 4 place from 0 | 4 position in the batch | 32 id in the batch's order.
// namespaces[i] is that of ids[i]. Like a batch, the arguments have 1 to MaxBatch items.
func NamespaceRoot(ids []threshold.ID, namespaces []string) (Hash, error) {
	_, leaves, err := groupNamespaces(ids, namespaces)
	if err != nil {
		return Hash{}, err
	}
	return merkleRoot(namespaceRecords(leaves)), nil
}

// groupNamespaces gives the ids of each namespace, and the leaves in order.
func groupNamespaces(ids []threshold.ID, namespaces []string) (map[string][]NamespaceID, []namespaceLeaf, error) {
	if len(ids) != len(namespaces) || len(ids) == 0 || len(ids) > MaxBatch {
		return nil, nil, fmt.Errorf("%w: %d namespaces for a batch of %d", ErrInvalid, len(namespaces), len(ids))
	}
	byName := make(map[string][]NamespaceID)
	var names []string
	for i, name := range namespaces {
		if err := threshold.ValidNamespace(name); err != nil {
			return nil, nil, fmt.Errorf("%w: ciphertext %d: %w", ErrInvalid, i, err)
		}
		if byName[name] == nil {
			names = append(names, name)
		}
		byName[name] = append(byName[name], NamespaceID{uint32(i), ids[i]})
	}
	slices.Sort(names)
	leaves := make([]namespaceLeaf, len(names))
	for i, name := range names {
		leaves[i] = namespaceLeaf{name, uint32(len(byName[name])), namespaceIDsRoot(byName[name])}
	}
	return byName, leaves, nil
}

func namespaceIDsRoot(ids []NamespaceID) Hash {
	records := make([][]byte, len(ids))
	for i, id := range ids {
		b := make([]byte, 0, len(domainNamespaceID)+3*4+len(id.ID))
		b = appendUint32(append(b, domainNamespaceID...), uint32(len(ids)))
		b = appendUint32(appendUint32(b, uint32(i)), id.Position)
		records[i] = append(b, id.ID[:]...)
	}
	return merkleRoot(records)
}

func namespaceRecords(leaves []namespaceLeaf) [][]byte {
	records := make([][]byte, len(leaves))
	for i, l := range leaves {
		records[i] = l.record(len(leaves), i)
	}
	return records
}

func (l namespaceLeaf) record(count, place int) []byte {
	b := appendUint32(appendUint32([]byte(domainNamespaceLeaf), uint32(count)), uint32(place))
	b = append(append(b, byte(len(l.namespace))), l.namespace...)
	return append(appendUint32(b, l.count), l.root[:]...)
}

// NamespaceProof shows all transactions that a namespace has in a batch, or that it has none. It proves it against
// [CommitEntry].Namespaces, up to the committee's word that the namespaces in the tree are sorted and complete, which everyone
// who has the batch recomputes.
type NamespaceProof struct {
	Namespace    string
	Namespaces   uint32        // of the batch
	Transactions []NamespaceID // in the batch's order; empty if it has none
	// Leaves are those that the paths are of: the namespace's own, or else its neighbours in the order, of which the first
	// or the last has only one.
	Leaves []NamespaceLeaf
}

// NamespaceLeaf is a leaf of the namespace tree with its proof.
type NamespaceLeaf struct {
	Place     uint32 // among the batch's namespaces, from 0
	Namespace string
	Count     uint32 // of its transactions
	Root      Hash   // over them
	Path      []Hash // RFC 6962 inclusion proof
}

// ProveNamespace makes the proof for a namespace; ids and namespaces are the batch's, as for [NamespaceRoot].
func ProveNamespace(ids []threshold.ID, namespaces []string, namespace string) (*NamespaceProof, error) {
	if err := threshold.ValidNamespace(namespace); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	byName, leaves, err := groupNamespaces(ids, namespaces)
	if err != nil {
		return nil, err
	}
	p := &NamespaceProof{Namespace: namespace, Namespaces: uint32(len(leaves)), Transactions: byName[namespace]}
	at, found := slices.BinarySearchFunc(leaves, namespace, func(l namespaceLeaf, name string) int { return strings.Compare(l.namespace, name) })
	places := []int{at}
	if !found {
		places = []int{at - 1, at}
	}
	records := namespaceRecords(leaves)
	for _, i := range places {
		if i < 0 || i >= len(leaves) {
			continue
		}
		path, err := proveRecord(records, i)
		if err != nil {
			return nil, err
		}
		l := leaves[i]
		p.Leaves = append(p.Leaves, NamespaceLeaf{uint32(i), l.namespace, l.count, l.root, path})
	}
	return p, nil
}

// Verify checks the proof against the namespaces' root and the count of a commit entry: [ErrNoProof] if it does not hold.
func (p *NamespaceProof) Verify(e CommitEntry) error {
	if err := p.validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrNoProof, err)
	}
	if p.Namespaces > e.Count {
		return fmt.Errorf("%w: %d namespaces in a batch of %d", ErrNoProof, p.Namespaces, e.Count)
	}
	for _, l := range p.Leaves {
		record := namespaceLeaf{l.Namespace, l.Count, l.Root}.record(int(p.Namespaces), int(l.Place))
		if err := checkRecord(l.Path, int(p.Namespaces), e.Namespaces, int(l.Place), record); err != nil {
			return fmt.Errorf("%w: namespace %s is not at place %d of %d in the tree of the batch of height %d", ErrNoProof, l.Namespace, l.Place, p.Namespaces, e.Height)
		}
	}
	if len(p.Transactions) == 0 {
		return nil // validate: the neighbours enclose it
	}
	if last := p.Transactions[len(p.Transactions)-1]; last.Position >= e.Count {
		return fmt.Errorf("%w: position %d in a batch of %d", ErrNoProof, last.Position, e.Count)
	}
	if namespaceIDsRoot(p.Transactions) != p.Leaves[0].Root {
		return fmt.Errorf("%w: the transactions are not those of namespace %s in the batch of height %d", ErrNoProof, p.Namespace, e.Height)
	}
	return nil
}

// validate checks the shape that an honest proof has.
func (p *NamespaceProof) validate() error {
	if err := threshold.ValidNamespace(p.Namespace); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if p.Namespaces == 0 || p.Namespaces > MaxBatch || len(p.Transactions) > MaxBatch {
		return fmt.Errorf("%w: %d transactions in a batch of %d namespaces", ErrInvalid, len(p.Transactions), p.Namespaces)
	}
	for i, t := range p.Transactions {
		if t.Position >= MaxBatch || i > 0 && t.Position <= p.Transactions[i-1].Position {
			return fmt.Errorf("%w: the transactions of a namespace are not in the order of the batch", ErrInvalid)
		}
	}
	for _, l := range p.Leaves {
		if err := threshold.ValidNamespace(l.Namespace); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		if l.Place >= p.Namespaces || l.Count == 0 || l.Count > MaxBatch || len(l.Path) > maxProof {
			return fmt.Errorf("%w: leaf of namespace %s", ErrInvalid, l.Namespace)
		}
	}
	if !p.shaped() {
		return fmt.Errorf("%w: the leaves of the proof are not those that decide about namespace %s", ErrInvalid, p.Namespace)
	}
	return nil
}

// shaped reports whether the leaves are the namespace's own, or the ones between which it would stand.
func (p *NamespaceProof) shaped() bool {
	switch l := p.Leaves; {
	case len(p.Transactions) > 0:
		return len(l) == 1 && l[0].Namespace == p.Namespace && int(l[0].Count) == len(p.Transactions)
	case len(l) == 2:
		return l[0].Place+1 == l[1].Place && l[0].Namespace < p.Namespace && p.Namespace < l[1].Namespace
	case len(l) == 1:
		first := l[0].Place == 0 && p.Namespace < l[0].Namespace
		last := l[0].Place == p.Namespaces-1 && p.Namespace > l[0].Namespace
		return first || last
	default:
		return false
	}
}

// MarshalBinary encodes the proof: version | namespace | 4 number of namespaces | 4 count | per transaction 4 position, 32 id |
// 1 number of leaves | per leaf 4 place, namespace, 4 count, 32 root, 1 + 32 k path. A namespace is a length byte and its bytes.
func (p *NamespaceProof) MarshalBinary() ([]byte, error) {
	if err := p.validate(); err != nil {
		return nil, fmt.Errorf("marshal namespace proof: %w", err)
	}
	b := appendString([]byte{version}, p.Namespace)
	b = appendUint32(appendUint32(b, p.Namespaces), uint32(len(p.Transactions)))
	for _, t := range p.Transactions {
		b = append(appendUint32(b, t.Position), t.ID[:]...)
	}
	b = append(b, byte(len(p.Leaves)))
	for _, l := range p.Leaves {
		b = appendString(appendUint32(b, l.Place), l.Namespace)
		b = append(appendUint32(b, l.Count), l.Root[:]...)
		b = appendHashes(b, l.Path)
	}
	return b, nil
}

// ParseNamespaceProof is the inverse of [NamespaceProof.MarshalBinary]. It verifies nothing.
func ParseNamespaceProof(b []byte) (*NamespaceProof, error) {
	d := newDecoder(b)
	d.Version(version)
	p := &NamespaceProof{Namespace: d.string(), Namespaces: d.Uint32()}
	n := d.Uint32()
	if d.OK() && uint64(n)*36 > uint64(d.Left()) {
		d.Fail("%d transactions in %d bytes", n, d.Left())
	}
	for range n {
		if !d.OK() {
			break
		}
		t := NamespaceID{Position: d.Uint32()}
		d.Fill(t.ID[:])
		p.Transactions = append(p.Transactions, t)
	}
	for range d.Byte() {
		if !d.OK() {
			break
		}
		p.Leaves = append(p.Leaves, NamespaceLeaf{Place: d.Uint32(), Namespace: d.string(), Count: d.Uint32(), Root: d.hash(), Path: d.hashes()})
	}
	if d.OK() {
		if err := p.validate(); err != nil {
			d.Fail("%w", err)
		}
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("parse namespace proof: %w", err)
	}
	return p, nil
}

// appendString appends a length byte and at most 255 bytes.
func appendString(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

func (d *decoder) string() string { return string(d.Bytes(int(d.Byte()))) }

// appendHashes appends the number of hashes in one byte, and the hashes.
func appendHashes(b []byte, hashes []Hash) []byte {
	b = append(b, byte(len(hashes)))
	for _, h := range hashes {
		b = append(b, h[:]...)
	}
	return b
}

// hashes reads what appendHashes gives, at most maxProof.
func (d *decoder) hashes() (out []Hash) {
	n := d.Byte()
	if n > maxProof {
		d.Fail("%d proof hashes", n)
	}
	for range n {
		if !d.OK() {
			return nil
		}
		out = append(out, d.hash())
	}
	return out
}

// checkRecord checks an RFC 6962 inclusion proof.
func checkRecord(path []Hash, count int, root Hash, position int, record []byte) error {
	proof := make(tlog.RecordProof, len(path))
	for i, h := range path {
		proof[i] = tlog.Hash(h)
	}
	return tlog.CheckRecord(proof, int64(count), tlog.Hash(root), int64(position), tlog.RecordHash(record))
}
