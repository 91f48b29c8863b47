# Run by Patroni when there have never been any databases, in the one member that may make them.
secret=/etc/millrace-superuser/password
if [ "$(cat /etc/millrace/live.founding)" != allowed ]; then
  echo "$refused" | tee /dev/termination-log >&2
  exit 3
fi
# Made aside and moved into place as a whole: what was cut short leaves nothing that looks like databases.
rm -rf /data/fresh
initdb -D /data/fresh -U postgres --pwfile=$secret --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --data-checksums >&2
[ ! -e /data/pgdata ] || rmdir /data/pgdata
mv /data/fresh /data/pgdata
sync
