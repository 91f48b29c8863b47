//! The files of a server: settings, who may connect, scripts. Pure.

pub(super) mod settings;

use std::collections::BTreeMap;

use super::PORT;
use super::backup::files as backup_files;
use super::patroni;
use super::validate::{Founding, ValidatedPostgres};
use crate::reconcile::approval::LIVE;

pub(super) use settings::parameters;

/// Where these files are mounted.
pub const FILES: &str = "/etc/millrace";
/// Where the volume is mounted.
pub const VOLUME_AT: &str = "/data";
/// Where the certificate of the server is mounted.
pub const CERTIFICATE: &str = "/etc/millrace-certificate";
/// Where the password of the superuser is mounted.
pub const SUPERUSER: &str = "/etc/millrace-superuser";
/// What a pod whose volume is empty says when no server may begin anew.
pub const REFUSED: &str = "this server's volume is empty and the databases have worked before: it would begin anew, without \
them; bring the volume back, or let it by the annotation millrace.dev/allow-format";
/// The directory of the databases: not the volume itself, where some file systems keep a lost+found.
pub(super) const DATA: &str = "/data/pgdata";
/// Where the server's socket is.
pub(super) const SOCKET: &str = "/tmp";

/// The files that a server reads at its start only: when one of them changes, it has to be restarted.
#[must_use]
pub fn fixed(postgres: &ValidatedPostgres) -> BTreeMap<String, String> {
    if postgres.is_ha() {
        let mut files = patroni::files::fixed(postgres);
        files.insert("passwd".into(), PASSWD.into());
        return files;
    }
    let mut files = BTreeMap::from([
        ("postgresql.conf".into(), settings::text(postgres)),
        ("pg_hba.conf".into(), hba(postgres)),
        ("passwd".into(), PASSWD.into()),
        ("start.sh".into(), start(postgres)),
        ("ready.sh".into(), ready()),
        ("stop.sh".into(), STOP.into()),
    ]);
    if postgres.backup.is_some() {
        files.insert("archive.sh".into(), backup_files::ARCHIVE.into());
    }
    files
}

/// What a server is told while it runs, and the scripts of other pods.
#[must_use]
pub fn live(postgres: &ValidatedPostgres) -> BTreeMap<String, String> {
    let founding = match postgres.founding {
        Founding::Allowed => "allowed",
        Founding::Refused => "refused",
    };
    let mut files = BTreeMap::from([(format!("{LIVE}founding"), founding.into())]);
    files.extend(backup_files::of_other_pods(postgres));
    files
}

/// Passwords always, and TLS from everywhere but the pod itself. Replication is a database of its own here, and `all` does
/// not mean it.
const HBA: &str = "local    all          all       scram-sha-256
hostssl  all          all  all  scram-sha-256
hostssl  replication  all  all  scram-sha-256
";

/// The role of base backups reads all databases as they lie on the volume; into one of them it does not get.
pub(super) const HBA_BACKUP: &str = "host     all          millrace_backup  all  reject
";

fn hba(postgres: &ValidatedPostgres) -> String {
    let own = postgres.backup.as_ref().map_or("", |_| HBA_BACKUP);
    // The first line that fits counts.
    format!("{own}{HBA}")
}

/// PostgreSQL wants to know the name of the user that it runs as, and images know other ones.
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh
postgres:x:1000:1000:PostgreSQL:/tmp:/bin/sh
";

/// Debian and the images made from it keep the programs away from the PATH.
pub(super) const PATH: &str = r#"set -eu
for bin in /usr/lib/postgresql/*/bin; do
  [ ! -x "$bin/postgres" ] || PATH=$bin:$PATH
done
"#;

/// Says what keeps a server from starting, where the status of its pod shows it.
pub(super) const FAIL: &str = r#"fail() {
  echo "$1" | tee /dev/termination-log >&2
  exit 3
}
"#;

/// Databases that another major version has made are left alone.
pub(super) const VERSION: &str = r#"has=$(cat $PGDATA/PG_VERSION)
is=$(postgres -V | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
[ "$has" = "$is" ] || fail "spec.image: is PostgreSQL $is, and the volume holds databases of PostgreSQL $has, which another major version does not read; give an image of $has, or bring the databases over by pg_dump"
# Kubernetes lets the group write on volumes, which PostgreSQL refuses.
chmod 700 $PGDATA
"#;

fn start(postgres: &ValidatedPostgres) -> String {
    let lineage = postgres
        .backup
        .as_ref()
        .map_or("", |_| backup_files::LINEAGE);
    format!(
        r#"{PATH}export PGDATA={DATA}
secret={SUPERUSER}/password
{FAIL}run="-c config_file={FILES}/postgresql.conf -c hba_file={FILES}/pg_hba.conf"
if [ ! -e $PGDATA ]; then
  [ "$(cat {FILES}/{LIVE}founding)" = allowed ] || fail "{REFUSED}"
  # Made aside and moved into place as a whole: what was cut short leaves nothing that looks like databases.
  rm -rf {VOLUME_AT}/fresh {VOLUME_AT}/superuser
  initdb -D {VOLUME_AT}/fresh -U postgres --pwfile=$secret --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --data-checksums >&2
  mv {VOLUME_AT}/fresh $PGDATA
  sync
fi
{VERSION}{lineage}# The volume may be older than the Secret. It is told only here, where nobody else can come in.
password=$(cat $secret)
told=$(printf %s "$password" | sha256sum)
if [ "$(cat {VOLUME_AT}/superuser 2>/dev/null || true)" != "$told" ]; then
  quoted=$(printf %s "$password" | sed "s/'/''/g")
  echo "ALTER ROLE postgres WITH LOGIN SUPERUSER PASSWORD '$quoted';" |
    postgres --single -D $PGDATA $run -c password_encryption=scram-sha-256 -c log_statement=none postgres >/dev/null ||
    fail "the password of the superuser could not be set: see the log of this container"
  echo "$told" >{VOLUME_AT}/superuser
fi
exec postgres -D $PGDATA $run
"#
    )
}

fn ready() -> String {
    format!("{PATH}exec pg_isready -q -h {SOCKET} -p {PORT}\n")
}

/// SIGINT ends the sessions and then the server. The signal that Kubernetes sends unless the image says otherwise makes the
/// server wait for all clients to go by themselves.
const STOP: &str = "kill -INT \"$(head -n 1 /data/pgdata/postmaster.pid)\"\n";

#[cfg(test)]
mod tests {
    use super::super::validate::tests::valid;
    use super::*;
    use serde_json::json;

    #[test]
    fn the_files_of_a_server() {
        let postgres = valid(json!({"parameters": {"work_mem": "32MB", "search_path": "a'b"}}));
        let all: Vec<String> = fixed(&postgres)
            .into_iter()
            .map(|(name, text)| format!("--- {name}\n{text}"))
            .collect();
        insta::assert_snapshot!(all.concat());
    }

    #[test]
    fn a_server_that_may_not_begin_anew_is_told_so() {
        let mut postgres = valid(json!({}));
        assert_eq!(live(&postgres)["live.founding"], "allowed");
        postgres.founding = Founding::Refused;
        assert_eq!(live(&postgres)["live.founding"], "refused");
    }
}
