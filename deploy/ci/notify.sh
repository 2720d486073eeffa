#!/usr/bin/env bash
# notify.sh OUTCOME ENV VERSION [URL]: tells people what came of a deployment, in one line, with the address of
# the build. The line is always printed; a chat that does not answer never fails a build that went well.
#
#   OUTCOME      built, deployed, failed, undone or stranded: failed changed nothing on the cluster, undone is
#                back on the version before, stranded needs a person
#   ENV          of deploy.sh, or none where nothing was to be deployed
#   NOTIFY_URL   a chat's incoming webhook, which takes {"text": "..."}; without it the line is only printed
set -euo pipefail
. "$(dirname "$0")/lib.sh"
arguments 3 4 "$@"
outcome=$1 environment=$2 version=$3 url=${4:-}

case $outcome in
  built) text="seckill $version passed" ;;
  deployed) text="seckill $version is running on $environment" ;;
  failed)
    text="seckill $version did NOT pass"
    [ "$environment" = none ] || text="$text and is not on $environment, where nothing was changed"
    ;;
  undone) text="seckill $version FAILED on $environment; the version before it is running again" ;;
  stranded) text="seckill $version FAILED on $environment and could NOT be taken back: look at it now" ;;
  *)
    usage >&2
    exit 2
    ;;
esac
text="$text${url:+ ($url)}"
say "$text"

if [ -n "${NOTIFY_URL:-}" ]; then
  need curl
  body="{\"text\":\"$(quoted "$text")\"}"
  # The webhook's address is a secret: it is read from stdin, not seen in the list of processes.
  if ! curl --silent --show-error --fail --output /dev/null --max-time 10 --retry 2 --config - <<CONFIG
url = "$NOTIFY_URL"
header = "Content-Type: application/json"
data = "$(quoted "$body")"
CONFIG
  then
    say "the chat was not told" >&2
  fi
fi
