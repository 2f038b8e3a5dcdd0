package mirror

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
	"github.com/scrimlabs/scrim/threshold"
)

const logPrefix = "/v1/log/"

var (
	// ErrRollback: the node shows an earlier checkpoint than it, or another, did
	// before. It may be behind, or have been restored from a backup: no fault of
	// anybody follows.
	ErrRollback = errors.New("mirror: the node shows an older log than was shown before")
	// ErrFork: the node shows a log that is not an extension of the one that was
	// shown before; see [ForkError].
	ErrFork = errors.New("mirror: the node shows another log than was shown before")
	// ErrUntrusted: no member of a committee that is known signed the checkpoint.
	ErrUntrusted = errors.New("mirror: the checkpoint is not signed by a member of the chain's committee")
)

// ForkError is two checkpoints that no one log has.
type ForkError struct {
	Kept     []string // files with the signed notes
	Evidence string   // file with the evidence, "" if the signatures prove nothing against anybody
	Proved   *audit.Established
}

func (e *ForkError) Error() string {
	text := fmt.Sprintf("%v: both checkpoints are kept as %s", ErrFork, strings.Join(e.Kept, " and "))
	if len(e.Kept) < 2 {
		text = fmt.Sprintf("%v, and nobody known signed that one", ErrFork)
	}
	if e.Proved != nil {
		return text + fmt.Sprintf("; %s (evidence: %s)", e.Proved, e.Evidence)
	}
	return text + "; nobody known signed both"
}

// Unwrap makes errors.Is(err, ErrFork) hold.
func (e *ForkError) Unwrap() error { return ErrFork }

// Update is what an update brought.
type Update struct {
	Before, After uint64 // entries
	Batches       int    // bodies that were fetched
}

// Update brings the mirror up to the newest checkpoint of the node. It can be
// interrupted at any time; the next one goes on from there. Errors are
// [ErrServer], [ErrRollback], a [*ForkError], [ErrUntrusted], the context's, and
// those of the disk.
func (m *Mirror) Update(ctx context.Context, c *Client) (*Update, error) {
	u := &update{m: m, ctx: ctx, c: c}
	if err := u.begin(); err != nil {
		return nil, err
	}
	u.result.Before = m.Size()
	if err := u.run(); err != nil {
		return nil, errors.Join(err, m.load()) // what is in memory may be ahead of the disk
	}
	u.result.After = m.Size()
	return &u.result, nil
}

// signedHead is a checkpoint as a node showed it.
type signedHead struct {
	note.Checkpoint
	note  *note.Note
	bytes []byte
}

func parseHead(signed []byte) (*signedHead, error) {
	n, c, err := note.ParseSigned(signed)
	if err != nil {
		return nil, fmt.Errorf("%w: checkpoint: %w", ErrServer, err)
	}
	if c.Size > tiles.MaxSize {
		return nil, fmt.Errorf("%w: a checkpoint of %d entries", ErrServer, c.Size)
	}
	return &signedHead{c, n, signed}, nil
}

// update is one on its way.
type update struct {
	m       *Mirror
	ctx     context.Context
	c       *Client
	head    *signedHead
	tree    *tree
	trusted bool // the checkpoint is signed by somebody known, and remembered
	jobs    []job
	told    *told // of the last rounds
	result  Update
}

// job is a batch body to be fetched, or rounds.
type job struct {
	commit *commitreveal.CommitEntry
	reveal *commitreveal.RevealEntry // nil if it is not revealed yet
	rounds *roundsJob                // if commit is nil
}

// roundsJob is what blocks above the height after, up to another, said for the order.
type roundsJob struct {
	after, height uint64
	before        *told              // up to after
	told          *told              // up to height
	want          *commitreveal.Hash // what it must be; nil if no commit entry says so
}

// told is the hash over what blocks have said up to some height, once it is known.
type told struct {
	known chan struct{} // closed then
	hash  commitreveal.Hash
}

func toldAs(h commitreveal.Hash) *told {
	t := &told{make(chan struct{}), h}
	close(t.known)
	return t
}

// begin asks for the newest checkpoint.
func (u *update) begin() error {
	signed, err := u.c.get(u.ctx, logPrefix+"checkpoint", note.MaxSize)
	if err != nil {
		return err
	}
	if u.head, err = parseHead(signed); err != nil {
		return err
	}
	u.tree = remoteTree(u.ctx, u.c, u.head.Checkpoint)
	return nil
}

