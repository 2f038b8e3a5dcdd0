package wallet

import (
	"crypto/ed25519"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
)

// Audit replays a bundle offline, with the chain's own rule for the order and
// the checks of certificates that wallets make.
func Audit(bundle io.Reader, o audit.Options) (*audit.Report, error) {
	return audit.Run(bundle, Checks(), o)
}

// Checks are the checks that package audit leaves to its caller: the chain's rule
// for the order, and what package keygen knows of ceremonies.
func Checks() audit.Checks {
	return audit.Checks{
		Certificate: firstCommittee, Succession: nextCommittee, Rule: newRule, Ceremony: ceremonyFinding,
		Committee: anyCommittee, Statement: statedLog, Fork: logFork,
	}
}

func statedLog(chainID string, identity ed25519.PublicKey, statement []byte, head, times commitreveal.Hash) (audit.LogPart, error) {
	p, err := ordering.StatedLog(chainID, identity, statement, head, times)
	return audit.LogPart(p), err
}

func ceremonyFinding(terms, evidence []byte) (audit.CeremonyFinding, error) {
	t, err := keygen.ParseTerms(terms)
	if err != nil {
		return audit.CeremonyFinding{}, fmt.Errorf("terms: %w", err)
	}
	e, err := keygen.ParseEvidence(evidence)
	if err != nil {
		return audit.CeremonyFinding{}, err
	}
	if err := e.Verify(t); err != nil {
		return audit.CeremonyFinding{}, err
	}
	f := audit.CeremonyFinding{
		ChainID: t.ChainID, Epoch: t.Epoch, TermsHash: t.Hash(), Who: fmt.Sprintf("member %d", e.Member),
		Member: e.Member, What: e.Fault.String(), Conflict: e.Fault == keygen.FaultEquivocation,
	}
	if m := t.Speaker(e.Member); m != nil {
		f.Who += fmt.Sprintf(" (%s)", m.Name)
	}
	return f, nil
}

// logFork checks evidence that a member has two receive logs, as nodes do.
func logFork(c audit.CommitteeInfo, evidence []byte) (kind string, member uint32, err error) {
	terms, err := keygen.ParseTerms(c.Terms)
	if err != nil {
		return "", 0, fmt.Errorf("terms: %w", err)
	}
	for _, k := range []ordering.EvidenceKind{ordering.EvidenceReceiveLogFork, ordering.EvidenceReceiveTimesFork} {
		if member, err = ordering.VerifyEvidence(c.Committee, terms, ordering.Evidence{Kind: k, Epoch: terms.Epoch, Body: evidence}); err == nil {
			return k.String(), member, nil
		}
	}
	return "", 0, err
}

// anyCommittee checks a certificate by itself.
func anyCommittee(certificate []byte) (audit.CommitteeInfo, error) {
	c, err := keygen.ParseCertificate(certificate)
	if err != nil {
		return audit.CommitteeInfo{}, fmt.Errorf("certificate: %w", err)
	}
	if err := keygen.VerifyCertificate(c, nil); err != nil {
		return audit.CommitteeInfo{}, err
	}
	return committeeInfo(c)
}

// firstCommittee checks the certificate of a chain's first committee; without terms (a
// mirror holds none) against its own.
func firstCommittee(terms, certificate []byte) (audit.CommitteeInfo, error) {
	c, err := keygen.ParseCertificate(certificate)
	if err != nil {
		return audit.CommitteeInfo{}, fmt.Errorf("certificate: %w", err)
	}
	t := c.Terms
	if len(terms) > 0 {
		if t, err = keygen.ParseTerms(terms); err != nil {
			return audit.CommitteeInfo{}, fmt.Errorf("terms: %w", err)
		}
	}
	if t.Change != keygen.ChangeFirst {
		return audit.CommitteeInfo{}, fmt.Errorf("the terms of the first committee say %s", t.Change)
	}
	if err := keygen.VerifyCertificate(c, t); err != nil {
		return audit.CommitteeInfo{}, err
	}
	return committeeInfo(c)
}

