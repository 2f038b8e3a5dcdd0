package threshold_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/threshold"
	"github.com/scrimlabs/scrim/threshold/thresholdtest"
)

func TestPublicKey(t *testing.T) {
	c, _ := thresholdtest.Deal(t.Name(), 1, 1, 1)
	other, _ := thresholdtest.Deal(t.Name()+"2", 1, 1, 1)
	b := c.Key.Bytes()
	k, err := threshold.ParsePublicKey(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(k.Bytes(), b) || k.ID() != c.Key.ID() || k.ID() == other.Key.ID() {
		t.Error("parsed to something else")
	}
	k.Bytes()[0] ^= 1
	if !bytes.Equal(k.Bytes(), b) {
		t.Error("a caller can change the key")
	}
	_, err = threshold.ParsePublicKey(append(slices.Clone(b[:48]), other.Key.Bytes()[48:]...))
	expect(t, err, threshold.ErrKey)
	for name, bad := range badPoints(t, b[:48]) {
		t.Run("Y "+name, func(t *testing.T) {
			_, err := threshold.ParsePublicKey(append(slices.Clone(bad.b), b[48:]...))
			expect(t, err, bad.want)
		})
	}
	for name, bad := range badPoints2(b[48:]) {
		t.Run("Y2 "+name, func(t *testing.T) {
			_, err := threshold.ParsePublicKey(append(slices.Clone(b[:48]), bad...))
			if !errors.Is(err, threshold.ErrEncoding) && !errors.Is(err, threshold.ErrPoint) {
				t.Errorf("error %v", err)
			}
			if _, err := threshold.ParseMemberKey(bad); err == nil {
				t.Error("it is a member key")
			}
		})
	}
	for _, n := range []int{0, 48, 143, 145} {
		_, err := threshold.ParsePublicKey(append(slices.Clone(b), 0)[:n])
		expect(t, err, threshold.ErrEncoding)
	}
}

// badPoints2 are 96 bytes that no decoder of a G2 point may take.
func badPoints2(near []byte) map[string][]byte {
	flip := func(i int, bit byte) []byte { b := slices.Clone(near); b[i] ^= bit; return b }
	bad := map[string][]byte{
		"infinity":          append([]byte{0xc0}, make([]byte, 95)...),
		"infinity and x":    flip(0, 0x40),
		"infinity and sign": append([]byte{0xe0}, make([]byte, 95)...),
		"not compressed":    flip(0, 0x80),
		"ones":              bytes.Repeat([]byte{0xff}, 96),
		"zeros":             make([]byte, 96),
	}
	// A point of the curve that was not made for the group is outside it: the first that decompresses.
	for x := byte(1); x < 255; x++ {
		b := append([]byte{0x80}, make([]byte, 95)...)
		b[95] = x
		if _, err := threshold.ParseMemberKey(b); errors.Is(err, threshold.ErrPoint) {
			bad["outside the group"] = b
			break
		}
	}
	if bad["outside the group"] == nil {
		panic("no point outside the group found")
	}
	return bad
}

func TestMemberKey(t *testing.T) {
	c, secrets := thresholdtest.Deal(t.Name(), 1, 4, 3)
	for i, s := range secrets {
		if !bytes.Equal(s.MemberKey().Bytes(), c.Members[i].Bytes()) {
			t.Errorf("member %d's key does not belong to its share", i+1)
		}
	}
	k, err := threshold.ParseMemberKey(c.Members[0].Bytes())
	if err != nil || !bytes.Equal(k.Bytes(), c.Members[0].Bytes()) {
		t.Fatal(err)
	}
	_, err = threshold.ParseMemberKey(c.Members[0].Bytes()[:95])
	expect(t, err, threshold.ErrEncoding)

	whole, err := threshold.ParseMemberKey(c.Key.Bytes()[48:])
	if err != nil {
		t.Fatal(err)
	}
	y := c.Key.Bytes()[:48]
	if !whole.MatchesG1(y) || k.MatchesG1(y) {
		t.Error("a key matches its own G1 form and no other")
	}
	for name, bad := range badPoints(t, y) {
		if whole.MatchesG1(bad.b) {
			t.Errorf("%s matches", name)
		}
	}
	if whole.MatchesG1(nil) {
		t.Error("nothing matches")
	}
}

func TestNewCommittee(t *testing.T) {
	for _, m := range []struct{ n, t int }{{1, 1}, {2, 1}, {3, 3}, {4, 3}, {7, 5}, {16, 11}} {
		c, _ := thresholdtest.Deal(t.Name(), 1, m.n, m.t)
		other, _ := thresholdtest.Deal(t.Name()+"2", 1, m.n, m.t)
		refuse := func(what string, th int, key *threshold.PublicKey, members []*threshold.MemberKey) {
			t.Helper()
			if _, err := threshold.NewCommittee(1, th, key, members); !errors.Is(err, threshold.ErrCommittee) {
				t.Errorf("%d of %d, %s: %v", m.t, m.n, what, err)
			}
		}
		if m.n > 1 || m.t > 1 {
			refuse("lower threshold", m.t-1, c.Key, c.Members)
		}
		refuse("other key", m.t, other.Key, c.Members)
		if m.t < m.n || m.t == 1 {
			members := slices.Clone(c.Members)
			members[m.n-1] = other.Members[m.n-1]
			refuse("other member", m.t, c.Key, members)
		}
		if m.t > 1 && m.n > 1 {
			members := slices.Clone(c.Members)
			members[0], members[1] = members[1], members[0]
			refuse("swapped members", m.t, c.Key, members)
		}
		refuse("threshold 0", 0, c.Key, c.Members)
		refuse("threshold above n", m.n+1, c.Key, c.Members)
		refuse("no key", m.t, nil, c.Members)
		refuse("no members", m.t, c.Key, nil)
		refuse("nil member", m.t, c.Key, append(slices.Clone(c.Members[:m.n-1]), nil))
		refuse("too many", m.t, c.Key, slices.Repeat(c.Members, 257))
	}
}

func TestCommitteeEncoding(t *testing.T) {
	c, _ := thresholdtest.Deal(t.Name(), 7, 4, 3)
	b, err := c.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	d, err := threshold.ParseCommittee(b)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := d.MarshalBinary(); !bytes.Equal(again, b) || d.Epoch != 7 || d.Threshold != 3 || d.N() != 4 {
		t.Error("parsed to something else")
	}
	other := func(i int, v byte) []byte { x := slices.Clone(b); x[i] = v; return x }
	for name, x := range map[string][]byte{
		"empty": nil, "version": other(0, 2), "short": b[:len(b)-1], "long": append(slices.Clone(b), 0),
		"fewer members": other(10, 3), "many members": other(9, 255), "no members": other(10, 0)[:13+144],
	} {
		if _, err := threshold.ParseCommittee(x); !errors.Is(err, threshold.ErrEncoding) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = threshold.ParseCommittee(other(12, 0))
	expect(t, err, threshold.ErrCommittee)
	_, err = threshold.ParseCommittee(other(12, 5))
	expect(t, err, threshold.ErrCommittee)
	_, err = threshold.ParseCommittee(other(12, 2))
	expect(t, err, threshold.ErrCommittee)
}

func TestCompleteMembers(t *testing.T) {
	for _, m := range []struct{ n, t int }{{1, 1}, {4, 3}, {10, 4}} {
		c, _ := thresholdtest.Deal(t.Name(), 1, m.n, m.t)
		known := map[uint32]*threshold.MemberKey{}
		for j := m.n; len(known) < m.t; j-- {
			known[uint32(j)] = c.Members[j-1]
		}
		members, y2, err := threshold.CompleteMembers(m.n, m.t, known)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(y2, c.Key.Bytes()[48:]) {
			t.Error("Y2 differs")
		}
		for i := range members {
			if !bytes.Equal(members[i].Bytes(), c.Members[i].Bytes()) {
				t.Errorf("member %d's key differs", i+1)
			}
		}
		if m.t < m.n {
			other, _ := thresholdtest.Deal(t.Name()+"2", 1, m.n, m.t)
			known[1] = other.Members[0]
			_, _, err = threshold.CompleteMembers(m.n, m.t, known)
			expect(t, err, threshold.ErrCommittee)
			delete(known, 1)
		}
		known[uint32(m.n)+1] = c.Members[0]
		_, _, err = threshold.CompleteMembers(m.n, m.t, known)
		expect(t, err, threshold.ErrCommittee)
		_, _, err = threshold.CompleteMembers(m.n, m.t, nil)
		expect(t, err, threshold.ErrTooFew)
		_, _, err = threshold.CompleteMembers(m.n, m.n+1, nil)
		expect(t, err, threshold.ErrCommittee)
	}
}

func TestBatchShareEncoding(t *testing.T) {
	for _, s := range []*threshold.BatchShare{
		{Member: 1, Points: [][48]byte{}}, {Member: 256, Points: [][48]byte{{1}, {2}, {3}}},
	} {
		b, err := s.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		got, err := threshold.ParseBatchShare(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, got); diff != "" {
			t.Error(diff)
		}
		for name, x := range map[string][]byte{
			"empty": nil, "short": b[:len(b)-1], "long": append(slices.Clone(b), 0), "version": append([]byte{0}, b[1:]...),
			"member 0":    append([]byte{1, 0, 0, 0, 0}, b[5:]...),
			"member 257":  append([]byte{1, 0, 0, 1, 1}, b[5:]...),
			"count":       append(slices.Clone(b[:8]), append([]byte{9}, b[9:]...)...),
			"count, huge": append(slices.Clone(b[:5]), append([]byte{0xff, 0xff, 0xff, 0xff}, b[9:]...)...),
		} {
			if _, err := threshold.ParseBatchShare(x); !errors.Is(err, threshold.ErrEncoding) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for _, s := range []*threshold.BatchShare{{}, {Member: 257}, {Member: 1, Points: make([][48]byte, threshold.MaxBatch+1)}} {
		_, err := s.MarshalBinary()
		expect(t, err, threshold.ErrEncoding)
	}
}

func TestNewSecretShare(t *testing.T) {
	order := [32]byte(thresholdtest.Order.FillBytes(make([]byte, 32)))
	above, last := order, order
	above[31]++
	last[31]--
	for name, tc := range map[string]struct {
		member uint32
		scalar [32]byte
		want   error
	}{
		"one": {1, [32]byte{31: 1}, nil}, "largest": {256, last, nil},
		"zero": {1, [32]byte{}, threshold.ErrEncoding}, "order": {1, order, threshold.ErrEncoding}, "above": {1, above, threshold.ErrEncoding},
		"ones":     {1, [32]byte(bytes.Repeat([]byte{0xff}, 32)), threshold.ErrEncoding},
		"member 0": {0, last, threshold.ErrShare}, "member 257": {257, last, threshold.ErrShare},
	} {
		s, err := threshold.NewSecretShare(tc.member, &tc.scalar)
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && (s.ExposeSecretBytes() != tc.scalar || s.Member() != tc.member) {
			t.Errorf("%s: kept another", name)
		}
	}
}

// However a secret share is printed, logged or marshalled, the secret does not show.
func TestSecretShareDoesNotShow(t *testing.T) {
	scalar := [32]byte{}
	for i := range scalar {
		scalar[i] = byte(0x21 + i) // also printable characters
	}
	s, err := threshold.NewSecretShare(3, &scalar)
	if err != nil {
		t.Fatal(err)
	}
	type holder struct {
		Exported *threshold.SecretShare
		hidden   *threshold.SecretShare
		value    threshold.SecretShare
		Value    threshold.SecretShare
	}
	h := holder{s, s, *s, *s}
	var out []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%U", "%t", "%g"} {
		for _, v := range []any{s, *s, h, &h, []any{s, *s}, map[string]*threshold.SecretShare{"a": s}} {
			out = append(out, fmt.Sprintf(verb, v))
		}
	}
	out = append(out, fmt.Sprint(s, *s, h), fmt.Sprintln(&h))
	for _, v := range []any{s, *s, h, &h} {
		b, err := json.Marshal(v)
		out = append(out, string(b), fmt.Sprint(err))
	}
	var logged bytes.Buffer
	for _, log := range []*slog.Logger{slog.New(slog.NewTextHandler(&logged, nil)), slog.New(slog.NewJSONHandler(&logged, nil))} {
		log.Info("share", "pointer", s, "value", *s, "holder", h)
	}
	out = append(out, logged.String())

	number := new(big.Int).SetBytes(scalar[:])
	forms := []string{
		string(scalar[2:10]), fmt.Sprintf("%x", scalar[:4]), fmt.Sprintf("%X", scalar[20:24]), number.String()[:12],
		strings.Trim(fmt.Sprint(scalar[:4]), "[]"), strings.Trim(fmt.Sprintf("%x", scalar[4:6:6]), "[]"), "0x21, 0x22", "!\"#$",
		strings.Trim(fmt.Sprintf("%b", scalar[:3]), "[]"), strings.Trim(fmt.Sprintf("%o", scalar[:3]), "[]"), "ISIjJCUm", // base64
	}
	for _, text := range out {
		for _, form := range forms {
			if strings.Contains(text, form) {
				t.Errorf("%q shows the secret as %q", text, form)
			}
		}
	}
	if got := fmt.Sprintf("%v", s); got != "threshold.SecretShare(redacted)" {
		t.Errorf("printed as %q", got)
	}
}

func TestWipe(t *testing.T) {
	c, secrets := thresholdtest.Deal(t.Name(), 1, 4, 3)
	batch := sealBatch(t, randomness(t), c.Key, 1)
	s := secrets[0]
	alias := *s
	s.Wipe()
	s.Wipe()
	for _, s := range []*threshold.SecretShare{s, &alias} {
		if s.ExposeSecretBytes() != [32]byte{} || s.MemberKey() != nil {
			t.Error("something is left")
		}
		_, err := s.ShareBatch(batch)
		expect(t, err, threshold.ErrWiped)
		_, err = s.Sign(nil)
		expect(t, err, threshold.ErrWiped)
	}
}

func TestSignature(t *testing.T) {
	c, secrets := thresholdtest.Deal(t.Name(), 1, 4, 3)
	other, _ := thresholdtest.Deal(t.Name()+"2", 1, 4, 3)
	msg := []byte("checkpoint")
	var shares []threshold.SignatureShare
	for i, s := range secrets {
		sh, err := s.Sign(msg)
		if err != nil {
			t.Fatal(err)
		}
		if err := threshold.VerifySignatureShare(c, msg, sh); err != nil {
			t.Error(err)
		}
		if err := threshold.VerifySignatureShareKey(c.Members[i], msg, sh); err != nil {
			t.Error(err)
		}
		expect(t, threshold.VerifySignatureShare(c, []byte("else"), sh), threshold.ErrSignature)
		expect(t, threshold.VerifySignatureShareKey(c.Members[(i+1)%4], msg, sh), threshold.ErrSignature)
		shares = append(shares, sh)
	}
	expect(t, threshold.VerifySignatureShare(c, msg, threshold.SignatureShare{Member: 5, Point: shares[0].Point}), threshold.ErrSignature)
	expect(t, threshold.VerifySignatureShare(c, msg, threshold.SignatureShare{Member: 0, Point: shares[0].Point}), threshold.ErrSignature)
	expect(t, threshold.VerifySignatureShareKey(nil, msg, shares[0]), threshold.ErrSignature)

	sig, bad, err := threshold.CombineSignature(c, msg, shares)
	if err != nil || bad != nil {
		t.Fatal(bad, err)
	}
	if err := threshold.VerifySignature(c.Key, msg, sig); err != nil {
		t.Error(err)
	}
	expect(t, threshold.VerifySignature(c.Key, []byte("else"), sig), threshold.ErrSignature)
	expect(t, threshold.VerifySignature(other.Key, msg, sig), threshold.ErrSignature)
	expect(t, threshold.VerifySignature(nil, msg, sig), threshold.ErrSignature)
	for name, p := range badPoints(t, sig[:]) {
		if threshold.VerifySignature(c.Key, msg, threshold.Signature(p.b)) == nil {
			t.Errorf("signature %s verifies", name)
		}
		spoilt := slices.Clone(shares)
		spoilt[1].Point = [48]byte(p.b)
		got, bad, err := threshold.CombineSignature(c, msg, spoilt)
		if err != nil || got != sig || !slices.Equal(bad, []uint32{2}) {
			t.Errorf("share %s: bad %v, %v", name, bad, err)
		}
		expect(t, threshold.VerifySignatureShare(c, msg, spoilt[1]), threshold.ErrSignature)
	}
	for i := range shares {
		three := append(slices.Clone(shares[:i]), shares[i+1:]...)
		if got, _, err := threshold.CombineSignature(c, msg, three); err != nil || got != sig {
			t.Errorf("without member %d: another signature, %v", i+1, err)
		}
	}
	_, _, err = threshold.CombineSignature(c, msg, shares[:2])
	expect(t, err, threshold.ErrTooFew)
	_, bad, err = threshold.CombineSignature(c, []byte("else"), shares)
	expect(t, err, threshold.ErrTooFew)
	if len(bad) != 4 {
		t.Errorf("bad %v", bad)
	}
}

// A share of a ciphertext is no share of a signature, whatever the message.
// VerifyMember says what the two checks say that it stands for.
func TestVerifyMember(t *testing.T) {
	type member struct {
		key    *threshold.MemberKey
		public []byte
		share  threshold.SignatureShare
	}
	msg := []byte("certified")
	var all []member
	for i := range 3 { // of a committee of one, the key's G1 form is known
		c, secrets := thresholdtest.Deal(fmt.Sprint(t.Name(), i), 1, 1, 1)
		sh, err := secrets[0].Sign(msg)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, member{c.Members[0], c.Key.Bytes()[:48], sh})
	}
	good := 0
	for _, a := range all {
		for _, b := range all {
			for _, c := range all {
				for _, m := range []string{"certified", "another"} {
					want := a.key.MatchesG1(b.public) && threshold.VerifySignatureShareKey(a.key, []byte(m), c.share) == nil
					if got := threshold.VerifyMember(a.key, b.public, []byte(m), c.share); got != want {
						t.Errorf("%v, want %v", got, want)
					}
					if want {
						good++
					}
				}
			}
		}
		for name, bad := range badPoints(t, a.public) {
			if threshold.VerifyMember(a.key, bad.b, msg, a.share) {
				t.Errorf("%s is taken for the key", name)
			}
		}
		for name, bad := range badPoints(t, a.share.Point[:]) {
			sh := a.share
			if copy(sh.Point[:], bad.b); len(bad.b) == len(sh.Point) && threshold.VerifyMember(a.key, a.public, msg, sh) {
				t.Errorf("%s is taken for the signature", name)
			}
		}
	}
	if good != 3 {
		t.Errorf("%d hold, want 3", good)
	}
	if threshold.VerifyMember(nil, all[0].public, msg, all[0].share) {
		t.Error("no key")
	}
}

func TestSignatureDomain(t *testing.T) {
	c, secrets := thresholdtest.Deal(t.Name(), 1, 1, 1)
	batch := sealBatch(t, randomness(t), c.Key, 1)
	s := share(t, secrets[0], batch)
	u := thresholdtest.U(batch[0].Ciphertext())
	for _, msg := range [][]byte{u, batch[0].Ciphertext().Bytes(), nil} {
		expect(t, threshold.VerifySignatureShare(c, msg, threshold.SignatureShare{Member: 1, Point: s.Points[0]}), threshold.ErrSignature)
	}
	if bytes.Equal(thresholdtest.HashMessage([]byte(threshold.Suite)), thresholdtest.SecondGenerator().BytesCompressed()) {
		t.Error("the second generator is a message's hash")
	}
}
