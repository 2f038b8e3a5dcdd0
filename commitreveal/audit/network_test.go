package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
	"github.com/scrimlabs/scrim/threshold/thresholdtest"
)

const (
	chainID     = "scrim-test"
	testTerms   = "terms of scrim-test"
	testLimits  = "limits of scrim-test"
	committeeOf = "committee of epoch 1"
)

var committeeOf4 = sync.OnceValues(func() (*threshold.Committee, []*threshold.SecretShare) {
	return thresholdtest.Deal("audit", 1, 4, 3)
})

func identity(member uint32) ed25519.PrivateKey {
	seed := sha256.Sum256(fmt.Appendf(nil, "identity %d", member))
	return ed25519.NewKeyFromSeed(seed[:])
}

// testChecks stands for the ceremony's certificates and the ordering rule: a
// certificate is a hash over terms and committee, the order is by a hash.
func testChecks() Checks {
	return Checks{
		Certificate: checkCertificate, Succession: checkSuccession, Rule: newTestRule, Ceremony: checkCeremony, Fork: checkFork,
		Committee: func(cert []byte) (CommitteeInfo, error) { return checkCertificate([]byte(testTerms), cert) },
		Statement: checkStatement,
	}
}

// checkCeremony stands for keygen's evidence: "conflict" and "bad deal" prove
// something against bob under the test's terms.
func checkCeremony(terms, evidence []byte) (CeremonyFinding, error) {
	f := CeremonyFinding{ChainID: chainID, Epoch: 1, TermsHash: sha256.Sum256(terms), Who: "bob", Member: 2, What: "erred"}
	switch string(evidence) {
	case "conflict":
		f.Conflict = true
	case "bad deal":
	default:
		return f, errors.New("no such evidence")
	}
	if string(terms) != testTerms {
		return f, errors.New("another ceremony")
	}
	return f, nil
}

// bobHas is what checkStatement takes.
func bobHas(id threshold.ID) string {
	text := "bob has " + string(id[:])
	return text + string(ed25519.Sign(identity(2), []byte(text)))
}

// checkStatement stands for a signed announcement: bob's log after position 6 has these ids with these times.
func checkStatement(chain string, key ed25519.PublicKey, statement []byte, head, times commitreveal.Hash) (LogPart, error) {
	text, signature := statement[:max(0, len(statement)-ed25519.SignatureSize)], statement[max(0, len(statement)-ed25519.SignatureSize):]
	id, ok := strings.CutPrefix(string(text), "bob has ")
	if !ok || len(id) != len(threshold.ID{}) || !ed25519.Verify(key, text, signature) || !key.Equal(identity(2).Public()) || chain != chainID || head != (commitreveal.Hash{}) || times != (commitreveal.Hash{7}) {
		return LogPart{}, errors.New("bob did not sign this")
	}
	return LogPart{Member: 2, After: 6, IDs: []threshold.ID{{1}, threshold.ID([]byte(id))}, Times: []uint64{1699999999999, 1700000000000}, TimesHead: times, Statement: statement}, nil
}

// checkFork stands for fair's evidence: "fork of logs" and "fork of times" prove something against bob.
func checkFork(c CommitteeInfo, evidence []byte) (kind string, member uint32, err error) {
	if c.ChainID != chainID || c.Committee.Epoch != 1 {
		return "", 0, errors.New("another committee")
	}
	switch string(evidence) {
	case "fork of logs":
		return KindLogFork, 2, nil
	case "fork of times":
		return KindTimesFork, 2, nil
	}
	return "", 0, errors.New("no such evidence")
}

// accuse is an entry about a member, with the evidence; no evidence if the body is nil.
func (n *network) accuse(height, epoch uint64, member uint32, kind string, hash commitreveal.Hash, body []byte) {
	n.t.Helper()
	n.append(commitreveal.MisbehaviourEntry{Height: height, Epoch: epoch, Member: member, Kind: kind, Evidence: hash})
	if body != nil {
		n.lines = append(n.lines, &commitreveal.BundleEvidence{Body: body})
	}
}

// caught is an honest entry about bob.
func (n *network) caught(height uint64, kind string, body []byte) {
	n.t.Helper()
	n.accuse(height, 1, 2, kind, commitreveal.EvidenceHash(body), body)
}

