// Package fair is the fair-order function: from the members' signed receive logs it computes which
// ciphertexts a height orders and in which order, so that no proposer chooses either.
//
// Package ordering runs it in blocks: docs/spec/order-in-blocks.md.
//
// It is a state machine, folded height by height:
//
//	s, err := fair.New(params, 0)
//	next, decision, err := fair.Step(s, height, chunks, done)      // fixes sets of ids, without any beacon
//	components := decision.Frames[0].Order(params, beacon)         // when the beacon of that height is known
//
// The two are apart because the beacon must be unknown while the set can still be influenced. Where the bodies of a frame do
// not fit into a block, [Frame.Cut] says which go first; [Frame.Explain] says why an id stands where it does, and
// [State.Status] what one waits for.
//
// Members say what they received with head statements:
//
//	a, err := fair.ReceiveOrder.Say(key, chainID, height, chunk)   // once a height
//	section, _, err := s.Section(announcements)                    // what a proposer puts into its block
//	chunks, err := s.Read(chainID, section, identities)            // what everybody checks
//
// A second rule on the same logs, by time, has the same shape: [NewTimed], [TimedStep], [TimedFrame.Order]. Statements, chunks
// and sections are the same types in both, with times in the second. [Rule], [Logs] and [Set] are for who takes either.
//
// A State is a value: Step never changes its input. Nothing here reads a clock, draws randomness or
// logs; the result does not depend on the order in which chunks are given. Memory is bounded by
// the members' live limits ([Params].MaxLive).
//
// Definition, guarantees with their proofs, and wire formats: docs/spec/fair-order.md.
package fair
