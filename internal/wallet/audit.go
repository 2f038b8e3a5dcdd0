package wallet

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/keygen"
)

// Audit replays a bundle offline, with the chain's own rule for the order and
// the checks of certificates that wallets make.
func Audit(bundle io.Reader, o audit.Options) (*audit.Report, error) {
	return audit.Run(bundle, audit.Checks{Certificate: firstCommittee, Succession: nextCommittee, Rule: newRule}, o)
}

func firstCommittee(terms, certificate []byte) (audit.CommitteeInfo, error) {
	t, err := keygen.ParseTerms(terms)
	if err != nil {
		return audit.CommitteeInfo{}, fmt.Errorf("terms: %w", err)
	}
	if t.Change != keygen.ChangeFirst {
		return audit.CommitteeInfo{}, fmt.Errorf("the terms of the first committee say %s", t.Change)
	}
	c, err := keygen.ParseCertificate(certificate)
	if err != nil {
		return audit.CommitteeInfo{}, fmt.Errorf("certificate: %w", err)
	}
	if err := keygen.VerifyCertificate(c, t); err != nil {
		return audit.CommitteeInfo{}, err
	}
	return committeeInfo(c), nil
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
	return committeeInfo(c), nil
}

func committeeInfo(c *keygen.Certificate) audit.CommitteeInfo {
	t := c.Terms
	info := audit.CommitteeInfo{Committee: c.Committee, ChainID: t.ChainID, TermsHash: t.Hash(), Limits: t.Limits, Overlap: t.Overlap}
	for _, m := range t.Members {
		info.Identities = append(info.Identities, m.Identity)
		info.Names = append(info.Names, m.Name)
	}
	return info
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
	kept := map[string]int{}
	for _, receipt := range r.Receipts {
		kept[receipt.Status]++
	}
	for _, status := range slices.Sorted(maps.Keys(kept)) {
		fmt.Fprintf(&b, "%d receipts %s\n", kept[status], status)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "block %d: %s: %s (%s)\n", f.Height, f.Who, f.What, f.Code)
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
