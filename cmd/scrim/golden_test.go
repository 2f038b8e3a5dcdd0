package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"testing"

	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/internal/wallet"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

var update = flag.Bool("update", false, "write the files in testdata anew")

// The files that audit.txt and the other scripts read come from a simulated chain, whose
// secrets come from a seed: they change only when a format does. After that
//
//	go test ./cmd/scrim -run TestGolden -update
func TestGolden(t *testing.T) {
	for name, text := range golden(t) {
		path := "testdata/" + name
		if *update {
			if err := os.WriteFile(path, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		have, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(have, text) {
			t.Errorf("%s is of another format: go test ./cmd/scrim -run TestGolden -update", path)
		}
	}
}

// golden gives bundle.jsonl and receipts.jsonl, of one committee, and succession.jsonl,
// which goes on with a committee that takes over the key and one with a new key.
func golden(t *testing.T) map[string][]byte {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	var records bytes.Buffer
	var sealed []*threshold.Ciphertext
	for _, text := range []string{"hello", "a second one", "a third", "the last"} {
		sealed = append(sealed, c.Seal(text))
	}
	for i, receipts := range c.Receipts(sealed...) {
		r := wallet.NewRecord(sealed[i])
		r.Receipts = receipts
		line, err := json.Marshal(r)
		c.Must(err)
		records.Write(append(line, '\n'))
	}
	for _, batch := range [][]*threshold.Ciphertext{sealed[:1], sealed[1:3], sealed[3:]} {
		var txs [][]byte
		for _, ct := range batch {
			txs = append(txs, ordering.CiphertextTx(ct.Bytes()))
		}
		c.Block(ordering.Proposal{Txs: txs})
		c.Block(ordering.Proposal{Openings: c.OpenAll()})
	}
	var bundle, later bytes.Buffer
	c.Bundle(&bundle)
	order := func(text string) {
		c.Block(ordering.Proposal{Txs: c.SealTxs(text)})
		c.Block(ordering.Proposal{Openings: c.OpenAll()})
	}
	c.Reshare(4, append(slices.Clone(c.Secrets[1:]), c.Newcomers(2)...)...)
	order("opened by those who took over")
	old := c.State.Committee().Key
	c.Rotate(1000, 4, c.Secrets...)
	c.Block(ordering.Proposal{Txs: [][]byte{ordering.CiphertextTx(c.SealTo(old, "to the old key, in time", c.State.Height()+100).Bytes())}})
	c.Block(ordering.Proposal{Openings: c.OpenAll()})
	order("to the new key")
	c.Bundle(&later)
	return map[string][]byte{"bundle.jsonl": bundle.Bytes(), "receipts.jsonl": records.Bytes(), "succession.jsonl": later.Bytes()}
}

// As scrimd says it of the same key.
func TestNodeID(t *testing.T) {
	key, err := hex.DecodeString("0b80075396efc4f9c9eea4d6111714700d20ba7c03593e3347dacbbd01345a4e")
	if got := nodeID(key); err != nil || got != "270c6bbcf6088abbd353faa9743ebd571646d4fb" {
		t.Error(got, err)
	}
}
