// Package mirror copies a node's log to a directory, checks it on the way, and
// gives the copy to package audit.
//
// [Open] a directory, [Mirror.Update] it from a [Client] as often as you like, and
// replay it with [Mirror.Lines]. [Mirror.Watch] does that for several nodes and
// compares what they show.
//
// Invariants:
//   - Every byte from a server is bounded before it is kept and checked before it
//     is believed: tiles and entries against the root of the checkpoint at hand,
//     bodies against the entries that name them. What does not fit is never counted as mirrored.
//   - The directory remembers the largest checkpoint that was ever shown, before
//     anything of it is fetched. One that does not extend it is refused, and both
//     are kept; if signatures prove that somebody signed both, so is the evidence.
//   - Files are written beside their place and renamed; what the state counts as
//     mirrored was synced before. A crash loses at most what came since.
//   - Memory is bounded by a batch's ids and some tiles, not by the log.
//
// The layout is that of c2sp.org/tlog-tiles, with the bodies beside it as
// docs/spec/log.md serves them; see docs/runbooks/audit.md.
package mirror
