# What the cluster itself needs in its API: rights of its components, the storage class, the DNS service.

# may USER RULE...: a cluster role and its binding
may() {
  local user=$1; shift
  cat <<E
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "$NAME:$user"}
rules:
$(printf -- '- %s\n' "$@")
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "$NAME:$user"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "$NAME:$user"}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: $user}]
E
}

manifests() {
  { may coredns \
      '{apiGroups: [""], resources: [endpoints, services, pods, namespaces], verbs: [list, watch]}' \
      '{apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}'
    may netpol \
      '{apiGroups: [""], resources: [pods, namespaces], verbs: [list, watch]}' \
      '{apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [list, watch]}'
    may local-volumes \
      '{apiGroups: [""], resources: [persistentvolumes], verbs: [get, list, watch, create, delete, patch]}' \
      '{apiGroups: [""], resources: [persistentvolumeclaims], verbs: [get, list, watch, update]}' \
      '{apiGroups: [""], resources: [persistentvolumeclaims/status], verbs: [update]}' \
      '{apiGroups: [""], resources: [events], verbs: [create, update, patch]}' \
      '{apiGroups: [storage.k8s.io], resources: [storageclasses], verbs: [get, list, watch]}'
    cat <<E
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: local-disk, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: disk.local.millrace.dev
volumeBindingMode: WaitForFirstConsumer
reclaimPolicy: Delete
allowVolumeExpansion: true
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec: {clusterIP: $DNS_IP, ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns-host, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
addressType: IPv4
endpoints: [{addresses: [$CP], conditions: {ready: true}}]
ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
E
  } | put "$CONF/addons.yaml"
}
