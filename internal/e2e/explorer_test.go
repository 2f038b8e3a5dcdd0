package e2e

import (
	"context"
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
)

// The pages for people, as a browser shows them: a transaction is followed from the list
// of batches to its plaintext, and no page breaks its own content policy.
func pagesInABrowser(t *testing.T, n *network) {
	browser := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
			break
		}
	}
	if browser == "" {
		t.Skip("no browser here: apt-get install chromium")
	}
	tx := n.seal([]byte("a readable <b>plaintext</b>"))
	n.send(tx)
	id := tx.sealed.ID()
	final := n.final(2, id)
	open := func(path string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(n.ctx, time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
			"--enable-logging=stderr", "--user-data-dir="+t.TempDir(), "--virtual-time-budget=2000", "--dump-dom", n.Nodes[2].URL+path)
		var console strings.Builder
		cmd.Stderr = &console
		dom, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", browser, path, err, console.String())
		}
		for line := range strings.SplitSeq(console.String(), "\n") {
			if strings.Contains(line, "CONSOLE") {
				t.Errorf("%s: the browser complains: %s", path, line)
			}
		}
		return string(dom)
	}
	hex := v1.HexOf(id[:]).String()
	for path, wants := range map[string][]string{
		"/explorer/": {`href="/explorer/batches/`, "revealed"},
		"/explorer/search?q=" + hex: {hex, "a readable &lt;b&gt;plaintext&lt;/b&gt;", "<svg", "scrim audit verify-tx tx.json", final.Opening.String(),
			`class="done"`, "received", "ordered", "opened", "recorded", "since ordered", `class="at"`},
	} {
		dom := open(path)
		for _, want := range wants {
			if !strings.Contains(dom, want) {
				t.Errorf("%s: no %q in\n%s", path, want, dom)
			}
		}
	}
	for path, verified := range map[string]int{"/explorer/transactions/" + hex: 2, fmt.Sprintf("/explorer/batches/%d", *final.Height): 2} {
		copyAndRun(t, n, open(path), verified)
	}
	if dir := os.Getenv("SCRIM_SCREENSHOTS"); dir != "" {
		cmd := exec.CommandContext(n.ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+t.TempDir(), "--window-size=1100,900",
			"--screenshot="+filepath.Join(dir, "transaction.png"), n.Nodes[2].URL+"/explorer/transactions/"+hex)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("screenshot: %v\n%s", err, out)
		}
	}
}

// copyAndRun does what a page tells its reader to do: the commands, as they are shown, line by line in an empty folder, with
// nothing but scrim. So many of them must answer that something is verified.
func copyAndRun(t *testing.T, n *network, dom string, verified int) {
	t.Helper()
	_, commands, found := strings.Cut(dom, `<pre class="commands">`)
	commands, _, ended := strings.Cut(commands, "</pre>")
	if !found || !ended {
		t.Fatalf("no commands in\n%s", dom)
	}
	cmd := exec.CommandContext(n.ctx, "sh", "-ex", "-c", html.UnescapeString(commands))
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(buildScrim(t, n.ctx))+":"+os.Getenv("PATH"), "HOME="+cmd.Dir)
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count("\n"+string(out), "\nverified\n") != verified {
		t.Errorf("%v\n%s", err, out)
	}
}