// badPoint is evidence against bob, or none if he was honest.
func (n *network) badPoint(honest bool) []byte {
	n.t.Helper()
	ct, err := n.seal("shared").Check()
	n.must(err)
	m := n.shareOf(2, 5, commitreveal.BatchRoot([]threshold.ID{ct.ID()}), 1)
	if honest {
		_, secrets := committeeOf4()
		share, err := secrets[1].ShareBatch([]*threshold.Checked{ct})
		n.must(err)
		m.Share.Points = share.Points
		n.must(m.Sign(identity(2)))
	}
	e, err := commitreveal.NewBadPoint(*m, []*threshold.Checked{ct}, 0)
	n.must(err)
	b, err := commitreveal.MarshalEvidence(e)
	n.must(err)
	return b
}

// testRule is a stand-in for the chain's rule: each batch must be ascending, and what the rounds so far were, hashed, stands in the
// commit entry. What a round has aside has expired.
type testRule struct {
	rounds  [32]byte
	expired []commitreveal.ExpiredEntry
}

func newTestRule(_ string, limits []byte) (Rule, error) {
	if string(limits) != testLimits {
		return nil, errors.New("other limits")
	}
	return &testRule{}, nil
}

func (r *testRule) Committee(uint64, CommitteeInfo) error { return nil }

func (r *testRule) Round(l *commitreveal.BundleRound) ([]LogPart, error) {
	if string(l.Section) == "bad" {
		return nil, errors.New("a section that no member signed")
	}
	r.rounds = nextRounds(r.rounds, l)
	for _, b := range l.Aside {
		ct, err := threshold.ParseCiphertext(b)
		if err != nil {
			return nil, err
		}
		r.expired = append(r.expired, asideEntry(l.Height, ct))
	}
	if p, err := checkStatement(chainID, identity(2).Public().(ed25519.PublicKey), l.Section, commitreveal.Hash{}, commitreveal.Hash{7}); err == nil {
		return []LogPart{p}, nil
	}
	return nil, nil
}

func (r *testRule) Expired(height uint64) (out []commitreveal.ExpiredEntry, err error) {
	for len(r.expired) > 0 && r.expired[0].Height <= height {
		out, r.expired = append(out, r.expired[0]), r.expired[1:]
	}
	return out, nil
}

// asideEntry is the one for a ciphertext that the block of a height set aside because it was too late.
func asideEntry(height uint64, ct *threshold.Ciphertext) commitreveal.ExpiredEntry {
	return commitreveal.ExpiredEntry{Height: height, ID: ct.ID(), ValidUntil: ct.Header().ValidUntil, Reason: commitreveal.ReasonTooLate}
}

func nextRounds(before [32]byte, l *commitreveal.BundleRound) [32]byte {
	var aside []threshold.ID
	for _, body := range l.Aside {
		if ct, err := threshold.ParseCiphertext(body); err == nil {
			aside = append(aside, ct.ID())
		}
	}
	return commitreveal.NextRounds(before, l.Height, l.Section, aside)
}

func (r *testRule) Batch(height uint64, rounds [32]byte, cts []*threshold.Ciphertext) (func([32]byte) []threshold.ID, error) {
	var ids []threshold.ID
	for _, ct := range cts {
		ids = append(ids, ct.ID())
	}
	if !slices.IsSortedFunc(ids, compareIDs) {
		return nil, errors.New("not ascending")
	}
	if rounds != r.rounds {
		return nil, errors.New("other rounds")
	}
	return func(beacon [32]byte) []threshold.ID { return testOrder(height, beacon, ids) }, nil
}

func certify(terms, committee []byte) []byte {
	sum := sha256.Sum256(slices.Concat([]byte("certified"), terms, committee))
	return append(sum[:], committee...)
}

func checkCertificate(terms, cert []byte) (CommitteeInfo, error) {
	if len(cert) < 32 || !bytes.Equal(cert, certify(terms, cert[32:])) {
		return CommitteeInfo{}, errors.New("the test's certificate does not hold")
	}
	c, err := threshold.ParseCommittee(cert[32:])
	if err != nil {
		return CommitteeInfo{}, err
	}
	info := CommitteeInfo{Committee: c, ChainID: chainID, TermsHash: sha256.Sum256(terms), Terms: terms, Names: []string{"", "bob"}}
	for j := range uint32(c.N()) {
		info.Identities = append(info.Identities, identity(j+1).Public().(ed25519.PublicKey))
	}
	return info, nil
}

