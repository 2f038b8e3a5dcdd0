package interop

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cosign "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	sumdb "golang.org/x/mod/sumdb/note"

	"github.com/scrimlabs/scrim/commitreveal/note"
	scrim "github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/devnet"
	"github.com/scrimlabs/scrim/internal/node"
	"github.com/scrimlabs/scrim/internal/pgcluster"
	"github.com/scrimlabs/scrim/threshold"
)

const witnessName = "witness.example/w1"

// outside is a witness that has not been started: its key and address are known before the committee is.
type outside struct {
	key     note.Key
	signer  string // in sumdb/note's form
	address string // of a proxy that finds it when it runs
	target  *url.URL
}

func newOutside(t *testing.T) *outside {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := &outside{key: note.Key{Name: witnessName, Type: note.TypeCosignature, Public: public}}
	seed := append([]byte{note.TypeCosignature}, private.Seed()...)
	w.signer = fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", witnessName, w.key.ID(), base64.StdEncoding.EncodeToString(seed))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.address = "http://" + l.Addr().String()
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(w.target) }}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if w.target == nil {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(rw, r)
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return w
}

// start builds transparency-dev's witness and runs it for the log.
func (w *outside) start(t *testing.T, ctx context.Context, log note.Key) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/witnessd")); err != nil {
		t.Fatal(err)
	}
	release := strings.TrimSpace(string(command(t, ctx, "", "go", "list", "-m", "-f", "{{.Dir}}", "github.com/transparency-dev/merkle")))
	if err := os.CopyFS(filepath.Join(dir, "merkle"), os.DirFS(release)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "merkle", "proof"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "subtree.go.txt"), filepath.Join(dir, "merkle", "proof", "subtree.go")); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "witnessd")
	command(t, ctx, dir, "go", "build", "-o", program, ".")
	cmd := exec.CommandContext(ctx, program, "-origin", log.Name, "-vkey", log.String())
	cmd.Env = append(os.Environ(), "WITNESS_KEY="+w.signer)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal("the witness did not start: ", err)
	}
	w.target = &url.URL{Scheme: "http", Host: strings.TrimSpace(address)}
}

func command(t *testing.T, ctx context.Context, dir, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return out
}

// leafHashes is how any log's entry bundles hash (c2sp.org/tlog-tiles, Log entries); tessera's fsck command has the same.
func leafHashes(bundle []byte) (out [][]byte, err error) {
	for len(bundle) > 0 {
		n := int(binary.BigEndian.Uint16(bundle))
		if len(bundle) < 2+n {
			return nil, io.ErrUnexpectedEOF
		}
		out = append(out, rfc6962.DefaultHasher.HashLeaf(bundle[2:2+n]))
		bundle = bundle[2+n:]
	}
	return out, nil
}