func (u *update) run() error {
	m := u.m
	if m.state.Origin != "" && m.state.Origin != u.head.Origin {
		return fmt.Errorf("%w: the checkpoint is of %q, the mirror of %q", ErrServer, u.head.Origin, m.state.Origin)
	}
	if err := u.compare(); err != nil {
		return err
	}
	if err := u.trust(); err != nil {
		return err
	}
	if err := u.copy(); err != nil {
		return err
	}
	if !u.trusted {
		return fmt.Errorf("%w: %d entries, root %s", ErrUntrusted, u.head.Size, u.head.Root)
	}
	if m.Root() != u.head.Root {
		return fmt.Errorf("%w: the entries give the root %s, the checkpoint says %s", ErrServer, m.Root(), u.head.Root)
	}
	if err := u.rest(); err != nil {
		return err
	}
	if err := u.evidence(); err != nil {
		return err
	}
	if err := m.save(); err != nil {
		return err
	}
	return m.store.replace(checkpointName, u.head.bytes)
}

// compare refuses a checkpoint that does not extend the largest one seen.
func (u *update) compare() error {
	m := u.m
	if m.state.Seen == 0 {
		return nil
	}
	b, err := m.store.read(noteName(m.state.Seen), note.MaxSize)
	if err != nil {
		return m.damaged(err)
	}
	seen, err := parseHead(b)
	if err != nil {
		return m.damaged(err)
	}
	if u.head.Size < seen.Size {
		return u.older(seen)
	}
	root, err := u.tree.root(seen.Size)
	if err != nil {
		return err
	}
	if root != seen.Root {
		return u.fork(seen, u.head, u.tree.hashes)
	}
	return nil
}

// older is what a smaller checkpoint than before comes to.
func (u *update) older(seen *signedHead) error {
	read := tiles.Reader(remoteTree(u.ctx, u.c, seen.Checkpoint).hashes)
	if u.m.Size() >= seen.Size {
		read = u.m.hashes
	}
	if root, err := tiles.Root(u.head.Size, read); err == nil && root != u.head.Root {
		return u.fork(u.head, seen, read)
	}
	return fmt.Errorf("%w: %d entries now, %d before", ErrRollback, u.head.Size, seen.Size)
}

// fork keeps both checkpoints, and the evidence if the signatures give some.
func (u *update) fork(a, b *signedHead, read tiles.Reader) error {
	return u.m.split(a, b, read)
}

func (m *Mirror) split(a, b *signedHead, read tiles.Reader) error {
	e := &ForkError{}
	for _, h := range []*signedHead{a, b} {
		if !signedBy(h, m.known) {
			continue // a stranger may make up as many as it likes
		}
		name := fmt.Sprintf("evidence/checkpoint-%d-%s", h.Size, h.Root)
		if err := m.store.replace(name, h.bytes); err != nil {
			return err
		}
		e.Kept = append(e.Kept, m.store.path(name))
	}
	chainID, _ := strings.CutPrefix(a.Origin, note.Origin(""))
	view, err := audit.NewSplitView(a.bytes, b.bytes, read)
	if err != nil {
		return errors.Join(e, err)
	}
	file := &audit.EvidenceFile{ChainID: chainID, Certificates: m.certs[max(0, len(m.certs)-8):], Proof: view}
	proved, err := file.Verify(m.opts.Checks)
	if err != nil {
		return e
	}
	text, err := file.Marshal()
	if err != nil {
		return errors.Join(e, err)
	}
	name := splitViewName(a.Size, b.Size, b.Root.String())
	if err := m.store.replace(name, text); err != nil {
		return err
	}
	e.Evidence, e.Proved = m.store.path(name), proved
	return e
}

// trust remembers the checkpoint once a member that is known has signed it.
func (u *update) trust() error {
	m := u.m
	if u.trusted || !signedBy(u.head, m.known) {
		return nil
	}
	u.trusted = true
	return m.remember(u.head)
}

