package mirror

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/audit"
)

const (
	maxEvidencePage  = 1 << 20
	maxNodeEvidence  = 8 << 20
	maxEvidenceItems = 10_000
	// maxEvidence bounds what a mirror takes of nodes' evidence in bytes, so that a node
	// cannot fill the disk, nor the memory of who reads it.
	maxEvidence = 64 << 20
)

// evidencePage is what is read of /v1/evidence.
type evidencePage struct {
	Evidence []struct {
		Number uint64            `json:"number"`
		Hash   commitreveal.Hash `json:"hash"`
	} `json:"evidence"`
	Next *uint64 `json:"next"`
}

// parseEvidenceList reads an answer of /v1/evidence. Fields that are not known are for later versions.
func parseEvidenceList(b []byte) (page evidencePage, err error) {
	if err := json.Unmarshal(b, &page); err != nil {
		return page, fmt.Errorf("%w: list of evidence: %w", ErrServer, err)
	}
	return page, nil
}

// evidence fetches what the node holds against members, as far as it is not here, nor recorded in the log.
// A node that serves none of it does not spoil the mirror.
func (u *update) evidence() error {
	after, items := uint64(0), 0
	left, err := u.m.evidenceLeft()
	if err != nil {
		return err
	}
	for {
		path := "/v1/evidence"
		if after > 0 {
			path += "?after=" + strconv.FormatUint(after, 10)
		}
		b, err := u.c.get(u.ctx, path, maxEvidencePage)
		if errors.Is(err, errGone) {
			return nil
		}
		if err != nil {
			return err
		}
		page, err := parseEvidenceList(b)
		if err != nil {
			return err
		}
		for _, e := range page.Evidence {
			if items++; items > maxEvidenceItems || left <= 0 {
				return nil
			}
			size, err := u.oneEvidence(e.Number, e.Hash)
			if err != nil {
				return err
			}
			left -= size
		}
		if page.Next == nil || *page.Next <= after {
			return nil
		}
		after = *page.Next
	}
}

// evidenceLeft is how many bytes of evidence are still taken.
func (m *Mirror) evidenceLeft() (int64, error) {
	names, err := os.ReadDir(m.store.path("evidence"))
	if errors.Is(err, fs.ErrNotExist) {
		return maxEvidence, nil
	}
	if err != nil {
		return 0, err
	}
	left := int64(maxEvidence)
	for _, n := range names {
		info, err := n.Info()
		if err != nil {
			return 0, err
		}
		left -= info.Size()
	}
	return left, nil
}

// oneEvidence fetches a piece that is not here, and gives its size.
func (u *update) oneEvidence(number uint64, hash commitreveal.Hash) (int64, error) {
	name := nodeEvidenceName(hash)
	if u.m.store.has(name) || u.m.store.has(recordedName(hash)) {
		return 0, nil
	}
	b, err := u.c.get(u.ctx, "/v1/evidence/"+strconv.FormatUint(number, 10), maxNodeEvidence)
	if err != nil {
		return 0, err
	}
	if commitreveal.EvidenceHash(b) != hash {
		return 0, fmt.Errorf("%w: evidence %d does not have the hash that the list names", ErrServer, number)
	}
	return int64(len(b)), u.m.store.write(name, b)
}

// Evidence gives what the directory holds of evidence, by file name: of nodes, under
// its hash, and the mirror's own.
func Evidence(dir string) ([]audit.EvidenceBody, error) {
	s := store{dir: dir}
	names, err := os.ReadDir(s.path("evidence"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrMirror, err)
	}
	var out []audit.EvidenceBody
	for _, n := range names {
		if strings.HasPrefix(n.Name(), ".") || strings.HasPrefix(n.Name(), "checkpoint-") {
			continue
		}
		b, err := s.read("evidence/"+n.Name(), audit.MaxEvidenceSize)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMirror, err)
		}
		out = append(out, audit.EvidenceBody{Name: "evidence/" + n.Name(), Body: b})
	}
	slices.SortFunc(out, func(a, b audit.EvidenceBody) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}
