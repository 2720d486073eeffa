// Package mutants proves the tests of the order service and of preflight's guards: it breaks the platform
// in one way after another, in a copy of the tree, and demands that the tests go red. Where the state that
// a test ends in is wrong, the audit has to be red as well: an operator has no model to compare with. The
// last lines are a table of what each mutant was caught by. `make test-mutants` runs it; it is no part of
// `make test`, since each mutant is a build of its own.
package mutants
