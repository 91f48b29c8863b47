# What must be on the machine: found missing before anything is changed.

# ext4 grows while mounted only with CAP_SYS_RESOURCE (bit 24); a sandboxed root may lack it, and XFS does without.
volume_file_system() {
  VOLUME_FS=${LC_VOLUME_FS:-}
  [ -n "$VOLUME_FS" ] || {
    VOLUME_FS=xfs
    if (( 0x$(awk '/^CapEff/{print $2}' /proc/self/status) >> 24 & 1 )) && grep -qw ext4 /proc/filesystems; then VOLUME_FS=ext4; fi
  }
  case $VOLUME_FS in ext4|xfs) ;; *) die "LC_VOLUME_FS=$VOLUME_FS: use ext4 or xfs";; esac
}

# missing_tools: sets MISSING, the tools, and PACKAGES, the Debian packages that have them
missing_tools() {
  local pair tool pkg
  MISSING='' PACKAGES=''
  for pair in containerd:containerd ctr:containerd runc:runc nft:nftables iptables:iptables ip:iproute2 unshare:util-linux \
      nsenter:util-linux flock:util-linux losetup:mount mount:mount pgrep:procps openssl:openssl curl:curl \
      "mkfs.$VOLUME_FS:$([ $VOLUME_FS = xfs ] && echo xfsprogs || echo e2fsprogs)" /usr/lib/cni/bridge:containernetworking-plugins; do
    tool=${pair%%:*} pkg=${pair#*:}
    command -v "$tool" >/dev/null && continue
    MISSING="$MISSING $tool"
    case " $PACKAGES " in *" $pkg "*) ;; *) PACKAGES="$PACKAGES $pkg";; esac
  done
}

# check_tools: dies naming what is missing
check_tools() {
  missing_tools
  [ -z "$MISSING" ] || die "missing:$MISSING. Install with:  apt-get install -y --no-install-recommends$PACKAGES"
  [ "$(id -u)" = 0 ] || die "must run as root: it makes namespaces, mounts and links"
  [ -x "$HK" ] || die "no $HK: build it with  $HERE/build.sh $(dirname "$HK")"
  [ -x "$PAUSE" ] || die "no $PAUSE: build it with  $HERE/build.sh $(dirname "$PAUSE")"
  [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ] || modprobe br_netfilter 2>/dev/null || die "the kernel has no br_netfilter"
}

# check_free: what only one cluster can have, unless this one has it already.
check_free() {
  local p
  if ! pid_of cp.kube-apiserver >/dev/null && (exec 3<>"/dev/tcp/127.0.0.1/$API_PORT") 2>/dev/null; then
    die "port 127.0.0.1:$API_PORT is in use; choose another with LC_API_PORT"
  fi
  for p in $(inits "LC_NAME=$NAME"); do
    [ "$(environment "$p" LC_BASE)" = "$BASE" ] || die "a cluster named $NAME runs already, with LC_BASE=$(environment "$p" LC_BASE); choose another name with LC_NAME"
  done
}
