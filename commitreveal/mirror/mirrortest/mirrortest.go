// Package mirrortest serves a log as a node does, for tests of what mirrors one.
//
// A [Server] is filled with the lines of a bundle, those of a simulated chain
// ([FromChain]) or made-up ones ([Synthetic]), and shows as much of it as a test
// says, signed by whom the test says. What it serves comes from package tiles and
// package note, as a node's does.
package mirrortest

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
)

// Server is a node's log. Its fields may be changed between requests.
type Server struct {
	ChainID   string
	Publisher ed25519.PrivateKey   // signs the checkpoints; nil: nobody
	Cosigners []ed25519.PrivateKey // cosign them
	Extra     func(size uint64) []note.Signature
	Size      uint64 // entries that it shows
	Limits    []byte // of the chain

	mu           sync.Mutex
	entries      [][]byte
	log          commitreveal.Log
	hashes       []commitreveal.Hash // stored ones, in tlog's order
	roots        []commitreveal.Hash // by size
	certificates map[commitreveal.Hash][]byte
	batches      map[uint64][]byte
	rounds       []*commitreveal.BundleRound
	evidence     [][]byte
	recorded     map[commitreveal.Hash][]byte
}

// New is an empty log.
func New(chainID string, publisher ed25519.PrivateKey) *Server {
	return &Server{
		ChainID: chainID, Publisher: publisher, roots: []commitreveal.Hash{commitreveal.Log{}.Root()},
		certificates: map[commitreveal.Hash][]byte{}, batches: map[uint64][]byte{}, recorded: map[commitreveal.Hash][]byte{},
	}
}

// Add takes the lines of a bundle, and shows all of them.
func (s *Server) Add(lines ...commitreveal.BundleLine) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, line := range lines {
		switch l := line.(type) {
		case *commitreveal.BundleHeader:
			s.Limits = l.Limits
		case *commitreveal.BundleEntry:
			next, stored, err := s.log.Append(l.Entry)
			if err != nil {
				return err
			}
			s.log, s.hashes = next, append(s.hashes, stored...)
			s.entries, s.roots = append(s.entries, l.Entry), append(s.roots, next.Root())
		case *commitreveal.BundleCertificate:
			s.certificates[commitreveal.CertificateHash(l.Certificate)] = l.Certificate
		case *commitreveal.BundleEvidence:
			s.recorded[commitreveal.EvidenceHash(l.Body)] = l.Body
		case *commitreveal.BundleRound:
			s.rounds = append(s.rounds, l)
		case *commitreveal.BundleTransaction:
			b, err := commitreveal.MarshalBundleLine(l)
			if err != nil {
				return err
			}
			s.batches[l.Height] = append(append(s.batches[l.Height], b...), '\n')
		}
	}
	s.Size = s.log.Size()
	return nil
}

// AddEvidence serves a piece of evidence.
func (s *Server) AddEvidence(body []byte) { s.evidence = append(s.evidence, body) }

// SetBatch replaces the body of a batch.
func (s *Server) SetBatch(height uint64, lines []byte) { s.batches[height] = lines }

// Certificate is a ceremony's certificate by its hash; nil if there is none.
func (s *Server) Certificate(hash commitreveal.Hash) []byte { return s.certificates[hash] }

// Recorded is the evidence that the log names, by its hash; nil if there is none.
func (s *Server) Recorded(hash commitreveal.Hash) []byte { return s.recorded[hash] }

// SetRecorded replaces the evidence of a hash, or takes it away.
func (s *Server) SetRecorded(hash commitreveal.Hash, body []byte) { s.recorded[hash] = body }

// Batch is the body of a batch.
func (s *Server) Batch(height uint64) []byte { return s.batches[height] }

// Rounds are the lines of rounds of heights above after and up to height, two at a time.
func (s *Server) Rounds(after, height uint64) (out []byte, err error) {
	n := 0
	for _, r := range s.rounds {
		if r.Height <= after || r.Height > height || n == 2 {
			continue
		}
		n++
		b, err := commitreveal.MarshalBundleLine(r)
		if err != nil {
			return nil, err
		}
		out = append(append(out, b...), '\n')
	}
	return out, nil
}

