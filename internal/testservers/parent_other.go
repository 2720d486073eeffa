//go:build !linux

package testservers

import "os/exec"

// dieWithParent does nothing where the kernel has no such notion.
func dieWithParent(*exec.Cmd) {}
