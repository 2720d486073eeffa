//go:build !failpoint

// Package failpoint marks places at which a test can crash the process. Programs that are built
// without the tag "failpoint" pay nothing for the marks and cannot be made to crash by them.
package failpoint

// Variable names the environment variable that arms one fail point in a program built with the tag
// "failpoint": NAME:N kills the process at the N-th hit of the fail point NAME, N counting from 1.
const Variable = "SECKILL_FAILPOINT"

// Hit marks the fail point name. It does nothing: this program is built without fail points.
func Hit(string) {}
