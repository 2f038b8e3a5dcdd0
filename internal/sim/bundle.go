package sim

import (
	"encoding/json"
	"io"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

// Bundle writes the audit bundle of all blocks so far, as a member's node exports it.
func (c *Chain) Bundle(w io.Writer) {
	c.t.Helper()
	terms, err := c.Genesis.Terms.MarshalBinary()
	c.Must(err)
	limits, err := json.Marshal(c.Genesis.Params)
	c.Must(err)
	bundle, err := commitreveal.NewBundleWriter(w, commitreveal.BundleHeader{ChainID: c.Genesis.ChainID, Terms: terms, Limits: limits})
	c.Must(err)
	outcomes := make(map[threshold.ID]commitreveal.Outcome)
	for _, r := range c.Results {
		for _, reveal := range r.Reveals {
			for _, o := range reveal.Outcomes {
				outcomes[o.ID] = o
			}
		}
	}
	for _, r := range c.Results {
		if r.Round != nil {
			c.Must(bundle.Round(commitreveal.BundleRound{Height: r.Height, Section: r.Round.Section, Aside: r.Round.Aside}))
		}
		certificates, evidence := r.Certificates, r.Misbehaviour
		for _, record := range r.Records {
			c.Must(bundle.Entry(record.Index, record.Entry))
			e, err := commitreveal.ParseEntry(record.Entry)
			c.Must(err)
			switch e.(type) {
			case commitreveal.CommitteeEntry:
				c.Must(bundle.Certificate(certificates[0]))
				certificates = certificates[1:]
			case commitreveal.MisbehaviourEntry:
				c.Must(bundle.Evidence(evidence[0].Body))
				evidence = evidence[1:]
			case commitreveal.CommitEntry:
				c.bundleBatch(bundle, r.Batch, outcomes)
			}
		}
	}
	c.Must(bundle.Close())
}

func (c *Chain) bundleBatch(bundle *commitreveal.BundleWriter, b *ordering.OrderedBatch, outcomes map[threshold.ID]commitreveal.Outcome) {
	c.t.Helper()
	for i, k := range b.Ciphertexts {
		line := commitreveal.BundleTransaction{Height: b.Batch.Height, Position: uint32(i), Ciphertext: k.Ciphertext().Bytes()}
		if o, ok := outcomes[k.ID()]; ok {
			line.Opening, line.Void, line.Plaintext = &o.Opening, o.Void, o.Plaintext
		}
		c.Must(bundle.Transaction(line))
	}
}

// Receipts are what all members in office promise for ciphertexts that they received in
// this order, and nothing before: for each, one of every member.
func (c *Chain) Receipts(cts ...*threshold.Ciphertext) [][]commitreveal.Receipt {
	c.t.Helper()
	const noon = 1_800_000_000_000 // in 2027
	heads := make([]commitreveal.Hash, len(c.Secrets))
	all := make([][]commitreveal.Receipt, len(cts))
	for i, ct := range cts {
		for j, secret := range c.Secrets {
			heads[j] = commitreveal.NextHead(heads[j], ct.ID())
			r := commitreveal.Receipt{ChainID: ChainID, ID: ct.ID(), Epoch: c.State.Office().Epoch(), Member: uint32(j + 1), ValidUntil: ct.Header().ValidUntil,
				Time: noon + int64(1000*i+j), Position: uint64(i + 1), Head: heads[j]}
			c.Must(commitreveal.SignReceipt(secret.Identity(), &r))
			all[i] = append(all[i], r)
		}
	}
	return all
}
