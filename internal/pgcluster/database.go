package pgcluster

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

var databaseName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// CreateDatabase creates the database name (a-z, 0-9, _; at most 63) if there is
// none. It runs psql, which comes with the server programs.
func (s *Server) CreateDatabase(ctx context.Context, name string) error {
	if !databaseName.MatchString(name) {
		return fmt.Errorf("create database: %q is not a name of a-z, 0-9 and _, beginning with a letter", name)
	}
	psql, err := s.psql(ctx)
	if err != nil {
		return err
	}
	admin, password := withoutPassword(s.admin)
	env := os.Environ()
	if s.private != nil {
		env = cleanEnvironment()
	}
	if password != "" {
		env = append(env, "PGPASSWORD="+password) // arguments can be read by everyone on the machine
	}
	// \gexec runs what the query returns: nothing if the database is there.
	script := fmt.Sprintf(`SELECT 'CREATE DATABASE "%[1]s"' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '%[1]s') \gexec`, name)
	cmd := exec.CommandContext(ctx, psql, "--no-psqlrc", "--no-password", "--quiet", "--set", "ON_ERROR_STOP=1",
		"--set", "VERBOSITY=sqlstate", "--dbname", admin)
	cmd.Env = env
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	if err != nil && !duplicate(out) {
		return fmt.Errorf("create database %s: %w: %s", name, err, lastLines(out))
	}
	return nil
}

// duplicate: another process created the database at the same moment.
// Postgres has two ways to say so, for losing early and for losing late.
func duplicate(out []byte) bool {
	return strings.Contains(string(out), "42P04") || strings.Contains(string(out), "23505")
}

func (s *Server) psql(ctx context.Context) (string, error) {
	if s.private != nil {
		if p := s.private.programs.path("psql"); isFile(p) {
			return p, nil
		}
	}
	if p, err := exec.LookPath("psql"); err == nil {
		return p, nil
	}
	for _, p := range findPrograms(ctx, "", usualFolders) {
		if psql := filepath.Join(p.dir, "psql"); isFile(psql) {
			return psql, nil
		}
	}
	return "", errors.New("create database: the program psql was not found; install the PostgreSQL client, or create the database by hand")
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// withoutPassword takes the password out of a URL. A keyword=value string with a
// password is left as it is: quoting it apart is libpq's business.
func withoutPassword(admin string) (rest, password string) {
	u, err := url.Parse(admin)
	if err != nil || u.User == nil {
		return admin, ""
	}
	password, _ = u.User.Password()
	u.User = url.User(u.User.Username())
	return u.String(), password
}
