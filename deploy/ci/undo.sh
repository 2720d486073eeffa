#!/usr/bin/env bash
# undo.sh ENV [VERSION]: puts every Deployment back to what it ran before the last deploy.sh, and waits until it
# does. With VERSION it does so only where that is what was brought out last, so that a deployment that failed
# before it changed anything is not "undone" into an older one. It may be repeated. Exit codes: 0 taken back,
# 3 there was nothing to take back, 1 it could not be done.
#
# Schemas stay: a migration suits the version before it as well (docs/adr/0017-a-job-migrates.md).
#
#   ROLLOUT_TIMEOUT  as for rollout.sh
set -euo pipefail
. "$(dirname "$0")/lib.sh"
arguments 1 2 "$@"
environment "$1"
need kubectl

declare -A was=() now=()
last=$(recorded)
state='' version=''
while IFS='=' read -r key value; do
  case $key in
    state) state=$value ;;
    version) version=$value ;;
    revision.*) was[${key#revision.}]=$value ;;
  esac
done <<<"$last"

if [ -z "$state" ]; then
  say "deploy.sh never brought anything out in the namespace $namespace: nothing to take back"
  exit 3
fi
if [ -n "${2:-}" ] && [ "$version" != "$2" ]; then
  say "$version was brought out last, not $2: nothing to take back"
  exit 3
fi
case $state in
  migrating)
    say "$version was not brought out: nothing to take back"
    exit 3
    ;;
  undone)
    say "$version was taken back before"
    exec "$(dirname "$0")/rollout.sh" "$1"
    ;;
esac

# What is back where it was is recorded at once: going back gives it a new revision, and a second undo must
# not take that for the failed one.
note() {
  local name pairs=()
  for name in "${!was[@]}"; do
    pairs+=("revision.$name=${was[$name]}")
  done
  record "version=$version" "state=$1" "${pairs[@]}"
}

revisions() {
  local name value list
  list=$(deployments)
  while IFS='=' read -r name value; do
    [ -z "$name" ] || now[$name]=$value
  done <<<"$list"
}

settle
revisions
[ ${#now[@]} -gt 0 ] || fail "there is no Deployment of the platform in the namespace $namespace"
new=
mapfile -t names < <(printf '%s\n' "${!now[@]}" | sort)
for name in "${names[@]}"; do
  if [ -z "${was[$name]:-}" ]; then
    new="$new $name"
  elif [ "${now[$name]}" = "${was[$name]}" ]; then
    say "$name was not changed"
  else
    k rollout undo "deployment/$name" "--to-revision=${was[$name]}"
    # The controller numbers it anew a moment later.
    deadline=$((SECONDS + 60))
    failed=${now[$name]}
    while [ "${now[$name]}" = "$failed" ]; do
      [ $SECONDS -lt $deadline ] || fail "$name keeps its revision $failed"
      sleep "${POLL_SECONDS:-1}"
      revisions
    done
    was[$name]=${now[$name]}
    note applied
  fi
done
[ -z "$new" ] || fail "$version is the first version of$new: there is none to go back to"
note undone
say "$version is taken back"
"$(dirname "$0")/rollout.sh" "$1"
