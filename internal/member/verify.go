package member

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/internal/succession"
	"github.com/scrimlabs/scrim/keygen"
)

// ErrUnreadable says that bytes are no certificate at all, so that nothing can be said about it.
var ErrUnreadable = errors.New("not a certificate")

// ErrOtherAttempt says that a certificate holds, but is of another attempt of the
// members whose consent is at hand.
var ErrOtherAttempt = errors.New("the certificate is of another attempt of the same members")

// maxCertificate is far above the largest: 256 members.
const maxCertificate = 1 << 20

// ReadCertificate reads a certificate in its canonical form, binary or as hex with or without "0x". It is not verified.
func ReadCertificate(r io.Reader) (*keygen.Certificate, error) {
	b, err := io.ReadAll(io.LimitReader(r, 2*maxCertificate+3))
	if err != nil {
		return nil, err
	}
	if text := strings.TrimPrefix(string(bytes.TrimSpace(b)), "0x"); len(text) > 0 {
		if decoded, err := hex.DecodeString(text); err == nil {
			b = decoded
		}
	}
	c, err := keygen.ParseCertificate(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return c, nil
}

// Expected is what somebody who verifies committees knows already.
type Expected struct {
	TermsHash *[32]byte           // of one of the committees
	TermsPin  *[32]byte           // of the first one
	Terms     *keygen.SignedTerms // of the first one; the consents are checked too
	Log       []audit.Tenure      // of an audited log: the committees that it has, with
	Certified uint64              // how many entries its committee's signature covers
}

// Verify compares committees, which have been verified, with what is expected. They may be
// the end of a line whose beginning is not at hand; then the first is not proved to be a
// successor of anything.
func Verify(line succession.Line, e Expected) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", keygen.ErrCertificate, fmt.Sprintf(format, args...))
	}
	first := line[0].Certificate
	if hash := e.TermsHash; hash != nil && !slices.ContainsFunc(line, func(c succession.Committee) bool { return c.Terms.Hash() == *hash }) {
		return bad("it is for terms 0x%x, expected 0x%x", line.Office().Terms.Hash(), *hash)
	}
	if e.TermsPin != nil && line.Pin() != *e.TermsPin {
		return bad("the first committee's terms have pin 0x%x, expected 0x%x", line.Pin(), *e.TermsPin)
	}
	if err := inLog(line, e); err != nil {
		return err
	}
	if e.Terms == nil {
		return nil
	}
	terms := &e.Terms.Terms
	switch {
	case first.Terms.Change != keygen.ChangeFirst && terms.Change == keygen.ChangeFirst:
		return fmt.Errorf("%w: it is of epoch %d, the terms given are of the first one; name the certificates of all committees before it, or --node", ErrNoBeginning, first.Terms.Epoch)
	case terms.Pin() == first.Terms.Pin() && terms.Hash() != first.Terms.Hash():
		return fmt.Errorf("%w: attempt %d, the terms given are of attempt %d; give those of attempt %d with their consents, or the pin", ErrOtherAttempt, first.Terms.Attempt, terms.Attempt, first.Terms.Attempt)
	case terms.Hash() != first.Terms.Hash():
		return bad("it is for terms 0x%x, the given ones have 0x%x", first.Terms.Hash(), terms.Hash())
	}
	return keygen.VerifyConsent(terms, e.Terms.Consents)
}

// ErrNoBeginning says that a certificate holds by itself, but nothing leads to it.
var ErrNoBeginning = errors.New("the committees before it are not shown")

// ErrNotInLog says that a log does not have a certificate, or not under a signature.
var ErrNotInLog = errors.New("the certificate is not in the log")

func inLog(line succession.Line, e Expected) error {
	if e.Log == nil {
		return nil
	}
	for _, c := range line {
		wire, err := c.Certificate.MarshalBinary()
		if err != nil {
			return err
		}
		i := slices.IndexFunc(e.Log, func(t audit.Tenure) bool { return bytes.Equal(t.Certificate, wire) })
		switch {
		case i < 0:
			return fmt.Errorf("%w: epoch %d: the bundle has another one, or ends before it", ErrNotInLog, c.Terms.Epoch)
		case e.Log[i].LogIndex >= e.Certified:
			return fmt.Errorf("%w: epoch %d: its entry %d is there, but no signature of the committee covers it yet", ErrNotInLog, c.Terms.Epoch, e.Log[i].LogIndex)
		}
	}
	return nil
}

