package note

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Policy says which signatures a checkpoint must have (c2sp.org/tlog-policy): that of one of the logs, and
// cosignatures of a quorum of witnesses.
type Policy struct {
	Logs      []PolicyLog
	Witnesses []PolicyWitness

	groups map[string]group // by name; a witness is a group of itself
	quorum string
}

// PolicyLog is a log line. Name of Key is the log's origin.
type PolicyLog struct {
	Key Key
	URL string // "" if none
}

// PolicyWitness is a witness line.
type PolicyWitness struct {
	Name string // in the policy only
	Key  Key
	URL  string // "" if none
}

type group struct {
	k       int
	members []string // nil: a witness
}

// noQuorum is the predefined name that asks for no cosignature.
const noQuorum = "none"

const (
	// MaxPolicySize bounds a policy in bytes.
	MaxPolicySize = 256 << 10
	// maxPolicyNames bounds its logs, witnesses and groups, each (tlog-policy, Implementation limits: "at least up to 32").
	maxPolicyNames = 512
)

// ParsePolicy reads a policy file. Types of keys other than Ed25519's are not supported: ErrEncoding.
func ParsePolicy(b []byte) (*Policy, error) {
	if len(b) > MaxPolicySize {
		return nil, fmt.Errorf("%w: a policy of %d bytes, at most %d allowed", ErrEncoding, len(b), MaxPolicySize)
	}
	for _, c := range b { // tlog-policy, Character set
		if c < ' ' && c != '\t' && c != '\n' || c == 0x7f {
			return nil, fmt.Errorf("%w: control character %#02x in a policy", ErrEncoding, c)
		}
	}
	text, ok := strings.CutSuffix(string(b), "\n") // "each line is terminated by ASCII newline"
	if !ok {
		return nil, fmt.Errorf("%w: the policy's last line has no end", ErrEncoding)
	}
	p := &policyParser{Policy: &Policy{groups: make(map[string]group)}, used: make(map[string]bool)}
	for i, line := range strings.Split(text, "\n") {
		// "sequences of ASCII space and tab characters *only*"
		items := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
		if len(items) == 0 || strings.HasPrefix(items[0], "#") {
			continue
		}
		if err := p.line(items); err != nil {
			return nil, fmt.Errorf("policy line %d: %w", i+1, err)
		}
	}
	if p.quorum == "" {
		return nil, fmt.Errorf("%w: a policy needs exactly one quorum line", ErrEncoding)
	}
	return p.Policy, nil
}

type policyParser struct {
	*Policy
	used map[string]bool // names that are a member of a group
}

func (p *policyParser) line(items []string) error {
	word, args := items[0], items[1:]
	switch {
	case word == "log" && (len(args) == 1 || len(args) == 2):
		return p.log(args)
	case word == "witness" && (len(args) == 2 || len(args) == 3):
		return p.witness(args)
	case word == "group" && len(args) >= 3:
		return p.group(args[0], args[1], args[2:])
	case word == "quorum" && len(args) == 1:
		return p.setQuorum(args[0])
	default:
		return fmt.Errorf("%w: %q with %d arguments", ErrEncoding, word, len(args))
	}
}

func optional(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}

func (p *policyParser) log(args []string) error {
	k, err := ParseKey(args[0])
	if err != nil {
		return err
	}
	switch {
	case k.Type != TypeEd25519:
		return fmt.Errorf("%w: the key of log %s is of type %#02x, not of Ed25519", ErrEncoding, k.Name, k.Type)
	case slices.ContainsFunc(p.Logs, func(l PolicyLog) bool { return slices.Equal(l.Key.Public, k.Public) }):
		return fmt.Errorf("%w: two logs with one public key", ErrEncoding) // "Duplicate logs [...] are not allowed"
	case len(p.Logs) == maxPolicyNames:
		return fmt.Errorf("%w: more than %d logs", ErrEncoding, maxPolicyNames)
	}
	p.Logs = append(p.Logs, PolicyLog{k, optional(args, 1)})
	return nil
}

func (p *policyParser) define(name string, g group) error {
	if _, known := p.groups[name]; known || name == noQuorum {
		return fmt.Errorf("%w: the name %.40q is defined already", ErrEncoding, name) // "share a single namespace"
	}
	if len(p.groups) == 2*maxPolicyNames {
		return fmt.Errorf("%w: more than %d names", ErrEncoding, len(p.groups))
	}
	p.groups[name] = g
	return nil
}

func (p *policyParser) witness(args []string) error {
	k, err := ParseKey(args[1])
	if err != nil {
		return err
	}
	switch {
	case k.Type != TypeCosignature:
		return fmt.Errorf("%w: the key of witness %s is of type %#02x, not of cosignature/v1", ErrEncoding, args[0], k.Type)
	case slices.ContainsFunc(p.Witnesses, func(w PolicyWitness) bool { return slices.Equal(w.Key.Public, k.Public) }):
		return fmt.Errorf("%w: two witnesses with one public key", ErrEncoding)
	}
	p.Witnesses = append(p.Witnesses, PolicyWitness{args[0], k, optional(args, 2)})
	return p.define(args[0], group{k: 1})
}

