export LC_ALL=C
umask 077
fail() {
  echo "$1" | tee /dev/termination-log >&2
  exit 3
}
exec 9>/backups/.lock
flock -n 9 || fail "another run is under way on this volume"
new=/backups/.new
trap 'rm -rf $new' EXIT

# Takes away what is not to be kept, and of the log what no base backup needs any more.
prune() (
  for lineage in /backups/*/; do
    base=${lineage}base
    [ -d "$base" ] || continue
    rm -rf "$base"/.gone-* "$base"/.part-*
    ls -1 "$base" | sort -r >/tmp/bases
    if [ -n "$keep_days" ]; then
      # The newest of those that are older stays too: by it the first moments of these days come back.
      since=$(date -u -d "$keep_days days ago" +%Y%m%dT%H%M%SZ)
      awk -v since="$since" '$1 < since' /tmp/bases | tail -n +2 >/tmp/old
    else
      tail -n +$((keep + 1)) /tmp/bases >/tmp/old
    fi
    while read -r old; do
      # Renamed first: half of one is none.
      mv "$base/$old" "$base/.gone-$old"
      rm -rf "$base/.gone-$old"
      echo "removed $base/$old" >&2
    done </tmp/old
    oldest=$(ls -1 "$base" | sort | head -n 1)
    if [ -n "$oldest" ] && [ -d "${lineage}wal" ]; then
      pg_archivecleanup -x .gz "${lineage}wal" "$(cat "$base/$oldest/start-wal")"
    fi
  done
)

login
# First, so that room comes where fewer are to be kept than before.
prune
rm -rf $new
before=$(cat /backups/.lineage 2>/dev/null || true)
if [ -n "$received" ]; then
  lineage=${before##* }
  [ -n "$lineage" ] && [ -n "$(ls "/backups/$lineage/wal")" ] || fail "the log of the members is not received yet, without which a base backup is of no use"
fi
pg_basebackup --pgdata=$new --format=plain --wal-method=stream --checkpoint=fast --manifest-checksums=SHA256 --no-password --label=millrace
# Rounded up: at this time it was complete.
completed=$(date -u -d '+1 second' +%Y%m%dT%H%M%SZ)
pg_verifybackup --quiet $new
if [ -z "$received" ]; then
  lineage=$(cat $new/millrace-lineage)
else
  [ "$(cat /backups/.lineage)" = "$before" ] || fail "a part of the log is missing since this base backup began: another one has to be made"
fi
base=/backups/$lineage/base
part=$base/.part-$completed
mkdir -p "$part"
tar -I 'gzip -1' -cf "$part/base.tar.gz" -C $new .
# Read back, and compared with what was verified.
tar -I gzip -df "$part/base.tar.gz" -C $new
sed -n 's/^START WAL LOCATION: .*(file \([0-9A-F]*\))$/\1/p' $new/backup_label >"$part/start-wal"
[ -s "$part/start-wal" ] || fail "the base backup does not say where its log begins"
printf '{"bytes":%s,"databaseBytes":%s}\n' "$(stat -c %s "$part/base.tar.gz")" "$(du -sb $new | cut -f 1)" >"$part/backup.json"
rm -rf $new
sync
mv "$part" "$base/$completed"
sync
prune
echo "$lineage/base/$completed $(cat "$base/$completed/backup.json")" >&2
