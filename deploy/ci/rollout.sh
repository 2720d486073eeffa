#!/usr/bin/env bash
# rollout.sh ENV: waits until every Deployment of the platform runs what it was last told, and fails, with what
# the cluster says about it, when one does not.
#
#   ROLLOUT_TIMEOUT  seconds for all of them together (default: 900)
set -euo pipefail
. "$(dirname "$0")/lib.sh"
arguments 1 1 "$@"
environment "$1"
need kubectl

revisions=$(deployments)
[ -n "$revisions" ] || fail "there is no Deployment of the platform in the namespace $namespace"
mapfile -t names < <(cut -d= -f1 <<<"$revisions")

deadline=$((SECONDS + ${ROLLOUT_TIMEOUT:-900}))
for name in "${names[@]}"; do
  left=$((deadline - SECONDS))
  if [ "$left" -le 0 ] || ! k rollout status "deployment/$name" --timeout="${left}s"; then
    {
      k get pods --selector "app.kubernetes.io/part-of=seckill" -o wide || true
      k get events --field-selector type=Warning --sort-by=.lastTimestamp || true
    } >&2 # they explain; the verdict is known
    fail "$name was not rolled out in time"
  fi
done
say "all of ${names[*]} run their latest version"
