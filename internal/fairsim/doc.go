// Package fairsim runs the fair-order functions on a simulated network, to see what they do under delays and attacks:
//
//	result, err := fairsim.Run(fairsim.Config{Seed: 1, Members: 7, Scenario: "reversed"})
//	page, err := fairsim.Report(fairsim.Config{Seed: 1, Members: 7})   // all scenarios on one page
//
// It is a discrete-event simulation: clients send, members receive after link delays, stamp, relay, sign their logs
// once a height, and proposers put what they hold into blocks. Consensus is a number of message delays; everything else is
// real: announcements are signed, a block's section goes through its encoding, every block is checked by fair.ParseSection and Section.Verify, and
// fair.Step and fair.TimedStep decide, both on the same logs.
//
// Everything follows from the seed: the same configuration gives the same page on every machine. It is not a
// measurement of a network; the delays are made up (see docs/benchmarks-ordering.md).
package fairsim
