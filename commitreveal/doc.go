// Package commitreveal is what the committee promised, what it showed, and how
// anyone checks the one against the other.
//
// A member that accepts a ciphertext signs a [Receipt]. A block that orders
// ciphertexts makes a [Batch], whose root enters the log as a [CommitEntry];
// only after that entry is durable do the members' shares leave, each as a
// [ShareMessage]. The openings and the committee's signature on the batch's
// [Checkpoint] enter the log as a [RevealEntry]. The log is an RFC 6962 Merkle
// tree ([Log]) whose root is in the app hash and in the next checkpoint. A
// bundle ([BundleWriter], [BundleReader]) carries all of it to package audit,
// which replays it without network.
//
// Most callers need [NewBatch] and [Step], [MarshalEntry] and [Log.Append],
// and [SignReceipt] or [VerifyReceipt].
//
// Invariants:
//   - Everything is a pure function of its arguments: no clock, no randomness,
//     no store. Callers make the result of Step durable before they perform
//     its effects.
//   - The effect [ReleaseShare] comes only from the [Durable] event.
//   - Every format has exactly one encoding per value, is bounded before
//     anything is allocated, and never parses with bytes left over.
//   - Whatever is hashed or signed starts with a domain string of its own.
//
// The formats are specified in docs/spec/commitreveal.md and
// docs/spec/bundle.md. Merkle hashing is golang.org/x/mod/sumdb/tlog's.
package commitreveal
