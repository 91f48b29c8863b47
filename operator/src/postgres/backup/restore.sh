export LC_ALL=C PGDATA=/data/pgdata
umask 077
fresh=/data/restoring
log=/tmp/restore.log
fail() {
  echo "$1" | tee /dev/termination-log >&2
  exit 3
}
exec 9>/data/.restore-lock
flock -n 9 || fail "another restore is under way on this volume"
if [ -e $PGDATA ]; then
  [ -e $PGDATA/millrace-restored ] || fail "the volume holds databases already, and a restore never begins over them: delete its volume claim, or take spec.bootstrap out"
  exit 0
fi

# The newest base backup that was complete by then.
all=$(for base in /source/*/base/*/; do
  [ ! -e "$base/backup.json" ] || echo "$(basename "$base") $base"
done | sort)
[ -n "$all" ] || fail "spec.bootstrap.restore.from: the volume holds no base backup"
chosen=$(echo "$all" | awk -v until="$until" 'until == "" || $1 <= until' | tail -n 1)
[ -n "$chosen" ] || fail "spec.bootstrap.restore.targetTime: $target: the earliest base backup was complete at $(echo "$all" | head -n 1 | cut -d ' ' -f 1): give a later time"
backup=${chosen%% *}
base=${chosen#* }
lineage=$(basename "$(dirname "$(dirname "$base")")")
echo "base backup $lineage/base/$backup" >&2

rm -rf $fresh
mkdir $fresh
tar -xzf "$base/base.tar.gz" -C $fresh || fail "base backup $lineage/base/$backup cannot be unpacked: see the log of this container"
pg_verifybackup --quiet $fresh || fail "base backup $lineage/base/$backup is damaged: see the log of this container; take it away and try again, another one may do"
has=$(cat $fresh/PG_VERSION)
is=$(postgres -V | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
[ "$has" = "$is" ] || fail "spec.image: is PostgreSQL $is, and the base backup is of PostgreSQL $has, which another major version does not read; give an image of $has"

# Under this name its log is in the archive; and what Patroni remembers is of the former members.
echo "$lineage" >$fresh/millrace-lineage
rm -f $fresh/patroni.dynamic.json $fresh/standby.signal
# Nobody but this script gets in.
echo 'local all all trust' >/tmp/pg_hba.conf
touch $fresh/recovery.signal
: >$log
rm -f /tmp/fetch-trouble
tail -n +1 -f $log >&2 &
tail=$!
trap 'kill $tail' EXIT
recover() {
  postgres -D $fresh -c config_file=/etc/millrace/postgresql.conf -c hba_file=/tmp/pg_hba.conf \
    -c listen_addresses= -c unix_socket_directories=/tmp -c ssl=off -c hot_standby=off -c archive_mode=off \
    -c 'restore_command=/bin/sh /etc/millrace/fetch.sh %f "%p"' -c recovery_target_action=promote "$@" >>$log 2>&1 9>&- &
  server=$!
  until [ "$(sed -n 8p $fresh/postmaster.pid 2>/dev/null | tr -d ' ')" = ready ]; do
    kill -0 $server 2>/dev/null || return 1
    sleep 0.2
  done
}
ended() {
  [ ! -e /tmp/fetch-trouble ] || fail "$(cat /tmp/fetch-trouble)"
  fail "the log could not be replayed: $(grep -E 'FATAL|PANIC' $log | tail -n 1)"
}
if [ -z "$target" ]; then
  recover || ended
elif ! recover -c "recovery_target_time=$target"; then
  grep -q 'recovery ended before configured recovery target was reached' $log || ended
  # Nothing was committed after that time, or the archive ends before it.
  latest=$(cut -d ' ' -f 2 "/source/$lineage/latest" 2>/dev/null || echo 0)
  [ "$latest" -ge "$target_seconds" ] ||
    fail "spec.bootstrap.restore.targetTime: $target: the archive ends at $(date -u -d "@$latest" +%Y-%m-%dT%H:%M:%SZ): give an earlier time, or none for all that there is"
  recover || ended
fi
kill -INT $server
wait $server || fail "the server did not end as it should: see the log of this container"
reached=$(sed -n 's/.*last completed transaction was at log time //p' $log | tail -n 1)
# Its log goes on apart from the former one's.
identifier=$(pg_controldata $fresh | sed -n 's/^Database system identifier: *//p')
echo "$identifier-$(date -u +%Y%m%dT%H%M%SZ)" >$fresh/millrace-lineage
printf '{"backup":"%s","reached":"%s"}\n' "$lineage/base/$backup" "$reached" >$fresh/millrace-restored
# Made aside and moved into place as a whole: what was cut short is begun anew.
sync
mv $fresh $PGDATA
sync
cat $PGDATA/millrace-restored >&2
