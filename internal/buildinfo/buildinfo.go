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

// Version is the linker's version, or the commit that the binary was built from, or "devel".
func Version() string {
	if version != "" {
		return version
	}
	return cmp.Or(Commit(), "devel")
}

// Commit is the commit that the binary was built from, with "+changes" where the tree had some, or "".
func Commit() string {
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

// Line is the program's name, version, Go version and platform, for people.
func Line(program string) string {
	return fmt.Sprintf("%s %s %s %s/%s", program, Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
