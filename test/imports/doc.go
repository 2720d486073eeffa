// Package imports holds the table of which package may import which, and a test that holds the tree
// to it, so that a wrong import fails `make test` and not only a review. The linter's depguard
// rules in .golangci.yml say the same for editors and `make lint`; a test keeps both in step.
package imports
