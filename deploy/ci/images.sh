#!/usr/bin/env bash
# images.sh VERSION [NAME...]: builds the images of deploy/docker/Dockerfile, all of them or those named, as
# REGISTRY/seckill/NAME:VERSION.
#
#   REGISTRY      host and path before the name (default: registry.example.com; "-" for none, as
#                 docker-compose.yml has them)
#   BUILDER       docker, podman or buildah (default: docker)
#   BUILD_ARGS    more arguments for it, separated by spaces
#   COMMIT        what the images say they are built from (default: the commit that is checked out)
set -euo pipefail
. "$(dirname "$0")/lib.sh"
arguments 1 6 "$@"
version=$1
shift
# shellcheck disable=SC2086 # a word an image
[ $# -gt 0 ] || set -- $images
[[ $version =~ ^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$ ]] || fail "\"$version\" is no tag of an image"
builder=${BUILDER:-docker}
need "$builder"
commit=${COMMIT:-$(git -C "$root" rev-parse HEAD)}

for name in "$@"; do
  if [ "${REGISTRY:-}" = - ]; then
    tag=seckill/$name:$version
  else
    tag=$(image "$name" "$version")
  fi
  say "building $tag"
  # The labels once more: podman and buildah tell layers apart by a LABEL's text in the Dockerfile, where the
  # arguments are not put in yet, and would take those of an earlier version from their cache.
  # shellcheck disable=SC2086 # a word an argument
  "$builder" build --file "$root/deploy/docker/Dockerfile" --target "$name" --tag "$tag" \
    --build-arg "VERSION=$version" --build-arg "COMMIT=$commit" \
    --label "org.opencontainers.image.version=$version" --label "org.opencontainers.image.revision=$commit" ${BUILD_ARGS:-} "$root"
done