// Checkpoint is the signed checkpoint of a size.
func (s *Server) Checkpoint(size uint64) ([]byte, error) {
	text := note.Checkpoint{Origin: note.Origin(s.ChainID), Size: size, Root: s.roots[size]}.Text()
	n := &note.Note{Text: text}
	if s.Publisher != nil {
		n.Signatures = append(n.Signatures, note.SignLog(s.Publisher, s.ChainID, text))
	}
	for i, k := range s.Cosigners {
		n.Signatures = append(n.Signatures, note.Cosign(k, s.ChainID, text, 1700000000+uint64(i)))
	}
	if s.Extra != nil {
		n.Signatures = append(n.Signatures, s.Extra(size)...)
	}
	return n.Marshal()
}

// Tile is the content of a tile that is shown.
func (s *Server) Tile(t tiles.Tile) ([]byte, error) {
	from, count := t.Range()
	if t.Level == tiles.Entries {
		if from+uint64(count) > s.Size {
			return nil, fmt.Errorf("no such tile")
		}
		return tiles.AppendEntries(nil, s.entries[from:from+uint64(count)])
	}
	indexes, err := t.HashIndexes()
	if err != nil {
		return nil, err
	}
	var out []commitreveal.Hash
	for _, i := range indexes {
		if i >= int64(len(s.hashes)) {
			return nil, fmt.Errorf("no such tile")
		}
		out = append(out, s.hashes[i])
	}
	return tiles.AppendHashes(nil, out), nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.answer(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = bytes.NewReader(b).WriteTo(w)
}

func (s *Server) answer(r *http.Request) ([]byte, error) {
	if number, ok := strings.CutPrefix(r.URL.Path, "/v1/evidence"); ok {
		return s.evidenceAnswer(number, r.URL.Query().Get("after"))
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/v1/log/")
	kind, name, _ := strings.Cut(path, "/")
	switch {
	case !ok:
	case path == "checkpoint":
		return s.Checkpoint(s.Size)
	case kind == "tile":
		t, err := tiles.ParsePath(path)
		if err != nil {
			return nil, err
		}
		return s.Tile(t)
	case kind == "batch":
		height, err := strconv.ParseUint(name, 10, 64)
		if b := s.batches[height]; b != nil && err == nil {
			return b, nil
		}
	case kind == "rounds":
		var from, height uint64
		if _, err := fmt.Sscanf(name, "%d/%d", &from, &height); err != nil || from == 0 {
			return nil, fmt.Errorf("%s: no heights", name)
		}
		return s.Rounds(from-1, height)
	case path == "limits" && s.Limits != nil:
		return s.Limits, nil
	case kind == "certificate", kind == "evidence":
		var hash commitreveal.Hash
		if err := hash.UnmarshalText([]byte(name)); err != nil {
			return nil, err
		}
		b := s.Certificate(hash)
		if kind == "evidence" {
			b = s.Recorded(hash)
		}
		if b != nil {
			return b, nil
		}
	}
	return nil, fmt.Errorf("%s: not found", r.URL.Path)
}

func (s *Server) evidenceAnswer(number, after string) ([]byte, error) {
	if number == "" {
		from, _ := strconv.Atoi(after)
		type summary struct {
			Number uint64            `json:"number"`
			Kind   string            `json:"kind"`
			Hash   commitreveal.Hash `json:"hash"`
			Size   int               `json:"size"`
		}
		page := struct {
			Evidence []summary `json:"evidence"`
			Next     *uint64   `json:"next"`
		}{Evidence: []summary{}}
		for i, b := range s.evidence {
			if i >= from {
				page.Evidence = append(page.Evidence, summary{uint64(i + 1), "bad_point", commitreveal.EvidenceHash(b), len(b)})
			}
		}
		return json.Marshal(page)
	}
	n, err := strconv.Atoi(strings.TrimPrefix(number, "/"))
	if err != nil || n < 1 || n > len(s.evidence) {
		return nil, fmt.Errorf("no such evidence")
	}
	return bytes.Clone(s.evidence[n-1]), nil
}