func (p *policyParser) group(name, threshold string, members []string) error {
	k := uint64(1)
	switch threshold {
	case "any":
	case "all":
		k = uint64(len(members))
	default:
		var err error
		if k, err = parseDecimal(threshold); err != nil {
			return err
		}
	}
	if k < 1 || k > uint64(len(members)) {
		return fmt.Errorf("%w: group %.40q wants %d of %d", ErrEncoding, name, k, len(members))
	}
	for _, m := range members {
		if _, defined := p.groups[m]; !defined { // "defined on preceding lines"
			return fmt.Errorf("%w: group %.40q has the member %.40q, which no line before defines", ErrEncoding, name, m)
		}
		if p.used[m] { // "Each defined name can be listed as a group member at most once"
			return fmt.Errorf("%w: %.40q is a member of a group twice", ErrEncoding, m)
		}
		p.used[m] = true
	}
	return p.define(name, group{int(k), slices.Clone(members)})
}

func (p *policyParser) setQuorum(name string) error {
	if _, defined := p.groups[name]; !defined && name != noQuorum {
		return fmt.Errorf("%w: the quorum is %.40q, which no line before defines", ErrEncoding, name)
	}
	if p.quorum != "" {
		return fmt.Errorf("%w: a second quorum line", ErrEncoding)
	}
	p.quorum = name
	return nil
}

// Satisfied is how a note meets a policy.
type Satisfied struct {
	Checkpoint Checkpoint
	Logs       []Key             // of the policy, which signed; all of them are of the checkpoint's origin
	Witnesses  map[string]uint64 // names of the policy's witnesses that cosigned, with the time in seconds since 1970
}

// Check reads a note and checks that it is a checkpoint that meets the policy: ErrPolicy if it lacks signatures,
// ErrSignature if one by a key of the policy does not verify (signed-note, Signatures: "clients SHOULD reject the whole note"). Without
// any log line, the caller knows the log from elsewhere and checks its signature itself.
func (p *Policy) Check(signed []byte) (*Satisfied, error) {
	n, c, err := ParseSigned(signed)
	if err != nil {
		return nil, err
	}
	return p.CheckNote(n, c)
}

// CheckNote is Check of a note that has been read, with its checkpoint.
func (p *Policy) CheckNote(n *Note, c Checkpoint) (*Satisfied, error) {
	s := &Satisfied{Checkpoint: c, Witnesses: make(map[string]uint64)}
	for _, l := range p.Logs {
		if _, there := l.Key.Find(n); !there || l.Key.Name != c.Origin { // "This name MUST correspond to the log's origin line"
			continue
		}
		if _, err := l.Key.Verify(n); err != nil {
			return nil, err
		}
		s.Logs = append(s.Logs, l.Key)
	}
	if len(p.Logs) > 0 && len(s.Logs) == 0 {
		return nil, fmt.Errorf("%w: no log of the policy signed the checkpoint of %s over %d entries", ErrPolicy, c.Origin, c.Size)
	}
	for _, w := range p.Witnesses {
		if _, there := w.Key.Find(n); !there {
			continue
		}
		at, err := w.Key.Verify(n)
		if err != nil {
			return nil, err
		}
		s.Witnesses[w.Name] = at
	}
	if p.quorum != noQuorum && !p.witnessed(p.quorum, s.Witnesses) {
		return nil, fmt.Errorf("%w: the checkpoint of %s over %d entries has %d cosignatures of the policy's witnesses, which are not the quorum %q",
			ErrPolicy, c.Origin, c.Size, len(s.Witnesses), p.quorum)
	}
	return s, nil
}

func (p *Policy) witnessed(name string, by map[string]uint64) bool {
	g := p.groups[name]
	if g.members == nil {
		_, ok := by[name]
		return ok
	}
	n := 0
	for _, m := range g.members {
		if p.witnessed(m, by) {
			n++
		}
	}
	return n >= g.k
}

// CommitteePolicy is the policy file for a chain's members: any of them may have published the checkpoint, and quorum of
// them must have cosigned it; 0 asks for none. Members are named m1, m2 and so on.
func CommitteePolicy(chainID string, identities []ed25519.PublicKey, quorum int) []byte {
	var b strings.Builder
	names := make([]string, len(identities))
	for i, identity := range identities {
		names[i] = "m" + strconv.Itoa(i+1)
		b.WriteString("log " + LogKey(chainID, identity).String() + "\n")
		b.WriteString("witness " + names[i] + " " + MemberKey(chainID, identity).String() + "\n")
	}
	if quorum == 0 {
		b.WriteString("quorum " + noQuorum + "\n")
		return []byte(b.String())
	}
	b.WriteString("group members " + strconv.Itoa(quorum) + " " + strings.Join(names, " ") + "\nquorum members\n")
	return []byte(b.String())
}
