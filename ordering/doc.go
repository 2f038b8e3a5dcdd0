// Package ordering is the deterministic heart of a Scrim chain: which ciphertexts
// are admitted, in which order a block fixes them, which batches are opened, and
// what of it enters the commit-reveal log and the app hash.
//
// The state is folded block by block:
//
//	s, err := ordering.New(genesis)
//	txs := ordering.Propose(s, v, ordering.Proposal{...})   // a proposer fills a block
//	err = ordering.Check(s, v, block)                        // everyone judges a proposal
//	s, result := ordering.Step(s, v, block)                  // everyone applies a decided block
//
// Committees follow each other: State.Office is the one in office, State.Tenures those that
// still have something to open as well, State.Keys what wallets may seal to. A ceremony that
// becomes active puts its committee in office; one that comes to nothing changes nothing.
//
// A State is never changed once it exists: Step returns a new one, so any number
// of goroutines may read the old one. Nothing here reads a clock, draws
// randomness or touches a store; the caller makes a Result durable before it acts
// on it (house.md's "persist, then perform").
//
// Verifier only remembers what was verified before; it changes costs, never answers.
//
// The wire formats are in docs/spec/ordering.md.
package ordering
