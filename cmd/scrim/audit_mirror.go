package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/commitreveal/mirror"
	"github.com/scrimlabs/scrim/internal/wallet"
)

// bar draws how far long work is, if stderr is a terminal.
type bar struct {
	w     io.Writer
	start time.Time
	drawn time.Time
}

func newBar(cmd *cobra.Command) *bar {
	f, ok := cmd.ErrOrStderr().(*os.File)
	if !ok {
		return &bar{}
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return &bar{}
	}
	return &bar{w: f, start: time.Now()}
}

// draw shows done of total entries; a total of 0 is not known.
func (b *bar) draw(done, total uint64) {
	now := time.Now()
	if b.w == nil || now.Sub(b.drawn) < 100*time.Millisecond && done != total {
		return
	}
	b.drawn = now
	if total == 0 {
		fmt.Fprintf(b.w, "\r\x1b[K%d log entries", done)
		return
	}
	const width = 30
	full := int(width * done / total)
	text := fmt.Sprintf("[%s%s] %3d%% %d of %d log entries", strings.Repeat("#", full), strings.Repeat(".", width-full), 100*done/total, done, total)
	if spent := now.Sub(b.start); done > 0 && done < total && spent > time.Second {
		left := time.Duration(float64(spent) / float64(done) * float64(total-done))
		text += fmt.Sprintf(", %s left", left.Round(time.Second))
	}
	fmt.Fprintf(b.w, "\r\x1b[K%s", text)
}

// clear takes the bar away.
func (b *bar) clear() {
	if b.w != nil {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}

func newAuditMirror() *cobra.Command {
	var termsHash string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "mirror URL DIR",
		Short: "Copy a node's log to a directory, or bring the copy up to date",
		Long: `Copy a node's log to a directory, or bring the copy up to date: checkpoint, tiles
and entries as in c2sp.org/tlog-tiles, and beside them batches, certificates and
evidence. What is fetched is checked against the signed checkpoint. It can be
stopped at any time, and goes on where it was.

The directory remembers the newest checkpoint that it was shown. One that is older, or
of another log, is refused; both signed checkpoints are kept in evidence/, and if they
prove that somebody signed two logs, so is a file of evidence.

Exit code: 0 it is up to date, 1 the node shows another log than before, 2 it cannot be
told (the node cannot be reached, shows an older log, or answers what does not fit).`,
		Args: usage(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			hash, err := termsHashOf(termsHash)
			if err != nil {
				return err
			}
			c, err := mirror.NewClient(args[0], nil)
			if err != nil {
				return usageError{err}
			}
			b := newBar(cmd)
			m, err := mirror.Open(args[1], mirror.Options{Checks: wallet.Checks(), TermsHash: hash, Progress: b.draw})
			if err != nil {
				return cannotTell(err)
			}
			defer m.Close()
			u, err := m.Update(cmd.Context(), c)
			b.clear()
			r := mirrored(m, u, err, hash != nil)
			if asJSON {
				return answer(cmd, r.Verdict, true, r, nil)
			}
			if err != nil {
				if r.Verdict == audit.CannotTell {
					return cannotTell(err)
				}
				return exitCode{int(r.Verdict), err}
			}
			return answer(cmd, r.Verdict, false, r, r.write)
		},
	}
	cmd.Flags().StringVar(&termsHash, "terms-hash", "", "hash of the first committee's terms (0x and 64 digits); without it the first one shown is believed")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// mirrorReport is what an update of a mirror came to.
type mirrorReport struct {
	Verdict   audit.Verdict      `json:"verdict"`
	Entries   uint64             `json:"entries"` // that are there
	New       uint64             `json:"new"`
	Batches   int                `json:"batches"` // that were fetched
	Root      commitreveal.Hash  `json:"root"`
	TermsHash commitreveal.Hash  `json:"terms_hash"` // of the first committee; zeros before there is one
	Anchored  bool               `json:"anchored"`   // the user gave that hash
	Missing   []string           `json:"missing"`
	Kept      []string           `json:"kept"`     // of a fork: the files with the two checkpoints
	Evidence  string             `json:"evidence"` // file, "" if there is none
	Proved    *audit.Established `json:"established"`
}

func mirrored(m *mirror.Mirror, u *mirror.Update, err error, anchored bool) *mirrorReport {
	r := &mirrorReport{Entries: m.Size(), Root: m.Root(), TermsHash: m.TermsHash(), Anchored: anchored, Missing: []string{}, Kept: []string{}}
	var fork *mirror.ForkError
	switch {
	case err == nil:
		r.New, r.Batches = u.After-u.Before, u.Batches
		return r
	case errors.As(err, &fork) && fork.Proved != nil:
		r.Verdict = audit.Violated
	default:
		r.Verdict, r.Missing = audit.CannotTell, append(r.Missing, err.Error())
	}
	if fork != nil {
		r.Kept, r.Evidence, r.Proved = fork.Kept, fork.Evidence, fork.Proved
	}
	return r
}

func (r *mirrorReport) write(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "%d log entries (%d new), %d batches fetched, root %s\n", r.Entries, r.New, r.Batches, r.Root); err != nil || r.Anchored {
		return err
	}
	_, err := fmt.Fprintf(w, "  nothing but the node says that this is the right committee: compare the terms hash %s\n", r.TermsHash)
	return err
}

