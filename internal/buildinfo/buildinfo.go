// Package buildinfo says what a binary was built from.
package buildinfo

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker in released builds:
// -ldflags "-X github.com/seckill-go/seckill/internal/buildinfo.version=v1.2.3".
var version string

// commit is set in the same way where the build does not see the repository, as in an image.
var commit string

// Version is the linker's version, or the commit that the binary was built from, or "devel".
func Version() string {
	if version != "" {
		return version
	}
	return cmp.Or(Commit(), "devel")
}

// Commit is the commit that the binary was built from, in 12 digits, with "+changes" where the build saw
// a tree that had some, or "".
func Commit() string {
	if commit != "" {
		return commit[:min(12, len(commit))]
	}
	revision, modified := "", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				revision = s.Value[:min(12, len(s.Value))]
			case s.Key == "vcs.modified" && s.Value == "true":
				modified = "+changes"
			}
		}
	}
	if revision == "" {
		return ""
	}
	return revision + modified
}

// Line is the program's name, version, commit, Go version and platform, for people.
func Line(program string) string {
	return fmt.Sprintf("%s %s (commit %s) %s %s/%s",
		program, Version(), cmp.Or(Commit(), "unknown"), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