// signedBy reports whether a member of one of the committees published or cosigned
// the checkpoint, or a committee certified it.
func signedBy(h *signedHead, committees []*audit.CommitteeInfo) bool {
	return slices.ContainsFunc(committees, func(c *audit.CommitteeInfo) bool {
		if note.Origin(c.ChainID) != h.Origin {
			return false
		}
		keys := []note.Key{note.CommitteeKey(c.ChainID, c.Committee.Key)}
		for _, identity := range c.Identities {
			keys = append(keys, note.LogKey(c.ChainID, identity), note.MemberKey(c.ChainID, identity))
		}
		return slices.ContainsFunc(keys, func(k note.Key) bool {
			_, err := k.Verify(h.note)
			return err == nil
		})
	})
}

// saveEvery is after how many tiles of entries the state is saved.
const saveEvery = 32

// copy fetches the entries that are missing, with their bodies.
func (u *update) copy() error {
	m := u.m
	from := m.Size()
	u.retell()
	for i, tile := range tiles.Needed(u.head.Size, tiles.Entries, from/tiles.Width) {
		if err := u.bundle(tile); err != nil {
			return err
		}
		if err := u.fetch(); err != nil {
			return err
		}
		if u.trusted && i%saveEvery == saveEvery-1 {
			if err := m.save(); err != nil {
				return err
			}
		}
		if m.opts.Progress != nil {
			m.opts.Progress(m.Size(), u.head.Size)
		}
	}
	return nil
}

// bundle takes the entries of a tile that are not there yet.
func (u *update) bundle(tile tiles.Tile) error {
	first, _ := tile.Range()
	skip := 0
	if size := u.m.Size(); size > first {
		skip = int(min(size-first, uint64(tile.Width)))
	}
	if skip == tile.Width {
		return nil
	}
	leaves, err := u.tree.leaves(tile)
	if err != nil {
		return err
	}
	b, err := u.c.get(u.ctx, logPrefix+tile.Path(), maxBundle)
	if err != nil {
		return err
	}
	entries, err := tiles.ParseEntries(tile, b)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrServer, err)
	}
	for i, entry := range entries {
		if tiles.LeafHash(entry) != leaves[i] {
			return fmt.Errorf("%w: entry %d of %s is not the one of the signed log", ErrServer, i, tile.Path())
		}
	}
	for _, entry := range entries[skip:] {
		if err := u.entry(entry); err != nil {
			return err
		}
	}
	return nil
}

// entry takes the next entry of the log.
func (u *update) entry(entry []byte) error {
	m := u.m
	next, stored, err := m.log.Append(entry)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrServer, err)
	}
	// What this version cannot read is kept all the same: the audit will say so.
	if e, err := commitreveal.ParseEntry(entry); err == nil {
		if err := u.body(e); err != nil {
			return err
		}
	}
	if err := m.writer.add(entry, stored); err != nil {
		return err
	}
	m.log = next
	return nil
}

// body notes what the entry needs besides itself.
func (u *update) body(e commitreveal.Entry) error {
	m := u.m
	switch e := e.(type) {
	case commitreveal.CommitteeEntry:
		u.rounds(e.Height)
		return u.committee(e)
	case commitreveal.CommitEntry:
		u.rounds(e.Height)
		if err := u.proveRounds(e.Height, e.Rounds); err != nil {
			return err
		}
		if len(m.waiting) >= maxWaiting {
			return fmt.Errorf("%w: more than %d batches wait for their reveal", ErrServer, maxWaiting)
		}
		m.waiting[e.Height] = &e
	case commitreveal.ExpiredEntry:
		u.rounds(e.Height)
	case commitreveal.MisbehaviourEntry:
		return u.recorded(e)
	case commitreveal.RevealEntry:
		if c := m.waiting[e.Height]; c != nil {
			u.jobs = append(u.jobs, job{commit: c, reveal: &e})
			delete(m.waiting, e.Height)
		}
	}
	return nil
}

// rounds notes that what blocks up to the height said for the order is needed.
func (u *update) rounds(height uint64) {
	s := &u.m.state
	if after := s.lastRounds(); height > after {
		u.tell(after, height)
		s.Unproved = append(s.Unproved, height)
	}
}

