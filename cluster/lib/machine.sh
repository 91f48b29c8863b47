# Machines: mount, pid, net, uts and ipc namespaces, held by one init process. Nothing pins them:
# kill that one process, and the kernel ends its processes, mounts, loop devices, links, routes and rules.

# init MACHINE: pid 1 inside
init() {
  # the cgroup mounts must outlive the new /sys, which shows the new network namespace's devices
  mount -t tmpfs -o mode=755 tmpfs /run; mkdir -p /run/cgroup /run/netns /run/lock
  mount --rbind /sys/fs/cgroup /run/cgroup; mount -t sysfs sysfs /sys; mount --rbind /run/cgroup /sys/fs/cgroup; umount -R -l /run/cgroup
  mount -t tmpfs -o mode=755 tmpfs /var/lib/cni                     # libcni's cache: fixed path
  mount -t tmpfs -o mode=755 tmpfs /var/lib/kubelet                 # the kubelet's socket for device plugins: fixed path
  mkdir -p "$BASE/$1/varlog"; mount --bind "$BASE/$1/varlog" /var/log
  mount --make-rshared /                                              # volumes' mounts stay inside this machine
  hostname "$1"; ip link set lo up
  echo 1 > /proc/sys/net/ipv4/ip_forward
  echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter; echo 0 > /proc/sys/net/ipv4/conf/default/rp_filter
  echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6 2>/dev/null || true
  # bridged packets through netfilter: on a node for services between its own pods, on the switch never
  if [ "$1" = cp ]; then echo 0; else echo 1; fi > /proc/sys/net/bridge/bridge-nf-call-iptables
  touch "$BASE/$1/booted"
  trap 'exit 0' TERM
  while :; do sleep 86400 & wait $! || true; done                     # bash reaps what is orphaned meanwhile
}

# boot MACHINE: false when it runs already
boot() {
  if pid_of "$1" >/dev/null; then
    [ -e "$BASE/$1/wired" ] && return 1
    poweroff "$1"                                   # interrupted between boot and network: begin again
  fi
  cgroups_gone "$1"; [ "$1" = cp ] || cgroups "$1"    # what a killed init left would hold up the new kubelet for half a minute
  mkdir -p "$BASE/$1" /var/lib/cni /var/lib/kubelet; rm -f "$BASE/$1/booted" "$BASE/$1/wired" "$PIDS/$1".*
  LC_BASE=$BASE LC_NAME=$NAME NODES=$NODES setsid unshare --mount --propagation private --pid --fork --kill-child --mount-proc --net --uts --ipc \
    bash "$HERE/cluster.sh" _init "$1" >> "$LOGS/$1-init.log" 2>&1 < /dev/null {LOCK}>&- &
  record "$1" $! || die "$1 did not start: $(tail -3 "$LOGS/$1-init.log")"
  wait_for 300 "$1 booted" test -e "$BASE/$1/booted"
}

# poweroff MACHINE: at once, as when power fails
poweroff() {
  local p i
  if p=$(pid_of "$1"); then
    kill -9 "$p" 2>/dev/null || true
    for i in $(seq 400); do pid_of "$1" >/dev/null || break; sleep 0.05; done
  fi
  rm -f "$PIDS/$1" "$PIDS/$1".*; cgroups_gone "$1"
}

# ---- cgroups: /NAME/NODE in each hierarchy, so that nothing of ours is mixed with what the machine has
unified() { [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]; }
cgroup_roots() { if unified; then echo /sys/fs/cgroup/; else ls -d /sys/fs/cgroup/*/; fi; }

cgroups() {
  local c d f
  for c in $(cgroup_roots); do
    [ -w "$c/cgroup.procs" ] || continue
    for d in "$c$NAME" "$c$NAME/$1"; do
      mkdir -p "$d"
      if unified; then
        # a controller is there for a group only when each group above it hands it down
        for f in cpuset cpu io memory hugetlb pids; do echo "+$f" > "$d/../cgroup.subtree_control" 2>/dev/null || true; done
      else
        for f in cpuset.cpus cpuset.mems; do
          if [ -f "$d/$f" ] && [ -z "$(cat "$d/$f")" ]; then cat "$d/../$f" > "$d/$f"; fi
        done
      fi
    done
  done
}
# cgroups_gone [MACHINE]: waits for the killed processes to leave them
cgroups_gone() {
  local i d c left
  for i in $(seq 100); do
    left=
    for c in $(cgroup_roots); do
      d=$c$NAME${1:+/$1}
      [ -d "$d" ] || continue
      find "$d" -depth -type d -exec rmdir {} + 2>/dev/null || true
      [ ! -d "$d" ] || left=1
    done
    [ -n "$left" ] || return 0
    sleep 0.1
  done
  say "cgroups of ${1:-$NAME} remain"
}
