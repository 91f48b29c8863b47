# Run by Patroni when a server has started or has another role: what to do, the role, the cluster. The primary is told the
# passwords of the Secrets, and who the members are to each other. Nobody waits for that to be on a replica.
case ${2:-} in
master | primary) ;;
*) exit 0 ;;
esac
quoted() {
  sed "s/'/''/g" "$1"
}
export PGOPTIONS='-c synchronous_commit=local -c log_statement=none -c log_min_duration_statement=-1 -c log_min_error_statement=panic'
# Until it has become the primary altogether it refuses.
for _ in 1 2 3 4 5 6; do
  if psql -X -q -v ON_ERROR_STOP=1 -h /tmp -U postgres -d postgres >&2 <<SQL
SELECT 'CREATE ROLE millrace_replication' WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'millrace_replication') \gexec
ALTER ROLE millrace_replication WITH LOGIN REPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD '$(quoted /etc/millrace-patroni/replication)';
GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text, boolean, boolean), pg_catalog.pg_stat_file(text, boolean), pg_catalog.pg_read_binary_file(text), pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean) TO millrace_replication;
ALTER ROLE postgres WITH LOGIN SUPERUSER PASSWORD '$(quoted /etc/millrace-superuser/password)';
SQL
  then
    exit 0
  fi
  sleep 2
done
echo "passwords could not be set: see above" >&2
exit 1
