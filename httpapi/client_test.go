package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
)

// What the backend says comes out of the client as it went in.
func TestClient(t *testing.T) {
	d := newDoor(t, Options{})
	srv := httptest.NewServer(d.handler)
	defer srv.Close()
	c, err := client.New(srv.URL, client.Options{Retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	// The same by way of JSON: what differs is nil and empty lists only.
	same := func(name string, got any, err error, want any) {
		t.Helper()
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(want)
		if diff := cmp.Diff(string(b), string(a)); diff != "" || err != nil {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}

	limits := d.Limits(ctx)
	limits.MaxBodyBytes, limits.MaxPageSize = DefaultMaxBody, MaxPage
	got1, err := c.Limits(ctx)
	same("limits", got1, err, limits)
	got2, err := c.Health(ctx)
	same("health", got2, err, d.Health(ctx))
	got3, err := c.EncryptionKeys(ctx)
	keys, _ := d.EncryptionKeys(ctx)
	same("keys", got3, err, keys)
	got4, err := c.Committee(ctx)
	committee, _ := d.Committee(ctx)
	same("committee", got4, err, committee)
	got5, err := c.Ceremonies(ctx)
	all, _ := d.Ceremonies(ctx, "", DefaultPage)
	same("ceremonies", got5, err, all)
	got5, err = c.CeremoniesBefore(ctx, ceremonies()[0].ID, 1)
	all, _ = d.Ceremonies(ctx, ceremonies()[0].ID.String(), 1)
	same("a page of ceremonies", got5, err, all)
	got10, err := c.Committees(ctx, 2, 1)
	history, _ := d.Committees(ctx, 2, 1)
	same("committees", got10, err, history)
	transcript, err := c.Transcript(ctx, ceremonies()[0].ID)
	if err != nil || !bytes.Equal(transcript, []byte{1, 2, 3}) {
		t.Errorf("transcript: %x %v", transcript, err)
	}
	if _, err := c.Transcript(ctx, ceremonies()[1].ID); problemCode(err) != v1.CodeNotFound {
		t.Errorf("a forgotten transcript: %v", err)
	}
	ceremony := ceremonies()[2]
	ceremony.Status, ceremony.Waiting, ceremony.Aborting = []v1.CeremonyMember{}, []uint32{}, []uint32{}
	got6, err := c.Ceremony(ctx, ceremony.ID)
	same("ceremony", got6, err, ceremony)

	id := idOf([]byte("sealed"))
	sent, err := c.Submit(ctx, "demo", []byte("sealed"))
	same("submit", sent, err, d.txs[id])
	d.reveal(id, 7, 2, []byte{})
	tx, err := c.Transaction(ctx, id[:])
	same("transaction", tx, err, d.txs[id])
	if tx != nil && tx.Plaintext == nil {
		t.Error("an empty plaintext became none")
	}
	page, err := c.Stream(ctx, "demo", v1.Cursor{}, 0)
	same("stream", page, err, v1.StreamPage{Namespace: "demo", Transactions: []v1.Transaction{d.txs[id]}, Next: v1.Cursor{Height: 7, Place: 2}})
	got7, err := c.Batches(ctx, 5, 2)
	batches, _ := d.Batches(ctx, 5, 2)
	same("batches", got7, err, batches)
	got8, err := c.Batch(ctx, 9)
	batch, _ := d.Batch(ctx, 9)
	same("batch", got8, err, batch)

	var bundle, want bytes.Buffer
	if err := errors.Join(c.Export(ctx, &bundle), d.Export(ctx, &want)); err != nil || bundle.String() != want.String() {
		t.Errorf("export: %v, %s", err, &bundle)
	}

	d.fake.ready = v1.Readiness{Height: 3, Epoch: 2, InOffice: true, Reasons: []v1.Reason{{Code: "no_peers", Detail: "alone"}}}
	got9, err := c.Ready(ctx)
	same("ready", got9, err, d.fake.ready)

	_, err = c.Submit(ctx, "demo", []byte(v1.CodeExpired))
	var p *client.Problem
	if !errors.As(err, &p) || p.Code != v1.CodeExpired || p.Status != 422 || p.Detail != "the reason" || p.RequestID == "" {
		t.Errorf("%v", err)
	}
}

func problemCode(err error) string {
	var p *client.Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}
