// Package mutants proves the tests of the order service: it breaks the platform in one way after
// another, in a copy of the tree, and demands that the tests go red. `make test-mutants` runs it; it is
// no part of `make test`, since each mutant is a build of its own.
package mutants
