# Links, routes and rules. cp holds the switch: bridge fab, no uplink. The veth pairs go from cp's namespace to each
# node's, never through the machine's own, and no machine has a default route: a packet for elsewhere has nowhere to go.

# The machine itself has no route to these ranges, so a packet for them would leave by its default route,
# to some stranger: it is refused at once instead.
guard_up() {
  nft -f - <<E
table ip ${NAME}_guard
delete table ip ${NAME}_guard
table ip ${NAME}_guard {
  chain out { type filter hook output priority filter; policy accept;
    ip daddr { $POD_CIDR, $SVC_CIDR, $FAB.0/24 } counter reject with icmp type admin-prohibited
  }
  chain through { type filter hook forward priority filter; policy accept;
    ip daddr { $POD_CIDR, $SVC_CIDR, $FAB.0/24 } counter drop
    ip saddr { $POD_CIDR, $SVC_CIDR, $FAB.0/24 } counter drop
  }
}
E
}
guard_down() { if nft list table ip "${NAME}_guard" >/dev/null 2>&1; then nft delete table ip "${NAME}_guard"; fi; }

# check_ranges: the machine's own networks must not be cut off by the guard
check_ranges() {
  local r
  for r in $POD_CIDR $SVC_CIDR "$FAB.0/24"; do
    [ -z "$(ip -4 route show root "$r"; ip -4 route show match "$r" | grep -v ^default)" ] ||
      die "this machine has a network of its own within $r; choose others with LC_PODS, LC_SERVICES, LC_FABRIC"
  done
}

switch_up() {
  net cp ip link add fab type bridge; net cp ip addr add $CP/24 dev fab; net cp ip link set fab up
  touch "$BASE/cp/wired"
}

# wire NODE: its cable, its pod bridge, its routes
wire() {
  local m ip; ip=$(node_ip "$1")
  net cp ip link del "port-$1" 2>/dev/null || true
  net cp ip link add "port-$1" type veth peer name fab0 netns "$(pid_of "$1")"; net cp ip link set "port-$1" master fab up
  net cp ip route replace "$(pod_net "$1").0/24" via "$ip"
  # the route to services: connect() fails without one, before kube-proxy's rules could change the address
  net "$1" ip -batch - <<E
addr add $ip/24 dev fab0
link set fab0 up
link add cni0 type bridge
addr add $(pod_net "$1").1/24 dev cni0
link set cni0 up
route add $SVC_CIDR dev fab0 src $ip
route add blackhole $POD_CIDR metric 4096
$(for m in $(node_names); do [ "$m" = "$1" ] || echo "route add $(pod_net "$m").0/24 via $(node_ip "$m")"; done)
E
  touch "$BASE/$1/wired"
}

# forward_ports RULE...: a process that listens on this machine's loopback and connects inside cp
forward_ports() {
  [ $# -gt 0 ] || die "forward: give 127.0.0.1:PORT=IP:PORT"
  local part listen=${1%%=*}; part=forward-${listen//[.:]/-}
  # the same port with another target takes the place of the old one, which would go on answering
  [ "$(cat "$CONF/$part" 2>/dev/null)" = "$*" ] || stop_part cp "$part"
  echo "$*" | put "$CONF/$part"
  OUTSIDE_NET=1 start_part cp "$part" "$HK" forward "$@"
  wait_for 60 "forwarding $*" eval "(exec 3<>/dev/tcp/${listen%:*}/${listen##*:})" && pid_of "cp.$part" >/dev/null ||
    { rm -f "$PIDS/cp.$part"; die "forward: $(tail -1 "$LOGS/cp-$part.log")"; }
}
