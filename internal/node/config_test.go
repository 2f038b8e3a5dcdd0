package node

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/commitreveal/note"
)

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "config.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return home
}

func TestLoadConfigDefaults(t *testing.T) {
	home := writeConfig(t, "")
	got, err := loadConfig(home, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultConfig()
	want.Home = home
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("an empty file differs from the defaults (-want +got):\n%s", diff)
	}
}

// What Marshal writes, LoadConfig reads back, for odd values too.
func TestConfigRoundTrip(t *testing.T) {
	odd := DefaultConfig()
	odd.Log = LogConfig{Level: "debug", Format: "json", Witnesses: []string{}}
	odd.Secrets = SecretsConfig{MemberFile: `a "quoted"\name`, ShareDir: "sch\u00e4tze\t", IdentityFile: "/x y", IdentityEnv: ""}
	odd.Postgres = PostgresConfig{URL: "postgres:///db?host=/tmp/a"}
	odd.P2P = P2PConfig{Listen: "tcp://[::1]:1", External: "example.org:2", Peers: []string{strings.Repeat("0a", 20) + "@h:3", strings.Repeat("ff", 20) + "@[::1]:4"}}
	odd.HTTP = HTTPConfig{Listen: ":80", RatePerMinute: 1, CORSOrigins: []string{"*", "https://a.example"}, MaxBodyBytes: 4096, TrustedProxies: []string{"10.0.0.0/8", "::1/128"}}
	odd.Consensus = ConsensusConfig{time.Millisecond, 90 * time.Second / 2, 1500 * time.Microsecond}
	odd.Mempool.Size = 1
	odd.Ceremony.Attempts = 255
	for name, want := range map[string]*Config{"defaults": DefaultConfig(), "odd": odd} {
		t.Run(name, func(t *testing.T) {
			want.Home = writeConfig(t, string(want.Marshal()))
			got, err := loadConfig(want.Home, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("round trip (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadConfigRefuses(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		env        []string
		want       []string // parts of the message
	}{
		{"unknown key", "[http]\nlisten = \"a:1\"\nlistn = \"b:1\"", nil, []string{"config.toml: http.listn: unknown key"}},
		{"unknown section", "[htpp]\nlisten = \"a:1\"", nil, []string{"config.toml: htpp", "unknown key"}},
		{"key without section", "listen = \"a:1\"", nil, []string{"config.toml: listen: unknown key"}},
		{"syntax", "[http]\nlisten = nowhere", nil, []string{"config.toml:2"}},
		{"key twice", "[log]\nlevel=\"info\"\nlevel=\"warn\"", nil, []string{"config.toml:3"}},
		{"wrong type", "[http]\nlisten = 8080", nil, []string{"config.toml", "http.listen"}},
		{"log level", "[log]\nlevel = \"loud\"", nil, []string{"log.level", `"loud"`, "debug, info, warn, error"}},
		{"log format", "[log]\nformat = \"xml\"", nil, []string{"log.format"}},
		{"no identity", "[secrets]\nidentity_env = \"\"", nil, []string{"secrets.identity_file", "identity_env"}},
		{"no member file", "[secrets]\nmember_file = \"\"", nil, []string{"secrets.member_file"}},
		{"no share folder", "[secrets]\nshare_dir = \"\"", nil, []string{"secrets.share_dir"}},
		{"no database", "[postgres]\nurl_env = \"\"", nil, []string{"postgres.url", "url_env"}},
		{"database form", "[postgres]\nurl = \"mysql://a/b\"", nil, []string{"postgres.url", "postgres://"}},
		{"p2p without scheme", "[p2p]\nlisten = \"127.0.0.1:26656\"", nil, []string{"p2p.listen", "tcp://host:port"}},
		{"p2p external", "[p2p]\nexternal = \"tcp://a:1\"", nil, []string{"p2p.external"}},
		{"peer without id", "[p2p]\npeers = [\"10.0.0.1:26656\"]", nil, []string{"p2p.peers", "nodeid@host:port"}},
		{"http port 0", "[http]\nlisten = \"127.0.0.1:0\"", nil, []string{"http.listen", "1 to 65535"}},
		{"http without port", "[http]\nlisten = \"127.0.0.1\"", nil, []string{"http.listen", "host:port"}},
		{"negative rate", "[http]\nrate_per_minute = -1", nil, []string{"http.rate_per_minute"}},
		{"proxy without mask", "[http]\ntrusted_proxies = [\"10.0.0.1\"]", nil, []string{"http.trusted_proxies", "10.0.0.0/8"}},
		{"origin with path", "[http]\ncors_origins = [\"https://a/b\"]", nil, []string{"http.cors_origins"}},
		{"small body", "[http]\nmax_body_bytes = 1", nil, []string{"http.max_body_bytes"}},
		{"duration without unit", "[consensus]\ntimeout_commit = 20", nil, []string{"consensus.timeout_commit", "unit"}},
		{"mempool", "[mempool]\nsize = 0", nil, []string{"mempool.size"}},
		{"no attempt", "[ceremony]\nattempts = 0", nil, []string{"ceremony.attempts"}},
		{"negative margin", "[ceremony]\nkeep_old_shares = -1", nil, []string{"ceremony.keep_old_shares", "-1"}},
		{"variable for no key", "", []string{"SCRIM_HTTP_LISTN=a:1"}, []string{"environment: SCRIM_HTTP_LISTN"}},
		{"variable not a number", "", []string{"SCRIM_MEMPOOL_SIZE=many"}, []string{"environment: SCRIM_MEMPOOL_SIZE", `"many"`}},
		{"variable not a duration", "", []string{"SCRIM_CONSENSUS_TIMEOUT_VOTE=9"}, []string{"environment: SCRIM_CONSENSUS_TIMEOUT_VOTE"}},
		{"value of a variable", "", []string{"SCRIM_LOG_LEVEL=loud"}, []string{"environment: SCRIM_LOG_LEVEL", `"loud"`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := loadConfig(writeConfig(t, tc.text), tc.env)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, part := range tc.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not contain %q", err, part)
				}
			}
		})
	}
}

func TestLoadConfigWithoutFile(t *testing.T) {
	_, err := loadConfig(filepath.Join(t.TempDir(), "none"), nil)
	var bad *ConfigError
	if !errors.As(err, &bad) || !strings.Contains(bad.Reason, "scrimd init") {
		t.Errorf("got %v, want advice to run scrimd init", err)
	}
}

// A database URL may hold a password.
func TestConfigErrorsHideTheURL(t *testing.T) {
	t.Setenv("TEST_DB", "mysql://u:hunter2@h/d")
	_, err := loadConfig(writeConfig(t, "[postgres]\nurl = \"mysql://u:hunter2@h/d\""), nil)
	c := DefaultConfig()
	c.Postgres.URLEnv = "TEST_DB"
	_, err2 := c.PostgresURL()
	for _, err := range []error{err, err2} {
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v, want an error without the password", err)
		}
	}
}

func TestEnvironmentOverridesEveryKey(t *testing.T) {
	peer := strings.Repeat("0a", 20) + "@h:3"
	witnessed := note.MemberKey("w", make([]byte, 32)).String() + " https://h/w"
	env := []string{
		"SCRIM_LOG_LEVEL=warn", "SCRIM_LOG_FORMAT=json", "SCRIM_LOG_WITNESSES=" + witnessed, "SCRIM_LOG_KEEP_COSIGNATURES=6",
		"SCRIM_SECRETS_MEMBER_FILE=m", "SCRIM_SECRETS_SHARE_DIR=s", "SCRIM_SECRETS_IDENTITY_FILE=i", "SCRIM_SECRETS_IDENTITY_ENV=SCRIM_LOG_IN",
		"SCRIM_POSTGRES_URL=postgres://h/d", "SCRIM_POSTGRES_URL_ENV=X", "SCRIM_POSTGRES_ALLOW_UNSAFE=true",
		"SCRIM_P2P_LISTEN=tcp://h:1", "SCRIM_P2P_EXTERNAL=h:2", "SCRIM_P2P_PEERS=" + peer + ", " + peer + ",",
		"SCRIM_HTTP_LISTEN=h:3", "SCRIM_HTTP_RATE_PER_MINUTE=4", "SCRIM_HTTP_TRUSTED_PROXIES=10.0.0.0/8", "SCRIM_HTTP_CORS_ORIGINS=*", "SCRIM_HTTP_MAX_BODY_BYTES=5000",
		"SCRIM_CONSENSUS_TIMEOUT_COMMIT=1ms", "SCRIM_CONSENSUS_TIMEOUT_PROPOSE=2ms", "SCRIM_CONSENSUS_TIMEOUT_VOTE=3ms",
		"SCRIM_MEMPOOL_SIZE=7", "SCRIM_CEREMONY_ATTEMPTS=3", "SCRIM_CEREMONY_KEEP_OLD_SHARES=9",
		"SCRIM_NODES=http://a", "SCRIM_LOG_IN=AGE-SECRET-KEY-", "HOME=/x", // not ours, or named by the configuration
	}
	got, err := loadConfig(writeConfig(t, ""), env)
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Home:      got.Home,
		Log:       LogConfig{"warn", "json", []string{witnessed}, 6},
		Secrets:   SecretsConfig{"m", "s", "i", "SCRIM_LOG_IN"},
		Postgres:  PostgresConfig{"postgres://h/d", "X", true},
		P2P:       P2PConfig{"tcp://h:1", "h:2", []string{peer, peer}},
		HTTP:      HTTPConfig{"h:3", 4, []string{"10.0.0.0/8"}, []string{"*"}, 5000},
		Consensus: ConsensusConfig{time.Millisecond, 2 * time.Millisecond, 3 * time.Millisecond},
		Mempool:   MempoolConfig{7},
		Ceremony:  CeremonyConfig{3, 9},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	defaults := reflect.ValueOf(DefaultConfig()).Elem()
	eachKey(got, func(section, key reflect.StructField, value reflect.Value) error {
		if reflect.DeepEqual(value.Interface(), defaults.FieldByName(section.Name).FieldByName(key.Name).Interface()) {
			t.Errorf("%s.%s has its default: the test sets no variable for it", section.Name, key.Name)
		}
		return nil
	})
}

// The specification has a row for every key, with its variable, default and comment.
func TestConfigSpec(t *testing.T) {
	text, err := os.ReadFile("../../docs/spec/config.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	eachKey(DefaultConfig(), func(section, key reflect.StructField, value reflect.Value) error {
		rows++
		name := section.Tag.Get("toml") + "." + key.Tag.Get("toml")
		row := "| `" + name + "` | `" + tomlValue(value) + "` | " + key.Tag.Get("doc") + " |\n"
		if !strings.Contains(string(text), row) {
			t.Errorf("docs/spec/config.md lacks the row\n%s", row)
		}
		return nil
	})
	if got := len(regexp.MustCompile("(?m)^\\| `[^`]+` \\| `[^`]*` \\| ").FindAll(text, -1)); got != rows {
		t.Errorf("docs/spec/config.md has %d rows of keys, the program has %d keys", got, rows)
	}
}
