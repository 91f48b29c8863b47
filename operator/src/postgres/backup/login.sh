# How the role of base backups gets in, by its Secret as it is now.
login() {
  binding=/etc/millrace-binding
  PGHOST=$(cat $binding/host)
  PGPORT=$(cat $binding/port)
  PGUSER=$(cat $binding/username)
  PGPASSWORD=$(cat $binding/password)
  export PGHOST PGPORT PGUSER PGPASSWORD PGSSLMODE=verify-full PGSSLROOTCERT=$binding/ca.crt HOME=/tmp
}
