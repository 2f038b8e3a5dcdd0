package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/httpapi"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/internal/version"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/abci"
	"github.com/scrimlabs/scrim/threshold"
)

// mempoolReserve is the part of the mempool that the door leaves to ceremony messages
// and to ciphertexts that other members relay: one in so many places.
const mempoolReserve = 10

// backend answers the REST interface from the state, the store and the opener. It is
// httpapi.Backend.
type backend struct {
	n *running
}

var _ httpapi.Backend = backend{}

func (b backend) Limits(context.Context) v1.Limits {
	s := b.n.state()
	p := s.Genesis().Params
	return v1.Limits{
		ChainID: s.Genesis().ChainID, Height: s.Height(), MaxSizeClass: p.MaxSizeClass,
		MaxPlaintextBytes:  uint64(threshold.MaxPlaintext - (256<<threshold.MaxSizeClass - 256<<p.MaxSizeClass)),
		MaxCiphertextBytes: ordering.MaxCiphertext(p.MaxSizeClass),
		MaxValidity:        p.MaxValidity, MaxBatch: p.MaxBatch, MaxPending: p.MaxPending,
	}
}

func (b backend) Health(context.Context) v1.Health {
	s := b.n.state()
	return v1.Health{
		Status: "ok", ChainID: s.Genesis().ChainID, Node: b.n.name(s), Height: s.Height(),
		Version: cmp.Or(version.Release(), "unknown"), Time: v1.TimeOf(time.Now()),
	}
}

func (b backend) Ready(ctx context.Context) v1.Readiness {
	s := b.n.state()
	r := v1.Readiness{Height: s.Height(), Peers: uint64(b.n.chain.PeersUp()), Reasons: []v1.Reason{}}
	add := func(code, detail string) { r.Reasons = append(r.Reasons, v1.Reason{Code: code, Detail: detail}) }
	if b.n.chain.CatchingUp() {
		add("catching_up", "the node still fetches blocks that the other members have")
	}
	if err := b.n.store.Ping(ctx); err != nil {
		add("database", "Postgres does not answer")
	}
	if trouble := b.n.publish.why(); trouble != "" {
		add("log", "the log is not signed: "+trouble)
	}
	peers := s.Genesis().Terms.Threshold - 1
	if t := s.Office(); t != nil {
		r.Epoch, r.InOffice = t.Epoch(), b.n.place(s).Member > 0
		peers = t.Committee().Threshold - 1
		if r.InOffice && !b.n.opener.hasShare(t.Epoch()) {
			add("missing_share", "this member has no share of the key, so it cannot help to open batches")
		}
		if trouble := b.n.announcer.trouble(); r.InOffice && trouble != "" {
			add("receive_log", "what this member receives is not announced: "+trouble)
		}
	} else {
		add("no_committee", "the key ceremony is in phase "+s.Ceremony().Phase().String())
	}
	if r.Epoch > 0 && !r.InOffice {
		peers = 1 // one is enough to follow the chain
	}
	if b.n.chain.PeersUp() < peers {
		add("no_peers", "fewer members are connected than this node needs")
	}
	r.Ready = len(r.Reasons) == 0
	return r
}

var (
	errNoCommittee = &httpapi.Error{Code: ordering.CodeNoCommittee}
	errNotSynced   = &httpapi.Error{Code: "not_synced", Detail: "this node still fetches blocks that the other members have; send to another member, or try again"}
)

func (b backend) EncryptionKeys(context.Context) (v1.EncryptionKeys, error) {
	s := b.n.state()
	out := v1.EncryptionKeys{ChainID: s.Genesis().ChainID, Height: s.Height()}
	for _, k := range s.Keys() {
		id := k.Committee.Key.ID()
		key := v1.EncryptionKey{
			KeyID: v1.HexOf(id[:]), Epoch: k.Epoch, Suite: threshold.Suite, PublicKey: v1.HexOf(k.Committee.Key.Bytes()),
			Threshold: uint32(k.Committee.Threshold), Members: uint32(k.Committee.N()), ValidFrom: k.ValidFrom,
		}
		if k.ValidUntil > 0 {
			key.ValidUntil = &k.ValidUntil
		}
		out.Keys = append(out.Keys, key)
	}
	if len(out.Keys) == 0 {
		return v1.EncryptionKeys{}, errNoCommittee
	}
	return out, nil
}