// A real committee's log: tessera's fsck finds it whole, its client proves inclusion and consistency that
// transparency-dev/merkle believes, sumdb/note opens the checkpoints, and transparency-dev's witness cosigns them.
func TestPublicToolsOnALiveLog(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	program := filepath.Join(t.TempDir(), "scrimd")
	command(t, ctx, "../..", "go", "build", "-o", program, "./cmd/scrimd")
	w := newOutside(t)
	network, err := devnet.Open(ctx, devnet.Options{
		Command: []string{program}, Dir: t.TempDir(), Postgres: []pgcluster.Option{pgcluster.WithoutSync()},
		Configure: func(i int, c *node.Config) {
			c.HTTP.RatePerMinute = 0
			if i == 0 { // the witness knows one key of the log: member 1's
				c.Log.Witnesses = []string{w.key.String() + " " + w.address}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { network.Stop(); _ = network.Close() })
	chainID := network.Genesis.ChainID
	log := note.LogKey(chainID, network.Genesis.Terms.Members[0].Identity)
	w.start(t, ctx, log)
	if err := network.Start(); err != nil {
		t.Fatal(err)
	}
	if err := network.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	api, err := scrim.New(network.URLs()[0], scrim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := sumdb.NewVerifier(log.String())
	if err != nil {
		t.Fatal(err)
	}
	prefix, err := url.Parse(api.LogPrefix() + "/")
	if err != nil {
		t.Fatal(err)
	}
	fetcher, err := client.NewHTTPFetcher(prefix, nil)
	if err != nil {
		t.Fatal(err)
	}
	tracker, err := client.NewLogStateTracker(ctx, fetcher.ReadTile, nil, verifier, log.Name, client.UnilateralConsensus(fetcher.ReadCheckpoint))
	if err != nil {
		t.Fatal(err)
	}

	grow(t, ctx, api, chainID, 300) // more than one tile

	if err := fsck.New(log.Name, verifier, fetcher, leafHashes, fsck.Opts{N: 4}).Check(ctx); err != nil {
		t.Errorf("tessera's fsck: %v", err)
	}
	if _, consistency, _, err := tracker.Update(ctx); err != nil || len(consistency) == 0 {
		t.Errorf("tessera's client finds the log inconsistent: %v", err)
	}
	checkInclusion(t, ctx, fetcher, verifier, log.Name)
	checkWitness(t, ctx, api, w, log)
}

// grow submits transactions until the log has so many entries.
func grow(t *testing.T, ctx context.Context, api *scrim.Client, chainID string, entries uint64) {
	t.Helper()
	keys, err := api.EncryptionKeys(ctx)
	if err != nil {
		t.Fatal(err)
	}
	key, err := threshold.ParsePublicKey(keys.Keys[0].PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		signed, err := api.LogCheckpoint(ctx)
		if err != nil {
			t.Fatal(err)
		}
		_, c, err := note.ParseSigned(signed)
		if err != nil {
			t.Fatal(err)
		}
		if c.Size >= entries {
			return
		}
		options := threshold.SealOptions{ChainID: chainID, Namespace: "interop", ValidUntil: keys.Height + 5000}
		ct, err := threshold.Seal(rand.Reader, key, options, fmt.Appendf(nil, "transaction %d", i))
		if err != nil {
			t.Fatal(err)
		}
		tx, err := api.Submit(ctx, "interop", ct.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		for tx.Status == v1.StatusReceived && ctx.Err() == nil { // one batch for each
			time.Sleep(5 * time.Millisecond)
			if tx, err = api.Transaction(ctx, tx.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// checkInclusion: tessera builds inclusion proofs from our tiles, and merkle believes them for our entries.
func checkInclusion(t *testing.T, ctx context.Context, fetcher *client.HTTPFetcher, verifier sumdb.Verifier, origin string) {
	t.Helper()
	c, _, _, err := client.FetchCheckpoint(ctx, fetcher.ReadCheckpoint, verifier, origin)
	if err != nil {
		t.Fatal(err)
	}
	builder, err := client.NewProofBuilder(ctx, c.Size, fetcher.ReadTile)
	if err != nil {
		t.Fatal(err)
	}
	for i := uint64(0); i < c.Size; i += 37 {
		bundle, err := client.GetEntryBundle(ctx, fetcher.ReadEntryBundle, i/256, c.Size)
		if err != nil {
			t.Fatal(err)
		}
		path, err := builder.InclusionProof(ctx, i)
		if err != nil {
			t.Fatal(err)
		}
		leaf := rfc6962.DefaultHasher.HashLeaf(bundle.Entries[i%256])
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, i, c.Size, leaf, path, c.Hash); err != nil {
			t.Errorf("entry %d: %v", i, err)
		}
	}
}

// checkWitness waits for a checkpoint that the witness has cosigned, and opens it with public code.
func checkWitness(t *testing.T, ctx context.Context, api *scrim.Client, w *outside, log note.Key) {
	t.Helper()
	cosigner, err := cosign.NewVerifierForCosignatureV1(w.key.String())
	if err != nil {
		t.Fatal(err)
	}
	publisher, err := sumdb.NewVerifier(log.String())
	if err != nil {
		t.Fatal(err)
	}
	for ctx.Err() == nil {
		signed, err := api.LogCheckpoint(ctx)
		if err != nil {
			t.Fatal(err)
		}
		n, err := sumdb.Open(signed, sumdb.VerifierList(publisher, cosigner))
		if err != nil {
			t.Fatalf("%v\n%s", err, signed)
		}
		if len(n.Sigs) == 2 {
			sum := sha256.Sum256(signed)
			t.Logf("a checkpoint that log and witness signed (%x):\n%s", sum[:4], signed)
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Error("the witness has cosigned nothing")
}
