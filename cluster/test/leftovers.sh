#!/bin/bash
# leftovers.sh record FILE | compare FILE: what a cluster could leave behind on the machine, before and after it.
# compare waits up to 20 s for the kernel to clear up, prints what is new, and fails when something is.
# Other clusters (with another LC_NAME) may run meanwhile; nothing else should make namespaces, mounts or rules.
set -euo pipefail

# What belongs to other clusters (another LC_NAME) comes and goes as it likes: their processes, names and state folders.
others() {
  local p
  OTHER_PIDS=' ' OTHER_NAMES='|no cluster' OTHER_BASES='|no cluster'
  for p in $(pgrep -f 'cluster.sh _init ' || true); do
    local name base
    name=$({ tr '\0' '\n' < "/proc/$p/environ" | sed -n 's/^LC_NAME=//p'; } 2>/dev/null) || continue
    base=$({ tr '\0' '\n' < "/proc/$p/environ" | sed -n 's/^LC_BASE=//p'; } 2>/dev/null) || continue
    [ -n "$name" ] && [ "$name" != "${LC_NAME:-}" ] || continue
    OTHER_PIDS="$OTHER_PIDS$p " OTHER_NAMES="$OTHER_NAMES|$name(_guard)?" OTHER_BASES="$OTHER_BASES|$base/"
  done
}
# pids of processes that are neither machines of other clusters nor below them: a machine's processes descend from its
# init or from the nsenter that entered it
own_pids() {
  { for p in $OTHER_PIDS $(for i in $OTHER_PIDS; do pgrep -f "^nsenter -t $i " || true; done); do echo "other $p"; done
    cat /proc/[0-9]*/stat 2>/dev/null | sed 's/^\([0-9]*\) .*) [A-Za-z] \([0-9]*\) .*/\1 \2/'; } |
    awk '$1=="other"{other[$2]=1; next} {parent[$1]=$2}
      END{for (p in parent) {for (q = p; q in parent && !(q in other); q = parent[q]); if (!(q in other)) print p}}'
}
# every namespace that a process lives in, and that is pinned by a file
namespaces() {
  local p
  for p in $OWN; do for n in mnt net pid uts ipc cgroup user; do echo "/proc/$p/ns/$n"; done; done | xargs -r readlink 2>/dev/null | sort -u | sed 's/^/namespace /' || true
  awk '$(NF-2)=="nsfs"{print "pinned namespace", $5}' /proc/self/mountinfo
}
# processes by what they are, since pids differ; only what a cluster starts
processes() {
  local p exe
  for p in $OWN; do
    exe=$(readlink "/proc/$p/exe" 2>/dev/null) || continue
    case " $OTHER_PIDS " in *" $(pgrep -P "$p" | head -1) "*) [ "${exe##*/}" != unshare ] || continue;; esac
    case ${exe##*/} in
      hyperkube*|containerd*|runc|pause|unshare|nsenter) echo "process $(tr '\0' ' ' < "/proc/$p/cmdline" 2>/dev/null | cut -c1-160)";;
      bash) case $(tr '\0' ' ' < "/proc/$p/cmdline" 2>/dev/null) in *'cluster.sh _init'*) echo "process $(tr '\0' ' ' < "/proc/$p/cmdline")";; esac;;
    esac
  done
}
state() {
  local OTHER_PIDS OTHER_NAMES OTHER_BASES OWN
  others; OWN=$(own_pids)
  namespaces
  processes
  awk '{print "mount", $5, $(NF-2), $(NF-1)}' /proc/self/mountinfo
  losetup -a | { grep -Ev "\((${OTHER_BASES#|})" || true; } | sed 's/^/loop /'
  ip -o link | awk '{print "link", $2}'
  ip -4 route show table all | sed 's/^/route /'
  ip -4 rule | sed 's/^/rule /'
  nft list tables 2>/dev/null | { grep -Ev "^table ip (${OTHER_NAMES#|})$" || true; } | while read -r t; do nft -s list $t 2>/dev/null | sed "s/^/nft ${t#table } /"; done
  iptables-save 2>/dev/null | grep -v '^#\|^:' | sed 's/^/iptables /' || true
  ls /run/netns 2>/dev/null | sed 's/^/named namespace /' || true
  find /sys/fs/cgroup -type d \( -name "${LC_NAME:-millrace}" -o -name 'kubepods*' -o -name k8s.io \) 2>/dev/null | { grep -Ev "/(${OTHER_NAMES#|})(/|$)" || true; } | sed 's/^/cgroup /'
  ls -d $([ "$OTHER_PIDS" != ' ' ] || echo /var/lib/cni /var/lib/kubelet) /run/containerd /run/runc /run/ipam /etc/cni/net.d /var/lib/containerd 2>/dev/null | sed 's/^/path /' || true
}

case ${1:-} in
  record) state | sort -u > "$2";;
  compare)
    end=$((SECONDS + 20))
    until new=$(comm -13 "$2" <(state | sort -u)) && [ -z "$new" ] || [ $SECONDS -ge $end ]; do sleep 0.5; done
    [ -z "$new" ] || { echo "$new"; exit 1; };;
  *) sed -n '2,4p' "$0"; exit 2;;
esac
