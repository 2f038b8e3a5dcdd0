package commitreveal

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReceiptSignature(t *testing.T) {
	r := testReceipt(t)
	if err := VerifyReceipt(publicIdentity(2), &r); err != nil {
		t.Fatal(err)
	}
	if err := VerifyReceipt(publicIdentity(3), &r); !errors.Is(err, ErrSignature) {
		t.Errorf("another member's key: %v", err)
	}
	if err := VerifyReceipt(nil, &r); !errors.Is(err, ErrSignature) {
		t.Errorf("no key: %v", err)
	}
	changes := map[string]func(r *Receipt){
		"chain id":    func(r *Receipt) { r.ChainID = "scrim-tesu" },
		"id":          func(r *Receipt) { r.ID[0]++ },
		"epoch":       func(r *Receipt) { r.Epoch++ },
		"member":      func(r *Receipt) { r.Member = 3 },
		"valid until": func(r *Receipt) { r.ValidUntil++ },
		"time":        func(r *Receipt) { r.Time++ },
		"position":    func(r *Receipt) { r.Position++ },
		"head":        func(r *Receipt) { r.Head[31]++ },
		"signature":   func(r *Receipt) { r.Signature[63]++ },
	}
	for name, change := range changes {
		bad := r
		change(&bad)
		if err := VerifyReceipt(publicIdentity(2), &bad); !errors.Is(err, ErrSignature) {
			t.Errorf("%s is not signed: %v", name, err)
		}
	}
}

func TestReceiptRefuses(t *testing.T) {
	changes := map[string]func(r *Receipt){
		"no chain id":     func(r *Receipt) { r.ChainID = "" },
		"bad chain id":    func(r *Receipt) { r.ChainID = "a b" },
		"member 0":        func(r *Receipt) { r.Member = 0 },
		"member 257":      func(r *Receipt) { r.Member = 257 },
		"valid until 0":   func(r *Receipt) { r.ValidUntil = 0 },
		"before 1970":     func(r *Receipt) { r.Time = -1 },
		"after year 9999": func(r *Receipt) { r.Time = maxTime + 1 },
		"position 0":      func(r *Receipt) { r.Position = 0 },
	}
	for name, change := range changes {
		r := testReceipt(t)
		change(&r)
		_, binary := r.MarshalBinary()
		_, text := json.Marshal(r)
		for what, err := range map[string]error{
			"sign": SignReceipt(identity(2), &r), "verify": VerifyReceipt(publicIdentity(2), &r), "binary": binary, "json": text,
		} {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
	}
}

func TestReceiptJSON(t *testing.T) {
	r := testReceipt(t)
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var again Receipt
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, again); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if want := `"time":"2023-11-14T22:13:20.123Z"`; !strings.Contains(string(text), want) {
		t.Errorf("%s lacks %s", text, want)
	}
	replace := func(old, new string) string {
		if !strings.Contains(string(text), old) {
			t.Fatalf("%s is not in %s", old, text)
		}
		return strings.Replace(string(text), old, new, 1)
	}
	for name, bad := range map[string]string{
		"unknown field":   replace(`{`, `{"extra":1,`),
		"missing member":  replace(`"member":2,`, ``),
		"missing epoch":   replace(`"epoch":1,`, ``),
		"missing id":      replace(`"id":"`+hexText(r.ID[:])+`",`, ``),
		"missing time":    replace(`"time":"2023-11-14T22:13:20.123Z",`, ``),
		"time zone":       replace(`20.123Z`, `20.123+00:00`),
		"time in seconds": replace(`20.123Z`, `20Z`),
		"time in micros":  replace(`20.123Z`, `20.123000Z`),
		"capitals":        replace(hexText(r.ID[:]), "0x"+strings.ToUpper(hexText(r.ID[:])[2:])),
		"short signature": replace(hexText(r.Signature[:]), hexText(r.Signature[1:])),
		"negative":        replace(`"position":1`, `"position":-1`),
		"fraction":        replace(`"position":1`, `"position":1.5`),
		"null":            `null`,
	} {
		if err := again.UnmarshalJSON([]byte(bad)); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, bad := range map[string]string{"two values": string(text) + string(text), "cut": string(text[:len(text)-1])} {
		if err := again.UnmarshalJSON([]byte(bad)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// FuzzReceiptJSON: what is accepted encodes to JSON that gives the same receipt.
func FuzzReceiptJSON(f *testing.F) {
	r := testReceipt(f)
	text, err := json.Marshal(r)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, b []byte) {
		var r, again Receipt
		if json.Unmarshal(b, &r) != nil || r == (Receipt{}) {
			return
		}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatalf("%s parses, but has no encoding: %v", b, err)
		}
		if err := json.Unmarshal(text, &again); err != nil || again != r {
			t.Errorf("%s gives %+v, %v", text, again, err)
		}
	})
}

func TestReceiptContradicts(t *testing.T) {
	head1 := NextHead(Hash{}, id("a"))
	head2 := NextHead(head1, id("b"))
	r := func(position uint64, name string, head Hash) *Receipt {
		return &Receipt{ChainID: chainID, Member: 2, ID: id(name), Position: position, Head: head}
	}
	elsewhere := r(1, "b", head1)
	elsewhere.ChainID = "other"
	tests := map[string]struct {
		a, b *Receipt
		want bool
	}{
		"the same":                  {r(1, "a", head1), r(1, "a", head1), false},
		"neighbours":                {r(1, "a", head1), r(2, "b", head2), false},
		"apart":                     {r(1, "a", head1), r(3, "c", Hash{1}), false},
		"other chain":               {r(1, "a", head1), elsewhere, false},
		"two ids at a position":     {r(1, "a", head1), r(1, "b", head1), true},
		"two heads at a position":   {r(1, "a", head1), r(1, "a", head2), true},
		"an id at two positions":    {r(1, "a", head1), r(5, "a", Hash{1}), true},
		"neighbours do not chain":   {r(1, "a", head1), r(2, "b", Hash{1}), true},
		"neighbours, id exchanged":  {r(1, "a", head1), r(2, "c", head2), true},
		"neighbours, head replaced": {r(1, "a", Hash{9}), r(2, "b", head2), true},
	}
	for name, tt := range tests {
		if got := tt.a.Contradicts(tt.b); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
		if got := tt.b.Contradicts(tt.a); got != tt.want {
			t.Errorf("%s, the other way round: %v", name, got)
		}
	}
}
