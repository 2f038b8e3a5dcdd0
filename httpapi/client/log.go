package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
)

// LogPrefix is where a node's log begins, as c2sp.org/tlog-tiles means it.
func (c *Client) LogPrefix() string { return c.base + "/v1/log" }

// LogCheckpoint gives the newest signed checkpoint of the log, a note whose signatures the caller verifies.
func (c *Client) LogCheckpoint(ctx context.Context) ([]byte, error) {
	return bytesOf(ctx, c, "/v1/log/checkpoint")
}

// LogCheckpointOf gives the signed checkpoint of a size; Problem not_found if no block ended there.
func (c *Client) LogCheckpointOf(ctx context.Context, size uint64) ([]byte, error) {
	return bytesOf(ctx, c, "/v1/log/checkpoint/"+strconv.FormatUint(size, 10))
}

// LogTile gives a tile by its path as tiles.Tile.Path gives it, "tile/0/000"; Problem not_found if the log does not have
// all of it.
func (c *Client) LogTile(ctx context.Context, path string) ([]byte, error) {
	return bytesOf(ctx, c, "/v1/log/"+path)
}

// LogBatch gives the bundle lines of the batch of a height; Problem not_found if there is none.
func (c *Client) LogBatch(ctx context.Context, height uint64) ([]byte, error) {
	return bytesOf(ctx, c, "/v1/log/batch/"+strconv.FormatUint(height, 10))
}

// LogRounds gives the first bundle lines of what the blocks of heights from one to another said for the order, none if there are no more.
func (c *Client) LogRounds(ctx context.Context, from, height uint64) ([]byte, error) {
	return bytesOf(ctx, c, "/v1/log/rounds/"+strconv.FormatUint(from, 10)+"/"+strconv.FormatUint(height, 10))
}

// LogLimits gives the chain's limits, as a bundle's header has them.
func (c *Client) LogLimits(ctx context.Context) ([]byte, error) {
	return bytesOf(ctx, c, "/v1/log/limits")
}

// LogCertificate gives the ceremony certificate that a committee entry names by its hash.
func (c *Client) LogCertificate(ctx context.Context, hash v1.Hex) ([]byte, error) {
	return bytesOf(ctx, c, "/v1/log/certificate/"+hash.String())
}

// LogEvidence gives the evidence that a misbehaviour entry names by its hash.
func (c *Client) LogEvidence(ctx context.Context, hash v1.Hex) ([]byte, error) {
	return bytesOf(ctx, c, "/v1/log/evidence/"+hash.String())
}

// LogProof gives the .tlog-proof of a transaction; Problem not_found if it is not in the log.
func (c *Client) LogProof(ctx context.Context, id v1.Hex) ([]byte, error) {
	return bytesOf(ctx, c, "/v1/log/proof/"+id.String())
}

// LogEntryProof gives the .tlog-proof of the entry of an index, from 0, at the node's newest checkpoint; Problem not_found if
// that does not cover it. The caller verifies it.
func (c *Client) LogEntryProof(ctx context.Context, index uint64) ([]byte, error) {
	return bytesOf(ctx, c, "/v1/log/entry/"+strconv.FormatUint(index, 10)+"/proof")
}

// LogConsistency gives the proof that the node's newest checkpoint extends the log's first old entries, for
// note.ParseAddCheckpoint; Problem not_found if it has fewer. The caller verifies it.
func (c *Client) LogConsistency(ctx context.Context, old uint64) ([]byte, error) {
	return bytesOf(ctx, c, "/v1/log/consistency/"+strconv.FormatUint(old, 10))
}

// LogNamespace gives all transactions of a namespace in the batch of a height, with the proof that they are all.
func (c *Client) LogNamespace(ctx context.Context, height uint64, namespace string) (*v1.NamespaceProof, error) {
	return get[v1.NamespaceProof](ctx, c, "/v1/log/namespace/"+strconv.FormatUint(height, 10)+"/"+url.PathEscape(namespace), nil)
}

// EvidenceList gives a page of the evidence that the node holds with a number above after, oldest first. A limit of 0 is the
// node's default.
func (c *Client) EvidenceList(ctx context.Context, after uint64, limit int) (*v1.EvidenceList, error) {
	q := url.Values{}
	if after != 0 {
		q.Set("after", strconv.FormatUint(after, 10))
	}
	return get[v1.EvidenceList](ctx, c, "/v1/evidence", withLimit(q, limit))
}

// Evidence gives the body of one piece of evidence.
func (c *Client) Evidence(ctx context.Context, number uint64) ([]byte, error) {
	return bytesOf(ctx, c, "/v1/evidence/"+strconv.FormatUint(number, 10))
}

// maxBytes bounds the answers that are no JSON: a batch of the largest ciphertexts, in hex and with their plaintexts.
const maxBytes = 256 << 20

// bytesOf asks for an answer that is no JSON, again where that can help.
func bytesOf(ctx context.Context, c *Client, path string) ([]byte, error) {
	return retry(ctx, c.opts, c.opts.Retries, func() ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
		defer cancel()
		resp, err := c.send(ctx, http.MethodGet, path, nil)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxBytes+1))
		if err != nil {
			return nil, &transportError{fmt.Errorf("client: read answer of %s: %w", c.base, err)}
		}
		if len(body) > maxBytes {
			return nil, fmt.Errorf("client: the answer of %s is larger than %d bytes", c.base, maxBytes)
		}
		return body, nil
	})
}
