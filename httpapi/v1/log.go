package v1

// NamespaceProof shows all transactions of a namespace in a batch, or that it has none, with what proves it. The formats
// are in docs/spec/log.md.
type NamespaceProof struct {
	Height       uint64        `json:"height"`
	Namespace    string        `json:"namespace"`
	Transactions []NamespaceID `json:"transactions"` // in the batch's order; empty: none
	EntryIndex   uint64        `json:"entry_index"`  // of the batch's commit entry in the log
	Entry        Hex           `json:"entry"`        // the commit entry
	Proof        Hex           `json:"proof"`        // commitreveal.NamespaceProof
	TlogProof    string        `json:"tlog_proof"`   // that the entry is in the log (c2sp.org/tlog-proof)
}

// NamespaceID is a transaction's place in its batch.
type NamespaceID struct {
	Position uint32 `json:"position"`
	ID       Hex    `json:"id"`
}

// EvidenceList is a page of the evidence that a node holds, oldest first.
type EvidenceList struct {
	Evidence []EvidenceSummary `json:"evidence"`
	Next     *uint64           `json:"next"` // give it as after= for the next page, null: no more
}

// EvidenceSummary says what a piece of evidence is about; its body is at /v1/evidence/{number}.
type EvidenceSummary struct {
	Number uint64 `json:"number"`
	Kind   string `json:"kind"`
	Epoch  uint64 `json:"epoch"`  // of the committee
	Member uint32 `json:"member"` // the accused, counted from 1 in the committee of the epoch
	Height uint64 `json:"height"` // of the batch or block in question
	Size   uint64 `json:"size"`   // of the body in bytes
	Hash   Hex    `json:"hash"`   // as in a misbehaviour entry of the log
}
