package audit_test

import (
	"crypto/ed25519"
	"fmt"
	"math/rand/v2"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/threshold"
	"github.com/scrimlabs/scrim/threshold/thresholdtest"
)

// A light client holds the committee's public key: it needs nothing else to know
// what a ciphertext held.
func ExampleVerifyOpening() {
	committee, members := thresholdtest.Deal("example", 1, 4, 3)
	ct, opening := sealAndOpen(committee, members, "hello")

	plaintext, void, err := audit.VerifyOpening(committee.Key, ct.Bytes(), opening)
	fmt.Println(string(plaintext), void, err)

	opening[3] ^= 1
	_, _, err = audit.VerifyOpening(committee.Key, ct.Bytes(), opening)
	fmt.Println(err != nil)
	// Output:
	// hello false <nil>
	// true
}

// One signature of 48 bytes says that the committee committed this batch, at this
// height, in this log.
func ExampleVerifyCheckpoint() {
	committee, members := thresholdtest.Deal("example", 1, 4, 3)
	checkpoint := commitreveal.Checkpoint{ChainID: "scrim-1", Height: 7, Epoch: 1, LogSize: 2}
	certificate := sign(committee, members, checkpoint)

	fmt.Println(audit.VerifyCheckpoint(committee.Key, &checkpoint, certificate))
	checkpoint.Height = 8
	fmt.Println(audit.VerifyCheckpoint(committee.Key, &checkpoint, certificate) != nil)
	// Output:
	// <nil>
	// true
}

// A receipt is a member's, if the committee's certificate names its identity.
func ExampleVerifyReceipt() {
	public, private, _ := ed25519.GenerateKey(nil)
	committee := &audit.CommitteeInfo{ChainID: "scrim-1", Identities: []ed25519.PublicKey{public}}
	receipt := &commitreveal.Receipt{ChainID: "scrim-1", Member: 1, ValidUntil: 100, Position: 1}
	_ = commitreveal.SignReceipt(private, receipt)

	fmt.Println(audit.VerifyReceipt(committee, receipt))
	receipt.ValidUntil = 200
	fmt.Println(audit.VerifyReceipt(committee, receipt) != nil)
	// Output:
	// <nil>
	// true
}

// A transaction's bundle proves its place, its opening and its plaintext to whoever
// knows the committee. What keygen.VerifyCertificate does is passed in.
func ExampleTxProof_Verify() {
	committee, members := thresholdtest.Deal("example", 1, 4, 3)
	checks := audit.Checks{Committee: func([]byte) (audit.CommitteeInfo, error) {
		return audit.CommitteeInfo{Committee: committee, ChainID: "scrim-1"}, nil
	}}
	proof := proveHello(committee, members)

	report, err := proof.Verify(checks, nil)
	fmt.Println(report.Verdict, err)
	fmt.Printf("block %d, position %d of %d: %s\n", report.Height, report.Position, report.Count, report.Plaintext)
	// Output:
	// verified <nil>
	// block 7, position 0 of 1: hello
}

func sealAndOpen(c *threshold.Committee, members []*threshold.SecretShare, text string) (*threshold.Ciphertext, threshold.Opening) {
	ct, err := threshold.Seal(rand.NewChaCha8([32]byte{}), c.Key, threshold.SealOptions{ChainID: "scrim-1", Namespace: "app", ValidUntil: 100}, []byte(text))
	must(err)
	checked, err := ct.Check()
	must(err)
	batch := []*threshold.Checked{checked}
	var shares []*threshold.BatchShare
	for _, m := range members[:3] {
		s, err := m.ShareBatch(batch)
		must(err)
		shares = append(shares, s)
	}
	openings, _, err := threshold.Combine(c, batch, shares)
	must(err)
	return ct, openings[0].Opening()
}

func sign(c *threshold.Committee, members []*threshold.SecretShare, cp commitreveal.Checkpoint) threshold.Signature {
	message, err := cp.MarshalBinary()
	must(err)
	var shares []threshold.SignatureShare
	for _, m := range members[:3] {
		s, err := m.Sign(message)
		must(err)
		shares = append(shares, s)
	}
	signature, _, err := threshold.CombineSignature(c, message, shares)
	must(err)
	return signature
}

func proveHello(c *threshold.Committee, members []*threshold.SecretShare) *audit.TxProof {
	ct, opening := sealAndOpen(c, members, "hello")
	batch, err := commitreveal.NewBatch(7, 1, []threshold.ID{ct.ID()})
	must(err)
	entry, err := batch.Commit(c.Key.ID(), [32]byte{}, []string{"app"})
	must(err)
	wire, err := commitreveal.MarshalEntry(entry)
	must(err)
	log, _, err := commitreveal.Log{}.Append(wire)
	must(err)
	checkpoint := batch.CheckpointAt("scrim-1", log)
	extra, err := (&commitreveal.TransactionProof{Entry: entry, Ciphertext: ct.Bytes(), Opening: &opening}).MarshalBinary()
	must(err)
	text := note.Checkpoint{Origin: note.Origin("scrim-1"), Size: 1, Root: log.Root()}.Text()
	line := note.CertificateLine(c.Key, checkpoint, sign(c, members, checkpoint))
	signed, err := (&note.Proof{Extra: extra, Note: &note.Note{Text: text, Signatures: []note.Signature{line}}}).Marshal()
	must(err)
	return &audit.TxProof{Certificate: []byte("of a ceremony"), Proof: signed}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