// nextCommittee checks a certificate by that of the committee before, which has been checked.
func nextCommittee(previous, certificate []byte) (audit.CommitteeInfo, error) {
	before, err := keygen.ParseCertificate(previous)
	if err != nil {
		return audit.CommitteeInfo{}, fmt.Errorf("certificate before: %w", err)
	}
	c, err := keygen.ParseCertificate(certificate)
	if err != nil {
		return audit.CommitteeInfo{}, fmt.Errorf("certificate: %w", err)
	}
	if err := keygen.VerifyCertificate(c, nil); err != nil {
		return audit.CommitteeInfo{}, err
	}
	if err := keygen.VerifySuccession(c, before); err != nil {
		return audit.CommitteeInfo{}, err
	}
	return committeeInfo(c)
}

func committeeInfo(c *keygen.Certificate) (audit.CommitteeInfo, error) {
	t := c.Terms
	info := audit.CommitteeInfo{Committee: c.Committee, ChainID: t.ChainID, TermsHash: t.Hash(), Limits: t.Limits, Overlap: t.Overlap}
	var err error
	if info.Terms, err = t.MarshalBinary(); err != nil {
		return audit.CommitteeInfo{}, err
	}
	for _, m := range t.Members {
		info.Identities = append(info.Identities, m.Identity)
		info.Names = append(info.Names, m.Name)
	}
	return info, nil
}

