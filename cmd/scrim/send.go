package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/wallet"
)

// patience: other nodes can answer for one that does not.
var patience = client.Options{Retries: 2, Backoff: 100 * time.Millisecond}

// connection holds the flags of whom to ask and whom to trust.
type connection struct {
	nodes     []string
	termsHash string
	termsPin  string
	trust     string
	receipts  string
	json      bool
}

func (c *connection) flags(cmd *cobra.Command) {
	nodesFlag(cmd, &c.nodes)
	f := cmd.Flags()
	f.StringVar(&c.termsPin, "terms-pin", "", "pin of the first committee's terms (0x and 64 digits), as its members publish it")
	f.StringVar(&c.termsHash, "terms-hash", "", "hash of the first committee's terms (0x and 64 digits): of this attempt alone")
	f.StringVar(&c.trust, "trust", configFile("trust.json"), "file of the terms pins trusted so far")
	f.StringVar(&c.receipts, "receipts", configFile("receipts.jsonl"), "file of own ciphertexts and receipts, JSON lines")
	f.BoolVar(&c.json, "json", false, "print JSON")
}

func (c *connection) open(cmd *cobra.Command) (*wallet.Wallet, error) {
	if len(c.nodes) == 0 {
		return nil, usagef("no node is named; give --node http://host:port, once for each, or set SCRIM_NODES")
	}
	o := wallet.Options{TrustFile: c.trust, Client: patience}
	var err error
	if o.TermsHash, err = optionalHash("--terms-hash", c.termsHash); err != nil {
		return nil, err
	}
	if o.TermsPin, err = optionalHash("--terms-pin", c.termsPin); err != nil {
		return nil, err
	}
	w, err := wallet.Open(cmd.Context(), c.nodes, o)
	if err != nil {
		return nil, err
	}
	warn(cmd, w.Warnings)
	if w.FirstUse {
		fmt.Fprintf(cmd.ErrOrStderr(), "First use of chain %s: nothing but the nodes vouches for its committee. Compare with its members:\n  terms pin 0x%x\nIt is kept in %s.\n",
			w.ChainID(), w.TermsPin, c.trust)
	}
	return w, nil
}

func warn(cmd *cobra.Command, warnings []string) {
	for _, text := range warnings {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", text)
	}
}

func parseHash(what, s string) (hash [32]byte, err error) {
	b, err := v1.ParseHex(strings.ToLower(s))
	if err != nil || len(b) != len(hash) {
		return hash, usagef("%s: %q is not 0x and 64 hex digits", what, s)
	}
	return [32]byte(b), nil
}

// optionalHash is nil for an empty text.
func optionalHash(what, s string) (*[32]byte, error) {
	if s == "" {
		return nil, nil
	}
	hash, err := parseHash(what, s)
	return &hash, err
}

func newSend() *cobra.Command {
	var c connection
	var file, hexLines string
	var seal wallet.SealOptions
	cmd := &cobra.Command{
		Use:   "send [0xHEX | --file FILE | --hex-lines FILE]",
		Short: "Seal transactions to the committee and submit them to all nodes",
		Long: `Seal transactions to the committee and submit them to all nodes.

The plaintext is sealed here and never leaves this machine unsealed. Before that
the certificates of all committees are checked, from the first one to the one in
office, and the nodes must agree on them. The first one's terms are compared with
--terms-pin, or with the trust file; a chain seen for the first time is trusted on
first use, which is said.

Without an argument or a file, one transaction is read from standard input.
The receipts are checked and kept; 'scrim audit --receipts' holds the members to
them. The ids are printed.`,
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if seal.Namespace == "" {
				return usagef("--namespace is missing: the rollup or application that the transaction is for, such as eth")
			}
			plaintexts, err := readPlaintexts(cmd.InOrStdin(), args, file, hexLines)
			if err != nil {
				return err
			}
			w, err := c.open(cmd)
			if err != nil {
				return err
			}
			for _, p := range plaintexts {
				if err := send(cmd, w, &c, seal, p); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&file, "file", "", "file with one transaction, as it is; - for standard input")
	f.StringVar(&hexLines, "hex-lines", "", "file with a transaction in 0x-hex on each line; - for standard input")
	f.StringVar(&seal.Namespace, "namespace", "", "the rollup or application that the transaction is for")
	f.Uint64Var(&seal.Validity, "validity", 0, "blocks within which it must be ordered (default: half of what the chain allows)")
	f.Uint8Var(&seal.MinSizeClass, "min-size-class", 0, "pad to at least 256<<class bytes, to hide the length")
	return cmd
}

// sent is the JSON answer of send.
type sent struct {
	ID         v1.Hex                 `json:"id"`
	Namespace  string                 `json:"namespace"`
	ValidUntil uint64                 `json:"valid_until"`
	Receipts   []commitreveal.Receipt `json:"receipts"`
	Warnings   []string               `json:"warnings"`
}

func send(cmd *cobra.Command, w *wallet.Wallet, c *connection, o wallet.SealOptions, plaintext []byte) error {
	ct, err := w.Seal(rand.Reader, o, plaintext)
	if err != nil {
		return err
	}
	record, warnings, err := w.Submit(cmd.Context(), ct)
	if err != nil {
		return fmt.Errorf("transaction 0x%s: %w", ct.ID(), err)
	}
	warn(cmd, warnings)
	if c.receipts != "" {
		if err := wallet.AppendRecords(c.receipts, record); err != nil {
			return fmt.Errorf("transaction 0x%s was accepted, but: %w", ct.ID(), err)
		}
	}
	if c.json {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(sent{record.ID, o.Namespace, ct.Header().ValidUntil, record.Receipts, append([]string{}, warnings...)})
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), record.ID)
	return err
}

// maxInput bounds what is read of plaintexts: far above any transaction, far below memory.
const maxInput = 64 << 20

func readPlaintexts(stdin io.Reader, args []string, file, hexLines string) ([][]byte, error) {
	given := len(args)
	for _, s := range []string{file, hexLines} {
		if s != "" {
			given++
		}
	}
	if given > 1 {
		return nil, usagef("give one of: an argument, --file, --hex-lines")
	}
	switch {
	case len(args) == 1:
		p, err := v1.ParseHex(strings.ToLower(args[0]))
		if err != nil { // the argument itself is a plaintext: it is not repeated
			return nil, usagef("the argument must be 0x and an even number of hex digits; other bytes go through --file or standard input")
		}
		return [][]byte{p}, nil
	case hexLines != "":
		text, err := readInput(stdin, hexLines)
		if err != nil {
			return nil, err
		}
		return wallet.ParseHexLines(bytes.NewReader(text))
	default:
		p, err := readInput(stdin, file)
		if err != nil {
			return nil, err
		}
		return [][]byte{p}, nil
	}
}

func readInput(stdin io.Reader, path string) ([]byte, error) {
	in := stdin
	if path != "" && path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(bufio.NewReader(in), maxInput+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxInput {
		return nil, errors.New("the input is larger than 64 MiB")
	}
	return b, nil
}
