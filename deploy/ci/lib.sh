# shellcheck shell=bash
# What the scripts of this folder share; sourced, never run.

# The images that the Dockerfile has a target for. Sourced scripts read it.
# shellcheck disable=SC2034
images="api user product order seckill"
# The name that the overlays know the registry by. REGISTRY takes its place.
default_registry=registry.example.com

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# What a step leaves for a later one, or for whoever looks for the cause.
out=$root/.cache/ci

say() { echo "$(basename "$0" .sh): $*"; }

fail() {
  say "$*" >&2
  exit 1
}

# The comment at a script's head is its help.
usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"; }

# arguments LEAST MOST ARGUMENT...: prints the help where it is asked for, or where the count is wrong.
arguments() {
  local least=$1 most=$2
  shift 2
  case ${1:-} in
    -h | --help)
      usage
      exit 0
      ;;
  esac
  if [ $# -lt "$least" ] || [ $# -gt "$most" ]; then
    usage >&2
    exit 2
  fi
}

# need PROGRAM...
need() {
  local program
  for program in "$@"; do
    command -v "$program" >/dev/null || fail "$program is not installed"
  done
}

# A tag that says what is inside: "latest" is another image tomorrow, and one of a changed tree is nobody's
# commit.
check_version() {
  [[ $1 =~ ^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$ ]] || fail "\"$1\" is no version: letters, digits, '.', '_' and '-'"
  case $1 in
    latest | *-dirty) fail "\"$1\" does not name one state of the code" ;;
  esac
}

# quoted TEXT: for between the quotes of a JSON string or of a line of curl's configuration.
quoted() {
  local text=${1//\\/\\\\}
  printf '%s' "${text//\"/\\\"}"
}

# image NAME VERSION: the reference, as pushed and as deployed.
image() { echo "${REGISTRY:-$default_registry}/seckill/$1:$2"; }

# environment ENV: sets overlay and namespace.
environment() {
  overlay=$root/deploy/k8s/overlays/$1
  [[ $1 =~ ^[a-z0-9-]+$ && -d $overlay/release ]] || fail "there is no environment \"$1\" in deploy/k8s/overlays"
  namespace=$(sed -n 's/^namespace: *//p' "$overlay/release/kustomization.yaml")
  [ -n "$namespace" ] || fail "deploy/k8s/overlays/$1/release names no namespace"
}

# k ARGUMENT...: kubectl in the environment's namespace. The cluster and who asks are KUBECONFIG's.
k() { kubectl --namespace "$namespace" "$@"; }

# deployments prints NAME=REVISION of each Deployment of the platform.
deployments() {
  k get deployments --selector app.kubernetes.io/part-of=seckill \
    -o 'jsonpath={range .items[*]}{.metadata.name}={.metadata.annotations.deployment\.kubernetes\.io/revision}{"\n"}{end}'
}

# settle waits until the cluster has taken note of what the Deployments were last told: until then they have
# the revision of before.
settle() {
  local deadline=$((SECONDS + 60)) behind
  while true; do
    # shellcheck disable=SC2016 # they are the template's variables
    behind=$(k get deployments --selector app.kubernetes.io/part-of=seckill \
      -o 'go-template={{range .items}}{{if ne .metadata.generation .status.observedGeneration}}{{.metadata.name}} {{end}}{{end}}')
    [ -n "$behind" ] || return 0
    [ $SECONDS -lt $deadline ] || fail "the cluster takes no note of$behind"
    sleep "${POLL_SECONDS:-1}"
  done
}

# What the last deployment began from; undo.sh reads it. In the cluster, so that another machine can take back
# what this one brought out.
record_name=last-release

# record KEY=VALUE...: replaces the record.
record() {
  local pair literals=()
  for pair in "$@"; do
    literals+=("--from-literal=$pair")
  done
  k create configmap "$record_name" "${literals[@]}" --dry-run=client -o yaml |
    k apply --server-side --force-conflicts --field-manager=seckill-deploy -f - >/dev/null
}

# recorded prints KEY=VALUE lines, nothing where there is no record.
recorded() {
  # shellcheck disable=SC2016 # they are the template's variables
  k get configmap "$record_name" --ignore-not-found \
    -o 'go-template={{range $key, $value := .data}}{{$key}}={{$value}}{{"\n"}}{{end}}'
}
