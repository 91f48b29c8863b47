#!/bin/bash
# cluster.sh: Kubernetes on one machine, each node in namespaces of its own, with no way out to any network.
#   up | down | nuke                   NODES=1|3 up; down keeps the data; nuke removes everything but loaded image archives
#   status                             every process with pid and memory; exit code 1 when something that should run does not
#   load TAR...                        import image archives into every node (kept: imported again after a nuke)
#   forward 127.0.0.1:PORT=IP:PORT[,IP:PORT]...   loopback ports of this machine into the cluster
#   kubectl ARGS | in MACHINE COMMAND  MACHINE: cp, n1, n2...
#   stop N | start N                   node N loses power: every process, mount and link of it goes; start boots it again
#   cut N | heal N                     node N's cable out of the switch, and in again
#   check | packages                   whether all it needs is there, else why not and the line that installs it | the missing Debian packages
# Settings by environment: see README.md. Everything lives below LC_BASE; what else is changed on the machine
# (one nftables table, one cgroup, /var/lib/cni, /var/lib/kubelet) goes with down or nuke.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin               # a plain `su` leaves them out
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

BASE=$(realpath -m "${LC_BASE:-$HERE/../.millrace/cluster/state}")
HK=$(realpath -m "${HYPERKUBE:-${LC_BIN:-$HERE/../.millrace/cluster/bin}/hyperkube}")
PAUSE=$(realpath -m "${LC_PAUSE:-$(dirname "$HK")/pause}")
NAME=${LC_NAME:-millrace}                # names the cgroup /NAME, the nftables table and the cluster
API_PORT=${LC_API_PORT:-6443}            # on 127.0.0.1 of this machine
FORWARDS=${LC_FORWARDS:-}                # more LISTEN=TARGET words, served by the apiserver's process
NODE_GRACE=${NODE_GRACE:-16s}            # silent for so long: NotReady (Kubernetes' own default 50s)
EVICT_SECONDS=${EVICT_SECONDS:-10}       # NotReady for so long: pods are evicted (its own default 300)
ETCD_FSYNC=${ETCD_FSYNC:-0}              # 1: survives a power cut of the real machine too
NETPOL=${NETPOL:-1}                      # 0: NetworkPolicies are not enforced
FAB=${LC_FABRIC:-10.90.0}                # /24 of the machines
PODS=${LC_PODS:-10.244}                  # /16, a /24 for each node
SVC=${LC_SERVICES:-10.96}                # /16

PKI=$BASE/pki CONF=$BASE/conf PIDS=$BASE/pids LOGS=$BASE/logs IMAGES=$BASE/images VOLUMES=$BASE/volumes
ADMIN=$BASE/admin.kubeconfig
CP=$FAB.1 POD_CIDR=$PODS.0.0/16 SVC_CIDR=$SVC.0.0/16 SVC_IP=$SVC.0.1 DNS_IP=$SVC.0.10

for part in util tools process machine network pki config manifests components images; do . "$HERE/lib/$part.sh"; done

[ -n "${NODES:-}" ] || NODES=$(cat "$BASE/nodes" 2>/dev/null || echo 1)
case $NODES in [1-9]) ;; *) die "NODES=$NODES: not a number from 1 to 9";; esac
case $NAME in ''|*[!a-z0-9-]*) die "LC_NAME=$NAME: use a-z, 0-9 and -";; esac
volume_file_system

up() {
  local n
  check_tools; check_ranges
  mkdir -p "$PKI" "$CONF" "$PIDS" "$LOGS" "$IMAGES" "$BASE/cp/etcd" "$VOLUMES"; chmod 700 "$PKI" "$CONF" "$BASE/cp/etcd"
  # fewer nodes would leave the others running with pods on them and without new images
  [ "$NODES" -ge "$(cat "$BASE/nodes" 2>/dev/null || echo 1)" ] || die "NODES=$NODES: $(cat "$BASE/nodes") nodes run; nuke first, then up with fewer"
  echo "$NODES" | put "$BASE/nodes"
  kill_strays; check_free
  guard_up
  pki; control_plane_config; manifests; pause_archive; say "certificates and configuration"
  if boot cp; then switch_up; fi
  apiserver
  for n in $(node_names); do node_up "$n"; done
  WATCH=cp.kube-apiserver wait_for 600 "apiserver ready" kc get --raw /readyz
  controllers
  wait_for 600 "addons applied" kc apply -f "$CONF/addons.yaml"    # the rights of netpol, CoreDNS and local-volumes too
  for n in $(node_names); do node_join "$n"; done
  dns
  for n in $(node_names); do node_ready "$n"; done
  WATCH=cp.coredns wait_for 600 "DNS ready" net cp curl --noproxy '*' -sf http://127.0.0.1:8181/ready
  wait_for 600 "default service account" kc get sa default
}

down() {
  local m
  kill_strays
  for m in $(machines); do [ "$m" = cp ] || poweroff "$m"; done
  for m in kube-scheduler kube-controller-manager coredns; do kill_part cp $m; done
  stop_part cp kube-apiserver                     # nobody watches it any more, so it ends soon, and etcd closes its files
  poweroff cp; cgroups_gone; guard_down
  # the mount points are shared: gone from under another cluster, they would take that one's mounts with them
  pgrep -f -- "cluster.sh _init " >/dev/null || rmdir /var/lib/cni /var/lib/kubelet 2>/dev/null || true
  say "down"
}

nuke() { down; rm -rf "$BASE"/{pki,conf,pids,logs,cp,n[0-9]*,volumes,nodes,admin.kubeconfig}; }

status() {
  local f n p all=0
  for f in "$PIDS"/*; do
    [ -e "$f" ] || continue
    n=${f##*/}
    if p=$(pid_of "$n"); then echo "$n pid $p $(awk '/^RssAnon/{a=$2} /^VmRSS/{r=$2} END{printf "memory %d MiB (with files mapped %d MiB)", a/1024, r/1024}' "/proc/$p/status")"; else echo "$n dead"; all=1; fi
  done
  [ -s "$PIDS/cp" ] || { echo "not up"; all=1; }
  return $all
}

case ${1:-} in
  up|down|nuke) locked; "$1";;
  status) status;;
  check) check_tools;;
  packages) missing_tools; echo ${PACKAGES};;
  stop) known "${2:-}"; locked; poweroff "$2";;
  start) known "${2:-}"; locked; node_up "$2"; node_join "$2"; node_ready "$2";;
  cut) known "${2:-}"; net cp ip link set "port-$2" down;;
  heal) known "${2:-}"; net cp ip link set "port-$2" up;;
  load) shift; locked; load "$@";;
  forward) shift; locked; forward_ports "$@";;
  kubectl) shift; kc "$@";;
  in) shift; inside "$@";;
  _init) init "$2";;
  *) sed -n '2,12p' "$0"; exit 2;;
esac