func orNobody(names []string) string {
	if len(names) == 0 {
		return "nobody known"
	}
	return strings.Join(names, ", ")
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// WriteTxReport writes what one transaction's bundle proves for people, the verdict last.
func WriteTxReport(w io.Writer, r *audit.TxReport) error {
	var b strings.Builder
	if r.ChainID != "" {
		fmt.Fprintf(&b, "chain %s, committee of epoch %d, terms hash %s\n", r.ChainID, r.Epoch, r.TermsHash)
	}
	if r.ChainID != "" && !r.Anchored {
		b.WriteString("  nothing but the file says that this is the right committee: --terms-hash was not given, or is another\n")
	}
	if r.Height > 0 {
		fmt.Fprintf(&b, "transaction %s, namespace %s\nblock %d, position %d of %d\n", r.ID, r.Namespace, r.Height, r.Position, r.Count)
		fmt.Fprintf(&b, "in the log of %d entries with root %s\n", r.LogSize, r.LogRoot)
	}
	for _, x := range r.Receipts {
		fmt.Fprintf(&b, "receipt of member %d %s\n", x.Member, x.Status)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%s: %s (%s)\n", f.Who, f.What, f.Code)
	}
	for _, text := range r.Missing {
		fmt.Fprintf(&b, "missing: %s\n", text)
	}
	switch {
	case r.Verdict == audit.Verified && r.Void:
		b.WriteString("void: the opening proves that it holds no plaintext\n")
	case r.Verdict == audit.Verified:
		text, _ := r.Plaintext.MarshalText()
		fmt.Fprintf(&b, "plaintext %s\n", text)
	}
	fmt.Fprintln(&b, r.Verdict)
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteCompletenessReport writes what a namespace has in a batch for people, the verdict last.
func WriteCompletenessReport(w io.Writer, r *audit.CompletenessReport) error {
	var b strings.Builder
	if r.ChainID != "" {
		fmt.Fprintf(&b, "chain %s, committee of epoch %d, terms hash %s\n", r.ChainID, r.Epoch, r.TermsHash)
		if !r.Anchored {
			b.WriteString("  nothing but the file says that this is the right committee: --terms-hash was not given, or is another\n")
		}
	}
	if r.LogSize > 0 {
		fmt.Fprintf(&b, "in the log of %d entries with root %s\n", r.LogSize, r.LogRoot)
	}
	if r.Verdict == audit.Verified {
		fmt.Fprintf(&b, "namespace %s in block %d: %d of %d transactions, and no others\n", r.Namespace, r.Height, len(r.Transactions), r.Count)
	}
	for _, t := range r.Transactions {
		fmt.Fprintf(&b, "%d %s\n", t.Position, t.ID)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%s: %s (%s)\n", f.Who, f.What, f.Code)
		if f.Evidence != "" {
			fmt.Fprintf(&b, "  evidence: %s\n", f.Evidence)
		}
	}
	for _, text := range r.Missing {
		fmt.Fprintf(&b, "missing: %s\n", text)
	}
	fmt.Fprintln(&b, r.Verdict)
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteReport writes the report for people: what was looked at, what was found, the verdict last.
func WriteReport(w io.Writer, r *audit.Report) error {
	var b strings.Builder
	if r.ChainID != "" {
		fmt.Fprintf(&b, "chain %s, terms hash %s\n", r.ChainID, r.TermsHash)
	}
	if r.ChainID != "" && !r.Anchored {
		b.WriteString("  nothing but the bundle says that this is the right committee: --terms-hash was not given, or is another\n")
	}
	for _, c := range r.Committees[min(1, len(r.Committees)):] {
		fmt.Fprintf(&b, "committee of epoch %d in office after block %d, by succession, terms hash %s\n", c.Epoch, c.Height, c.TermsHash)
	}
	fmt.Fprintf(&b, "%d log entries, root %s; the committee's signature covers %d\n", r.LogSize, r.LogRoot, r.CertifiedSize)
	fmt.Fprintf(&b, "%d batches up to block %d, %d opened, %d pending: %d ciphertexts, %d plaintexts, %d void\n",
		r.Batches, r.LastHeight, r.Revealed, r.Pending, r.Ciphertexts, r.Plaintexts, r.Voids)
	if r.Expired > 0 {
		fmt.Fprintf(&b, "%d ciphertexts set aside: expired before they were ordered, or sealed to a key out of use\n", r.Expired)
	}
	for _, c := range r.Checkpoints {
		match := "is the log's"
		if !c.Matches {
			match = "is not the log's"
		}
		fmt.Fprintf(&b, "%s: root of %d entries %s, signed by %s\n", c.Name, c.Size, match, orNobody(c.Signers))
		if len(c.Witnesses) > 0 {
			fmt.Fprintf(&b, "  cosigned by %s of the policy\n", strings.Join(c.Witnesses, ", "))
		}
	}
	for _, m := range r.Misbehaviour {
		if m.Proved {
			fmt.Fprintf(&b, "recorded in block %d: %s %s (%s, proved)\n", m.Height, m.Who, m.What, m.Kind)
		} else {
			fmt.Fprintf(&b, "recorded in block %d: member %d of epoch %d: %s, not proved\n", m.Height, m.Member, m.Epoch, m.Kind)
		}
	}
	if r.MoreMisbehaviour > 0 {
		fmt.Fprintf(&b, "and %d more that are recorded\n", r.MoreMisbehaviour)
	}
	for _, e := range r.Evidence {
		if e.Proved {
			fmt.Fprintf(&b, "%s: proved: %s\n", e.Name, e.Established)
		} else {
			fmt.Fprintf(&b, "%s: proves nothing: %s\n", e.Name, e.Why)
		}
	}
	kept := map[string]int{}
	for _, receipt := range r.Receipts {
		kept[receipt.Status]++
	}
	for _, status := range sortedKeys(kept) {
		fmt.Fprintf(&b, "%d receipts %s\n", kept[status], status)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "block %d: %s: %s (%s)\n", f.Height, f.Who, f.What, f.Code)
		if f.Evidence != "" {
			fmt.Fprintf(&b, "  evidence: %s\n", f.Evidence)
		}
	}
	if r.MoreFindings > 0 {
		fmt.Fprintf(&b, "and %d more\n", r.MoreFindings)
	}
	for _, text := range r.Missing {
		fmt.Fprintf(&b, "missing: %s\n", text)
	}
	fmt.Fprintln(&b, r.Verdict)
	_, err := io.WriteString(w, b.String())
	return err
}
