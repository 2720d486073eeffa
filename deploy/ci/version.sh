#!/usr/bin/env bash
# version.sh: prints the version of the commit that is checked out: its tag, or the last tag and the commit.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
arguments 0 0 "$@"

version=$(git -C "$root" describe --tags --always --abbrev=12)
check_version "$version"
echo "$version"
