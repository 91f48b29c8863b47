#!/bin/bash
# test.sh: format and unit tests of the Go code that is ours and pure; the script's syntax. Quick once build.sh has run,
# because it uses build.sh's flags. test/live.sh tries the whole on a real cluster.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
for f in *.sh lib/*.sh test/*.sh; do bash -n "$f"; done
. lib/go.sh
unformatted=$(gofmt -l hyperkube pause)
[ -z "$unformatted" ] || { echo "gofmt would change: $unformatted" >&2; exit 1; }
cd hyperkube
go vet -mod=readonly "${GO_BUILD[@]}" ./netpol ./volumes ./forward    # not the main package: that would go through all of Kubernetes
go test -mod=readonly -vet=off "${GO_BUILD[@]}" "$@" ./netpol ./volumes ./forward
