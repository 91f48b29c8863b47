export LC_ALL=C TZ=UTC
umask 077
fail() {
  echo "$1" | tee /dev/termination-log >&2
  exit 3
}
exec 9>/backups/.receiving-lock
flock -n 9 || fail "another pod receives on this volume"
shown=/tmp/shown
said=/tmp/said
mkdir -p $shown /tmp/segment
child=
trap '[ -z "$child" ] || kill "$child"; exit 0' TERM INT

# Under what name the log is in the archive: one for the databases of this resource. Another one begins where a part of the log
# is missing, so that none is ever replayed over a gap.
choose() {
  system=$(timeout 60 psql -X -A -t -d replication=true -c IDENTIFY_SYSTEM 2>$said </dev/null | cut -d '|' -f 1)
  [ -n "$system" ] || return 1
  known=$(cat /backups/.lineage 2>/dev/null || true)
  lineage=${known##* }
  if [ -z "$known" ] || [ "$known" != "$system $uid $lineage" ]; then
    lineage=$system-$(date -u +%Y%m%dT%H%M%SZ)
    # Nothing ends by itself here: without room there would be a name that is cut short.
    mkdir -p "/backups/$lineage/wal" || return 1
    [ ! -e /backups/.gap ] || mv /backups/.gap "/backups/$lineage/gap" || return 1
    echo "$system $uid $lineage" >/backups/.lineage.part || return 1
    mv /backups/.lineage.part /backups/.lineage || return 1
  fi
  wal=/backups/$lineage/wal
}

# Whole segments, in the order of the log.
segments() {
  ls -1 "$1" 2>/dev/null |
    awk 'length($0) == 27 && /^[0-9A-F]*[.]gz$/ { print substr($0, 9, 16) substr($0, 1, 8), $0 }' | sort | cut -d ' ' -f 2
}

# When the last transaction was committed that is in the archive for certain.
note_latest() {
  newest=$(segments "/backups/$1/wal" | tail -n 1)
  [ -n "$newest" ] && [ "$newest" != "$noted" ] || return 0
  name=${newest%.gz}
  rm -f /tmp/segment/*
  gzip -dc "/backups/$1/wal/$newest" >"/tmp/segment/$name" || return 0
  at=$(pg_waldump --rmgr=Transaction "/tmp/segment/$name" 2>/dev/null | sed -n 's/.*desc: COMMIT \([-0-9: .]*\) UTC.*/\1/p' | tail -n 1)
  rm -f /tmp/segment/*
  noted=$newest
  [ -n "$at" ] || return 0
  echo "$name $(date -u -d "$at" +%s)" >"/backups/$1/latest.part"
  mv "/backups/$1/latest.part" "/backups/$1/latest"
}

# What the operator reads.
tell() {
  known=$(cat /backups/.lineage 2>/dev/null || true)
  lineage=${known##* }
  now=$(date +%s)
  connected=$(cat /tmp/connected 2>/dev/null || echo "$now")
  # Who is refused ends at once.
  [ $((now - connected)) -lt 5 ] || rm -f /tmp/failing
  failing=null
  trouble=
  since=$(cat /tmp/failing 2>/dev/null || echo "$now")
  # Between two primaries nobody is there for a while.
  if [ $((now - since)) -ge 60 ]; then
    failing=$since
    trouble=$(tail -n 1 $said | tr -d '"\\' | tr -c '[:print:]' ' ')
  fi
  bases=
  if [ -n "$lineage" ]; then
    note_latest "$lineage"
    for base in "/backups/$lineage/base/"*/backup.json; do
      [ -e "$base" ] || continue
      bases=$bases${bases:+,}\"$(basename "$(dirname "$base")")\":$(cat "$base")
    done
    if [ -z "$bases" ] && [ -e "/backups/$lineage/gap" ]; then
      failing=$(stat -c %Y "/backups/$lineage/gap")
      trouble="the members did not keep the log for so long as it was not received: what was committed meanwhile is in no base backup yet"
    fi
  fi
  room=$(df -Pk /backups 2>/dev/null | tail -n 1 | { read -r _ total _ usable _ && echo "$total $usable"; })
  printf '{"room":"%s","latest":"%s","failedAt":%s,"trouble":"%s","bases":{%s}}\n' \
    "$room" "$(cat "/backups/$lineage/latest" 2>/dev/null || true)" "$failing" "$trouble" "$bases" >/tmp/state.part
  mv /tmp/state.part $shown/state.json
}
(
  noted=
  while :; do
    tell || true
    sleep 3
  done
) 9>&- &
python3 -m http.server PORT --directory $shown >/dev/null 2>&1 9>&- &

# What was set aside to be received again is there again, or comes back.
settle() {
  again=
  for aside in "$wal"/.again-*; do
    [ -e "$aside" ] || continue
    name=${aside##*/.again-}
    if [ -e "$wal/$name" ]; then rm -f "$aside"; else mv "$aside" "$wal/$name"; fi
  done
}
# It goes on under another name.
leave_gap() {
  settle
  mv /backups/.lineage /backups/.gap
}
newline='
'
again=
while :; do
  login
  ended=1
  began=$(date +%s)
  if choose; then
    [ -n "$again" ] || settle
    # Of segments that are not whole none is read again. An empty one says where to go on, where there is none before it.
    rm -f "$wal"/*.partial
    [ -z "$again" ] || : >"$wal/$again.partial"
    echo "$began" >/tmp/connected
    # A connection to a server that hangs would never end, and asked to end it waits for that server's answer.
    timeout --signal=INT --kill-after=20 900 pg_receivewal --directory="$wal" --compress=1 --no-loop --no-password >$said 2>&1 9>&- &
    child=$!
    wait $child && ended=0 || ended=$?
    child=
    rm -f /tmp/connected
    [ $(($(date +%s) - began)) -lt 5 ] || again=
  fi
  [ $ended != 124 ] || continue
  cat $said >&2
  [ -e /tmp/failing ] || date +%s >/tmp/failing
  case $(cat $said) in
  *'has already been removed'*) leave_gap ;;
  *"is not in this server's history"*)
    # The former primary had more than the one that took over: what nobody has any more.
    again=$(segments "$wal" | tail -n 1)
    if [ -n "$again" ]; then rm -f "$wal/$again"; else leave_gap; fi
    ;;
  *'"START_REPLICATION": '"$newline"*)
    # The line of the former primary ended just where the next segment begins, which pg_receivewal does not understand: it does
    # when it comes there by itself.
    again=$(segments "$wal" | tail -n 1)
    if [ -n "$again" ]; then mv "$wal/$again" "$wal/.again-$again"; else leave_gap; fi
    ;;
  esac
  sleep 2
done
