package ordering

// OpeningsTx is openingsTx for tests that play a proposer.
func OpeningsTx(bs []BatchOpenings) []byte { return openingsTx(bs) }
