#!/usr/bin/env bash
# coverage.sh [PROFILE]: how much of the code that people write is run by the unit tests. Writes coverage.html
# and coverage.xml (Cobertura) beside the profile and fails below the least share.
#
#   PROFILE         of go test -coverprofile (default: .cache/ci/coverage.out, which test.sh leaves)
#   COVERAGE_MIN    the least share in percent (default: the number in deploy/ci/coverage.min)
set -euo pipefail
. "$(dirname "$0")/lib.sh"
arguments 0 1 "$@"
profile=${1:-$out/coverage.out}
[ -s "$profile" ] || fail "there is no profile $profile: run test.sh first"
least=${COVERAGE_MIN:-$(cat "$root/deploy/ci/coverage.min")}
[[ $least =~ ^[0-9]+(\.[0-9]+)?$ ]] || fail "\"$least\" is no share in percent"

cd "$root"
module=$(go list -m)
own=$(dirname "$profile")/coverage.own.out
# Nobody tests what a generator writes; it would only blur the number.
export GENERATED
GENERATED=$(git grep -lE '^// Code generated .* DO NOT EDIT\.$' -- '*.go' | sed "s:^:$module/:")
awk -F: '
  BEGIN { split(ENVIRON["GENERATED"], files, "\n"); for (i in files) skip[files[i]] = 1 }
  FNR == 1 || !($1 in skip)' "$profile" >"$own"

go tool cover -html="$own" -o "$(dirname "$profile")/coverage.html"
cobertura=$(go -C tools/ci tool -n gocover-cobertura)
"$cobertura" -by-files <"$own" >"$(dirname "$profile")/coverage.xml"

share=$(go tool cover -func="$own" | awk '$1 == "total:" { sub("%", "", $3); print $3 }')
[ -n "$share" ] || fail "the profile $profile holds no statement of ours"
awk -v share="$share" -v least="$least" 'BEGIN { exit !(share + 0 >= least + 0) }' ||
  fail "$share % of the statements are tested, less than $least %"
say "$share % of the statements are tested; at least $least % must be"
