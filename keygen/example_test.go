package keygen_test

import (
	"crypto/rand"
	"fmt"
	"log"

	"github.com/scrimlabs/scrim/keygen"
)

// Four members hold a ceremony. In Scrim the log is the chain; here it is a slice.
func Example() {
	var secrets []*keygen.MemberSecret
	terms := &keygen.Terms{
		ChainID: "example", Epoch: 1, Attempt: 1, Threshold: keygen.DefaultThreshold(4),
		Phases:      keygen.EqualPhases(10), // blocks, at most
		StartHeight: 1,
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
			m, err := p.Next(state)
			if err != nil {
				log.Fatal(err)
			}
			if m != nil {
				block = append(block, m)
			}
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
