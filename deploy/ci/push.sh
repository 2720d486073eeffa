#!/usr/bin/env bash
# push.sh VERSION [NAME...]: pushes what images.sh built, all images or those named.
#
#   REGISTRY             as for images.sh
#   BUILDER              as for images.sh
#   REGISTRY_USERNAME, REGISTRY_PASSWORD
#                        log in first, into a file that is removed at the end; without them who runs this is
#                        logged in already
set -euo pipefail
. "$(dirname "$0")/lib.sh"
arguments 1 6 "$@"
version=$1
shift
# shellcheck disable=SC2086 # a word an image
[ $# -gt 0 ] || set -- $images
check_version "$version"
builder=${BUILDER:-docker}
need "$builder"

if [ -n "${REGISTRY_USERNAME:-}" ]; then
  login=$(mktemp -d)
  trap 'rm -rf "$login"' EXIT
  # docker's variable, and that of podman and buildah
  export DOCKER_CONFIG=$login REGISTRY_AUTH_FILE=$login/auth.json
  host=${REGISTRY:-$default_registry}
  "$builder" login --username "$REGISTRY_USERNAME" --password-stdin "${host%%/*}" <<<"${REGISTRY_PASSWORD:?}" >/dev/null
fi

for name in "$@"; do
  tag=$(image "$name" "$version")
  for try in 1 2 3; do
    "$builder" push "$tag" && break
    [ "$try" -lt 3 ] || fail "$tag could not be pushed"
    say "$tag could not be pushed, trying again" >&2
  done
  say "pushed $tag"
done
