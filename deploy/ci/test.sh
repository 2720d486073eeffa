#!/usr/bin/env bash
# test.sh: the tests of make test and test-deploy, with nothing skipped, and the coverage of the unit tests in
# .cache/ci/coverage.out for coverage.sh.
#
#   CI_TIERS    make's targets (default: those of make test, and test-deploy)
set -euo pipefail
. "$(dirname "$0")/lib.sh"
arguments 0 0 "$@"

mkdir -p "$out"
rm -f "$out/coverage.out"
# A build server that cannot run a test has not tested.
export CI=true
make -C "$root" test COVERPROFILE="$out/coverage.out" ${CI_TIERS:+"TIERS=$CI_TIERS"}
[ -n "${CI_TIERS:-}" ] || make -C "$root" test-deploy
