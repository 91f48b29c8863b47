# Go settings that build.sh and test.sh must share, since the build cache depends on them.

command -v go >/dev/null || { echo "no go command: install Go 1.25 or later" >&2; exit 1; }
go_minor=$(go env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
[ "${go_minor:-0}" -ge 25 ] || { echo "$(go version): Go 1.25 or later is needed" >&2; exit 1; }
export GOMODCACHE=${GOMODCACHE:-$HOME/.cache/millrace/go/mod} GOCACHE=${GOCACHE:-$HOME/.cache/millrace/go/build}
export GOFLAGS=${GOFLAGS:--modcacherw} CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off
GO_BUILD=(-trimpath -gcflags=all=-dwarf=false)
