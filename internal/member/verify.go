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

// Expected is what somebody who verifies a certificate knows already.
type Expected struct {
	TermsHash *[32]byte
	Terms     *keygen.SignedTerms // the consents are checked too
}

// Verify checks a certificate as keygen.VerifyCertificate does, and that it is the
// expected one with the consent of all members.
func Verify(c *keygen.Certificate, e Expected) error {
	if err := keygen.VerifyCertificate(c, nil); err != nil {
		return err
	}
	if hash := c.Terms.Hash(); e.TermsHash != nil && hash != *e.TermsHash {
		return fmt.Errorf("%w: it is for terms 0x%x, expected 0x%x", keygen.ErrCertificate, hash, *e.TermsHash)
	}
	if e.Terms == nil {
		return nil
	}
	terms := &e.Terms.Terms
	if otherAttempt(terms, c.Terms) {
		return fmt.Errorf("%w: attempt %d, the terms given are of attempt %d; give those of attempt %d with their consents", ErrOtherAttempt, c.Terms.Attempt, terms.Attempt, c.Terms.Attempt)
	}
	if err := keygen.VerifyCertificate(c, terms); err != nil {
		return err
	}
	return keygen.VerifyConsent(terms, e.Terms.Consents)
}

// otherAttempt says whether two terms differ in the attempt and in what may change with it: when it begins and how long it lasts.
func otherAttempt(a, b *keygen.Terms) bool {
	same := *a
	same.Attempt, same.Phases, same.StartHeight = b.Attempt, b.Phases, b.StartHeight
	return a.Attempt != b.Attempt && same.Hash() == b.Hash()
}

// WriteCertificate says what a verified certificate proves, and what it does not.
func WriteCertificate(out io.Writer, c *keygen.Certificate, e Expected) error {
	t := c.Terms
	id := c.Committee.Key.ID()
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "verified\tchain %s, epoch %d, attempt %d: %d of %d members hold shares of a key\n", t.ChainID, t.Epoch, t.Attempt, t.Threshold, t.N())
	fmt.Fprintf(w, "terms hash\t0x%x\n", t.Hash())
	switch {
	case e.Terms != nil:
		fmt.Fprint(w, "\tas expected; all members have signed the terms\n")
	case e.TermsHash != nil:
		fmt.Fprint(w, "\tas expected; the members' consents were not given\n")
	default:
		fmt.Fprint(w, "\tnot compared with anything: ask the members for theirs, or give --terms or --terms-hash\n")
	}
	fmt.Fprintf(w, "transcript\t0x%x\n\tsigned by those who certified; the deals themselves are in the log ('scrim audit')\n", c.Transcript)
	fmt.Fprintf(w, "key id\t0x%x\n\n", id[:])
	if err := w.Flush(); err != nil {
		return err
	}
	w = tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "#\tname\tfingerprint\tdealt\tcertified\n")
	for i, m := range t.Members {
		j := uint32(i + 1)
		certified := slices.ContainsFunc(c.Certifications, func(one keygen.Certification) bool { return one.Member == j })
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\n", j, m.Name, m.Fingerprint(), yesNo(slices.Contains(c.Qualified, j)), yesNo(certified))
	}
	return w.Flush()
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
