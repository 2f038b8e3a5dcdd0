package wallet

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/scrimlabs/scrim/commitreveal"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/threshold"
)

// Record is what a wallet keeps of a submission: enough to hold a member to its
// receipt, and to check the opening. It holds no plaintext. A receipts file has
// one on each line, as JSON.
type Record struct {
	ID         v1.Hex                 `json:"id"`
	Ciphertext v1.Hex                 `json:"ciphertext"`
	Receipts   []commitreveal.Receipt `json:"receipts"`
}

// NewRecord is a record of ct without receipts.
func NewRecord(ct *threshold.Ciphertext) *Record {
	id := ct.ID()
	return &Record{ID: id[:], Ciphertext: ct.Bytes()}
}

// Sealed is the record's ciphertext.
func (r *Record) Sealed() (*threshold.Ciphertext, error) {
	ct, err := threshold.ParseCiphertext(r.Ciphertext)
	if err != nil {
		return nil, err
	}
	if id := ct.ID(); !bytes.Equal(id[:], r.ID) {
		return nil, fmt.Errorf("the ciphertext is not that of id %s", r.ID)
	}
	return ct, nil
}

// AppendRecords adds the records to the file, which it makes if needed, and waits until the disk has them.
func AppendRecords(path string, records ...*Record) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	var lines bytes.Buffer
	for _, r := range records {
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		lines.Write(append(line, '\n'))
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keep receipts: %w", err)
	}
	_, err = f.Write(lines.Bytes())
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("keep receipts: %w", err)
	}
	return nil
}

// maxRecord bounds a line: a largest ciphertext and a receipt of each of the most members.
const maxRecord = 2 << 20

// ReadRecords reads a receipts file.
func ReadRecords(path string) ([]Record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read receipts: %w", err)
	}
	defer f.Close()
	var records []Record
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, maxRecord)
	for n := 1; scanner.Scan(); n++ {
		var r Record
		d := json.NewDecoder(bytes.NewReader(scanner.Bytes()))
		d.DisallowUnknownFields()
		if err := d.Decode(&r); err != nil {
			return nil, fmt.Errorf("read receipts: %s:%d: %w", path, n, err)
		}
		records = append(records, r)
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("read receipts: %s: %w", path, err)
	}
	return records, nil
}

// Find gives the record of the id, nil if there is none.
func Find(records []Record, id threshold.ID) *Record {
	for i := range records {
		if bytes.Equal(records[i].ID, id[:]) {
			return &records[i]
		}
	}
	return nil
}

// Receipts are the receipts of all records.
func Receipts(records []Record) []commitreveal.Receipt {
	var all []commitreveal.Receipt
	for _, r := range records {
		all = append(all, r.Receipts...)
	}
	return all
}

// Trust keeps, for each chain that a wallet has dealt with, the pin of its first terms
// (keygen.Terms.Pin). Neither another attempt nor a change of the committee changes it.
type Trust map[string][32]byte

// ReadTrust reads a trust file; one that does not exist is empty.
func ReadTrust(path string) (Trust, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return Trust{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read trust file: %w", err)
	}
	var file trustFile
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		return nil, fmt.Errorf("trust file %s: %w", path, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("trust file %s: there is more after the JSON object", path)
	}
	trust := Trust{}
	for chain, pin := range file.TermsPins {
		if len(pin) != 32 {
			return nil, fmt.Errorf("trust file %s: the terms pin of chain %q has %d bytes, not 32", path, chain, len(pin))
		}
		trust[chain] = [32]byte(pin)
	}
	return trust, nil
}

type trustFile struct {
	TermsPins map[string]v1.Hex `json:"terms_pins"`
}

// Write replaces the trust file.
func (t Trust) Write(path string) error {
	file := trustFile{TermsPins: map[string]v1.Hex{}}
	for chain, pin := range t {
		file.TermsPins[chain] = pin[:]
	}
	text, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".trust-*")
	if err != nil {
		return fmt.Errorf("write trust file: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(text, '\n'))
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("write trust file: %w", err)
	}
	return os.Rename(tmp.Name(), path)
}
