// Package keygen holds key ceremonies: n members make a committee key of which
// every t of them, and no fewer, can use the secret.
//
// It is Pedersen's distributed key generation on BLS12-381 G1, on kyber's
// share package, as a public state machine that reads an ordered log:
//
//	state, err := keygen.New(terms)                     // everybody who reads the log
//	state, effects, err = keygen.Step(state, event)     // for each message, and each end of a height
//
//	p, err := keygen.NewParticipant(secret, terms, seed) // a member, beside it
//	owed, err := p.Next(state)                          // what the member owes now: send it
//	share, err := p.Share(state)                        // in certifying: store it, then p.ConfirmStored;
//	                                                    // in storing: read it again, then p.ConfirmReadBack
//
// and anybody, later, with nothing but a certificate and perhaps pinned terms:
//
//	err := keygen.VerifyCertificate(certificate, terms)
//
// A committee in office is followed by another one, with the same key, dealt anew
// (ChangeReshare), or with a new one (ChangeRotate):
//
//	terms.Previous, err = keygen.PreviousOf(certificate)    // of the committee in office
//	m, err := keygen.ProposeTerms(secret, terms)            // a member in office proposes
//	state, err := keygen.BeginSuccession(certificate, attempt, height, m)
//	words, err := keygen.Votes(secret, terms, KindConsent)  // who joins consents, who hands over approves
//	err = p.UseShare(old)                                   // who deals a resharing gives its share
//	err = keygen.VerifySuccession(next, certificate)        // anybody, later
//
// A ceremony deals (commitments, a proof of possession, a share encrypted to
// every member), complains about shares that do not fit, lets dealers answer,
// certifies what came out, and waits until the shares are stored. Invariants:
//
//   - The state is a function of the log: Step reads no clock, no randomness
//     and no private key, and two who read the same log have the same Hash.
//   - What a member does wrong is a Fault in the state, with the signature that
//     proves it. An error means that a message was refused and nothing changed.
//   - A ceremony ends: every phase has a last height. It ends active, with at
//     least t certifications by members whose share is right and at least t
//     of them that have read it back; or failed, aborted by t, or rejected, and
//     then nothing has changed: who was in office still is.
//   - Old and new shares of a key do not mix: with fewer than t of each one has nothing.
//   - Evidence proves a fault to whoever has the terms, without the log.
//   - A member says only what follows from its secret, the terms and the seed,
//     so that one that restarts repeats itself.
//
// What is on the wire: docs/spec/keygen.md. Why not kyber's DistKeyGenerator:
// docs/decisions/0020. Indexes of members are 1 to n everywhere, and those of the
// previous committee's n+1 to n+m (Terms.Speakers); kyber's i is member i+1.
package keygen
