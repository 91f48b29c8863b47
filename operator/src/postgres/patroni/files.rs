//! The files of a server that has others beside it: Patroni's settings, scripts. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{API_PORT, PRIMARY, REPLICA, REPLICATION_ROLE, ROLE_LABEL, SCOPE_LABEL, scope};
use crate::postgres::crd::Synchronous;
use crate::postgres::files::{
    CERTIFICATE, DATA, FAIL, FILES, HBA_BACKUP, PATH, REFUSED, SOCKET, VERSION, parameters,
};
use crate::postgres::validate::{SUPERUSER, ValidatedPostgres};
use crate::postgres::{COMPONENT, PORT};
use crate::remote::patroni::USER;

/// Where the Secret of the members is mounted.
pub const SECRET: &str = "/etc/millrace-patroni";
/// What Patroni takes beside the server, in mebibytes.
pub const MEMORY: u64 = 96;

const FOUND: &str = include_str!("found.sh");
const TELL: &str = include_str!("tell.sh");

/// Whoever does not renew the lease for so many seconds leads no more.
const TTL: u64 = 20;
/// Seconds between two looks of a member at the others.
const LOOP: u64 = 5;
/// Seconds for which a member asks Kubernetes again and again before it gives up. Lease, look and this hang together:
/// `TTL` is at least `LOOP` and twice this.
const RETRY: u64 = 5;

/// The files that a server reads at its start.
#[must_use]
pub fn fixed(postgres: &ValidatedPostgres) -> BTreeMap<String, String> {
    let script = |text: &str| format!("{PATH}{text}");
    BTreeMap::from([
        // JSON is YAML too, and quotes what has to be.
        ("patroni.yaml".into(), format!("{:#}\n", local(postgres))),
        ("start.sh".into(), start(postgres)),
        (
            "found.sh".into(),
            script(&format!("refused=\"{REFUSED}\"\n{FOUND}")),
        ),
        ("tell.sh".into(), script(TELL)),
    ])
}

/// Settings that all members have at once, kept by Patroni in a ConfigMap: those of PostgreSQL, and how a primary is made.
#[must_use]
pub fn shared(postgres: &ValidatedPostgres) -> Value {
    // Patroni gives these itself.
    let own = ["listen_addresses", "port"];
    let parameters = parameters(postgres)
        .into_iter()
        .filter(|(name, _)| !own.contains(&name.as_str()));
    let parameters: Map<String, Value> = parameters
        .map(|(name, value)| (name, Value::String(value)))
        .collect();
    let synchronous = postgres.synchronous;
    json!({
        "ttl": TTL,
        "loop_wait": LOOP,
        "retry_timeout": RETRY,
        // A server that crashes is started again for so long before another one takes over.
        "primary_start_timeout": 30,
        // Without Kubernetes the primary goes on as long as all other members agree, who then do not take over.
        "failsafe_mode": true,
        // A replica that lacks more, in bytes, never takes over where nobody waits for one.
        "maximum_lag_on_failover": 1_048_576,
        "synchronous_mode": synchronous != Synchronous::None,
        "synchronous_mode_strict": synchronous == Synchronous::Required,
        "postgresql": {
            "use_pg_rewind": true,
            "use_slots": true,
            // A former primary that cannot be brought back onto the line of the new one begins as a copy of that.
            "remove_data_directory_on_rewind_failure": true,
            "remove_data_directory_on_diverged_timelines": true,
            "parameters": parameters,
        },
    })
}

/// Settings of one member. What differs between them, and passwords, the start script adds.
fn local(postgres: &ValidatedPostgres) -> Value {
    let login = json!({"username": REPLICATION_ROLE, "sslmode": "verify-full",
        "sslrootcert": format!("{CERTIFICATE}/ca.crt")});
    let tell = format!("/bin/sh {FILES}/tell.sh");
    json!({
        "scope": scope(&postgres.owner.name),
        "kubernetes": {
            "namespace": postgres.owner.namespace,
            "labels": {"app.kubernetes.io/name": COMPONENT},
            "scope_label": SCOPE_LABEL,
            "role_label": ROLE_LABEL,
            // From 4.0 on the first one is another by default; before 3.2 nobody reads them.
            "leader_label_value": PRIMARY,
            "follower_label_value": REPLICA,
            "use_endpoints": false,
            // Otherwise it would have to read Endpoints in the namespace of the API server.
            "bypass_api_service": false,
        },
        "restapi": {
            "listen": format!("*:{API_PORT}"),
            "certfile": format!("{CERTIFICATE}/tls.crt"),
            "keyfile": format!("{CERTIFICATE}/tls.key"),
            "cafile": format!("{CERTIFICATE}/ca.crt"),
            "authentication": {"username": USER},
        },
        "bootstrap": {
            "dcs": shared(postgres),
            "method": "found",
            "found": {"command": format!("/bin/sh {FILES}/found.sh"), "no_params": true},
        },
        "postgresql": {
            "listen": format!("*:{PORT}"),
            "data_dir": DATA,
            "pgpass": format!("{SOCKET}/pgpass"),
            "use_unix_socket": true,
            "use_unix_socket_repl": true,
            "authentication": {
                "superuser": {"username": SUPERUSER},
                "replication": login,
                "rewind": login,
            },
            "pg_hba": hba(postgres),
            // A copy otherwise begins when the next checkpoint is through, which takes its time.
            "basebackup": [{"checkpoint": "fast"}],
            "callbacks": {"on_start": tell, "on_restart": tell, "on_role_change": tell},
        },
    })
}

