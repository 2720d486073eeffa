#!/usr/bin/env bash
# lint.sh: Go code, generated code, shell scripts, Dockerfile and Jenkinsfile, by the Makefile's targets. All of
# them run; the last line says which failed.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
arguments 0 0 "$@"

failed=
for target in lint drift lint-delivery; do
  make -C "$root" "$target" || failed="$failed $target"
done
[ -z "$failed" ] || fail "FAILED:$failed"
