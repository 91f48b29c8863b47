#!/bin/bash
# build.sh OUTDIR: software of others that exposes the gateway, for trying it: Traefik (Ingress and Gateway API) and
# the controllers of cert-manager as image archives, and the custom resource definitions of both. What is there is not built again.
# Cold: about ten minutes on 2 cores.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
[ $# = 1 ] || { sed -n '2,4p' "$0"; exit 2; }
out=$(realpath -m "$1")
. ../lib/go.sh
. ../lib/images.sh
mkdir -p "$out/crds"

stamp() { { go version; cat build.sh ../lib/go.sh ../lib/images.sh; find . -name '*.go' -o -name 'go.*' | LC_ALL=C sort | xargs sha256sum; } | sha256sum; }
[ "$(cat "$out/.stamp" 2>/dev/null)" != "$(stamp)" ] || exit 0

root=$(mktemp -d); trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
go build -mod=readonly "${GO_BUILD[@]}" -ldflags '-s -w' -o "$root/" ./cert-manager github.com/traefik/traefik/v3/cmd/traefik
for name in traefik cert-manager; do
  mkdir "$root/image-$name"; mv "$root/$name" "$root/image-$name/$name"; mkdir -m 1777 "$root/image-$name/tmp"
  scratch_image "$out/$name.tar" "localhost/$name:1" "$root/image-$name" "{\"User\":\"65534:65534\",\"Entrypoint\":[\"/$name\"]}"
done
# The experimental channel serves the routes for TCP and TLS in every version that there is.
cp "$(go list -mod=readonly -m -f '{{.Dir}}' sigs.k8s.io/gateway-api)"/config/crd/experimental/gateway.networking.k8s.io_*s.yaml "$out/crds/"
rm -f "$out/crds/"*_vap_*    # a policy, no definition
cp "$(go list -mod=readonly -m -f '{{.Dir}}' github.com/cert-manager/cert-manager)"/deploy/crds/*.yaml "$out/crds/"
stamp > "$out/.stamp"
