package ordering

// OpeningsTx is openingsTx for tests that play a proposer.
func OpeningsTx(bs []BatchOpenings) []byte { return openingsTx(bs) }

// Remembered is how many ciphertexts v remembers.
func (v *Verifier) Remembered() int { return len(v.checked.m) }