// WriteLine says what verified committees prove, and what they do not.
func WriteLine(out io.Writer, line succession.Line, e Expected) error {
	c := line.Office()
	t := c.Terms
	id := c.Committee.Key.ID()
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "verified\tchain %s, epoch %d, attempt %d: %d of %d members hold shares of a key\n", t.ChainID, t.Epoch, t.Attempt, t.Threshold, t.N())
	fmt.Fprintf(w, "terms hash\t0x%x\n", t.Hash())
	first := line[0].Terms
	switch {
	case first.Change != keygen.ChangeFirst:
		fmt.Fprintf(w, "\tof epoch %d, which succeeds one that was not shown: nothing says that it was the right one\n", first.Epoch)
	case len(line) > 1 && e.Terms != nil:
		fmt.Fprint(w, "\tits committees handed over to each other from the expected first one on, whose members all have signed its terms\n")
	case e.Terms != nil:
		fmt.Fprint(w, "\tas expected; all members have signed the terms\n")
	case e.TermsHash != nil || e.TermsPin != nil:
		fmt.Fprint(w, "\tas expected; the members' consents were not given\n")
	default:
		fmt.Fprint(w, "\tnot compared with anything: ask the members for theirs, or give --terms, --terms-pin or --terms-hash\n")
	}
	if first.Change == keygen.ChangeFirst {
		fmt.Fprintf(w, "terms pin\t0x%x (of the first committee)\n", first.Pin())
	}
	fmt.Fprintf(w, "transcript\t0x%x\n\tsigned by those who certified; the deals themselves are in the log ('scrim audit')\n", c.Transcript)
	fmt.Fprintf(w, "key id\t0x%x\n", id[:])
	if e.Log != nil {
		fmt.Fprintf(w, "log\thas all of these certificates, among the %d entries that the committee's signatures cover\n", e.Certified)
	}
	writeHistory(w, line)
	fmt.Fprintln(w)
	if err := w.Flush(); err != nil {
		return err
	}
	return writeMembers(out, c)
}

// writeHistory says how each committee but the first came about.
func writeHistory(w io.Writer, line succession.Line) {
	label := "succession"
	for _, c := range line {
		t := c.Terms
		if t.Previous == nil {
			continue
		}
		var approvals []string
		for _, a := range c.Approvals {
			approvals = append(approvals, t.Speaker(a.Member).Name)
		}
		fmt.Fprintf(w, "%s\tepoch %d %s; %d of the %d before approved: %s\n", label, t.Epoch, changeText(t), len(approvals), len(t.Previous.Members), strings.Join(approvals, ", "))
		for _, d := range Differences(t, t.Phases) {
			if d.What != "key" {
				fmt.Fprintf(w, "\t  %s: %s\n", d.What, d.Text)
			}
		}
		fmt.Fprintf(w, "\t  terms hash 0x%x\n", t.Hash())
		label = ""
	}
}

func writeMembers(out io.Writer, c *keygen.Certificate) error {
	t := c.Terms
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "#\tname\tfingerprint\tdealt\tcertified\n")
	for i, m := range t.Members {
		j := uint32(i + 1)
		certified := slices.ContainsFunc(c.Certifications, func(one keygen.Certification) bool { return one.Member == j })
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\n", j, m.Name, m.Fingerprint(), dealt(c, m), yesNo(certified))
	}
	return w.Flush()
}

// dealt says whether a member's deal counts. In a resharing those deal who hand over.
func dealt(c *keygen.Certificate, m keygen.Member) string {
	return yesNo(slices.ContainsFunc(c.Qualified, func(j uint32) bool {
		dealer := c.Terms.Speaker(j)
		return dealer != nil && dealer.Identity.Equal(m.Identity)
	}))
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
