#!/usr/bin/env bash
# deploy.sh ENV VERSION: brings the schemas up to date and then the images of that version out on the cluster
# of KUBECONFIG. It does not wait for the pods: rollout.sh does. undo.sh takes it back.
#
#   ENV              a folder of deploy/k8s/overlays
#   REGISTRY         as for images.sh
#   MIGRATE_TIMEOUT  seconds that the migrations may take (default: 3600)
set -euo pipefail
. "$(dirname "$0")/lib.sh"
arguments 2 2 "$@"
environment "$1"
version=$2
check_version "$version"
need kubectl

# A kustomization refers to others by relative paths alone, so this one lies within the repository.
mkdir -p "$out"
work=$(mktemp -d "$out/deploy.XXXXXX")
trap 'rm -rf "$work"' EXIT

# render PART [LINE...]: a part of the overlay with this version's images.
render() {
  local part=$1 name
  shift
  mkdir -p "$work/$part"
  {
    echo "resources: [$(realpath --relative-to="$work/$part" "$overlay/$part")]"
    echo "images:"
    for name in $images; do
      echo "  - {name: $default_registry/seckill/$name, newName: ${REGISTRY:-$default_registry}/seckill/$name, newTag: \"$version\"}"
    done
    printf '%s\n' "$@"
  } >"$work/$part/kustomization.yaml"
  kubectl kustomize "$work/$part" >"$work/$part.yaml"
  # Where the overlay gives an image another name, that of this version is heard by nobody.
  local stray
  stray=$(sed -n 's/^[- ]*image: *//p' "$work/$part.yaml" | sort -u |
    grep -vxF -f <(for name in $images; do image "$name" "$version"; done) || true)
  [ -z "$stray" ] || fail "$overlay/$part does not take the version $version: $(paste -sd' ' <<<"$stray")"
}

apply() { k apply --server-side --force-conflicts --field-manager=seckill-deploy -f "$1"; }

# An object's name has small letters, digits and '-', and is at most 63 long.
suffix=$(tr 'A-Z._' 'a-z--' <<<"$version" | cut -c1-50 | sed 's/-*$//')
job=migrate-$suffix

# Both, before anything is changed.
render migrate "nameSuffix: -$suffix"
render release

revisions=$(deployments)
before=()
while read -r line; do
  [ -z "$line" ] || before+=("revision.$line")
done <<<"$revisions"
record "version=$version" state=migrating "${before[@]}"

# A Job cannot be changed.
k delete job "$job" --ignore-not-found
apply "$work/migrate.yaml"
say "waiting for $job"
deadline=$((SECONDS + ${MIGRATE_TIMEOUT:-3600}))
while true; do
  state=$(k get job "$job" -o 'jsonpath={range .status.conditions[?(@.status=="True")]}{.type} {end}')
  case " $state " in
    *" Complete "*) break ;;
    *" Failed "*) ended="failed" ;;
    *) [ $SECONDS -lt $deadline ] || ended="did not end in time" ;;
  esac
  if [ -n "${ended:-}" ]; then
    k logs "job/$job" --all-containers --prefix --tail=40 >&2 || say "the log of $job cannot be read" >&2
    fail "$job $ended: version $version was not brought out"
  fi
  sleep "${POLL_SECONDS:-2}"
done
say "$job is done"

record "version=$version" state=applied "${before[@]}"
apply "$work/release.yaml"
say "$version is brought out on $1 (namespace $namespace)"
