package mirror_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/commitreveal/mirror/mirrortest"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
	"github.com/scrimlabs/scrim/httpapi"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
)

// node answers a node's real API for the log from a test's data.
type node struct {
	httpapi.Backend // nothing else is asked
	s               *mirrortest.Server
	evidence        []byte
}

func found(b []byte, err error) ([]byte, error) {
	if err != nil || b == nil {
		return nil, &httpapi.Error{Code: v1.CodeNotFound}
	}
	return b, nil
}

func (n *node) LogCheckpoint(context.Context, uint64) ([]byte, error) {
	return n.s.Checkpoint(n.s.Size)
}

func (n *node) LogTile(_ context.Context, t tiles.Tile) ([]byte, error) { return found(n.s.Tile(t)) }

func (n *node) LogBatch(_ context.Context, height uint64) ([]byte, bool, error) {
	b, err := found(n.s.Batch(height), nil)
	return b, true, err
}

func (n *node) LogRounds(_ context.Context, after, height uint64) ([]byte, error) {
	return n.s.Rounds(after, height)
}

func (n *node) LogLimits() ([]byte, error) { return n.s.Limits, nil }

func (n *node) LogCertificate(_ context.Context, hash commitreveal.Hash) ([]byte, error) {
	return found(n.s.Certificate(hash), nil)
}

func (n *node) LogEvidence(_ context.Context, hash commitreveal.Hash) ([]byte, error) {
	return found(n.s.Recorded(hash), nil)
}

func (n *node) EvidenceList(_ context.Context, after uint64, _ int) (v1.EvidenceList, error) {
	hash := commitreveal.EvidenceHash(n.evidence)
	next := uint64(1)
	if after > 0 {
		return v1.EvidenceList{Evidence: []v1.EvidenceSummary{{Number: 2, Kind: "other", Hash: hash[:]}}}, nil
	}
	return v1.EvidenceList{Evidence: []v1.EvidenceSummary{{Number: 1, Kind: "other", Hash: hash[:]}}, Next: &next}, nil
}

func (n *node) OneEvidence(context.Context, uint64) (string, []byte, error) {
	return "other", n.evidence, nil
}

// TestRealHandler mirrors from the API that nodes serve.
func TestRealHandler(t *testing.T) {
	s := server(t, chain())
	dir := filepath.Join(t.TempDir(), "m")
	c := client(t, httpapi.New(&node{s: s, evidence: []byte("evidence")}, httpapi.Options{}))
	m := open(t, dir)
	full := s.Size
	for _, size := range []uint64{3, full} {
		s.Size = size
		update(t, m, c)
	}
	r := verify(t, dir, audit.Options{})
	if r.Verdict != audit.Verified || r.LogSize != full || len(r.Evidence) != 1 {
		t.Errorf("%s: %v %v %+v", r.Verdict, r.Findings, r.Missing, r.Evidence)
	}
}
