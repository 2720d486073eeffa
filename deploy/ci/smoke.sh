#!/usr/bin/env bash
# smoke.sh ENV: registers a buyer, buys one unit of a fresh sale through the gateway, waits until the order is in
# the database, has the sale audited, and ends the sale.
#
#   SECKILL_ADMIN_PASSWORD  the platform's
#   SECKILL_URL             the gateway (default: the address of ENV's Ingress)
#   SECKILL_BIN             the command (default: bin/seckill, built when it is not there)
set -euo pipefail
. "$(dirname "$0")/lib.sh"
arguments 1 1 "$@"
environment "$1"
need curl
[ -n "${SECKILL_ADMIN_PASSWORD:-}" ] || fail "SECKILL_ADMIN_PASSWORD is not set"

url=${SECKILL_URL:-}
if [ -z "$url" ]; then
  need kubectl
  host=$(k get ingress api -o 'jsonpath={.spec.rules[0].host}')
  secure=$(k get ingress api -o 'jsonpath={.spec.tls}')
  [ -n "$host" ] || fail "the Ingress api names no host"
  url=http${secure:+s}://$host
fi
bin=${SECKILL_BIN:-$root/bin/seckill}
[ -x "$bin" ] || (cd "$root" && go build -trimpath -tags no_k8s -o "$bin" ./cmd/seckill)

mkdir -p "$out"
report=$out/smoke.json
code=0
"$bin" load --addr "$url" --stock 1 --buyers 1 --requests 1 --register --data "$out/none" -o json >"$report" || code=$?
sale=$(sed -n 's/.*"saleId": *"\([0-9]*\)".*/\1/p' "$report" | head -1)
bought=$(sed -n 's/.*"acceptedUnits": *\([0-9]*\).*/\1/p' "$report" | head -1)

# call TOKEN PATH: posts the JSON of stdin. Neither secrets nor tokens are seen in the list of processes.
call() {
  local body token=
  body=$(cat)
  [ -z "$1" ] || token="header = \"Authorization: Bearer $1\""
  curl --silent --show-error --fail --max-time 30 --retry 2 --config - "$url/api/v1$2" <<CONFIG
header = "Content-Type: application/json"
$token
data = "$(quoted "$body")"
CONFIG
}

# Customers must not find a sale of one unit. It ends whatever came of the purchase.
if [ -n "$sale" ]; then
  token=$(call "" /sessions <<<"{\"username\":\"admin\",\"password\":\"$(quoted "$SECKILL_ADMIN_PASSWORD")\"}" |
    sed -n 's/.*"accessToken":"\([^"]*\)".*/\1/p')
  call "$token" "/admin/sales/$sale/actions" <<<'{"action":"end"}' >/dev/null || fail "the sale $sale could not be ended"
fi

[ "$code" = 0 ] || fail "no purchase on $url that keeps the promises (seckill load: exit code $code, $report)"
[ "$bought" = 1 ] || fail "${bought:-no} units were bought on $url, not one ($report)"
say "one unit of sale $sale was bought on $url, and the audit holds"
