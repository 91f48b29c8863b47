# The Kubernetes processes. cp: apiserver with etcd inside it, controller manager, scheduler, CoreDNS; no pods.
# A node: containerd, kubelet, kube-proxy, netpol (NetworkPolicy), local-volumes.

# The apiserver's process binds the machine's loopback port first and enters cp's network namespace then.
apiserver() {
  OUTSIDE_NET=1 start_part cp kube-apiserver \
    env ETCD_CONFIG="$CONF/etcd.yaml" LC_NETNS=/proc/1/ns/net LC_FORWARD="127.0.0.1:$API_PORT=$CP:6443 $FORWARDS" "$HK" kube-apiserver-etcd \
    --etcd-servers=http://127.0.0.1:2379 --bind-address=$CP --advertise-address=$CP --secure-port=6443 \
    --service-cluster-ip-range=$SVC_CIDR --service-node-port-range=30000-32767 \
    --client-ca-file="$PKI/ca.crt" --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
    --service-account-key-file="$PKI/sa.pub" --service-account-signing-key-file="$PKI/sa.key" --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
    --default-not-ready-toleration-seconds="$EVICT_SECONDS" --default-unreachable-toleration-seconds="$EVICT_SECONDS" \
    --kubelet-client-certificate="$PKI/apiserver-kubelet.crt" --kubelet-client-key="$PKI/apiserver-kubelet.key" \
    --kubelet-certificate-authority="$PKI/ca.crt" --kubelet-preferred-address-types=InternalIP \
    --requestheader-client-ca-file="$PKI/front-ca.crt" --requestheader-allowed-names=front-proxy-client --requestheader-username-headers=X-Remote-User \
    --requestheader-group-headers=X-Remote-Group --requestheader-extra-headers-prefix=X-Remote-Extra- \
    --proxy-client-cert-file="$PKI/front-proxy.crt" --proxy-client-key-file="$PKI/front-proxy.key" --enable-aggregator-routing=true --profiling=false
}

controllers() {
  local c=$CONF/kcm.kubeconfig s=$CONF/scheduler.kubeconfig
  start_part cp kube-controller-manager "$HK" kube-controller-manager --kubeconfig="$c" --authentication-kubeconfig="$c" --authorization-kubeconfig="$c" \
    --service-account-private-key-file="$PKI/sa.key" --root-ca-file="$PKI/ca.crt" --cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" \
    --use-service-account-credentials=true --allocate-node-cidrs=false --leader-elect=false --bind-address=127.0.0.1 --profiling=false \
    --node-monitor-period=2s --node-monitor-grace-period="$NODE_GRACE"
  start_part cp kube-scheduler "$HK" kube-scheduler --kubeconfig="$s" --authentication-kubeconfig="$s" --authorization-kubeconfig="$s" \
    --leader-elect=false --bind-address=127.0.0.1 --profiling=false
}

dns() { start_part cp coredns "$HK" coredns -conf "$CONF/Corefile"; }

# node_up NODE: machine, containerd and images; needs the switch
node_up() {
  node_config "$1"
  if boot "$1"; then wire "$1"; fi
  start_part "$1" containerd containerd --config "$CONF/$1/containerd.toml"
  WATCH=$1.containerd wait_for 300 "$1 containerd answers" inside "$1" ctr version
  import "$1"
}

# node_join NODE: needs the apiserver. local-volumes first: it mounts what pods wait for.
node_join() {
  start_part "$1" local-volumes "$HK" local-volumes --root "$VOLUMES" --node "$1" --fs "$VOLUME_FS" --kubeconfig "$CONF/volumes.kubeconfig"
  if [ "$NETPOL" = 1 ]; then
    start_part "$1" netpol "$HK" netpol --kubeconfig="$CONF/netpol.kubeconfig" --node="$1" --dns="$CP"
    # the kubelet may start pods at once, and their policies must be in force by then
    WATCH=$1.netpol wait_for 600 "$1 policies in force" inside "$1" nft list table ip netpol
  fi
  start_part "$1" kube-proxy "$HK" kube-proxy --config="$CONF/$1/proxy.yaml"
  start_part "$1" kubelet "$HK" kubelet --config="$CONF/$1/kubelet.yaml" --kubeconfig="$CONF/kubelet-$1.kubeconfig" --root-dir="$BASE/$1/kubelet" \
    --cert-dir="$BASE/$1/kubelet/pki" --hostname-override="$1" --node-ip="$(node_ip "$1")" \
    --node-labels="topology.kubernetes.io/region=r1,topology.kubernetes.io/zone=z${1#n}"
}

node_ready() {
  local cidr; cidr=$(pod_net "$1").0/24
  WATCH=$1.kubelet wait_for 600 "$1 registered" kc get node "$1"
  WATCH=$1.kubelet wait_for 600 "$1 Ready" kc wait --for=condition=Ready "node/$1" --timeout=5s
  kc patch node "$1" -p "{\"spec\":{\"podCIDR\":\"$cidr\",\"podCIDRs\":[\"$cidr\"]}}" >/dev/null
}