// recorded fetches the evidence that an entry names.
func (u *update) recorded(e commitreveal.MisbehaviourEntry) error {
	name := recordedName(e.Evidence)
	if u.m.store.has(name) {
		return nil
	}
	b, err := u.c.get(u.ctx, logPrefix+"evidence/"+e.Evidence.String(), commitreveal.MaxEvidenceSize)
	if err != nil {
		return err
	}
	if commitreveal.EvidenceHash(b) != e.Evidence {
		return fmt.Errorf("%w: the evidence against member %d of epoch %d does not have the hash that the log names", ErrServer, e.Member, e.Epoch)
	}
	return u.m.store.write(name, b)
}

// lastRounds is the height up to which is here, or asked for, what blocks said.
func (s *state) lastRounds() uint64 {
	if n := len(s.Unproved); n > 0 {
		return s.Unproved[n-1]
	}
	return s.Rounds
}

func (u *update) tell(after, height uint64) {
	j := &roundsJob{after: after, height: height, before: u.told, told: &told{known: make(chan struct{})}}
	u.jobs, u.told = append(u.jobs, job{rounds: j}), j.told
}

// retell asks again for the rounds that nothing has proved yet: they may be another node's lie.
func (u *update) retell() {
	s := &u.m.state
	u.told = toldAs(s.RoundsHash)
	if u.head.Size == u.m.Size() {
		return
	}
	after := s.Rounds
	for _, height := range s.Unproved {
		u.tell(after, height)
		after = height
	}
}

// proveRounds holds what blocks said up to the height of a commit entry to the hash in it.
func (u *update) proveRounds(height uint64, want commitreveal.Hash) error {
	s := &u.m.state
	if j := u.lastTold(); j != nil && j.told == u.told {
		j.want = &want
	} else if u.told.hash != want { // nothing is due, so it is known
		return fmt.Errorf("%w: %w", ErrServer, notTheRounds(s.Rounds, height))
	}
	s.Rounds, s.RoundsHash, s.Unproved = height, want, []uint64{}
	u.told = toldAs(want)
	return nil
}

// lastTold is the last job that asks for rounds, nil if none is due.
func (u *update) lastTold() *roundsJob {
	for _, j := range slices.Backward(u.jobs) {
		if j.rounds != nil {
			return j.rounds
		}
	}
	return nil
}

func notTheRounds(after, height uint64) error {
	return fmt.Errorf("what blocks above height %d and up to %d said for the order is not what the log commits to", after, height)
}

func (u *update) committee(e commitreveal.CommitteeEntry) error {
	m := u.m
	b, err := u.c.get(u.ctx, logPrefix+certificateName(e.Certificate), commitreveal.MaxCertificateSize)
	if err != nil {
		return err
	}
	if commitreveal.CertificateHash(b) != e.Certificate {
		return fmt.Errorf("%w: the certificate of the committee of epoch %d does not have the hash that the log names", ErrServer, e.Epoch)
	}
	if err := m.store.write(certificateName(e.Certificate), b); err != nil {
		return err
	}
	believed, err := u.believes(b)
	if err != nil || believed == nil {
		return err
	}
	if len(m.known) == 0 {
		if err := u.limits(e.Height, *believed); err != nil {
			return err
		}
	}
	m.known, m.certs = append(m.known, believed), append(m.certs, b)
	m.state.Committees = append(m.state.Committees, e.Certificate)
	return u.trust()
}

// limits gets the chain's limits, if they are those that the first committee agreed to.
func (u *update) limits(height uint64, first audit.CommitteeInfo) error {
	b, err := u.c.get(u.ctx, logPrefix+limitsName, commitreveal.MaxLimitsSize)
	if err != nil {
		return err
	}
	if begin := u.m.opts.Checks.Rule; begin != nil {
		rule, err := begin(first.ChainID, b)
		if err == nil {
			err = rule.Committee(height, first)
		}
		if err != nil {
			return fmt.Errorf("%w: limits: %w", ErrServer, err)
		}
	}
	return u.m.store.write(limitsName, b)
}

