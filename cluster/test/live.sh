#!/bin/bash
# live.sh: the cluster itself, tried out on a cluster of its own (other name, port and state than the one in use).
# NODES=1 (default) or 3. KEEP=1 leaves it running. LC_BIN: where build.sh put hyperkube and pause.
# Prints `ok NAME` or `FAILED NAME why` for each check, and at the end `N passed, N failed`.
set -uo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export NODES=${NODES:-1} LC_NAME=${LC_NAME:-millrace-test} LC_API_PORT=${LC_API_PORT:-6543} LC_BIN=${LC_BIN:-$HERE/../../.millrace/cluster/bin}
export LC_BASE=${LC_BASE:-${TMPDIR:-/tmp}/$LC_NAME}
unset LC_FORWARDS HYPERKUBE LC_PAUSE
CLUSTER=$HERE/../cluster.sh
WORK=$(mktemp -d)
passed=0 failed=0

c() { "$CLUSTER" "$@"; }
k() { "$LC_BIN/hyperkube" kubectl --kubeconfig "$LC_BASE/admin.kubeconfig" "$@"; }
# check NAME COMMAND...: the command says on its last line why it failed
check() {
  local name=$1 why; shift
  if why=$("$@" 2>&1); then echo "ok $name"; passed=$((passed + 1)); else echo "FAILED $name $(tail -1 <<< "$why")"; failed=$((failed + 1)); return 1; fi
}
# within SECONDS COMMAND...
within() { local end=$((SECONDS + $1)) out; shift; until out=$("$@" 2>&1); do [ $SECONDS -lt $end ] || { echo "timeout: $out"; return 1; }; sleep 0.3; done; }
not() { ! "$@"; }
finish() {
  trap - EXIT
  if [ "${KEEP:-}" = 1 ]; then echo "kept: LC_NAME=$LC_NAME LC_API_PORT=$LC_API_PORT LC_BASE=$LC_BASE $CLUSTER nuke"; else
    check nuke c nuke
    rm -rf "$LC_BASE"
    check nothing-left-behind "$HERE/leftovers.sh" compare "$WORK/before"
  fi
  rm -rf "$WORK"
  echo "$passed passed, $failed failed"
  [ $failed = 0 ]
}

. "$HERE/live/image.sh"; . "$HERE/live/life.sh"; . "$HERE/live/volumes.sh"; . "$HERE/live/policies.sh"; . "$HERE/live/rights.sh"; . "$HERE/live/nodes.sh"

c nuke >/dev/null 2>&1                            # what an interrupted run left
"$HERE/leftovers.sh" record "$WORK/before"
trap 'finish; exit 1' INT TERM
SECONDS=0
if check up c up; then
  echo "# up took $SECONDS s"
  life
  if check test-image test_image; then
    volumes
    policies
    [ "$NODES" = 1 ] || nodes
  fi
  rights
fi
finish
