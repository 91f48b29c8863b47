# archive_command: brings one file of the log to the archive, for good. Run in the directory of the databases, with the path
# and the name of the file. What fails is asked of it again, first at once and then each minute.
set -eu
export LC_ALL=C
umask 077
from=$1
name=$2
# What the operator reads: how much room there is, and why a file could not be brought.
room() {
  df -Pk /backups 2>/dev/null | tail -n 1 | { read -r _ total _ usable _ && echo "$total $usable"; } >/tmp/archive-room || true
}
trap room EXIT
lineage=$(cat millrace-lineage)
wal=/backups/$lineage/wal
part=$wal/.$name.part
fail() {
  rm -f "$part"
  echo "$1" | tee /tmp/archive-trouble >&2
  exit 1
}
words=$(mkdir -p "$wal" 2>&1) || fail "$words"
if [ -e "$wal/$name.gz" ]; then
  # It was brought, and the server ended before it noted that. Another content is of another server.
  gzip -dc "$wal/$name.gz" | cmp -s - "$from" ||
    fail "$lineage/wal/$name.gz is in the archive already with another content: another server writes to this volume; give each a volume of its own"
else
  words=$(gzip -1 -c "$from" 2>&1 >"$part") || fail "$name: $words"
  words=$(sync "$part" 2>&1) || fail "$name: $words"
  mv -n "$part" "$wal/$name.gz"
  [ ! -e "$part" ] || fail "$lineage/wal/$name.gz came into the archive from elsewhere"
  words=$(sync "$wal" 2>&1) || fail "$name: $words"
fi
# When a segment was written last: what was committed until then is in the archive.
case $name in
????????????????????????)
  latest=/backups/$lineage/latest
  echo "$name $(stat -c %Y "$from")" >"$latest.part" || fail "$latest cannot be written"
  mv "$latest.part" "$latest"
  ;;
esac
rm -f /tmp/archive-trouble
