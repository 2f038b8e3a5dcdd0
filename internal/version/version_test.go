package version

import (
	"runtime/debug"
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "0123456789abcdef0123456789abcdef01234567"}
	modified := debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	for _, c := range []struct {
		name, linked, main string
		settings           []debug.BuildSetting
		release, text      string
	}{
		{"without version control", "", "(devel)", nil, "(devel)", "(devel) go1.26"},
		{"installed", "", "v1.2.3", nil, "v1.2.3", "v1.2.3 go1.26"},
		{"of a commit", "", "(devel)", []debug.BuildSetting{revision}, "(devel)", "(devel) 0123456789ab go1.26"},
		{"with changes", "", "(devel)", []debug.BuildSetting{revision, modified}, "(devel)", "(devel) 0123456789ab+changes go1.26"},
		{"short revision", "", "v1", []debug.BuildSetting{{Key: "vcs.revision", Value: "7"}}, "v1", "v1 7 go1.26"},
		{"linked", "v9", "(devel)", nil, "v9", "v9 go1.26"},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer func(was string) { linked = was }(linked)
			linked = c.linked
			info := &debug.BuildInfo{GoVersion: "go1.26", Main: debug.Module{Version: c.main}, Settings: c.settings}
			if got := release(info); got != c.release {
				t.Errorf("release %q, want %q", got, c.release)
			}
			if got := text(info); got != c.text {
				t.Errorf("text %q, want %q", got, c.text)
			}
		})
	}
}

// What people read begins with what programs compare.
func TestReleaseIsInText(t *testing.T) {
	if Text() == "" || !strings.HasPrefix(Text(), Release()) {
		t.Errorf("release %q, text %q", Release(), Text())
	}
}
