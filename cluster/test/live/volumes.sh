# Sized volumes: full, grown, kept over a power cut, deleted.

volumes() {
  k create namespace disks >/dev/null
  check volume-mounted volume_mounted || return 0
  check volume-has-its-size volume_size 64
  check full-volume-says-so fill a 35 64
  check volume-grows grow 128Mi
  check grown-volume-has-its-size volume_size 128
  check grown-volume-takes-more fill b 40 128
  check volume-does-not-shrink shrink
  check volume-too-large-for-a-file-refused too_large
  check volume-survives-power-cut power_cut
  check deleted-volume-is-gone deleted
}

claim() {
  k apply -f - <<E >/dev/null
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: $1, namespace: disks}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: $2}}}
E
}
image_of() { ls "$LC_BASE"/volumes/*/disks_"$1"_*/disk.img 2>/dev/null; }

volume_mounted() { claim data 64Mi && pod disks disk app=disk '' data; }

attached() { grep -F -- "$1" <<< "$(losetup -a)"; }

# volume_size MIB: what the pod sees is no more than that, and most of it
volume_size() {
  local kib; kib=$(run disks/disk df -k /data | tail -1 | awk '{print $(NF-4)}')
  [ "$kib" -le $(($1 * 1024)) ] && [ "$kib" -ge $(($1 * 800)) ] || { echo "df says $kib KiB of $1 MiB"; return 1; }
}

# fill FILE MIN MAX: writes until there is no space, between MIN and MAX MiB
fill() {
  local out mib
  out=$(run disks/disk dd if=/dev/zero of="/data/$1" bs=1M 2>&1) && { echo "no end"; return 1; }
  grep -q "No space left on device" <<< "$out" || { echo "$out"; return 1; }
  mib=$(( $(run disks/disk sh -c "wc -c < /data/$1") / 1048576 ))
  [ "$mib" -ge "$2" ] && [ "$mib" -le "$3" ] || { echo "$mib MiB were written"; return 1; }
}

grow() {
  k -n disks patch pvc data -p "{\"spec\":{\"resources\":{\"requests\":{\"storage\":\"$1\"}}}}" &&
    within 60 eval "[ \"\$(k -n disks get pvc data -o 'jsonpath={.status.capacity.storage}/{.status.conditions}')\" = $1/ ]" || return 1
  local pv; pv=$(k -n disks get pvc data -o 'jsonpath={.spec.volumeName}')
  [ "$(k get pv "$pv" -o 'jsonpath={.spec.capacity.storage}')" = "$1" ] || { k get pv "$pv"; return 1; }
}

shrink() {
  local out; out=$(k -n disks patch pvc data -p '{"spec":{"resources":{"requests":{"storage":"32Mi"}}}}' 2>&1) && { echo "accepted"; return 1; }
  grep -qi "can not be less than\|forbidden" <<< "$out" || { echo "$out"; return 1; }
}

too_large() {
  claim huge 20Ti && new_pod disks huge app=huge '' huge && within 60 eval "k -n disks get events | grep 'storage request 20Ti'" &&
    k -n disks delete pod/huge pvc/huge --timeout=60s
}

# power_cut: everything of the node goes, also its mounts and loop devices, and comes back
power_cut() {
  local node; node=$(k -n disks get pod disk -o 'jsonpath={.spec.nodeName}')
  run disks/disk sh -c 'rm /data/a && echo kept > /data/note && sync' || return 1
  c stop "$node" || return 1
  within 20 not attached "$LC_BASE/" || return 1
  c start "$node" || return 1
  within 90 eval "[ \"\$(run disks/disk cat /data/note)\" = kept ]" || return 1
  volume_size 128
}

deleted() {
  [ -n "$(image_of data)" ] || { echo "no image file to begin with"; return 1; }
  k -n disks delete pod/disk pvc/data --timeout=60s && within 60 eval '[ -z "$(image_of data)" ]' && within 20 not attached disks_data_
}
