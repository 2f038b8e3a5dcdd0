package node

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// Config is a member's config.toml after the environment has been laid over it.
//
// Every key can be set by the variable SCRIM_<SECTION>_<KEY>; lists are then
// separated by commas. The doc tags are the comments of the generated file.
// The format is specified in docs/spec/config.md.
type Config struct {
	Home      string          `toml:"-"` // absolute; paths in the file are relative to it
	Log       LogConfig       `toml:"log" doc:"What the node writes to standard error, and who witnesses the commit-reveal log."`
	Secrets   SecretsConfig   `toml:"secrets" doc:"Where the member's secrets are, and the age identity that opens them. Never in the database."`
	Postgres  PostgresConfig  `toml:"postgres" doc:"The member's own database; no two members share one."`
	P2P       P2PConfig       `toml:"p2p" doc:"The private network of the committee."`
	HTTP      HTTPConfig      `toml:"http" doc:"The REST interface for wallets, applications and auditors."`
	Consensus ConsensusConfig `toml:"consensus" doc:"Timing. These values suit a local network; docs/spec/config.md says how to choose them for a wide one."`
	Mempool   MempoolConfig   `toml:"mempool" doc:"Ciphertexts that wait for a block."`
	Ceremony  CeremonyConfig  `toml:"ceremony" doc:"Key ceremonies."`
}

// LogConfig is the section [log].
type LogConfig struct {
	Level  string `toml:"level" doc:"debug, info, warn or error"`
	Format string `toml:"format" doc:"text or json"`

	Witnesses []string `toml:"witnesses" doc:"outside witnesses of the commit-reveal log (c2sp.org/tlog-witness), each as \"verifier-key https://address\""`

	KeepCosignatures int `toml:"keep_cosignatures" doc:"newest checkpoints of that log whose cosignatures are kept; 0 keeps all of them for ever"`
}

// SecretsConfig is the section [secrets].
type SecretsConfig struct {
	MemberFile   string `toml:"member_file" doc:"the member's keys, age-encrypted"`
	ShareDir     string `toml:"share_dir" doc:"folder of ceremony seeds and key shares, age-encrypted"`
	IdentityFile string `toml:"identity_file" doc:"file with the age identity that opens the two above; best on another device than them"`
	IdentityEnv  string `toml:"identity_env" doc:"environment variable that holds the identity itself; used when identity_file is empty"`
}

// PostgresConfig is the section [postgres].
type PostgresConfig struct {
	URL    string `toml:"url" doc:"postgres://user@host:port/database; prefer url_env if it has a password"`
	URLEnv string `toml:"url_env" doc:"environment variable that holds the URL; used when url is empty"`

	AllowUnsafe bool `toml:"allow_unsafe" doc:"start also on a server that may forget what it said it stored (fsync or full_page_writes off); for tests and throw-away networks only"`
}

// P2PConfig is the section [p2p].
type P2PConfig struct {
	Listen   string   `toml:"listen" doc:"address to accept members on"`
	External string   `toml:"external" doc:"host:port that other members reach this one at, if it differs from listen"`
	Peers    []string `toml:"peers" doc:"nodes to connect to as nodeid@host:port: all other members, or for a node that is to join, those that let it in; 'scrimd genesis show' prints the node ids"`
}

// HTTPConfig is the section [http].
type HTTPConfig struct {
	Listen         string   `toml:"listen" doc:"host:port; port 0 is refused, because nobody would know it"`
	RatePerMinute  int      `toml:"rate_per_minute" doc:"submissions a minute that one client address may make; 0 means no limit"`
	TrustedProxies []string `toml:"trusted_proxies" doc:"networks of reverse proxies whose X-Forwarded-For is believed, as 10.0.0.0/8"`
	CORSOrigins    []string `toml:"cors_origins" doc:"web origins whose pages may call the interface; [\"*\"] for all"`
	MaxBodyBytes   int64    `toml:"max_body_bytes" doc:"largest request body in bytes; a submission is twice its ciphertext (hex) and a little"`
}

// ConsensusConfig is the section [consensus].
type ConsensusConfig struct {
	TimeoutCommit  time.Duration `toml:"timeout_commit" doc:"wait after a block for late votes and shares: the largest one-way delay between members plus 10ms"`
	TimeoutPropose time.Duration `toml:"timeout_propose" doc:"wait for a proposal before going on without its proposer: at least four round trips"`
	TimeoutVote    time.Duration `toml:"timeout_vote" doc:"wait for the remaining votes of a round that cannot decide yet"`
}

// MempoolConfig is the section [mempool].
type MempoolConfig struct {
	Size int `toml:"size" doc:"most ciphertexts waiting; more are refused with 503 (a large pool turns overload into a halt)"`
}