func (b backend) Committee(context.Context) (v1.Committee, error) {
	s := b.n.state()
	office := s.Office()
	if office == nil {
		return v1.Committee{}, errNoCommittee
	}
	cert := office.Certificate()
	terms, err := cert.Terms.MarshalBinary()
	if err != nil {
		return v1.Committee{}, err
	}
	wire, err := cert.MarshalBinary()
	if err != nil {
		return v1.Committee{}, err
	}
	committee, err := cert.Committee.MarshalBinary()
	if err != nil {
		return v1.Committee{}, err
	}
	hash := cert.Terms.Hash()
	out := v1.Committee{
		ChainID: cert.Terms.ChainID, Epoch: cert.Committee.Epoch, Change: cert.Terms.Change.String(), Since: office.Since, Threshold: uint32(cert.Committee.Threshold),
		TermsHash: v1.HexOf(hash[:]), Terms: terms, Certificate: wire, Committee: committee,
	}
	certified := make(map[uint32]bool)
	for _, c := range cert.Certifications {
		certified[c.Member] = true
	}
	for i, m := range cert.Terms.Members {
		out.Members = append(out.Members, v1.CommitteeMember{
			Index: uint32(i + 1), Name: m.Name, Identity: v1.HexOf(m.Identity),
			Key: cert.Committee.Members[i].Bytes(), Certified: certified[uint32(i+1)],
		})
	}
	return out, nil
}

func termsSummary(t *keygen.Terms, p keygen.Phase) v1.CeremonySummary {
	id := t.Hash()
	out := v1.CeremonySummary{
		ID: v1.HexOf(id[:]), Epoch: t.Epoch, Attempt: t.Attempt, Threshold: uint32(t.Threshold),
		Members: uint32(len(t.Members)), Change: t.Change.String(), Overlap: t.Overlap,
		Phase: p.String(), StartHeight: t.StartHeight, Outcome: outcome(p.String()),
	}
	if t.Previous != nil {
		out.PreviousEpoch = &t.Previous.Committee.Epoch
	}
	return out
}

func ceremonySummary(s *keygen.State) v1.CeremonySummary {
	out := termsSummary(s.Terms(), s.Phase())
	if out.Outcome == v1.CeremonyRunning {
		deadline := s.Deadline()
		out.Deadline = &deadline
	}
	return out
}

// outcome is the word for how a ceremony stands, of the name of its phase.
func outcome(phase string) string {
	switch phase {
	case keygen.PhaseActive.String():
		return v1.CeremonySucceeded
	case keygen.PhaseFailed.String():
		return v1.CeremonyFailed
	case keygen.PhaseAborted.String():
		return v1.CeremonyAborted
	case keygen.PhaseRejected.String():
		return v1.CeremonyRejected
	default:
		return v1.CeremonyRunning
	}
}

// isCeremony reports whether id, which httpapi gives in its one spelling, names the
// ceremony of these terms.
func isCeremony(t *keygen.Terms, id string) bool {
	hash := t.Hash()
	return v1.Hex(hash[:]).String() == id
}

func noCeremony(id string) error {
	return httpapi.Errorf("not_found", "no ceremony has the id %s", id)
}

// Relay offers a ceremony message that somebody has signed by hand.
func (b backend) Relay(ctx context.Context, id string, wire []byte) (v1.CeremonyMessage, error) {
	if b.n.chain.CatchingUp() {
		return v1.CeremonyMessage{}, errNotSynced
	}
	m, err := b.admitMessage(ctx, id, wire)
	if err != nil {
		return v1.CeremonyMessage{}, err
	}
	verdict := make(chan error, 1)
	err = b.n.chain.Submit(ordering.CeremonyTx(wire), func(err error) { verdict <- err })
	if errors.Is(err, abci.ErrMempoolFull) {
		return v1.CeremonyMessage{}, &httpapi.Error{Code: "mempool_full", Detail: "too much waits to be ordered; try again shortly", RetryAfter: time.Second}
	}
	if err != nil {
		return v1.CeremonyMessage{}, err
	}
	select {
	case err = <-verdict:
	case <-ctx.Done():
		return v1.CeremonyMessage{}, ctx.Err()
	}
	if err != nil { // a block has come in between
		return v1.CeremonyMessage{}, notAdmitted(b.n.state(), err)
	}
	return v1.CeremonyMessage{Ceremony: v1.HexOf(m.Ceremony[:]), Kind: m.Kind.String(), Member: m.Member}, nil
}

