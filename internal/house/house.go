// Package house holds no product code: its tests keep the house rules that the
// compiler does not know.
//
//   - imports_test.go: who may import whom, and which library lives in which room;
//     what the wallets' and auditors' tool must never link.
//   - purity_test.go: no clock, randomness, goroutine, logger or float in the pure
//     packages; secret bytes come out only where they may.
//   - domains_test.go: every domain string is one constant, no string is the
//     prefix of another, and docs/spec/domains.md lists them all.
//
// The rules and their reasons are in docs/decisions/0001-layout-and-import-rules.md.
package house
