package wallet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/succession"
	"github.com/scrimlabs/scrim/threshold"
)

// FetchTx makes the file that proves one transaction from what a node answers, with those
// of the receipts that are for it. It is not verified. Problem not_found if the
// transaction is not ordered.
func FetchTx(ctx context.Context, n *client.Client, id threshold.ID, receipts []commitreveal.Receipt) (*audit.TxProof, error) {
	text, err := n.LogProof(ctx, v1.HexOf(id[:]))
	if err != nil {
		return nil, err
	}
	p := &audit.TxProof{Proof: text}
	epoch, err := p.Epoch()
	if err != nil {
		return nil, err
	}
	if p.Certificate, err = fetchCertificate(ctx, n, epoch); err != nil {
		return nil, err
	}
	p.Receipts = receiptsFor(id, receipts)
	return p, nil
}

// FetchNamespace makes the file that shows all of a namespace's transactions in the batch
// of a height from what a node answers. It is not verified. Problem not_found if there is
// no such batch.
func FetchNamespace(ctx context.Context, n *client.Client, height uint64, namespace string) (*audit.Completeness, error) {
	answer, err := n.LogNamespace(ctx, height, namespace)
	if err != nil {
		return nil, err
	}
	p, epoch, err := completenessOf(answer)
	if err != nil {
		return nil, err
	}
	p.Certificate, err = fetchCertificate(ctx, n, epoch)
	return p, err
}

// fetchCertificate gives the certificate of the committee of an epoch.
func fetchCertificate(ctx context.Context, n *client.Client, epoch uint64) ([]byte, error) {
	line, err := succession.Fetch(ctx, n)
	if err != nil {
		return nil, err
	}
	c := line.Epoch(epoch)
	if c == nil {
		return nil, fmt.Errorf("%s tells of no committee of epoch %d", n.URL(), epoch)
	}
	return c.MarshalBinary()
}

// ReadNamespaceAnswer reads what a node answers under /v1/log/namespace, as JSON, and adds
// the certificate of the batch's committee.
func ReadNamespaceAnswer(b, certificate []byte) (*audit.Completeness, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	var answer v1.NamespaceProof
	if err := d.Decode(&answer); err != nil {
		return nil, fmt.Errorf("not what a node answers under /v1/log/namespace: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one answer of a node")
	}
	p, _, err := completenessOf(&answer)
	if err != nil {
		return nil, err
	}
	p.Certificate = certificate
	return p, nil
}

// completenessOf is a node's answer, if what it says beside its proof is what the proof says.
func completenessOf(a *v1.NamespaceProof) (p *audit.Completeness, epoch uint64, err error) {
	proof, err := commitreveal.ParseNamespaceProof(a.Proof)
	if err != nil {
		return nil, 0, err
	}
	parsed, err := commitreveal.ParseEntry(a.Entry)
	if err != nil {
		return nil, 0, err
	}
	e, ok := parsed.(commitreveal.CommitEntry)
	if !ok || e.Height != a.Height || proof.Namespace != a.Namespace || len(proof.Transactions) != len(a.Transactions) {
		return nil, 0, fmt.Errorf("the answer says something else than its own proof about namespace %s in block %d", a.Namespace, a.Height)
	}
	for i, t := range proof.Transactions {
		if a.Transactions[i].Position != t.Position || !bytes.Equal(a.Transactions[i].ID, t.ID[:]) {
			return nil, 0, fmt.Errorf("the answer names other transactions of namespace %s than its own proof", a.Namespace)
		}
	}
	return &audit.Completeness{Entry: a.Entry, Namespace: a.Proof, Proof: []byte(a.TlogProof)}, e.Epoch, nil
}

func receiptsFor(id threshold.ID, all []commitreveal.Receipt) (out []commitreveal.Receipt) {
	for _, r := range all {
		if r.ID == id {
			out = append(out, r)
		}
	}
	return out
}
