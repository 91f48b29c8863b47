# localhost/busybox:1: Debian's static busybox and nothing else. It has to come from an archive, as there is no registry.

test_image() {
  local box=${LC_TEST_BUSYBOX:-} root=$WORK/root
  mkdir -p "$root"/{bin,tmp,etc}; chmod 1777 "$root/tmp"
  [ -n "$box" ] || { box=$(command -v busybox) && ! ldd "$box" >/dev/null 2>&1; } || {
    (cd "$WORK" && apt-get download busybox-static >/dev/null 2>&1 && dpkg-deb -x busybox-static_*.deb deb) || { echo "apt-get download busybox-static failed; name a static busybox in LC_TEST_BUSYBOX"; return 1; }
    box=$WORK/deb/bin/busybox
  }
  cp "$box" "$root/bin/busybox"
  for applet in sh cat dd df echo ls sleep nc printf httpd nslookup mkdir rm sync touch wc id; do ln -sf busybox "$root/bin/$applet"; done
  (set -e; . "$HERE/../lib/images.sh"; scratch_image "$WORK/busybox.tar" localhost/busybox:1 "$root" '{"Env":["PATH=/bin"],"Cmd":["sleep","infinity"]}')
  c load "$WORK/busybox.tar"
}

# pod NAMESPACE NAME LABEL=VALUE [COMMAND [VOLUME-CLAIM [NODE]]]: as an ordinary user, with all that `restricted` asks for
pod() { new_pod "$@" && k -n "$1" wait --for=condition=Ready "pod/$2" --timeout=90s; }
new_pod() {
  local where='' data='emptyDir: {}'
  [ -z "${6:-}" ] || where="nodeSelector: {kubernetes.io/hostname: $6}"
  [ -z "${5:-}" ] || data="persistentVolumeClaim: {claimName: $5}"
  k apply -f - <<E >/dev/null
apiVersion: v1
kind: Pod
metadata: {name: $2, namespace: $1, labels: {${3%%=*}: "${3#*=}"}}
spec:
  terminationGracePeriodSeconds: 1
  automountServiceAccountToken: false
  enableServiceLinks: false
  $where
  securityContext: {runAsUser: 1000, runAsGroup: 1000, fsGroup: 1000, runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: c
    image: localhost/busybox:1
    command: [sh, -c, '${4:-sleep infinity}']
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
    ports: [{name: http, containerPort: 8080}]
    volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, $data}]
E
}
run() { local n=$1; shift; k -n "${n%/*}" exec "${n#*/}" -- "$@"; }
pod_ip() { k -n "${1%/*}" get pod "${1#*/}" -o 'jsonpath={.status.podIP}'; }
