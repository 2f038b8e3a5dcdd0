package v1_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
)

func TestHexRefuses(t *testing.T) {
	for _, s := range []string{"", "0", "00", "0x0", "0X00", "0xAB", "0xag", " 0x00", "0x00 ", "0x0x00", "x00", "0x\u0660\u0660"} {
		if b, err := v1.ParseHex(s); err == nil {
			t.Errorf("%q was read as %x", s, []byte(b))
		}
		var h v1.Hex
		if quoted, _ := json.Marshal(s); json.Unmarshal(quoted, &h) == nil {
			t.Errorf("JSON %s was read as %x", quoted, []byte(h))
		}
	}
	for _, s := range []string{`1`, `true`, `{}`, `["0x00"]`, `"\u0030x00"`} {
		var h v1.Hex
		if json.Unmarshal([]byte(s), &h) == nil {
			t.Errorf("JSON %s was read as %x", s, []byte(h))
		}
	}
}

func TestHexNull(t *testing.T) {
	b, err := json.Marshal([]v1.Hex{nil, {}, v1.HexOf(nil), {0xab}})
	if want := `[null,"0x","0x","0xab"]`; err != nil || string(b) != want {
		t.Fatalf("%s, %v, want %s", b, err, want)
	}
	var back []v1.Hex
	if err := json.Unmarshal(b, &back); err != nil || back[0] != nil || back[1] == nil {
		t.Errorf("%#v, %v", back, err)
	}
}

func TestTimeRefuses(t *testing.T) {
	for _, s := range []string{"", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.1Z", "2026-01-02T03:04:05.123+00:00",
		"2026-01-02T03:04:05.123456Z", "2026-02-30T03:04:05.123Z", "2026-01-02 03:04:05.123Z", "2026-01-02T03:04:05,123Z"} {
		var v v1.Time
		if v.UnmarshalText([]byte(s)) == nil {
			t.Errorf("%q was read as %v", s, v)
		}
	}
}

func TestTimeIsUTCWithMilliseconds(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6_999_999, time.FixedZone("", 3600))
	if got := v1.TimeOf(at).String(); got != "2026-01-02T02:04:05.006Z" {
		t.Error(got)
	}
	if got := v1.UnixMilli(at.UnixMilli()); got != v1.TimeOf(at) || got.UnixMilli() != at.UnixMilli() || !got.Time().Equal(at.Truncate(time.Millisecond)) {
		t.Error(got)
	}
	if _, err := v1.TimeOf(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)).MarshalText(); err == nil {
		t.Error("a year of five digits was written")
	}
}

func TestCursorRefuses(t *testing.T) {
	for _, s := range []string{"", "-", "1", "1-", "-1", "1-1-1", "01-1", "1-01", "+1-1", "1--1", "1-4294967296", "9007199254740992-0", " 1-1", "1-1 ", "0x1-1"} {
		if c, err := v1.ParseCursor(s); err == nil {
			t.Errorf("%q was read as %v", s, c)
		}
	}
}

func TestFinal(t *testing.T) {
	for status, want := range map[v1.Status]bool{v1.StatusReceived: false, v1.StatusOrdered: false, v1.StatusRevealed: true, v1.StatusVoid: true, v1.StatusExpired: true, "": false} {
		if status.Final() != want {
			t.Errorf("%q", status)
		}
	}
}

// One encoding a value: what is read is written as it was.
func FuzzHex(f *testing.F) {
	for _, s := range []string{"", "0x", "0x00", "0xdeadbeef", "0xDEAD", "0x0", "00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := v1.ParseHex(s)
		if err == nil && h.String() != s {
			t.Errorf("%q became %q", s, h)
		}
	})
}

func FuzzCursor(f *testing.F) {
	for _, s := range []string{"", "0-0", "17-3", "9007199254740991-4294967295", "1-1-1", "01-1", "1-+1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := v1.ParseCursor(s)
		if err == nil && c.String() != s {
			t.Errorf("%q became %q", s, c)
		}
	})
}

func FuzzTime(f *testing.F) {
	for _, s := range []string{"", "2026-01-02T03:04:05.006Z", "0000-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z", "2026-01-02T03:04:60.006Z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var v v1.Time
		if v.UnmarshalText([]byte(s)) != nil {
			return
		}
		b, err := v.MarshalText()
		if err != nil || string(b) != s || v1.UnixMilli(v.UnixMilli()) != v {
			t.Errorf("%q became %q, %v", s, b, err)
		}
	})
}

func ExampleHex() {
	b, _ := json.Marshal(map[string]v1.Hex{"id": {0xca, 0xfe}, "opening": nil})
	fmt.Println(string(b))
	// Output: {"id":"0xcafe","opening":null}
}

func ExampleCursor() {
	c, _ := v1.ParseCursor("17-3")
	fmt.Println(c.Height, c.Place)
	// Output: 17 3
}