// CeremonyConfig is the section [ceremony].
type CeremonyConfig struct {
	Attempts      int `toml:"attempts" doc:"up to this attempt at the chain's first key the member proposes (member 1) and accepts a new one by itself after a ceremony that came to nothing; 1 means never"`
	KeepOldShares int `toml:"keep_old_shares" doc:"blocks for which seeds and shares are kept when their committee has no batch to open any more, or their ceremony came to nothing; then they are destroyed"`
}

// DefaultConfig returns the values that a key has when neither file nor environment sets it.
func DefaultConfig() *Config {
	return &Config{
		Log:     LogConfig{Level: "info", Format: "text", Witnesses: []string{}, KeepCosignatures: 10000},
		Secrets: SecretsConfig{MemberFile: "member.age", ShareDir: "shares", IdentityEnv: "SCRIM_AGE_IDENTITY"},
		Postgres: PostgresConfig{
			URLEnv: "DATABASE_URL",
		},
		P2P:       P2PConfig{Listen: "tcp://127.0.0.1:26656", Peers: []string{}},
		HTTP:      HTTPConfig{Listen: "127.0.0.1:8080", RatePerMinute: 6000, TrustedProxies: []string{}, CORSOrigins: []string{}, MaxBodyBytes: 512 << 10},
		Consensus: ConsensusConfig{TimeoutCommit: 20 * time.Millisecond, TimeoutPropose: 300 * time.Millisecond, TimeoutVote: 100 * time.Millisecond},
		Mempool:   MempoolConfig{Size: 5000},
		Ceremony:  CeremonyConfig{Attempts: 1, KeepOldShares: 1000},
	}
}

// ConfigError says which key of which source is wrong.
type ConfigError struct {
	Source string // the file's path, or "environment"
	Key    string // section.key, or the variable's name; empty if the file as a whole is meant
	Reason string
}

func (e *ConfigError) Error() string {
	if e.Key == "" {
		return e.Source + ": " + e.Reason
	}
	return e.Source + ": " + e.Key + ": " + e.Reason
}

// LoadConfig reads home/config.toml, lays the environment over it and checks the result.
// An unknown key, in the file or in a variable named for one of its sections, is an error.
func LoadConfig(home string) (*Config, error) {
	return loadConfig(home, os.Environ())
}

// LoadConfigFile is LoadConfig without the environment.
func LoadConfigFile(home string) (*Config, error) {
	return loadConfig(home, nil)
}

func loadConfig(home string, environ []string) (*Config, error) {
	home, err := filepath.Abs(home)
	if err != nil {
		return nil, err
	}
	c := DefaultConfig()
	c.Home = home
	path := c.File()
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &ConfigError{Source: path, Reason: "does not exist; make a home with 'scrimd init --home " + home + "' or name another with --home"}
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if err := decodeConfig(path, string(text), c); err != nil {
		return nil, err
	}
	fromEnv, err := overrideFromEnv(c, environ)
	if err != nil {
		return nil, err
	}
	if err := c.validate(); err != nil {
		var bad *ConfigError
		if errors.As(err, &bad) {
			bad.Source = path
			if name, ok := fromEnv[bad.Key]; ok {
				bad.Source, bad.Key = "environment", name
			}
		}
		return nil, err
	}
	return c, nil
}

func decodeConfig(path, text string, c *Config) error {
	meta, err := toml.Decode(text, c)
	var syntax toml.ParseError
	if errors.As(err, &syntax) {
		return &ConfigError{Source: fmt.Sprintf("%s:%d", path, syntax.Position.Line), Key: syntax.LastKey, Reason: syntax.Message}
	}
	if err != nil {
		return &ConfigError{Source: path, Reason: strings.TrimPrefix(err.Error(), "toml: ")}
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return &ConfigError{Source: path, Key: unknown[0].String(), Reason: "unknown key; docs/spec/config.md lists all"}
	}
	return nil
}

// eachKey calls f for every key of the file, in the file's order.
func eachKey(c *Config, f func(section reflect.StructField, key reflect.StructField, value reflect.Value) error) error {
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		section := v.Type().Field(i)
		if section.Tag.Get("toml") == "-" {
			continue
		}
		for j := range v.Field(i).NumField() {
			if err := f(section, section.Type.Field(j), v.Field(i).Field(j)); err != nil {
				return err
			}
		}
	}
	return nil
}