func testOrder(height uint64, beacon [32]byte, ids []threshold.ID) []threshold.ID {
	if !slices.IsSortedFunc(ids, compareIDs) {
		panic("the rule is given ids that are not sorted")
	}
	key := func(id threshold.ID) []byte {
		sum := sha256.Sum256(slices.Concat(binary.BigEndian.AppendUint64(nil, height), beacon[:], id[:]))
		return sum[:]
	}
	out := slices.Clone(ids)
	slices.SortFunc(out, func(a, b threshold.ID) int { return bytes.Compare(key(a), key(b)) })
	return out
}

// network is a committee that does what the test tells it, and signs it.
type network struct {
	t        testing.TB
	rng      *rand.ChaCha8
	lines    []commitreveal.BundleLine
	log      commitreveal.Log
	entries  uint64
	rounds   [32]byte
	pending  []*planned
	withhold bool  // reveal nothing
	signers  []int // members less one that share and sign; the first three if nil
}

// planned is a batch that the network has committed.
type planned struct {
	cts        []*threshold.Ciphertext
	checkpoint commitreveal.Checkpoint
	lines      []*commitreveal.BundleTransaction
	lie        lies
}

// lies are what a dishonest committee does to a batch; a nil one is honest.
type lies struct {
	cts     func(cts []*threshold.Ciphertext) []*threshold.Ciphertext // after they were ordered
	commit  func(e *commitreveal.CommitEntry)
	outcome func(o []commitreveal.Outcome)
	reveal  func(e *commitreveal.RevealEntry)
	voids   func(v []commitreveal.VoidEntry) []commitreveal.VoidEntry
}

func newNetwork(t testing.TB) *network {
	n := silentNetwork(t)
	n.activate(2, nil)
	return n
}

// silentNetwork has no committee yet.
func silentNetwork(t testing.TB) *network {
	return &network{
		t: t, rng: rand.NewChaCha8([32]byte{1}),
		lines: []commitreveal.BundleLine{&commitreveal.BundleHeader{ChainID: chainID, Terms: []byte(testTerms), Limits: []byte(testLimits)}},
	}
}

func (n *network) activate(height uint64, lie func(e *commitreveal.CommitteeEntry)) {
	c, _ := committeeOf4()
	b, err := c.MarshalBinary()
	n.must(err)
	cert := certify([]byte(testTerms), b)
	e, err := commitreveal.NewCommitteeEntry(height, cert, c)
	n.must(err)
	if lie != nil {
		lie(&e)
	}
	n.append(e)
	n.lines = append(n.lines, &commitreveal.BundleCertificate{Certificate: cert})
}

func (n *network) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *network) append(e commitreveal.Entry) {
	n.t.Helper()
	b, err := commitreveal.MarshalEntry(e)
	n.must(err)
	n.lines = append(n.lines, &commitreveal.BundleEntry{Index: n.entries, Entry: b})
	n.entries++
	n.log, _, err = n.log.Append(b)
	n.must(err)
}

func sealOptions() threshold.SealOptions {
	return threshold.SealOptions{ChainID: chainID, Namespace: "rollup-a", ValidUntil: 100}
}

func (n *network) seal(plaintext string, change ...func(o *threshold.SealOptions)) *threshold.Ciphertext {
	n.t.Helper()
	c, _ := committeeOf4()
	o := sealOptions()
	for _, f := range change {
		f(&o)
	}
	ct, err := threshold.Seal(n.rng, c.Key, o, []byte(plaintext))
	n.must(err)
	return ct
}

// up are the secrets of the members that are there.
func (n *network) up(secrets []*threshold.SecretShare) (out []*threshold.SecretShare) {
	if n.signers == nil {
		return secrets[:3]
	}
	for _, i := range n.signers {
		out = append(out, secrets[i])
	}
	return out
}

func namespace(name string) func(o *threshold.SealOptions) {
	return func(o *threshold.SealOptions) { o.Namespace = name }
}

func validUntil(height uint64) func(o *threshold.SealOptions) {
	return func(o *threshold.SealOptions) { o.ValidUntil = height }
}

