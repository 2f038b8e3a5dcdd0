package audit

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
	"github.com/scrimlabs/scrim/threshold/thresholdtest"
)

var nextCommittee = sync.OnceValues(func() (*threshold.Committee, []*threshold.SecretShare) {
	return thresholdtest.Deal("audit-next", 2, 4, 3)
})

// succeeds stands for the certificate of a later committee: the overlap, and the
// certificate under terms that are the hash of the one before.
func succeeds(previous, committee []byte, overlap byte) []byte {
	return append([]byte{overlap}, certify(append([]byte("next"), previous...), committee)...)
}

// checkSuccession also takes a certificate under the first terms: tests of what else a
// committee entry says use it.
func checkSuccession(previous, cert []byte) (CommitteeInfo, error) {
	if info, err := checkCertificate([]byte(testTerms), cert); err == nil {
		return info, nil
	}
	if len(cert) < 33 || !bytes.Equal(cert, succeeds(previous, cert[33:], cert[0])) {
		return CommitteeInfo{}, errors.New("the test's certificate does not follow the one before")
	}
	info, err := checkCertificate([]byte(testTerms), certify([]byte(testTerms), cert[33:]))
	info.Overlap = uint64(cert[0])
	return info, err
}

// succeed puts the next committee in office. The old one's key is taken for the overlap.
func (n *network) succeed(height uint64, overlap byte, lie func(certificate []byte) []byte) {
	n.t.Helper()
	before, _ := committeeOf4()
	c, _ := nextCommittee()
	old, err := before.MarshalBinary()
	n.must(err)
	b, err := c.MarshalBinary()
	n.must(err)
	cert := succeeds(certify([]byte(testTerms), old), b, overlap)
	if lie != nil {
		cert = lie(cert)
	}
	e, err := commitreveal.NewCommitteeEntry(height, cert, c)
	n.must(err)
	n.append(e)
	n.lines = append(n.lines, &commitreveal.BundleCertificate{Certificate: cert})
}

// The committee before may take batches up to the block of the change and, if the key is
// another one, for the overlap; the next one from the block after.
func TestEachCommitteeHasItsTime(t *testing.T) {
	second, _ := nextCommittee()
	for _, test := range []struct {
		overlap byte
		height  uint64
		epoch   uint64
		want    []string
	}{
		{0, 7, 1, nil},
		{0, 8, 1, []string{"epoch 8 " + committeeOf}},
		{5, 12, 1, nil},
		{5, 13, 1, []string{"epoch 13 " + committeeOf}},
		{5, 7, 2, []string{"epoch 7 bundle"}},
		{0, 8, 2, []string{}},
		{0, 8, 3, []string{"epoch 8 bundle", "key_id 8 bundle", "key_id 8 bundle"}},
	} {
		t.Run(fmt.Sprintf("overlap %d, epoch %d at %d", test.overlap, test.epoch, test.height), func(t *testing.T) {
			n := newNetwork(t)
			n.block(5, n.seal("before"))
			n.succeed(7, test.overlap, nil)
			n.lyingBlock(test.height, lies{commit: func(e *commitreveal.CommitEntry) {
				if e.Epoch = test.epoch; test.epoch == 2 {
					e.KeyID = second.Key.ID()
				}
			}}, n.seal("after"))
			for len(n.pending) > 0 {
				n.reveal(0)
			}
			r := run(t, n.bundle(), Options{})
			got := short(r)
			if test.epoch > 1 { // this network's first committee signs all, so that another's batch has no good signature
				got = slices.DeleteFunc(got, func(s string) bool {
					return strings.HasPrefix(s, "certificate") || test.epoch == 2 && strings.HasPrefix(s, "key_id") || strings.HasPrefix(s, "opening")
				})
			}
			if diff := cmp.Diff(append([]string{}, test.want...), got); diff != "" {
				t.Errorf("%s\n%+v", diff, r.Findings)
			}
			if diff := cmp.Diff([]uint64{1, 2}, r.Epochs); diff != "" || r.Committees[1].Height != 7 {
				t.Errorf("%s %+v", diff, r.Committees)
			}
		})
	}
}

// A committee to which the one in office did not hand over is none.
func TestForgedSuccession(t *testing.T) {
	second, _ := nextCommittee()
	b, err := second.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for name, certificate := range map[string][]byte{
		"of another before": succeeds([]byte("another"), b, 0),
		"with other bytes":  nil,
	} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t)
			n.block(5, n.seal("before"))
			n.succeed(7, 0, func(honest []byte) []byte {
				if certificate != nil {
					return certificate
				}
				return slices.Concat(honest, []byte{9})
			})
			n.block(8, n.seal("after"))
			r := run(t, n.bundle(), Options{})
			if r.Verdict != Violated || len(r.Findings) == 0 || r.Findings[0].Code != CodeCommittee {
				t.Errorf("%+v", r)
			}
		})
	}
}
