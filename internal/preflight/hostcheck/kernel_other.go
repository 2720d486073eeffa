//go:build !linux

package hostcheck

import "errors"

// errLinux: nodes of a cluster run Linux; elsewhere the agent can be built but not see.
var errLinux = errors.New("this is known on Linux alone")

func statfs(string) (Usage, error) { return Usage{}, errLinux }
func kernel() (string, error)      { return "", errLinux }
func clock() (Clock, error)        { return Clock{}, errLinux }
func openFiles() (uint64, error)   { return 0, errLinux }