// void is a ciphertext that does not decrypt.
func (n *network) void(seed string) *threshold.Ciphertext {
	c, _ := committeeOf4()
	return thresholdtest.Void(seed, c.Key, sealOptions())
}

// block reveals what is pending, and commits a batch.
func (n *network) block(height uint64, cts ...*threshold.Ciphertext) {
	n.lyingBlock(height, lies{}, cts...)
}

func (n *network) lyingBlock(height uint64, lie lies, cts ...*threshold.Ciphertext) {
	n.t.Helper()
	if !n.withhold {
		for len(n.pending) > 0 {
			n.reveal(0)
		}
	}
	ordered := slices.SortedFunc(slices.Values(cts), func(a, b *threshold.Ciphertext) int { return compareIDs(a.ID(), b.ID()) })
	if lie.cts != nil {
		ordered = lie.cts(ordered)
	}
	n.commit(height, lie, ordered)
}

// round is what a block says for the order.
func (n *network) round(height uint64, section string) {
	l := &commitreveal.BundleRound{Height: height, Section: []byte(section)}
	n.lines = append(n.lines, l)
	n.rounds = nextRounds(n.rounds, l)
}

// aside is a round that sets ciphertexts aside; the log says nothing yet.
func (n *network) aside(height uint64, cts ...*threshold.Ciphertext) {
	l := &commitreveal.BundleRound{Height: height}
	for _, ct := range cts {
		l.Aside = append(l.Aside, ct.Bytes())
	}
	n.lines = append(n.lines, l)
	n.rounds = nextRounds(n.rounds, l)
}

func (n *network) commit(height uint64, lie lies, cts []*threshold.Ciphertext) {
	n.t.Helper()
	c, _ := committeeOf4()
	var ids []threshold.ID
	var namespaces []string
	for _, ct := range cts {
		ids, namespaces = append(ids, ct.ID()), append(namespaces, ct.Header().Namespace)
	}
	root, err := commitreveal.NamespaceRoot(ids, namespaces)
	n.must(err)
	e := commitreveal.CommitEntry{
		Height: height, Epoch: 1, KeyID: c.Key.ID(), Count: uint32(len(ids)),
		Root: commitreveal.BatchRoot(ids), Rounds: n.rounds, Namespaces: root,
	}
	if lie.commit != nil {
		lie.commit(&e)
	}
	n.append(e)
	p := &planned{cts: cts, lie: lie, checkpoint: commitreveal.Checkpoint{
		ChainID: chainID, Height: e.Height, Epoch: e.Epoch, BatchRoot: e.Root, LogSize: n.log.Size(), LogRoot: n.log.Root(),
	}}
	for i, ct := range cts {
		line := &commitreveal.BundleTransaction{Height: e.Height, Position: uint32(i), Ciphertext: ct.Bytes()}
		p.lines = append(p.lines, line)
		n.lines = append(n.lines, line)
	}
	n.pending = append(n.pending, p)
}

// reveal opens the pending batch of an index; an honest network's is 0.
func (n *network) reveal(i int) {
	n.t.Helper()
	p := n.pending[i]
	n.pending = slices.Delete(n.pending, i, i+1)
	outcomes := n.outcomes(p.cts)
	if p.lie.outcome != nil {
		p.lie.outcome(outcomes)
	}
	e := commitreveal.RevealEntry{
		Height: p.checkpoint.Height, Root: p.checkpoint.BatchRoot,
		Openings: commitreveal.OutcomesRoot(outcomes), Certificate: n.sign(p.checkpoint),
	}
	var ids []threshold.ID
	for _, ct := range p.cts {
		ids = append(ids, ct.ID())
	}
	slices.SortFunc(ids, compareIDs)
	e.Order = commitreveal.BatchRoot(testOrder(e.Height, commitreveal.Beacon(e.Certificate), slices.Compact(ids)))
	for i, o := range outcomes {
		p.lines[i].Opening, p.lines[i].Void, p.lines[i].Plaintext = &o.Opening, o.Void, o.Plaintext
		if o.Void {
			e.Voids++
		}
	}
	if p.lie.reveal != nil {
		p.lie.reveal(&e)
	}
	n.append(e)
	var voids []commitreveal.VoidEntry
	for i, o := range outcomes {
		if o.Void {
			voids = append(voids, commitreveal.VoidEntry{Height: e.Height, Position: uint32(i), ID: o.ID, Opening: o.Opening})
		}
	}
	if p.lie.voids != nil {
		voids = p.lie.voids(voids)
	}
	for _, v := range voids {
		n.append(v)
	}
}

