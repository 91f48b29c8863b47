# Processes. A file in PIDS holds the pid and its start time, so that a reused pid is never taken for ours.
# MACHINE is the init process of a machine, MACHINE.COMPONENT a process inside it.

started_at() { local l; l=$(cat "/proc/$1/stat" 2>/dev/null) || return 1; set -- ${l##*) }; echo "${20}"; }

pid_of() {
  local p s
  [ -s "$PIDS/$1" ] && read -r p s < "$PIDS/$1" && [ -n "$s" ] && [ "$(started_at "$p")" = "$s" ] && echo "$p"
}

# record FILE PARENT: the one child of PARENT, which unshare or nsenter has forked into the new pid namespace
record() {
  local i c
  for i in $(seq 250); do
    c=$(pgrep -P "$2" | head -1) && [ -n "$c" ] && { echo "$c $(started_at "$c")" | put "$PIDS/$1"; heed; return 0; }
    [ -d "/proc/$2" ] || return 1
    sleep 0.02
  done
  return 1
}

# start_part MACHINE COMPONENT COMMAND...: inside the machine. OUTSIDE_NET=1: not yet in its network namespace
start_part() {
  local m=$1 n=$2 p net=--net; shift 2
  pid_of "$m.$n" >/dev/null && return 0
  [ -z "${OUTSIDE_NET:-}" ] || net=
  p=$(pid_of "$m") || die "$m is not running"
  LC_BASE=$BASE LC_PART=$m.$n setsid nsenter -t "$p" --mount --pid --uts --ipc $net -- "$@" >> "$LOGS/$m-$n.log" 2>&1 < /dev/null {LOCK}>&- &
  record "$m.$n" $! || die "$n on $m did not start: $(tail -3 "$LOGS/$m-$n.log")"
}

# stop_part MACHINE COMPONENT: asks, waits ten seconds, kills
stop_part() {
  local p i
  p=$(pid_of "$1.$2") || { rm -f "$PIDS/$1.$2"; return 0; }
  kill "$p" 2>/dev/null || true
  for i in $(seq 100); do pid_of "$1.$2" >/dev/null || break; sleep 0.1; done
  kill_part "$1" "$2"
}
kill_part() { local p; if p=$(pid_of "$1.$2"); then kill -9 "$p" 2>/dev/null || true; fi; rm -f "$PIDS/$1.$2"; }

inside() { local p; p=$(pid_of "$1") || die "$1 is not running"; shift; nsenter -t "$p" --mount --pid --uts --ipc --net -- "$@"; }
net() { local p; p=$(pid_of "$1") || die "$1 is not running"; shift; nsenter -t "$p" --net -- "$@"; }

# inits VARIABLE=VALUE: the init processes of machines started with that in their environment
inits() {
  local p
  for p in $(pgrep -f -- "cluster.sh _init " || true); do
    [ "$(environment "$p" "${1%%=*}")" = "${1#*=}" ] || continue
    [ "$(awk '/^NSpid/{print $NF}' "/proc/$p/status" 2>/dev/null)" != 1 ] || echo "$p"    # not unshare, which waits for it
  done
}
environment() { { tr '\0' '\n' < "/proc/$1/environ" | sed -n "s/^$2=//p"; } 2>/dev/null || true; }

# kill_strays: processes of ours that no file names, left when a cluster.sh was killed (-9) between fork and record
kill_strays() {
  local p m c
  for p in $(pgrep -x nsenter || true); do          # each waits for the one process that it has started
    [ "$(environment "$p" LC_BASE)" = "$BASE" ] && m=$(environment "$p" LC_PART) && [ -n "$m" ] || continue
    c=$(pgrep -P "$p" | head -1 || true)
    [ -n "$c" ] && [ "$(pid_of "$m")" = "$c" ] || kill -9 "$p" $c 2>/dev/null || true
  done
  for p in $(inits "LC_BASE=$BASE"); do
    m=$(tr '\0' '\n' < "/proc/$p/cmdline" | tail -1)
    [ "$(pid_of "$m")" = "$p" ] || kill -9 "$p" 2>/dev/null || true
  done
}