// admitMessage reads a message that is sent to the ceremony with the id, and says whether
// the next block could take it.
func (b backend) admitMessage(ctx context.Context, id string, wire []byte) (*keygen.Message, error) {
	s := b.n.state()
	m, err := keygen.ParseMessage(wire)
	if err != nil {
		return nil, httpapi.Errorf("malformed_message", "%v", err)
	}
	if newest := s.Ceremony().Terms(); isCeremony(newest, id) {
		err = ordering.AdmitMessage(s, m)
	} else {
		if _, err := b.ended(ctx, id); err != nil {
			return nil, err
		}
		err = fmt.Errorf("%w: attempt %d at epoch %d has begun since", keygen.ErrOver, newest.Attempt, newest.Epoch)
	}
	if err != nil {
		return nil, notAdmitted(s, err)
	}
	return m, nil
}

func notAdmitted(s *ordering.State, err error) error {
	return httpapi.Errorf("not_admitted", "%s", strings.TrimPrefix(err.Error(), "keygen: ")).
		With("reason", admitReason(err)).With("phase", s.Ceremony().Phase().String())
}

// admitReason is the word for machines.
func admitReason(err error) string {
	for _, r := range []struct {
		err    error
		reason string
	}{
		{keygen.ErrSignature, v1.ReasonSignature},
		{keygen.ErrRetry, v1.ReasonNotNext},
		{keygen.ErrTerms, v1.ReasonNotNext},
		{keygen.ErrOtherCeremony, v1.ReasonOtherCeremony},
		{keygen.ErrKind, v1.ReasonKind},
		{keygen.ErrMember, v1.ReasonMember},
		{keygen.ErrEarly, v1.ReasonEarly},
		{keygen.ErrLate, v1.ReasonLate},
		{keygen.ErrOver, v1.ReasonOver},
		{keygen.ErrUnasked, v1.ReasonUnasked},
		{keygen.ErrDuplicate, v1.ReasonDuplicate},
	} {
		if errors.Is(err, r.err) {
			return r.reason
		}
	}
	return v1.ReasonOther
}

func faults(blame []keygen.Fault) []v1.Fault {
	out := []v1.Fault{}
	for _, f := range blame {
		out = append(out, v1.Fault{Member: f.Member, Phase: f.Phase.String(), Height: f.Height, Reason: f.String()})
	}
	return out
}

func evidence(all []keygen.Evidence) (out []v1.Hex, err error) {
	for _, e := range all {
		wire, err := e.MarshalBinary()
		if err != nil {
			return nil, err
		}
		out = append(out, wire)
	}
	return out, nil
}

// ceremonyMatrix is keygen's status in JSON, with what proves it.
func ceremonyMatrix(s *keygen.State) (v1.Ceremony, error) {
	terms, err := s.Terms().MarshalBinary()
	if err != nil {
		return v1.Ceremony{}, err
	}
	out := v1.Ceremony{CeremonySummary: ceremonySummary(s), ChainID: s.Terms().ChainID, Terms: terms, Status: []v1.CeremonyMember{}, Blame: faults(s.Blame())}
	if c := s.Certificate(); c != nil {
		if out.Certificate, err = c.MarshalBinary(); err != nil {
			return v1.Ceremony{}, err
		}
	}
	status := s.Status()
	out.Waiting, out.Aborting = status.Waiting, status.Aborting
	if status.EndedIn != "" {
		out.EndedIn = &status.EndedIn
	}
	for _, m := range status.Members {
		out.Status = append(out.Status, v1.CeremonyMember{
			Index: m.Index, Role: m.Role, Name: m.Name, Identity: v1.HexOf(s.Terms().Speaker(m.Index).Identity),
			Consent: m.Consent, Deal: m.Deal, Response: m.Response, Justification: m.Justification, Certification: m.Certification,
			Stored: m.Stored, Qualified: m.Qualified,
		})
	}
	out.Evidence, err = evidence(s.Evidence())
	return out, err
}

