// Package e2e has no product code: its tests run whole committees of real node processes,
// with real CometBFT and real Postgres, over a devnet: submissions over REST, kills,
// restarts, a member that sends wrong shares, the audit at the end.
//
// byzantine is the program that the misbehaving member runs; it is built for tests only.
package e2e
