package pgcluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// oldest is the first major version that has all we use.
const oldest = 13

// usualFolders are where packages put server programs that are not in PATH.
var usualFolders = []string{
	"/usr/lib/postgresql/*/bin",         // Debian, Ubuntu
	"/usr/pgsql-*/bin",                  // Red Hat, PGDG
	"/usr/libexec/postgresql*",          // Alpine
	"/usr/local/pgsql/bin",              // built from source
	"/opt/homebrew/opt/postgresql*/bin", // macOS, Apple silicon
	"/usr/local/opt/postgresql*/bin",    // macOS, Intel
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// programs is one installed version of the server programs.
type programs struct {
	dir   string
	major int
}

func (p programs) path(name string) string { return filepath.Join(p.dir, name) }

// findPrograms lists the installed versions: those in the PATH list first, then
// those in the usual folders, newest first.
func findPrograms(ctx context.Context, path string, globs []string) []programs {
	var found []programs
	for _, dir := range filepath.SplitList(path) {
		found = appendPrograms(ctx, found, dir)
	}
	var more []programs
	for _, glob := range globs {
		dirs, _ := filepath.Glob(glob) // the patterns are constants, and good
		for _, dir := range dirs {
			more = appendPrograms(ctx, more, dir)
		}
	}
	slices.SortStableFunc(more, func(a, b programs) int { return cmp.Compare(b.major, a.major) })
	return append(found, more...)
}

// appendPrograms adds dir to list if it holds server programs that are new enough.
func appendPrograms(ctx context.Context, list []programs, dir string) []programs {
	if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
		return list
	}
	// A link in PATH leads to the folder that also has the other programs.
	postgres, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
	if err != nil {
		return list
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(postgres), "initdb")); err == nil {
		dir = filepath.Dir(postgres)
	}
	out, err := exec.CommandContext(ctx, postgres, "--version").Output()
	if err != nil {
		return list
	}
	major := parseMajor(string(out))
	known := slices.ContainsFunc(list, func(p programs) bool { return p.dir == dir })
	if major < oldest || known {
		return list
	}
	return append(list, programs{dir, major})
}

var majorPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// parseMajor reads "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"; 0 if it cannot.
func parseMajor(version string) int {
	m := majorPattern.FindStringSubmatch(version)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1]) // digits; too many give a number that no cluster has
	return n
}

// choosePrograms finds programs for the cluster in data, or for a new one. If none
// are installed, it installs some where that is possible.
func choosePrograms(ctx context.Context, data string, o options, log *slog.Logger) (programs, error) {
	found := findPrograms(ctx, o.path, o.globs)
	if len(found) == 0 {
		if err := install(ctx, o.path, log); err != nil {
			return programs{}, err
		}
		if found = findPrograms(ctx, o.path, o.globs); len(found) == 0 {
			return programs{}, fmt.Errorf("%w; apt-get ran without an error, but brought no version %d or newer", ErrNoPostgres, oldest)
		}
	}
	made, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return found[0], nil
	}
	if err != nil {
		return programs{}, err
	}
	want := strings.TrimSpace(string(made))
	for _, p := range found {
		if strconv.Itoa(p.major) == want {
			return p, nil
		}
	}
	return programs{}, fmt.Errorf("%w: %s is of version %s, and version %d is installed; install PostgreSQL %s, or delete the folder to begin anew",
		ErrVersion, data, want, found[0].major, want)
}

// install runs apt-get where it may.
func install(ctx context.Context, path string, log *slog.Logger) error {
	apt := lookIn(path, "apt-get")
	if os.Geteuid() != 0 || apt == "" {
		return ErrNoPostgres
	}
	log.Info("installing PostgreSQL with apt-get")
	for _, args := range [][]string{
		{"update"},
		{"install", "--yes", "--no-install-recommends", "postgresql"},
	} {
		cmd := exec.CommandContext(ctx, apt, args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w; apt-get %s: %w: %s", ErrNoPostgres, args[0], err, lastLines(out))
		}
	}
	return nil
}

// lookIn finds an executable in a PATH list; "" if it is in none.
func lookIn(path, name string) string {
	for _, dir := range filepath.SplitList(path) {
		full := filepath.Join(dir, name)
		if info, err := os.Stat(full); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return full
		}
	}
	return ""
}

// lastLines is the end of what a program said, short enough for an error message.
func lastLines(out []byte) string {
	const limit = 1000
	s := strings.TrimSpace(string(out))
	if len(s) > limit {
		s = s[len(s)-limit:]
		if _, whole, ok := strings.Cut(s, "\n"); ok {
			s = whole
		}
	}
	return s
}
