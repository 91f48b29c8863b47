# Coming up, again, interrupted; what the machine itself can and cannot reach.

life() {
  check all-processes-run c status
  check up-again-changes-nothing up_again
  check up-after-interruption interrupted TERM
  check up-after-kill interrupted KILL
  check second-cluster-of-that-name-refused refused_name
  check cluster-ranges-do-not-leave-the-machine ranges_guarded
  check no-way-out-of-a-node no_way_out
  check cel-rules cel
}

up_again() {
  local before; before=$(c status | awk '{print $1, $3}' | sort)
  c up || return 1
  [ "$before" = "$(c status | awk '{print $1, $3}' | sort)" ] || { echo "other processes than before"; return 1; }
}

# interrupted SIGNAL: at three moments of coming up
interrupted() {
  local after
  c down || return 1
  for after in 0.3 1 3; do timeout -s "$1" "$after" "$CLUSTER" up; done
  c up && c status || { c status | grep -v memory; return 1; }
}

refused_name() {
  local out; out=$(LC_BASE=$WORK/second LC_API_PORT=6544 "$CLUSTER" up 2>&1) && { LC_BASE=$WORK/second "$CLUSTER" nuke; echo "came up"; return 1; }
  grep -q LC_NAME <<< "$out" || { echo "$out"; return 1; }
  c status
}

ranges_guarded() {
  local ip start=$SECONDS
  for ip in 10.96.0.1 10.244.1.2 10.90.0.1; do
    ! curl --noproxy "*" -sk -m 5 "https://$ip:443/" || { echo "$ip answers"; return 1; }
  done
  [ $((SECONDS - start)) -le 3 ] || { echo "refused only after $((SECONDS - start)) s"; return 1; }
  grep -q 'counter packets [1-9]' <<< "$(nft list table ip "${LC_NAME}_guard")" || { echo "the guard has seen no packet"; return 1; }
}

no_way_out() {
  local m
  for m in cp n1; do
    [ -z "$(c in $m ip route show default)" ] || { echo "$m has a default route"; return 1; }
    ! c in $m curl --noproxy '*' -s -m 2 http://192.0.2.1/ || { echo "$m reached the outside"; return 1; }
  done
}

cel() {
  k apply -f - <<'E' >/dev/null && within 30 k get levels || return 1
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: levels.test.millrace.dev}
spec:
  group: test.millrace.dev
  names: {kind: Level, plural: levels, singular: level}
  scope: Cluster
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties: {low: {type: integer}, high: {type: integer}}
            x-kubernetes-validations: [{rule: "self.low <= self.high", message: "low must not be above high"}]
E
  local out; out=$(printf 'apiVersion: test.millrace.dev/v1\nkind: Level\nmetadata: {name: bad}\nspec: {low: 2, high: 1}\n' | k apply -f - 2>&1) && { echo "accepted"; return 1; }
  grep -q "low must not be above high" <<< "$out" || { echo "$out"; return 1; }
}