// believes gives the committee of a certificate if its members' signatures are to
// be believed: it is the first one, and not another than the one that was trusted
// before, or the successor of the last one. If it is neither, the audit will say so.
func (u *update) believes(certificate []byte) (*audit.CommitteeInfo, error) {
	m := u.m
	check := m.opts.Checks.Committee
	if n := len(m.known); n > 0 {
		follows := m.opts.Checks.Succession
		if follows == nil {
			return nil, nil
		}
		check = func(certificate []byte) (audit.CommitteeInfo, error) { return follows(m.certs[n-1], certificate) }
	}
	info, err := check(certificate)
	switch valid := err == nil; {
	case !valid:
		return nil, nil
	case len(m.known) > 0:
		return &info, nil
	}
	remembered := m.state.Terms
	m.state.Terms = info.TermsHash
	if remembered != (commitreveal.Hash{}) {
		if err := m.sameTerms(remembered); err != nil {
			return nil, err
		}
	}
	return &info, m.pinned()
}

// workers fetch batches at once.
const workers = 4

// fetch gets the bodies that are due.
func (u *update) fetch() error {
	jobs := u.jobs
	u.jobs = nil
	ctx, cancel := context.WithCancel(u.ctx)
	defer cancel()
	queue := make(chan job)
	failed := make(chan error, workers)
	var names sync.Mutex
	var wg sync.WaitGroup
	for range min(workers, len(jobs)) {
		wg.Go(func() {
			for j := range queue {
				if err := u.job(ctx, j, &names); err != nil {
					failed <- err
					cancel()
					return
				}
			}
		})
	}
feed:
	for _, j := range jobs {
		select {
		case queue <- j:
		case <-ctx.Done():
			break feed
		}
	}
	close(queue)
	wg.Wait()
	for _, j := range jobs {
		if j.commit != nil {
			u.result.Batches++
		}
	}
	select {
	case err := <-failed:
		return err
	default:
		return ctx.Err()
	}
}

// rest gets the bodies of the batches that wait, as far as they are not here.
func (u *update) rest() error {
	for _, c := range u.m.waitingInOrder() {
		if !u.m.store.has(batchName(c.Height)) {
			u.jobs = append(u.jobs, job{commit: c})
		}
	}
	return u.fetch()
}

func (m *Mirror) waitingInOrder() (out []*commitreveal.CommitEntry) {
	for _, c := range m.waiting {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b *commitreveal.CommitEntry) int { return cmp.Compare(a.Height, b.Height) })
	return out
}

// maxBatchBody bounds a batch's body in bytes.
const maxBatchBody = 256 << 20

func (u *update) job(ctx context.Context, j job, names *sync.Mutex) error {
	own := store{dir: u.m.store.dir, crash: u.m.store.crash}
	fetch := u.batch
	if j.commit == nil {
		fetch = u.said
	}
	if err := fetch(ctx, j, &own); err != nil {
		return err
	}
	names.Lock()
	defer names.Unlock()
	u.m.store.dirty = append(u.m.store.dirty, own.dirty...)
	return nil
}

// batch fetches the body of a batch and keeps it if it is the committed one.
func (u *update) batch(ctx context.Context, j job, own *store) error {
	name := batchName(j.commit.Height)
	return u.c.stream(ctx, logPrefix+name, maxBatchBody, func(r io.Reader) error {
		return own.writeFrom(name, func(w io.Writer) error { return copyBatch(w, r, j) })
	})
}

// said fetches what blocks said for the order, and keeps it if it is what the next commit entry has, as far as there is one.
func (u *update) said(ctx context.Context, job job, own *store) error {
	j := job.rounds
	select {
	case <-j.before.known:
	case <-ctx.Done():
		return ctx.Err()
	}
	hash := j.before.hash
	err := own.writeFrom(roundsName(j.height), func(w io.Writer) error {
		for last := j.after; last < j.height; {
			var page []byte
			before, start := last, hash
			err := u.c.stream(ctx, fmt.Sprintf("%srounds/%d/%d", logPrefix, before+1, j.height), maxBatchBody, func(r io.Reader) (err error) {
				page, last, hash, err = readRounds(r, before, j.height, start)
				return err
			})
			if err != nil {
				return err
			}
			if len(page) == 0 {
				break
			}
			if _, err := w.Write(page); err != nil {
				return err
			}
		}
		if j.want != nil && hash != *j.want {
			return fmt.Errorf("%w: %w", ErrServer, notTheRounds(j.after, j.height))
		}
		return nil
	})
	if err == nil {
		j.told.hash = hash
		close(j.told.known)
	}
	return err
}

