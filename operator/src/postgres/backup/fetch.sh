# restore_command: takes one file of the log out of the archive. Run in the directory of the databases, with the name of the
# file and where it is to be. 1 tells that there is none, where the log ends; more than 125 ends the restore.
export LC_ALL=C
lineage=$(cat millrace-lineage) || exit 200
wal=/source/$lineage/wal
if [ ! -e "$wal/$1.gz" ]; then
  case $1 in
  ????????????????????????)
    # The base backup has brought some itself.
    [ ! -e "pg_wal/$1" ] || exit 1
    later=$(ls -1 "$wal" 2>/dev/null | awk -v name="$1.gz" 'length($0) == 27 && substr($0, 1, 8) == substr(name, 1, 8) && $0 > name' | head -n 1)
    if [ -n "$later" ]; then
      echo "$lineage/wal/$1.gz is missing in the archive, and $later is there: what was committed between them would be lost" | tee /tmp/fetch-trouble >&2
      exit 200
    fi
    ;;
  esac
  exit 1
fi
if ! gzip -dc "$wal/$1.gz" >"$2"; then
  echo "$lineage/wal/$1.gz is damaged" | tee /tmp/fetch-trouble >&2
  exit 200
fi
