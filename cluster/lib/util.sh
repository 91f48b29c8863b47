# Small things that the other parts use.

say() { printf '%s %s\n' "$(date +%T.%N | cut -c1-12)" "$*"; }
die() { echo "cluster.sh: $*" >&2; exit 1; }

node_names() { local i; for i in $(seq "$NODES"); do echo "n$i"; done; }
node_ip() { echo "$FAB.$((10 + ${1#n}))"; }
pod_net() { echo "$PODS.${1#n}"; }
known() { case " $(node_names | tr '\n' ' ')" in *" $1 "*) ;; *) die "no node '$1'; there are: $(node_names | tr '\n' ' ')";; esac; }
machines() { local f; for f in "$PIDS"/*; do case ${f##*/} in '*'|*.*) ;; *) echo "${f##*/}";; esac; done; }

# put FILE: writes standard input, whole or not at all, and only when it differs: kube-proxy exits when its file is rewritten.
put() {
  cat > "$1.new"
  if cmp -s "$1.new" "$1"; then rm "$1.new"; else mv "$1.new" "$1"; fi
}

kc() { "$HK" kubectl --kubeconfig "$ADMIN" "$@"; }

# wait_for SECONDS WHAT COMMAND...: limits are for machines that compile meanwhile; WATCH=MACHINE.COMPONENT: in vain when that process has ended
wait_for() {
  local end=$(( SECONDS + $1 )) what=$2; shift 2
  until "$@" >/dev/null 2>&1; do
    heed
    [ -z "${WATCH:-}" ] || pid_of "$WATCH" >/dev/null || die "$WATCH has ended; the end of $LOGS/${WATCH/./-}.log: $(tail -3 "$LOGS/${WATCH/./-}.log")"
    [ $SECONDS -lt $end ] || { say "timeout: $what; logs are in $LOGS"; return 1; }
    sleep 0.1
  done
  say "$what"
}

# One change at a time. The descriptor is closed in everything started (see start_part), or the lock would outlive us.
locked() {
  mkdir -p "$BASE"
  exec {LOCK}>"$BASE/lock"
  flock -n "$LOCK" || { say "waiting for another cluster.sh on $BASE"; flock -w 600 "$LOCK" || die "another cluster.sh has been busy on $BASE for 10 minutes"; }
  # an interruption is heeded between steps: a process that was started is always recorded first
  trap 'STOPPED=INT' INT; trap 'STOPPED=TERM' TERM
}
heed() { [ -z "${STOPPED:-}" ] || die "interrupted; the same command again goes on from here"; }
