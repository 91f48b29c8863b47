# RBAC, service accounts, Pod Security.

rights() {
  k create namespace plain >/dev/null; k -n plain create serviceaccount nobody >/dev/null
  k create namespace strict >/dev/null; k label namespace strict pod-security.kubernetes.io/enforce=restricted >/dev/null
  check anonymous-is-denied answers 401 ''
  check service-account-is-denied answers 403 "$(k -n plain create token nobody)"
  check service-account-is-granted granted
  check wrong-token-is-denied answers 401 "x$(k -n plain create token nobody)"
  check restricted-refuses-root refuses_root
  check restricted-takes-the-rest pod_dry
}

# answers CODE TOKEN: to a list of secrets
answers() {
  local code; code=$(curl --noproxy "*" -s -o /dev/null -w '%{http_code}' --cacert "$LC_BASE/pki/ca.crt" ${2:+-H "Authorization: Bearer $2"} "https://127.0.0.1:$LC_API_PORT/api/v1/namespaces/plain/secrets")
  [ "$code" = "$1" ] || [ "$1/$code" = 401/403 ] || { echo "answer $code"; return 1; }
}
granted() {
  k -n plain create role reader --verb=list --resource=secrets && k -n plain create rolebinding reader --role=reader --serviceaccount=plain:nobody &&
    within 10 answers 200 "$(k -n plain create token nobody)"
}
refuses_root() {
  local out; out=$(k -n strict run root --image=localhost/busybox:1 --overrides='{"spec":{"securityContext":{"runAsUser":0}}}' 2>&1) && { echo "accepted"; return 1; }
  grep -q 'violates PodSecurity "restricted' <<< "$out" || { echo "$out"; return 1; }
}
pod_dry() { pod strict plain app=plain; }
