#!/bin/bash
# Starts a server of OpenWhisk in an image of upstream's layout: start.sh controller|invoker
set -euo pipefail

# Java trusts what is in a key store: the authorities of MongoDB and Kafka are brought into one, certificate by certificate.
store=/tmp/trust.p12
parts=/tmp/trust
rm -rf "$store" "$parts"
mkdir -p "$parts"
count=0
for bundle in /trust/*; do
  [ -f "$bundle" ] || continue
  within=
  while IFS= read -r line || [ -n "$line" ]; do
    case "$line" in
      *"BEGIN CERTIFICATE"*) count=$((count + 1)); within=yes ;;
    esac
    [ -z "$within" ] || printf '%s\n' "$line" >>"$parts/$count.pem"
    case "$line" in
      *"END CERTIFICATE"*) within= ;;
    esac
  done <"$bundle"
done
if [ "$count" -gt 0 ]; then
  for part in "$parts"/*.pem; do
    name=${part##*/}
    keytool -importcert -noprompt -trustcacerts -storetype PKCS12 -keystore "$store" -storepass millrace \
      -alias "${name%.pem}" -file "$part"
  done
  JAVA_OPTS="${JAVA_OPTS:-} -Djavax.net.ssl.trustStore=$store -Djavax.net.ssl.trustStoreType=PKCS12 -Djavax.net.ssl.trustStorePassword=millrace"
  export JAVA_OPTS
fi

# The image's own script writes its settings there; the root file system is read-only.
export HOME=/tmp
cd /
case "$1" in
  controller) exec /init.sh 0 ;;
  # The number of the pod: messages to an invoker go by it, and it keeps it when it comes anew.
  invoker) exec /init.sh --id "${HOSTNAME##*-}" ;;
esac
