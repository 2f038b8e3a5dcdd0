// Package threshold is Scrim's threshold encryption: anyone seals a plaintext to a committee's public key,
// and it stays sealed until t of the committee's n members have each published a share for it.
//
// A wallet needs one call:
//
//	ct, err := threshold.Seal(rand.Reader, key, threshold.SealOptions{ChainID: "...", Namespace: "..."}, plaintext)
//
// A member needs three: [Ciphertext.Check] (or [CheckBatch]) before a ciphertext is admitted, [SecretShare.ShareBatch]
// once its order is fixed, and [Combine] on the shares of t members. An auditor needs [VerifyOpenings] and [Open]: an
// opening of 48 bytes proves, against the committee's public key alone, which plaintext a ciphertext held.
//
// The scheme is suite "scrim/tdh2-bls12381g1/v1": TDH2 of Shoup and Gennaro (J. Cryptology 15, 2002) in the group G1 of
// BLS12-381, as a key encapsulation for AES-256-GCM, with shares and openings that are checked by pairing. The bytes
// are specified in docs/spec/threshold.md and fixed by the vectors in testdata/v1.
//
// # Invariants
//
// Unverified and verified values have different types: [Ciphertext] and [Checked], [BatchShare] and
// [VerifiedBatchShare], [Opening] and [VerifiedOpening]. Nothing can be shared, combined or opened before it has been
// checked. Openings are unique: every subset of t honest members gives the same bytes. Every encoding is canonical: a
// decoder accepts exactly one string of bytes for a value.
//
// The unit of a member's work is its share of a batch, never of one ciphertext, so that a suite with one share per
// batch can take this one's place.
//
// The package is pure: it reads no clock, and randomness only from the reader given to [Seal]. Arithmetic on public values
// is gnark-crypto's; a member's long-lived secret is only ever touched by constant-time code over circl's field.
package threshold