// Submit admits a ciphertext, makes it durable and gives its receipt.
func (b backend) Submit(ctx context.Context, namespace string, wire []byte) (v1.Transaction, error) {
	tx, err := b.submit(ctx, namespace, wire)
	var r *ordering.Rejection
	if errors.As(err, &r) {
		b.n.metrics.rejected.WithLabelValues(r.Code).Inc()
		return v1.Transaction{}, rejectionOf(b.n.state(), r)
	}
	return tx, err
}

// rejectionOf also names the keys, if the ciphertext was sealed to another.
func rejectionOf(s *ordering.State, r *ordering.Rejection) error {
	e := httpapi.Errorf(r.Code, "%s", r.Detail)
	if !slices.Contains([]string{ordering.CodeWrongKey, ordering.CodeKeyRetired, ordering.CodeKeyRetiring}, r.Code) {
		return e
	}
	ids := []v1.Hex{}
	for _, k := range s.Keys() {
		id := k.Committee.Key.ID()
		ids = append(ids, v1.HexOf(id[:]))
	}
	return e.With("key_ids", ids)
}

func (b backend) submit(ctx context.Context, namespace string, wire []byte) (v1.Transaction, error) {
	ct, err := threshold.ParseCiphertext(wire)
	if err == nil && ct.Header().Namespace != namespace {
		return v1.Transaction{}, httpapi.Errorf("namespace_mismatch", "the ciphertext is sealed for namespace %q, the request says %q; they must be the same", ct.Header().Namespace, namespace)
	}
	if b.n.chain.CatchingUp() {
		return v1.Transaction{}, errNotSynced
	}
	s := b.n.state()
	as := b.n.place(s)
	if ct != nil && s.Office() != nil && as.Member == 0 {
		return b.repeated(ctx, ct, notInOffice(as.Epoch))
	}
	_, rejected := ordering.Admit(s, b.n.verifier, wire)
	ordered := hasCode(rejected, ordering.CodeAlreadyOrdered)
	if rejected != nil && !ordered {
		return b.repeated(ctx, ct, rejected)
	}
	if !ordered {
		if err := b.n.announcer.takeDoor(ct.ID(), httpapi.ClientAddress(ctx), b.mempoolFull()); err != nil {
			return b.repeated(ctx, ct, b.noRoom(err))
		}
	}
	row, err := b.n.intake.accept(ctx, as, ct, !ordered)
	if err != nil {
		return v1.Transaction{}, err
	}
	b.n.metrics.received.Inc()
	if !ordered {
		return b.transaction(&pg.Transaction{ID: row.ID, Namespace: row.Namespace, ValidUntil: row.ValidUntil, Received: &row})
	}
	return b.Transaction(ctx, row.ID)
}

// mempoolFull leaves room for ceremony messages and what others relay. A client within its share is taken all the same: its
// ciphertext is durable, and the others fetch it.
func (b backend) mempoolFull() bool {
	size := b.n.cfg.Mempool.Size
	return b.n.chain.MempoolSize() >= size-size/mempoolReserve
}

// noRoom is what the door says to an error of admission.
func (b backend) noRoom(err error) error {
	room := b.n.announcer.limits()
	e := &httpapi.Error{Code: v1.CodeMempoolFull, RetryAfter: time.Second}
	reason := "full"
	switch {
	case errors.Is(err, errClientShare):
		e.Code, reason = v1.CodeTooManyWaiting, "client"
		e.Detail = "too much waits to be ordered, and of your address as much as one may have then; try again shortly"
		e = e.With("limit", room.perClient())
	case errors.Is(err, errDoorFull):
		e.Detail, reason = "too much waits to be ordered, and of what came in here as much as one member may have then; try again shortly, or submit through another member", "door"
		e = e.With("limit", room.share)
	default:
		e.Detail = "this member's receive log is full until some of what is in it is ordered; try again shortly"
		e = e.With("limit", room.limit)
	}
	b.n.metrics.order.refused.WithLabelValues(reason).Inc()
	return e
}

