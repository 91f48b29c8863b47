# Certificates and kubeconfigs. A file appears whole (put) and the certificate after its key, so an interruption leaves nothing half.

key() { (umask 077; openssl ecparam -genkey -name prime256v1 -noout | put "$1"); }

# authority NAME
authority() {
  [ ! -s "$PKI/$1.crt" ] || return 0
  key "$PKI/$1.key"
  openssl req -x509 -new -key "$PKI/$1.key" -subj "/CN=$NAME-$1" -days 3650 -addext keyUsage=critical,keyCertSign,digitalSignature,cRLSign 2>/dev/null | put "$PKI/$1.crt"
}

# cert NAME CN ORGANISATION [ALTERNATIVE NAMES] [AUTHORITY]
cert() {
  local ca=${5:-ca}
  [ ! -s "$PKI/$1.crt" ] || return 0
  key "$PKI/$1.key"
  openssl req -new -key "$PKI/$1.key" -subj "${3:+/O=$3}/CN=$2" |
    openssl x509 -req -CA "$PKI/$ca.crt" -CAkey "$PKI/$ca.key" -set_serial "0x$(openssl rand -hex 8)" -days 3650 \
      -extfile <(printf 'keyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth,serverAuth\n'; [ -z "${4:-}" ] || echo "subjectAltName=$4") 2>/dev/null |
    put "$PKI/$1.crt"
}

# kubeconfig FILE CERT SERVER
kubeconfig() {
  (umask 077; put "$1") <<E
apiVersion: v1
kind: Config
clusters: [{name: $NAME, cluster: {server: "https://$3", certificate-authority-data: $(base64 -w0 "$PKI/ca.crt")}}]
users: [{name: $NAME-$2, user: {client-certificate-data: $(base64 -w0 "$PKI/$2.crt"), client-key-data: $(base64 -w0 "$PKI/$2.key")}}]
contexts: [{name: $NAME, context: {cluster: $NAME, user: $NAME-$2}}]
current-context: $NAME
E
}

pki() {
  local c n
  authority ca; authority front-ca
  [ -s "$PKI/sa.key" ] || key "$PKI/sa.key"
  [ -s "$PKI/sa.pub" ] || openssl ec -in "$PKI/sa.key" -pubout 2>/dev/null | put "$PKI/sa.pub"
  cert apiserver kube-apiserver "" "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:127.0.0.1,IP:$CP,IP:$SVC_IP"
  cert admin admin system:masters
  cert apiserver-kubelet kube-apiserver-kubelet-client system:masters
  cert kcm system:kube-controller-manager ""
  cert scheduler system:kube-scheduler ""
  cert proxy system:kube-proxy ""
  cert coredns coredns ""
  cert volumes local-volumes ""
  cert netpol netpol ""
  cert front-proxy front-proxy-client "" "" front-ca
  for n in $(node_names); do cert "kubelet-$n" "system:node:$n" system:nodes "DNS:$n,IP:$(node_ip "$n"),IP:127.0.0.1"; done
  kubeconfig "$ADMIN" admin "127.0.0.1:$API_PORT"
  for c in kcm scheduler proxy coredns volumes netpol $(node_names | sed s/^/kubelet-/); do kubeconfig "$CONF/$c.kubeconfig" "$c" "$CP:6443"; done
}
