// Witnessd is transparency-dev's witness behind its own HTTP handler, for one log. It prints its address.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"

	cosign "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/witness/persistence/inmemory"
	"github.com/transparency-dev/witness/witness"
	"golang.org/x/mod/sumdb/note"
)

func main() {
	origin, vkey := flag.String("origin", "", "of the log"), flag.String("vkey", "", "the log's key")
	flag.Parse()
	if err := run(*origin, *vkey, os.Getenv("WITNESS_KEY")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(origin, vkey, skey string) error {
	ctx := context.Background()
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	signer, err := cosign.NewSignerForCosignatureV1(skey)
	if err != nil {
		return err
	}
	w, err := witness.New(ctx, witness.Opts{
		Persistence: inmemory.New(), Signers: []note.Signer{signer},
		VerifierForLog: func(_ context.Context, o string) (note.Verifier, bool, error) { return verifier, o == origin, nil },
	})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	http.HandleFunc("POST /add-checkpoint", witness.NewHTTPHandler(w).AddCheckpoint)
	fmt.Println(l.Addr())
	return http.Serve(l, nil)
}
