# Configuration files of the components.

control_plane_config() {
  put "$CONF/etcd.yaml" <<E
name: $NAME
data-dir: $BASE/cp/etcd
listen-client-urls: http://127.0.0.1:2379
advertise-client-urls: http://127.0.0.1:2379
listen-peer-urls: http://127.0.0.1:2380
initial-advertise-peer-urls: http://127.0.0.1:2380
initial-cluster: $NAME=http://127.0.0.1:2380
unsafe-no-fsync: $([ "$ETCD_FSYNC" = 1 ] && echo false || echo true)
log-level: warn
E
  # template comes before kubernetes in CoreDNS's order of plugins, so the catch-all has a server block of its own
  put "$CONF/Corefile" <<E
cluster.local:53 in-addr.arpa:53 ip6.arpa:53 {
  bind $CP
  errors
  health 127.0.0.1:8053
  ready 127.0.0.1:8181
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    kubeconfig $CONF/coredns.kubeconfig
    pods insecure
    ttl 5
  }
  cache 5 {
    disable denial
  }
  loadbalance
}
.:53 {
  bind $CP
  template ANY ANY . {
    rcode NXDOMAIN
  }
}
E
}

# node_config NODE
node_config() {
  local d=$BASE/$1 c=$CONF/$1
  mkdir -p "$c/cni" "$d"/{containerd,kubelet,podlogs,plugins}
  containerd_config "$d" "$c"
  put "$c/cni/10-pods.conflist" <<E
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "/run/ipam", "ranges": [[{"subnet": "$(pod_net "$1").0/24", "gateway": "$(pod_net "$1").1"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}, "snat": false}]}
E
  put "$c/resolv.conf" < /dev/null
  kubelet_config "$1" "$d" "$c"
  put "$c/proxy.yaml" <<E
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
bindAddress: $(node_ip "$1")
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
clientConnection: {kubeconfig: $CONF/proxy.kubeconfig}
clusterCIDR: $POD_CIDR
hostnameOverride: $1
mode: nftables
nodePortAddresses: [$(node_ip "$1")/32]
oomScoreAdj: 0
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
nftables: {minSyncPeriod: 200ms, syncPeriod: 30s}
E
}

# containerd_config DATA CONF
# oom_score settings: lowering it needs CAP_SYS_RESOURCE, which this does without.
# SystemdCgroup false here and cgroupDriver cgroupfs below: there is no systemd inside a machine.
containerd_config() {
  put "$2/containerd.toml" <<E
version = 2
root = "$1/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$2/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
E
}

# kubelet_config NODE DATA CONF
# imageGC thresholds: an image that cannot be pulled again must not be deleted. maxOpenFiles: the hard limit may be low.
kubelet_config() {
  local ip files; ip=$(node_ip "$1"); files=$(ulimit -Hn); [ "$files" != unlimited ] && [ "$files" -lt 1000000 ] || files=1000000
  put "$3/kubelet.yaml" <<E
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $ip
healthzBindAddress: 127.0.0.1
readOnlyPort: 0
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $PKI/kubelet-$1.crt
tlsPrivateKeyFile: $PKI/kubelet-$1.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$NAME/$1
failCgroupV1: false
failSwapOn: false
maxOpenFiles: $files
makeIPTablesUtilChains: false
oomScoreAdj: 0
clusterDNS: [$DNS_IP]
clusterDomain: cluster.local
resolvConf: $3/resolv.conf
podLogsDir: $2/podlogs
volumePluginDir: $2/plugins
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
nodeStatusUpdateFrequency: 4s
nodeLeaseDurationSeconds: 12
serializeImagePulls: false
E
}
