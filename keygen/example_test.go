package keygen_test

import (
	"crypto/rand"
	"fmt"
	"log"

	"github.com/scrimlabs/scrim/keygen"
)

// A committee of three hands its key to two of its members and a new one. In
// Scrim the proposal, the consents and the rest go through the chain.
func ExampleBeginSuccession() {
	secrets := map[string]*keygen.MemberSecret{}
	member := func(name string) keygen.Member {
		if secrets[name] == nil {
			secrets[name], _ = keygen.NewMemberSecret(rand.Reader)
		}
		return secrets[name].Member(name)
	}
	first := &keygen.Terms{
		ChainID: "example", Epoch: 1, Attempt: 1, Threshold: 2, Phases: keygen.EqualPhases(10), StartHeight: 1, Change: keygen.ChangeFirst,
		Members: []keygen.Member{member("ann"), member("bob"), member("cid")},
	}
	state, err := keygen.New(first)
	if err != nil {
		log.Fatal(err)
	}
	office := play(state, secrets, nil)

	previous, err := keygen.PreviousOf(office.Certificate())
	if err != nil {
		log.Fatal(err)
	}
	next := &keygen.Terms{
		ChainID: "example", Epoch: 2, Attempt: 1, Threshold: 2, Phases: keygen.EqualPhases(10), StartHeight: 100,
		Change: keygen.ChangeReshare, Previous: previous,
		Members: []keygen.Member{member("ann"), member("bob"), member("dora")},
	}
	proposal, err := keygen.ProposeTerms(secrets["ann"], next) // any member in office may
	if err != nil {
		log.Fatal(err)
	}
	if state, err = keygen.BeginSuccession(office.Certificate(), 1, 90, proposal); err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"ann", "bob", "dora"} { // cid has nothing to say against it
		votes, err := keygen.Votes(secrets[name], next, keygen.KindConsent)
		if err != nil {
			log.Fatal(err)
		}
		for _, m := range votes { // ann and bob consent as new members, and approve as previous ones
			if state, _, err = keygen.Step(state, keygen.Event{Height: 91, Message: m}); err != nil {
				log.Fatal(err)
			}
		}
	}
	fmt.Println(state.Phase())
	successor := play(state, secrets, office).Certificate()

	fmt.Println("verified:", keygen.VerifyCertificate(successor, next) == nil, keygen.VerifySuccession(successor, office.Certificate()) == nil)
	fmt.Println("the same key:", successor.Committee.Key.ID() == office.Certificate().Committee.Key.ID())
	// Output:
	// accepted
	// verified: true true
	// the same key: true
}

// play holds a ceremony to its end. In a resharing who is in office deals with its share.
func play(state *keygen.State, secrets map[string]*keygen.MemberSecret, office *keygen.State) *keygen.State {
	var members []*keygen.Participant
	for _, secret := range secrets {
		var seed [32]byte
		rand.Read(seed[:])
		p, err := keygen.NewParticipant(secret, state.Terms(), seed)
		if err != nil {
			log.Fatal(err)
		}
		if office != nil {
			if old, err := keygen.RecoverShare(secret, office); err == nil { // or from its file: sharefile.ReadShare
				p.UseShare(old)
			}
		}
		members = append(members, p)
	}
	for height := state.Terms().StartHeight - 1; !state.Done(); height++ {
		var block []*keygen.Message
		for _, p := range members {
			if share, err := p.Share(state); err == nil {
				p.ConfirmStored(share)
				p.ConfirmReadBack(share)
			}
			owed, err := p.Next(state)
			if err != nil {
				log.Fatal(err)
			}
			block = append(block, owed...)
		}
		for _, m := range append(block, nil) {
			var err error
			if state, _, err = keygen.Step(state, keygen.Event{Height: height, Message: m}); err != nil {
				log.Fatal(err)
			}
		}
	}
	return state
}

// Four members hold a ceremony. In Scrim the log is the chain; here it is a slice.
func Example() {
	var secrets []*keygen.MemberSecret
	terms := &keygen.Terms{
		ChainID: "example", Epoch: 1, Attempt: 1, Threshold: keygen.DefaultThreshold(4),
		Phases:      keygen.EqualPhases(10), // blocks, at most
		StartHeight: 1,
		Change:      keygen.ChangeFirst,
	}
	for _, name := range []string{"ann", "bob", "cid", "dora"} {
		secret, err := keygen.NewMemberSecret(rand.Reader)
		if err != nil {
			log.Fatal(err)
		}
		secrets = append(secrets, secret)
		terms.Members = append(terms.Members, secret.Member(name))
	}

	var members []*keygen.Participant
	for _, secret := range secrets {
		var seed [32]byte
		rand.Read(seed[:]) // and store it: sharefile.WriteSeed
		p, err := keygen.NewParticipant(secret, terms, seed)
		if err != nil {
			log.Fatal(err)
		}
		members = append(members, p)
	}

	state, err := keygen.New(terms)
	if err != nil {
		log.Fatal(err)
	}
	for height := uint64(1); !state.Done(); height++ {
		var block []*keygen.Message
		for _, p := range members {
			if state.Phase() >= keygen.PhaseCertifying {
				share, err := p.Share(state)
				if err != nil {
					log.Fatal(err)
				}
				p.ConfirmStored(share)   // after sharefile.WriteShare and ReadShare
				p.ConfirmReadBack(share) // in storing, after sharefile.ReadShare once more
			}
			owed, err := p.Next(state)
			if err != nil {
				log.Fatal(err)
			}
			block = append(block, owed...)
		}
		for _, m := range append(block, nil) { // nil: the height ends
			if state, _, err = keygen.Step(state, keygen.Event{Height: height, Message: m}); err != nil {
				log.Fatal(err)
			}
		}
		fmt.Printf("height %d: %s\n", height, state.Phase())
	}
	fmt.Println("certificate:", keygen.VerifyCertificate(state.Certificate(), terms) == nil)
	// Output:
	// height 1: responding
	// height 2: certifying
	// height 3: storing
	// height 4: active
	// certificate: true
}
