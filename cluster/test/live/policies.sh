# NetworkPolicies, services, names, forwarded ports. The client is on the last node, the server on the first.

policies() {
  k create namespace shop >/dev/null; k create namespace other >/dev/null
  check server-and-clients servers || return 0
  SERVER=$(cat "$WORK/server")
  check pod-reaches-pod reaches shop/client "$SERVER:8080"
  check pod-reaches-service reaches shop/client "$(k -n shop get svc web -o 'jsonpath={.spec.clusterIP}'):80"
  check names-resolve run shop/client nslookup web.shop.svc.cluster.local 10.96.0.10
  check unknown-names-do-not not run shop/client nslookup nowhere.example 10.96.0.10
  check forward-takes-the-second-target forwarded
  check policy-denies-all denied_by shop deny '{podSelector: {}}' shop/client
  check policy-allows-by-label allowed_by shop allow '{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: http}]}]}' shop/client
  check policy-still-denies-other-namespace not reaches other/client "$SERVER:8080"
  check policy-allows-namespace allowed_by shop allow '{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: other}}}], ports: [{port: 8000, endPort: 8080}]}]}' other/client
  check policy-of-a-block-with-exception denied_by shop allow "{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{ipBlock: {cidr: 10.244.0.0/16, except: [$(pod_ip other/client)/32]}}]}]}" other/client
  check policy-of-a-block-allows-the-rest reaches shop/client "$SERVER:8080"
  check policy-of-egress-denies denied_by other out '{podSelector: {}, policyTypes: [Egress]}' other/client
  k -n shop delete networkpolicy --all >/dev/null
  check policy-of-egress-alone-denies not reaches other/client "$SERVER:8080"
  check policy-of-egress-allows-dns allowed_dns
  k -n other delete networkpolicy --all >/dev/null
  check without-policies-all-is-open within 15 reaches other/client "$SERVER:8080"
}

servers() {
  local last=n$NODES
  pod shop web app=web 'echo hello > /tmp/index.html; exec httpd -f -p 8080 -h /tmp' '' n1 && pod shop client app=client '' '' "$last" && pod other client app=client '' '' "$last" || return 1
  k apply -f - <<'E' >/dev/null || return 1
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: http, nodePort: 30080}]}
E
  pod_ip shop/web > "$WORK/server"
  # endpoints and kube-proxy's rules take a moment
  within 30 reaches shop/client "$(k -n shop get svc web -o 'jsonpath={.spec.clusterIP}'):80"
}
# reaches POD IP:PORT; nc, since wget of the static busybox crashes in getaddrinfo
reaches() {
  local out; out=$(run "$1" sh -c "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 ${2%:*} ${2#*:}" 2>&1)
  [ "${out##*$'\n'}" = hello ] || { echo "$1 does not reach $2: $(tail -1 <<< "$out")"; return 1; }
}

policy() { printf 'apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: %s, namespace: %s}\nspec: %s\n' "$2" "$1" "$3" | k apply -f - >/dev/null; }
# denied_by/allowed_by NAMESPACE NAME SPEC CLIENT
denied_by() { policy "$1" "$2" "$3" && within 15 not reaches "$4" "$SERVER:8080"; }
allowed_by() { policy "$1" "$2" "$3" && within 15 reaches "$4" "$SERVER:8080"; }

# the usual egress rule for names, though the DNS server is no pod here
allowed_dns() {
  not run other/client nslookup web.shop.svc.cluster.local 10.96.0.10 || { echo "not denied at first"; return 1; }
  policy other dns '{podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}], ports: [{port: 53, protocol: UDP}]}]}' &&
    within 15 run other/client nslookup web.shop.svc.cluster.local 10.96.0.10 && not reaches other/client "$SERVER:8080"
}

# forwarded: a loopback port of the machine to a NodePort; nobody has the first target's address
forwarded() {
  c forward "127.0.0.1:6580=10.90.0.99:30080,10.90.0.11:30080" && [ "$(curl --noproxy "*" -s -m 10 http://127.0.0.1:6580/)" = hello ]
}