func newAuditWatch() *cobra.Command {
	var termsHash, dir, receipts string
	var every time.Duration
	var rounds int
	var asJSON, keep bool
	cmd := &cobra.Command{
		Use:   "watch URL...",
		Short: "Follow live nodes, audit what is new, and compare what they show",
		Long: `Follow live nodes: mirror their log, audit what is new, and compare the checkpoints
that each of them shows. Ends on Ctrl-C (or after --rounds) with the report.

Exit code: 0 verified, 1 violated (also: two nodes show two logs), 2 cannot tell.`,
		Args: usage(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			hash, err := termsHashOf(termsHash)
			if err != nil {
				return err
			}
			if every <= 0 {
				return usagef("--every must be more than 0")
			}
			o := audit.Options{TermsHash: hash}
			if receipts != "" {
				records, err := wallet.ReadRecords(receipts)
				if err != nil {
					return cannotTell(err)
				}
				o.Receipts = wallet.Receipts(records)
			}
			if dir == "" {
				tmp, err := os.MkdirTemp("", "scrim-watch-")
				if err != nil {
					return err
				}
				dir = filepath.Join(tmp, "mirror")
				defer func() {
					if !keep {
						_ = os.RemoveAll(tmp)
					}
				}()
			}
			w, err := newWatcher(dir, args, o)
			if err != nil {
				return err
			}
			report, err := followNodes(cmd, w, every, rounds, asJSON)
			if err != nil {
				return cannotTell(err)
			}
			if keep = report.Verdict == audit.Violated; keep {
				if err := keepEvidence(report, dir); err != nil {
					return cannotTell(err)
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "mirror and evidence are in %s\n", dir)
			}
			return answer(cmd, report.Verdict, asJSON, report, func(w io.Writer) error { return wallet.WriteReport(w, report) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&termsHash, "terms-hash", "", "hash of the first committee's terms (0x and 64 digits)")
	f.StringVar(&dir, "dir", "", "keep the mirror and evidence in this directory; otherwise they are removed at the end, unless something is violated")
	f.StringVar(&receipts, "receipts", "", "receipts file of 'scrim tx send': check that its receipts are honoured")
	f.DurationVar(&every, "every", 2*time.Second, "pause between two looks")
	f.IntVar(&rounds, "rounds", 0, "end after so many looks; 0: on Ctrl-C")
	f.BoolVar(&asJSON, "json", false, "print JSON: the report only")
	return cmd
}

// keepEvidence writes the evidence of what a watch found.
func keepEvidence(r *audit.Report, dir string) error {
	source, err := wallet.NewLogSource(dir)
	if err != nil {
		return err
	}
	_, err = source.WriteEvidence(r, filepath.Join(dir, "found"))
	return err
}

func newWatcher(dir string, urls []string, o audit.Options) (*mirror.Watcher, error) {
	var clients []*mirror.Client
	for _, url := range urls {
		c, err := mirror.NewClient(url, nil)
		if err != nil {
			return nil, usageError{err}
		}
		c.Attempts = 2
		clients = append(clients, c)
	}
	m, err := mirror.Open(dir, mirror.Options{Checks: wallet.Checks(), TermsHash: o.TermsHash})
	if err != nil {
		return nil, cannotTell(err)
	}
	return mirror.NewWatcher(m, clients, o)
}

// followNodes looks again and again, and says what changed.
func followNodes(cmd *cobra.Command, w *mirror.Watcher, every time.Duration, rounds int, quiet bool) (*audit.Report, error) {
	ctx := cmd.Context()
	last := map[string]string{}
	for n := 1; ; n++ {
		events, err := w.Round(ctx)
		if err != nil && ctx.Err() == nil {
			return nil, err
		}
		for _, e := range events {
			if text := eventText(e); !quiet && last[e.URL] != text && e.Kind != mirror.EventUnchanged {
				last[e.URL] = text
				entries, findings, _ := w.Audited()
				fmt.Fprintf(cmd.OutOrStdout(), "%s %s; %d entries audited, %d findings\n", time.Now().UTC().Format(time.RFC3339), text, entries, findings)
			}
		}
		if n == rounds || !pause(ctx, every) {
			return w.Close()
		}
	}
}

func eventText(e mirror.Event) string {
	if e.Err != nil {
		return fmt.Sprintf("%s %s: %v", e.URL, e.Kind, e.Err)
	}
	return fmt.Sprintf("%s %s: %d entries", e.URL, e.Kind, e.Size)
}

// pause waits; false if the user wants to end.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
