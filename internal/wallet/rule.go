package wallet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

// rule is ordering's own replay, as the auditor asks for it.
type rule struct{ replay *ordering.Replay }

func newRule(chainID string, limits []byte) (audit.Rule, error) {
	d := json.NewDecoder(bytes.NewReader(limits))
	d.DisallowUnknownFields()
	var p ordering.Params
	if err := d.Decode(&p); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more after the limits")
	}
	if canonical, err := json.Marshal(p); err != nil || !bytes.Equal(canonical, limits) {
		return nil, fmt.Errorf("they are not written the one way they can be: %w", err)
	}
	replay, err := ordering.NewReplay(chainID, p)
	return rule{replay}, err
}

func (r rule) Committee(height uint64, c audit.CommitteeInfo) error {
	if limits := r.replay.Params().Hash(); limits != c.Limits {
		return fmt.Errorf("the members agreed to limits with hash %x, those in the bundle have %x", c.Limits, limits)
	}
	return r.replay.Committee(height, c.Committee, c.Identities, c.Overlap)
}

func (r rule) Round(l *commitreveal.BundleRound) ([]audit.LogPart, error) {
	parts, err := r.replay.Round(ordering.Round{Height: l.Height, Section: l.Section, Aside: l.Aside})
	out := make([]audit.LogPart, len(parts))
	for i, p := range parts {
		out[i] = audit.LogPart(p)
	}
	return out, err
}

func (r rule) Batch(height uint64, rounds [32]byte, cts []*threshold.Ciphertext) (func(beacon [32]byte) []threshold.ID, error) {
	return r.replay.Batch(height, rounds, cts)
}

func (r rule) Expired(height uint64) ([]commitreveal.ExpiredEntry, error) {
	return r.replay.Expired(height)
}