/// Passwords always, and TLS from everywhere but the pod itself, in which Patroni is the superuser. Whoever follows the log
/// gets into no database but the one in which it looks whether it may.
const HBA: [&str; 7] = [
    "local    all          postgres              peer",
    "local    all          all                   scram-sha-256",
    "local    replication  all                   scram-sha-256",
    "hostssl  postgres     millrace_replication  all  scram-sha-256",
    "host     all          millrace_replication  all  reject",
    "hostssl  all          all                   all  scram-sha-256",
    "hostssl  replication  all                   all  scram-sha-256",
];

fn hba(postgres: &ValidatedPostgres) -> Vec<&'static str> {
    let own = postgres.backup.as_ref().map(|_| HBA_BACKUP.trim_end());
    // The first line that fits counts.
    own.into_iter().chain(HBA).collect()
}

fn start(postgres: &ValidatedPostgres) -> String {
    let (name, namespace) = (&postgres.owner.name, &postgres.owner.namespace);
    format!(
        r#"{PATH}export PGDATA={DATA}
{FAIL}command -v patroni >/dev/null || fail "spec.image: has no Patroni, by which several members are kept; take spec.image out, or give an image that has it"
if [ -e $PGDATA/PG_VERSION ]; then
{VERSION}fi
host=$POD_NAME.{name}-nodes.{namespace}.svc
export PATRONI_NAME=$POD_NAME
export PATRONI_POSTGRESQL_CONNECT_ADDRESS=$host:{PORT} PATRONI_RESTAPI_CONNECT_ADDRESS=$host:{API_PORT}
PATRONI_REPLICATION_PASSWORD=$(cat {SECRET}/replication)
PATRONI_REWIND_PASSWORD=$PATRONI_REPLICATION_PASSWORD
PATRONI_RESTAPI_PASSWORD=$(cat {SECRET}/api)
export PATRONI_REPLICATION_PASSWORD PATRONI_REWIND_PASSWORD PATRONI_RESTAPI_PASSWORD
# A certificate that is made anew is loaded without a restart, by PostgreSQL and by Patroni. A new password by which members
# follow each other is told by whoever is the primary: those that were restarted have it already.
(
  loaded=$(cksum <{CERTIFICATE}/tls.crt)
  told=$(cksum <{SECRET}/replication)
  while sleep 15; do
    now=$(cksum <{CERTIFICATE}/tls.crt)
    [ "$now" = "$loaded" ] || kill -HUP $$
    loaded=$now
    now=$(cksum <{SECRET}/replication)
    [ "$now" != "$told" ] || continue
    case $(psql -X -A -t -h {SOCKET} -U {SUPERUSER} -d postgres -c "SELECT pg_is_in_recovery()" || true) in
    t) told=$now ;;
    f) if /bin/sh {FILES}/tell.sh changed {PRIMARY}; then told=$now; fi ;;
    esac
  done
) &
exec patroni {FILES}/patroni.yaml
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::validate::tests::valid;

    #[test]
    fn the_files_of_a_member() {
        let postgres = valid(json!({"members": 3, "parameters": {"work_mem": "32MB"}}));
        let all: Vec<String> = fixed(&postgres)
            .into_iter()
            .map(|(name, text)| format!("--- {name}\n{text}"))
            .collect();
        insta::assert_snapshot!(all.concat());
    }

    #[test]
    fn zero_loss_is_promised_where_it_is_asked_for() {
        let modes = |synchronous: &str| {
            let shared = shared(&valid(json!({"members": 3, "synchronous": synchronous})));
            let is = |name: &str| shared[name].as_bool();
            (is("synchronous_mode"), is("synchronous_mode_strict"))
        };
        assert_eq!(modes("None"), (Some(false), Some(false)));
        assert_eq!(modes("Preferred"), (Some(true), Some(false)));
        assert_eq!(modes("Required"), (Some(true), Some(true)));
        let absent = shared(&valid(json!({"members": 3})));
        assert_eq!(absent["synchronous_mode"], true);
        const { assert!(TTL >= LOOP + 2 * RETRY) };
    }
}