// overrideFromEnv sets keys from SCRIM_<SECTION>_<KEY> and tells which variable set which key.
func overrideFromEnv(c *Config, environ []string) (map[string]string, error) {
	vars := map[string]string{}
	for _, kv := range environ {
		if name, value, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(name, "SCRIM_") {
			vars[name] = value
		}
	}
	set := map[string]string{}
	var prefixes []string
	err := eachKey(c, func(section, key reflect.StructField, value reflect.Value) error {
		prefix := "SCRIM_" + strings.ToUpper(section.Tag.Get("toml")) + "_"
		prefixes = append(prefixes, prefix)
		name := prefix + strings.ToUpper(key.Tag.Get("toml"))
		text, ok := vars[name]
		if !ok {
			return nil
		}
		delete(vars, name)
		set[section.Tag.Get("toml")+"."+key.Tag.Get("toml")] = name
		if err := setValue(value, text); err != nil {
			return &ConfigError{Source: "environment", Key: name, Reason: err.Error()}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	delete(vars, c.Secrets.IdentityEnv)
	delete(vars, c.Postgres.URLEnv)
	names := make([]string, 0, len(vars))
	for name := range vars {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			return nil, &ConfigError{Source: "environment", Key: name, Reason: "names no key of config.toml; docs/spec/config.md lists all"}
		}
	}
	return set, nil
}

func setValue(v reflect.Value, text string) error {
	switch v.Interface().(type) {
	case string:
		v.SetString(text)
	case time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q is not a duration such as 300ms", text)
		}
		v.SetInt(int64(d))
	case bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(b)
	case int, int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		v.SetInt(n)
	case []string:
		list := []string{}
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				list = append(list, item)
			}
		}
		v.Set(reflect.ValueOf(list))
	default:
		return fmt.Errorf("a %s cannot be set from the environment", v.Type())
	}
	return nil
}

var peerPattern = regexp.MustCompile(`^[0-9a-f]{40}@.+:[0-9]+$`)

func (c *Config) validate() error {
	bad := func(key, format string, args ...any) error {
		return &ConfigError{Source: "config", Key: key, Reason: fmt.Sprintf(format, args...)}
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		return bad("log.level", "%q is not one of debug, info, warn, error", c.Log.Level)
	}
	if !slices.Contains([]string{"text", "json"}, c.Log.Format) {
		return bad("log.format", "%q is not text or json", c.Log.Format)
	}
	for _, w := range c.Log.Witnesses {
		if _, err := parseWitness(w); err != nil {
			return bad("log.witnesses", "%q: %v", w, err)
		}
	}
	if c.Log.KeepCosignatures < 0 {
		return bad("log.keep_cosignatures", "%d is negative; 0 keeps all", c.Log.KeepCosignatures)
	}
	if c.Secrets.MemberFile == "" {
		return bad("secrets.member_file", "is empty")
	}
	if c.Secrets.ShareDir == "" {
		return bad("secrets.share_dir", "is empty")
	}
	if c.Secrets.IdentityFile == "" && c.Secrets.IdentityEnv == "" {
		return bad("secrets.identity_file", "is empty, and so is identity_env; one of them must lead to the age identity")
	}
	if c.Postgres.URL == "" && c.Postgres.URLEnv == "" {
		return bad("postgres.url", "is empty, and so is url_env; one of them must name the member's database")
	}
	if c.Postgres.URL != "" && !validPostgresURL(c.Postgres.URL) {
		return bad("postgres.url", "is not of the form postgres://user@host:port/database") // the value may hold a password
	}
	if err := validListen(strings.TrimPrefix(c.P2P.Listen, "tcp://")); err != nil || !strings.HasPrefix(c.P2P.Listen, "tcp://") {
		return bad("p2p.listen", "%q is not of the form tcp://host:port", c.P2P.Listen)
	}
	if c.P2P.External != "" {
		if err := validListen(c.P2P.External); err != nil {
			return bad("p2p.external", "%q is not of the form host:port", c.P2P.External)
		}
	}
	for _, peer := range c.P2P.Peers {
		if !peerPattern.MatchString(peer) {
			return bad("p2p.peers", "%q is not of the form nodeid@host:port, where nodeid is 40 hex digits; 'scrimd genesis show' prints the node ids", peer)
		}
	}
	if err := validListen(c.HTTP.Listen); err != nil {
		return bad("http.listen", "%q: %v", c.HTTP.Listen, err)
	}
	if c.HTTP.RatePerMinute < 0 {
		return bad("http.rate_per_minute", "%d is negative; 0 means no limit", c.HTTP.RatePerMinute)
	}
	for _, network := range c.HTTP.TrustedProxies {
		if _, err := netip.ParsePrefix(network); err != nil {
			return bad("http.trusted_proxies", "%q is not a network such as 10.0.0.0/8", network)
		}
	}
	for _, origin := range c.HTTP.CORSOrigins {
		u, err := url.Parse(origin)
		if origin != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Path != "") {
			return bad("http.cors_origins", `%q is not of the form https://host, nor "*"`, origin)
		}
	}
	if c.HTTP.MaxBodyBytes < 4096 || c.HTTP.MaxBodyBytes > 16<<20 {
		return bad("http.max_body_bytes", "%d is not between 4096 and %d", c.HTTP.MaxBodyBytes, 16<<20)
	}
	for _, timeout := range []struct {
		key   string
		value time.Duration
	}{
		{"consensus.timeout_commit", c.Consensus.TimeoutCommit},
		{"consensus.timeout_propose", c.Consensus.TimeoutPropose},
		{"consensus.timeout_vote", c.Consensus.TimeoutVote},
	} {
		// A bare number in TOML would be nanoseconds; the lower bound catches it.
		if timeout.value < time.Millisecond || timeout.value > time.Minute {
			return bad(timeout.key, `%v is not between 1ms and 1m; write it with its unit, such as "300ms"`, timeout.value)
		}
	}
	if c.Mempool.Size < 1 || c.Mempool.Size > 50000 {
		return bad("mempool.size", "%d is not between 1 and 50000", c.Mempool.Size)
	}
	if c.Ceremony.Attempts < 1 || c.Ceremony.Attempts > 255 {
		return bad("ceremony.attempts", "%d is not between 1 and 255; 1 means that this member begins no other by itself", c.Ceremony.Attempts)
	}
	if c.Ceremony.KeepOldShares < 0 || c.Ceremony.KeepOldShares > 1<<30 {
		return bad("ceremony.keep_old_shares", "%d is not between 0 and %d blocks", c.Ceremony.KeepOldShares, 1<<30)
	}
	return nil
}

