package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
	"github.com/scrimlabs/scrim/internal/pg"
)

const (
	witnessEvery   = 5 * time.Second  // between submissions to one witness
	witnessTimeout = 10 * time.Second // of one request
	maxWitnessWait = 5 * time.Minute  // between attempts at one that fails
	maxWitnessBody = 64 << 10
)

// witnessConfig is an outside witness as configured.
type witnessConfig struct {
	key note.Key
	url string // the submission prefix, without a slash at the end
}

// parseWitness reads "<verifier key> <URL>".
func parseWitness(s string) (witnessConfig, error) {
	vkey, address, ok := strings.Cut(s, " ")
	if !ok {
		return witnessConfig{}, errors.New("is not of the form \"verifier-key https://address\"")
	}
	key, err := note.ParseKey(vkey)
	if err != nil {
		return witnessConfig{}, err
	}
	if key.Type != note.TypeCosignature {
		return witnessConfig{}, errors.New("the key is not one of cosignature/v1 (type 4)")
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return witnessConfig{}, errors.New("the address is not of the form https://host/path")
	}
	return witnessConfig{key, strings.TrimRight(u.String(), "/")}, nil
}

// witness submits the newest checkpoint to one outside witness, and keeps its cosignature (c2sp.org/tlog-witness).
type witness struct {
	witnessConfig
	publish *publisher
	http    *http.Client
	log     *slog.Logger
	size    uint64 // that it has cosigned, as far as we know
}

func (n *running) witnesses() (out []*witness) {
	for _, s := range n.cfg.Log.Witnesses {
		c, err := parseWitness(s)
		if err != nil {
			continue // the configuration was checked when it was loaded
		}
		out = append(out, newWitness(c, n.publish))
	}
	return out
}

func newWitness(c witnessConfig, p *publisher) *witness {
	return &witness{
		witnessConfig: c, publish: p, log: p.log.With("witness", c.key.Name),
		http: &http.Client{
			Timeout:       witnessTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

func (w *witness) run(ctx context.Context) {
	wait := witnessEvery
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		err := w.once(ctx)
		switch {
		case err == nil:
			wait = witnessEvery
		case ctx.Err() == nil:
			w.log.Warn("the witness did not cosign", "err", err)
			wait = min(2*wait, maxWitnessWait)
		}
	}
}

// once submits the newest checkpoint, if the witness has not cosigned it yet.
func (w *witness) once(ctx context.Context) error {
	row, err := w.publish.store.LogCheckpoint(ctx, 0)
	if errors.Is(err, pg.ErrNotFound) || err == nil && row.Size <= w.size {
		return nil
	}
	if err != nil {
		return err
	}
	signed, err := w.publish.signed(ctx, row)
	if err != nil {
		return err
	}
	for range 2 { // once more if it knows another size
		known, err := w.submit(ctx, row, signed)
		if err != nil {
			return err
		}
		if known == nil {
			w.size = row.Size
			return nil
		}
		w.size = *known
		if w.size > row.Size { // through another node, which has the same log and is further
			return nil
		}
	}
	return fmt.Errorf("it has cosigned %d entries by now, or has another root for %d", w.size, row.Size)
}

// submit gives the size that the witness knows, if it is another one than we thought.
func (w *witness) submit(ctx context.Context, row *pg.LogCheckpoint, signed *note.Note) (known *uint64, err error) {
	proof, err := tiles.ProveConsistency(w.size, row.Size, w.publish.reader(ctx))
	if err != nil {
		return nil, err
	}
	body, err := (&note.AddCheckpoint{OldSize: w.size, Proof: proof, Note: signed}).Marshal()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+"/add-checkpoint", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := w.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxWitnessBody+1))
	if err != nil {
		return nil, err
	}
	switch {
	case len(answer) > maxWitnessBody:
		return nil, errors.New("its answer is too large")
	case resp.StatusCode == http.StatusOK:
		s, err := note.ParseCosignatures(answer, signed.Text, w.key)
		if err != nil {
			return nil, err
		}
		return nil, w.publish.store.AddLogSignatures(ctx, []pg.LogSignature{{Size: row.Size, Signature: s}})
	case resp.StatusCode == http.StatusConflict && resp.Header.Get("Content-Type") == note.WitnessSizeType:
		size, err := note.ParseWitnessSize(answer)
		if err != nil {
			return nil, err
		}
		return &size, nil
	default:
		return nil, fmt.Errorf("it answers %s: %.200q", resp.Status, answer)
	}
}