// notInOffice refuses a ciphertext where no receipt would bind anyone.
func notInOffice(epoch uint64) error {
	return httpapi.Errorf(v1.CodeNotInOffice, "this node's operator is not a member of the committee of epoch %d; submit through one of its members", epoch).With("epoch", epoch)
}

func hasCode(err error, code string) bool {
	var r *ordering.Rejection
	return errors.As(err, &r) && r.Code == code
}

// repeated gives a ciphertext that is refused now, but was accepted before, the same
// answer as before.
func (b backend) repeated(ctx context.Context, ct *threshold.Ciphertext, refusal error) (v1.Transaction, error) {
	if ct == nil {
		return v1.Transaction{}, refusal
	}
	t, err := b.n.store.Transaction(ctx, ct.ID())
	if errors.Is(err, pg.ErrNotFound) || err == nil && t.Received == nil {
		return v1.Transaction{}, refusal
	}
	if err != nil {
		return v1.Transaction{}, err
	}
	return b.transaction(t)
}

func (b backend) Transaction(ctx context.Context, id threshold.ID) (v1.Transaction, error) {
	t, err := b.n.store.Transaction(ctx, id)
	if errors.Is(err, pg.ErrNotFound) {
		return v1.Transaction{}, httpapi.Errorf("not_found", "this node knows no transaction 0x%s; it may be at another member, or not have been submitted", id)
	}
	if err != nil {
		return v1.Transaction{}, err
	}
	return b.transaction(t)
}

// transaction gives a row its JSON form. A batch that this node has opened itself shows
// its plaintexts at once, without the height of the reveal, which the next block makes
// final.
// transaction is what became of a ciphertext, with this member's receipt if it has one.
func (b backend) transaction(t *pg.Transaction) (v1.Transaction, error) {
	out := b.fate(t)
	if t.Received == nil {
		return out, nil
	}
	row := *t.Received
	row.ID, row.ValidUntil = t.ID, t.ValidUntil
	r, err := b.n.intake.receipt(&row)
	if err != nil {
		return v1.Transaction{}, err
	}
	out.Receipt = &v1.Receipt{
		ChainID: r.ChainID, ID: v1.HexOf(r.ID[:]), Epoch: r.Epoch, Member: r.Member, ValidUntil: r.ValidUntil,
		Time: v1.UnixMilli(r.Time), Position: r.Position, Head: v1.HexOf(r.Head[:]), Signature: v1.HexOf(r.Signature[:]),
	}
	return out, nil
}

// fate is transaction without the receipt, for which a signature has to be made.
func (b backend) fate(t *pg.Transaction) v1.Transaction {
	out := v1.Transaction{ID: v1.HexOf(t.ID[:]), Namespace: t.Namespace, ValidUntil: t.ValidUntil, Status: v1.StatusReceived}
	if t.Height == 0 {
		if b.n.state().Height() >= t.ValidUntil || t.Dropped != "" {
			out.Status, out.Reason = v1.StatusExpired, whyExpired(t.Dropped)
		}
		return out
	}
	out.Status, out.Height, out.Position, out.Times = v1.StatusOrdered, &t.Height, &t.Position, blockTimes(t.Times)
	outcome := commitreveal.Outcome{ID: t.ID, Opening: t.Opening, Void: t.Void, Plaintext: t.Plaintext}
	if t.Revealed {
		out.RevealHeight, out.Place = &t.RevealHeight, &t.Place
	} else {
		var opened bool
		if outcome, opened = b.n.opener.outcome(t.Height, t.Position); !opened {
			return out
		}
	}
	out.Opening = v1.HexOf(outcome.Opening[:])
	if outcome.Void {
		out.Status = v1.StatusVoid
		return out
	}
	out.Status, out.Plaintext = v1.StatusRevealed, v1.HexOf(outcome.Plaintext)
	return out
}

// blockTimes gives times their JSON form, nil if there are none.
func blockTimes(t pg.Times) *v1.BlockTimes {
	if t.Header == 0 {
		return nil
	}
	moment := func(ms int64) *v1.Time {
		if ms == 0 {
			return nil
		}
		at := v1.UnixMilli(ms)
		return &at
	}
	return &v1.BlockTimes{Header: v1.UnixMilli(t.Header), Ordered: moment(t.Ordered), Recorded: moment(t.Recorded)}
}