// readRounds reads lines of rounds above a height and up to another, and gives the height of the last one and the hash over
// all rounds by then; before is that of the rounds up to after.
func readRounds(r io.Reader, after, upTo uint64, before commitreveal.Hash) (page []byte, last uint64, hash commitreveal.Hash, err error) {
	last, hash = after, before
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := readLine(in)
		if errors.Is(err, io.EOF) {
			return page, last, hash, nil
		}
		if err != nil {
			return nil, 0, hash, err
		}
		l, err := commitreveal.ParseBundleLine(line)
		if err != nil {
			return nil, 0, hash, err
		}
		round, ok := l.(*commitreveal.BundleRound)
		if !ok || round.Height <= last || round.Height > upTo {
			return nil, 0, hash, fmt.Errorf("not the rounds of heights above %d and up to %d", after, upTo)
		}
		aside := make([]threshold.ID, len(round.Aside))
		for i, body := range round.Aside {
			ct, err := threshold.ParseCiphertext(body)
			if err != nil {
				return nil, 0, hash, fmt.Errorf("ciphertext %d that the block of height %d set aside: %w", i, round.Height, err)
			}
			aside[i] = ct.ID()
		}
		hash = commitreveal.NextRounds(hash, round.Height, round.Section, aside)
		page, last = append(append(page, line...), '\n'), round.Height
	}
}

// copyBatch copies the lines of a batch, and checks them against its entries.
func copyBatch(w io.Writer, r io.Reader, j job) error {
	out := bufio.NewWriter(w)
	in := bufio.NewReaderSize(r, 64<<10)
	c := batchCheck{job: j}
	for {
		line, err := readLine(in)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := c.line(line); err != nil {
			return err
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return errors.Join(c.end(), out.Flush())
}

// readLine gives a line without its line feed; io.EOF only if there is nothing.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > commitreveal.MaxBundleLine+1 {
			return nil, fmt.Errorf("a line of more than %d bytes", commitreveal.MaxBundleLine)
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, errors.New("the last line is cut")
		default:
			return nil, err
		}
	}
}

// batchCheck compares the lines of a batch with its log entries.
type batchCheck struct {
	job
	ids      []threshold.ID
	outcomes []commitreveal.Outcome
	closed   bool // some are not opened
}

func (b *batchCheck) line(line []byte) error {
	l, err := commitreveal.ParseBundleLine(line)
	if err != nil {
		return err
	}
	t, ok := l.(*commitreveal.BundleTransaction)
	if !ok || t.Height != b.commit.Height || int(t.Position) != len(b.ids) || len(b.ids) >= int(b.commit.Count) {
		return fmt.Errorf("line %d is not the transaction of the batch of height %d that is due", len(b.ids), b.commit.Height)
	}
	ct, err := threshold.ParseCiphertext(t.Ciphertext)
	if err != nil {
		return err
	}
	b.ids = append(b.ids, ct.ID())
	if t.Opening == nil {
		b.closed = true
		return nil
	}
	o := commitreveal.Outcome{ID: ct.ID(), Opening: *t.Opening, Void: t.Void}
	if !t.Void {
		o.Plaintext = t.Plaintext
	}
	b.outcomes = append(b.outcomes, o)
	return nil
}

func (b *batchCheck) end() error {
	switch {
	case len(b.ids) != int(b.commit.Count) || commitreveal.BatchRoot(b.ids) != b.commit.Root:
		return fmt.Errorf("the lines are not the batch of height %d with root %s", b.commit.Height, b.commit.Root)
	case b.reveal == nil:
		return nil
	case b.closed:
		return fmt.Errorf("the batch of height %d without its openings, though the log reveals it", b.commit.Height)
	case commitreveal.OutcomesRoot(b.outcomes) != b.reveal.Openings:
		return fmt.Errorf("the outcomes of the batch of height %d are not those that the log names", b.commit.Height)
	}
	return nil
}

// hashes reads stored hashes from the tiles of the directory; see package tiles.
func (m *Mirror) hashes(indexes []int64) ([]commitreveal.Hash, error) {
	return diskTree(&m.store, note.Checkpoint{Size: m.Size(), Root: m.Root()}).hashes(indexes)
}

func contains(list []string, s string) bool { return slices.Contains(list, s) }