// validPostgresURL looks at the form only: a URL, or libpq's keyword=value form.
func validPostgresURL(s string) bool {
	if !strings.Contains(s, "://") {
		return strings.Contains(s, "=")
	}
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql") && (u.Host != "" || u.Query().Get("host") != "")
}

func validListen(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return errors.New("is not of the form host:port")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return errors.New("the port must be a number from 1 to 65535")
	}
	return nil
}

// Marshal gives config.toml with a comment above every key. LoadConfig reads it back to an equal Config.
func (c *Config) Marshal() []byte {
	var b strings.Builder
	b.WriteString("# Configuration of a Scrim committee member.\n")
	b.WriteString("# An unknown key is an error. SCRIM_<SECTION>_<KEY> in the environment overrides a key.\n")
	b.WriteString("# Paths are relative to the folder of this file. All keys: docs/spec/config.md\n")
	last := ""
	_ = eachKey(c, func(section, key reflect.StructField, value reflect.Value) error { // which has none
		if name := section.Tag.Get("toml"); name != last {
			fmt.Fprintf(&b, "\n# %s\n[%s]\n", section.Tag.Get("doc"), name)
			last = name
		}
		fmt.Fprintf(&b, "# %s\n%s = %s\n", key.Tag.Get("doc"), key.Tag.Get("toml"), tomlValue(value))
		return nil
	})
	return []byte(b.String())
}

func tomlValue(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return tomlString(x.String())
	case string:
		return tomlString(x)
	case []string:
		items := make([]string, len(x))
		for i, s := range x {
			items[i] = tomlString(s)
		}
		return "[" + strings.Join(items, ", ") + "]"
	default:
		return fmt.Sprint(x)
	}
}

// tomlString quotes s as a TOML basic string.
func tomlString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// Proxies returns the networks of TrustedProxies, which were checked when the configuration was loaded.
func (c *HTTPConfig) Proxies() []netip.Prefix {
	var networks []netip.Prefix
	for _, s := range c.TrustedProxies {
		networks = append(networks, netip.MustParsePrefix(s))
	}
	return networks
}

// PostgresURL returns the database's URL from the file or the variable it names.
// It may hold a password: it belongs in no log and no error.
func (c *Config) PostgresURL() (string, error) {
	if c.Postgres.URL != "" {
		return c.Postgres.URL, nil
	}
	u := os.Getenv(c.Postgres.URLEnv)
	if u == "" {
		return "", &ConfigError{Source: c.File(), Key: "postgres.url", Reason: "is empty, and so is the variable " + c.Postgres.URLEnv + " that url_env names; set one of them to postgres://user@host:port/database"}
	}
	if !validPostgresURL(u) {
		return "", &ConfigError{Source: "environment", Key: c.Postgres.URLEnv, Reason: "is not of the form postgres://user@host:port/database"}
	}
	return u, nil
}