// whyExpired is for the code with which a block dropped a ciphertext; "" if none had to: its time passed before.
func whyExpired(code string) *string {
	reason := v1.ExpiredTooLate
	switch {
	case code == "":
	case ordering.ExpiryReason(code) == commitreveal.ReasonKey:
		reason = v1.ExpiredKey
	case ordering.ExpiryReason(code) == commitreveal.ReasonInvalid:
		reason = v1.ExpiredInvalid
	}
	return &reason
}

func (b backend) Batches(ctx context.Context, before uint64, limit int) (v1.Batches, error) {
	infos, err := b.n.store.Batches(ctx, before, limit+1)
	if err != nil {
		return v1.Batches{}, err
	}
	out := v1.Batches{Batches: []v1.BatchSummary{}}
	for i := range infos {
		if i == limit {
			out.Next = &infos[i-1].Height
			break
		}
		s, err := batchSummary(&infos[i])
		if err != nil {
			return v1.Batches{}, err
		}
		out.Batches = append(out.Batches, s)
	}
	return out, nil
}

func batchSummary(i *pg.BatchInfo) (v1.BatchSummary, error) {
	message, err := i.Checkpoint.MarshalBinary()
	if err != nil {
		return v1.BatchSummary{}, err
	}
	c := i.Checkpoint
	out := v1.BatchSummary{
		Height: i.Height, Epoch: i.Epoch, Phase: i.Phase.String(), Count: uint32(len(i.IDs)), Root: v1.HexOf(i.Root[:]), Voids: i.Voids, Times: blockTimes(i.Times),
		Checkpoint: &v1.Checkpoint{
			ChainID: c.ChainID, Height: c.Height, Epoch: c.Epoch, BatchRoot: v1.HexOf(c.BatchRoot[:]),
			LogSize: c.LogSize, LogRoot: v1.HexOf(c.LogRoot[:]), Message: message,
		},
	}
	if i.RevealHeight > 0 {
		out.RevealHeight, out.Certificate = &i.RevealHeight, v1.HexOf(i.Certificate[:])
	}
	return out, nil
}

func (b backend) Batch(ctx context.Context, height uint64) (v1.Batch, error) {
	info, err := b.n.store.Batch(ctx, height)
	if errors.Is(err, pg.ErrNotFound) {
		return v1.Batch{}, httpapi.Errorf("not_found", "the block of height %d has no batch, or is not there yet", height)
	}
	if err != nil {
		return v1.Batch{}, err
	}
	txs, err := b.n.store.BatchTransactions(ctx, height)
	if err != nil {
		return v1.Batch{}, err
	}
	summary, err := batchSummary(info)
	if err != nil {
		return v1.Batch{}, err
	}
	out := v1.Batch{BatchSummary: summary, Transactions: []v1.BatchItem{}}
	for i := range txs {
		t := b.fate(&txs[i])
		out.Transactions = append(out.Transactions, v1.BatchItem{
			Position: txs[i].Position, ID: t.ID, Namespace: t.Namespace, Status: t.Status, Opening: t.Opening,
		})
	}
	return out, nil
}

func (b backend) Stream(ctx context.Context, namespace string, after v1.Cursor, limit int) (v1.StreamPage, error) {
	if err := threshold.ValidNamespace(namespace); err != nil {
		return v1.StreamPage{}, httpapi.Errorf(ordering.CodeBadNamespace, "%v", err)
	}
	rows, err := b.n.store.Stream(ctx, namespace, after.Height, after.Place, limit+1)
	if err != nil {
		return v1.StreamPage{}, err
	}
	out := v1.StreamPage{Namespace: namespace, Transactions: []v1.Transaction{}, Next: after, More: len(rows) > limit}
	for i := range rows[:min(len(rows), limit)] {
		t, err := b.transaction(&rows[i])
		if err != nil {
			return v1.StreamPage{}, err
		}
		out.Transactions = append(out.Transactions, t)
		out.Next = v1.Cursor{Height: rows[i].Height, Place: rows[i].Place}
	}
	return out, nil
}

func (b backend) Export(ctx context.Context, w io.Writer) error {
	return export(ctx, b.n.store, b.n.state(), w)
}
