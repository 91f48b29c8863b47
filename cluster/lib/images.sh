# Image archives (docker-archive), imported into each node's containerd: there is no registry.

# import NODE: archives it does not have yet
import() {
  local t m
  for t in "$IMAGES"/*.tar; do
    [ -e "$t" ] || continue
    m=$BASE/$1/imported.$(basename "$t")
    [ ! "$m" -nt "$t" ] || continue
    inside "$1" ctr -n k8s.io images import "$t" >/dev/null
    touch "$m"
  done
}

# load TAR...
load() {
  local t to n p jobs='' failed=''
  [ $# -gt 0 ] || die "load: give image archives"
  for t; do
    [ -f "$t" ] || die "load: no file $t"
    to=$IMAGES/$(basename "$t")
    [ "$t" -ef "$to" ] || ln -f "$t" "$to" 2>/dev/null || cp "$t" "$to"
  done
  for n in $(node_names); do import "$n" & jobs="$jobs $!"; done
  for p in $jobs; do wait "$p" || failed=1; done
  [ -z "$failed" ] || die "load: an import failed"
}

# scratch_image OUT NAME:TAG ROOTDIR CONFIG-JSON: an image of one layer, made of nothing but the files below ROOTDIR
scratch_image() {
  local t layer config; t=$(mktemp -d)
  tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$3" -cf "$t/layer.tar" .
  layer=$(sha256sum < "$t/layer.tar" | cut -d' ' -f1)
  printf '{"architecture":"%s","os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$(image_arch)" "$4" "$layer" > "$t/config.json"
  config=$(sha256sum < "$t/config.json" | cut -d' ' -f1).json
  mv "$t/config.json" "$t/$config"
  printf '[{"Config":"%s","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$config" "$2" > "$t/manifest.json"
  tar --owner=0 --group=0 --mtime=@0 -C "$t" -cf "$1.new" manifest.json "$config" layer.tar
  mv "$1.new" "$1"; rm -r "$t"
}
image_arch() { case $(uname -m) in x86_64) echo amd64;; aarch64) echo arm64;; *) uname -m;; esac; }

# pause_archive: what holds a pod's namespaces
pause_archive() {
  local d
  [ ! "$IMAGES/pause.tar" -nt "$PAUSE" ] || return 0
  d=$(mktemp -d); cp "$PAUSE" "$d/pause"; chmod 755 "$d" "$d/pause"
  scratch_image "$IMAGES/pause.tar" localhost/pause:1 "$d" '{"User":"65535:65535","Entrypoint":["/pause"]}'
  rm -r "$d"
}
