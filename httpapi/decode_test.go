package httpapi

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/commitreveal"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
)

// What the decoder takes, encoding/json takes too and in the same sense; what it
// refuses, it refuses with a code of the table.
func FuzzDecodeSubmit(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `null`, `[]`, `"`, `{"namespace":"demo","ciphertext":"0x00"}`, ` {"ciphertext" : "0x" , "namespace" : "" } `,
		`{"namespace":"demo","ciphertext":"0x00"}x`, `{"namespace":"demo","ciphertext":"0x00",}`, `{"namespace":"demo","ciphertext":"0X00"}`,
		`{"namespace":"demo","namespace":"demo","ciphertext":"0x00"}`, `{"NAMESPACE":"demo","ciphertext":"0x00"}`,
		`{"namespace":1,"ciphertext":"0x00"}`, "{\"namespace\":\"\xff\",\"ciphertext\":\"0x\"}", `{"namespace":"\ud800","ciphertext":"0x"}`,
		`{"\u006eamespace":"demo","ciphertext":"0x00"}`, `{"namespace":"demo","ciphertext":"\u0030x00"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := decodeSubmit(body)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("not an *Error: %v", err)
			}
			if _, ok := ProblemTypeOf(e.Code); !ok {
				t.Fatalf("unknown code %q", e.Code)
			}
			return
		}
		var want struct{ Namespace, Ciphertext string }
		if err := json.Unmarshal(body, &want); err != nil {
			t.Fatalf("encoding/json refuses it: %v", err)
		}
		if got.Namespace != want.Namespace || got.Ciphertext.String() != want.Ciphertext {
			t.Fatalf("got %+v, encoding/json says %+v", got, want)
		}
		b, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeSubmit(b)
		if err != nil || again.Namespace != got.Namespace || again.Ciphertext.String() != got.Ciphertext.String() {
			t.Fatalf("decode(encode(%+v)) = %+v, %v", got, again, err)
		}
	})
}

// The receipt of the API is, byte for byte, the receipt that wallets keep and auditors read.
func TestReceiptIsTheLogs(t *testing.T) {
	want := commitreveal.Receipt{ChainID: "scrim-test", ID: [32]byte{1}, Epoch: 3, Member: 2, ValidUntil: 100, Time: 1_700_000_000_001,
		Position: 7, Head: commitreveal.Hash{3}, Signature: [64]byte{4}}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var r v1.Receipt
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(b), string(again)); diff != "" {
		t.Error(diff)
	}
}
