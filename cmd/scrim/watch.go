package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/wallet"
	"github.com/scrimlabs/scrim/threshold"
)

func newStatus() *cobra.Command {
	var nodes []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status ID",
		Short: "Print what the nodes say of a transaction, without checking it",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(nodes) == 0 {
				return usagef("no node is named; give --node http://host:port or set SCRIM_NODES")
			}
			id, err := parseHash("id", args[0])
			if err != nil {
				return err
			}
			tx, err := wallet.Status(cmd.Context(), nodes, patience, id)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(tx)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), describe(tx))
			return err
		},
	}
	nodesFlag(cmd, &nodes)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func describe(tx *v1.Transaction) string {
	text := fmt.Sprintf("%s %s, namespace %s, valid until block %d", tx.ID, tx.Status, tx.Namespace, tx.ValidUntil)
	if tx.Reason != nil {
		text += ", because " + because(*tx.Reason)
	}
	if tx.Height != nil && tx.Position != nil {
		text += fmt.Sprintf(", block %d position %d", *tx.Height, *tx.Position)
	}
	if tx.RevealHeight != nil {
		text += fmt.Sprintf(", opened in block %d", *tx.RevealHeight)
	}
	if tx.Status == v1.StatusRevealed {
		text += fmt.Sprintf(", %d bytes", len(tx.Plaintext))
	}
	return text
}

// because puts a reason for which a transaction expired into words.
func because(reason string) string {
	switch reason {
	case v1.ExpiredTooLate:
		return "that block passed before it was ordered"
	case v1.ExpiredKey:
		return "it is sealed to a key that is not in use any more"
	case v1.ExpiredInvalid:
		return "the chain does not admit it"
	default:
		return strconv.Quote(reason)
	}
}

func newWatch() *cobra.Command {
	var c connection
	var timeout time.Duration
	var plain bool
	cmd := &cobra.Command{
		Use:   "watch [ID...]",
		Short: "Wait until transactions are final, and check the openings",
		Long: `Wait until transactions are final, and check what the nodes say: the opening
against the committee's key, the plaintext against the own ciphertext (from the
receipts file), the place against the batch that the committee signed. Without
an id, all transactions of the receipts file on this chain are watched.

Fails if one expired, did not become final in time, or a claim does not hold.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			records, err := readRecords(c.receipts)
			if err != nil {
				return err
			}
			ids, err := watched(args, records)
			if err != nil {
				return err
			}
			w, err := c.open(cmd)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			failed := 0
			for _, id := range ids {
				result, err := watch(ctx, w, id, wallet.Find(records, id))
				if err != nil {
					return fmt.Errorf("0x%s: %w", id, err)
				}
				if result == nil {
					continue // another chain's
				}
				if !result.ok() {
					failed++
				}
				if err := result.print(cmd, c.json, plain); err != nil {
					return err
				}
			}
			if failed > 0 {
				return fmt.Errorf("%d of %d transactions failed", failed, len(ids))
			}
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Minute, "how long to wait for all of them")
	cmd.Flags().BoolVar(&plain, "plaintext", false, "print the plaintexts in hex")
	return cmd
}

func readRecords(path string) ([]wallet.Record, error) {
	if path == "" {
		return nil, nil
	}
	records, err := wallet.ReadRecords(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return records, err
}

func watched(args []string, records []wallet.Record) ([]threshold.ID, error) {
	var ids []threshold.ID
	for _, a := range args {
		id, err := parseHash("id", a)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	if len(args) > 0 {
		return ids, nil
	}
	for _, r := range records {
		ct, err := r.Sealed()
		if err != nil {
			return nil, fmt.Errorf("receipts file: %w", err)
		}
		ids = append(ids, ct.ID())
	}
	if len(ids) == 0 {
		return nil, usagef("no id is given, and the receipts file has none")
	}
	return ids, nil
}

// seen is the JSON answer of watch.
type seen struct {
	*v1.Transaction
	Checked bool   `json:"checked"` // opening, plaintext and place were verified here
	Problem string `json:"problem"` // why not
}

func (s *seen) ok() bool { return s.Problem == "" && s.Status != v1.StatusExpired }

func (s *seen) print(cmd *cobra.Command, asJSON, plain bool) error {
	if asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(s)
	}
	text := describe(s.Transaction)
	switch {
	case s.Problem != "":
		text += ": " + s.Problem
	case s.Checked:
		text += ", checked"
	case s.Status != v1.StatusExpired:
		text += ", not checked: the ciphertext is not in the receipts file"
	}
	fmt.Fprintln(cmd.OutOrStdout(), text)
	if plain && s.Status == v1.StatusRevealed {
		fmt.Fprintln(cmd.OutOrStdout(), s.Plaintext)
	}
	return nil
}

// watch waits until the transaction is final and checks it; nil if it is of another chain.
func watch(ctx context.Context, w *wallet.Wallet, id threshold.ID, record *wallet.Record) (*seen, error) {
	var own *threshold.Ciphertext
	if record != nil {
		var err error
		if own, err = record.Sealed(); err != nil {
			return nil, fmt.Errorf("receipts file: %w", err)
		}
		if own.Header().ChainID != w.ChainID() {
			return nil, nil
		}
	}
	tx, err := w.Await(ctx, id)
	if err != nil {
		return nil, err
	}
	result := &seen{Transaction: tx}
	if own == nil || tx.Status == v1.StatusExpired {
		return result, nil
	}
	if _, err := w.Check(ctx, tx, own); err != nil {
		result.Problem = err.Error()
		return result, nil //nolint:nilerr // that the check failed is the result
	}
	result.Checked = true
	return result, nil
}
