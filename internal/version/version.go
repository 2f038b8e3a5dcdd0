// Package version says of which release a program is. The go command writes that into every program; a release build
// without a version of its own gives it to the linker:
//
//	go build -ldflags "-X github.com/scrimlabs/scrim/internal/version.linked=v1.2.3"
//
// [Release] is compared (a member's tool with its node), [Text] is read by people.
package version

import (
	"cmp"
	"runtime/debug"
)

// linked is set by the linker.
var linked string

// Release is the version alone, as v1.2.3 or (devel); "" if it is not known.
func Release() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return release(info)
	}
	return linked
}

// Text is the release, the commit (with +changes if it was not all of it) and the version of Go.
func Text() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return text(info)
	}
	return cmp.Or(linked, "unknown")
}

func release(info *debug.BuildInfo) string { return cmp.Or(linked, info.Main.Version) }

func text(info *debug.BuildInfo) string {
	revision, modified := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = " " + s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "+changes"
		}
	}
	return release(info) + revision + modified + " " + info.GoVersion
}
