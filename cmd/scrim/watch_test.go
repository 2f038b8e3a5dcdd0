package main

import (
	"strings"
	"testing"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
)

// A transaction that expired is said to have, and why.
func TestDescribeExpired(t *testing.T) {
	for reason, want := range map[string]string{
		v1.ExpiredTooLate: "expired, namespace eth, valid until block 7, because that block passed before it was ordered",
		v1.ExpiredKey:     "because it is sealed to a key that is not in use any more",
		v1.ExpiredInvalid: "because the chain does not admit it",
		"a new\nreason":   `because "a new\nreason"`,
	} {
		got := describe(&v1.Transaction{ID: make(v1.Hex, 32), Namespace: "eth", Status: v1.StatusExpired, Reason: &reason, ValidUntil: 7})
		if !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := describe(&v1.Transaction{ID: make(v1.Hex, 32), Namespace: "eth", Status: v1.StatusReceived, ValidUntil: 7}); strings.Contains(got, "because") {
		t.Error(got)
	}
}
