// Package abci runs ordering's pure state machine on CometBFT, in this process: the
// ABCI 2.0 application, the p2p channel on which members send each other their shares,
// and the settings that suit a private network of committee members. It is the only
// importer of CometBFT.
//
//	n, err := abci.New(abci.Config{...})   // replays what the state is behind
//	err = n.Start()
//	n.Submit(ordering.CiphertextTx(ct), nil)
//
// CometBFT's validators follow the committee in office, two blocks later, and who may connect
// follows the state's members. A node that is in no committee follows the chain.
//
// CometBFT keeps its own stores for blocks and votes; the application's state is the
// Engine's to keep. See docs/decisions for the choice of version and of settings.
package abci