// outcomes opens what can be opened. The rest gets no true opening.
func (n *network) outcomes(cts []*threshold.Ciphertext) []commitreveal.Outcome {
	n.t.Helper()
	c, secrets := committeeOf4()
	outcomes := make([]commitreveal.Outcome, len(cts))
	var batch []*threshold.Checked
	var positions []int
	for i, ct := range cts {
		outcomes[i] = commitreveal.Outcome{ID: ct.ID(), Void: true}
		if checked, err := ct.Check(); err == nil && ct.Header().KeyID == c.Key.ID() {
			batch, positions = append(batch, checked), append(positions, i)
		}
	}
	var shares []*threshold.BatchShare
	for _, s := range n.up(secrets) {
		share, err := s.ShareBatch(batch)
		n.must(err)
		shares = append(shares, share)
	}
	openings, _, err := threshold.Combine(c, batch, shares)
	n.must(err)
	for k, o := range openings {
		plaintext, err := threshold.Open(o)
		if err != nil && !errors.Is(err, threshold.ErrVoid) {
			n.t.Fatal(err)
		}
		outcomes[positions[k]] = commitreveal.Outcome{ID: cts[positions[k]].ID(), Opening: o.Opening(), Void: err != nil, Plaintext: plaintext}
	}
	return outcomes
}

func (n *network) sign(cp commitreveal.Checkpoint) threshold.Signature {
	n.t.Helper()
	c, secrets := committeeOf4()
	message, err := cp.MarshalBinary()
	n.must(err)
	var shares []threshold.SignatureShare
	for _, s := range n.up(secrets) {
		share, err := s.Sign(message)
		n.must(err)
		shares = append(shares, share)
	}
	sig, _, err := threshold.CombineSignature(c, message, shares)
	n.must(err)
	return sig
}

// bundle writes what the network has done so far.
func (n *network) bundle() string {
	n.t.Helper()
	var out bytes.Buffer
	w, err := commitreveal.NewBundleWriter(&out, *n.lines[0].(*commitreveal.BundleHeader))
	n.must(err)
	for _, l := range n.lines[1:] {
		switch l := l.(type) {
		case *commitreveal.BundleEntry:
			n.must(w.Entry(l.Index, l.Entry))
		case *commitreveal.BundleRound:
			n.must(w.Round(*l))
		case *commitreveal.BundleTransaction:
			n.must(w.Transaction(*l))
		case *commitreveal.BundleCertificate:
			n.must(w.Certificate(l.Certificate))
		case *commitreveal.BundleEvidence:
			n.must(w.Evidence(l.Body))
		}
	}
	n.must(w.Close())
	return out.String()
}

// receipt is a member's for a ciphertext.
func receipt(t testing.TB, member uint32, ct *threshold.Ciphertext, position uint64, head commitreveal.Hash) commitreveal.Receipt {
	t.Helper()
	r := commitreveal.Receipt{
		ChainID: chainID, ID: ct.ID(), Epoch: 1, Member: member, ValidUntil: ct.Header().ValidUntil,
		Time: 1700000000000, Position: position, Head: commitreveal.NextHead(head, ct.ID()),
	}
	if err := commitreveal.SignReceipt(identity(member), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func run(t testing.TB, bundle string, opts Options) *Report {
	t.Helper()
	return runReader(t, strings.NewReader(bundle), opts)
}

func runReader(t testing.TB, r io.Reader, opts Options) *Report {
	t.Helper()
	report, err := Run(r, testChecks(), opts)
	if err != nil {
		t.Fatal(err)
	}
	record(report.Findings, report.Missing)
	for _, m := range report.Misbehaviour {
		record([]Finding{{What: m.What}}, nil)
	}
	return report
}

// short gives a report's findings as "code height who".
func short(r *Report) []string {
	out := []string{}
	for _, f := range r.Findings {
		out = append(out, fmt.Sprintf("%s %d %s", f.Code, f.Height, f.Who))
	}
	return out
}
