//! Settings of a server: computed ones, what was asked for in their place, and last what the operator must own.

use std::fmt::Write as _;

use super::super::PORT;
use super::super::crd::Backup;
use super::super::patroni::files::MEMORY;
use super::super::validate::ValidatedPostgres;
use super::{CERTIFICATE, FILES, SOCKET};

/// `postgresql.conf`.
pub(in crate::postgres) fn text(postgres: &ValidatedPostgres) -> String {
    let mut text = String::new();
    for (name, value) in parameters(postgres) {
        let value = value.replace('\'', "''");
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{name} = '{value}'");
    }
    text
}

/// All settings, each once.
pub(in crate::postgres) fn parameters(postgres: &ValidatedPostgres) -> Vec<(String, String)> {
    let beside = if postgres.is_ha() { MEMORY } else { 0 };
    let memory = postgres.mebibytes.saturating_sub(beside);
    let mut computed = computed(memory, postgres.storage_mebibytes);
    if postgres.is_ha() {
        computed.extend(following(postgres.storage_mebibytes));
        if postgres.backup.is_some() {
            computed.push(kept(postgres.storage_mebibytes));
        }
    }
    let asked = &postgres.parameters;
    let computed = computed.into_iter();
    let computed = computed.filter(|(name, _)| !asked.contains_key(*name));
    let archiving = postgres.backup.iter().flat_map(|backup| {
        if postgres.is_ha() {
            vec![ends_segments(backup)]
        } else {
            archiving(backup)
        }
    });
    let given = asked
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()));
    let named = |(name, value): (&str, String)| (name.to_owned(), value);
    computed
        .map(named)
        .chain(given)
        .chain(owned().into_iter().chain(archiving).map(named))
        .collect()
}

/// What follows from the pod's memory and from its volume, both in mebibytes.
fn computed(memory: u64, storage: u64) -> Vec<(&'static str, String)> {
    let mebibytes = |amount: u64| format!("{amount}MB");
    let shared = (memory / 4).max(32);
    let connections = (memory / 8).clamp(20, 400);
    // A query may take it several times, and not all connections do.
    let work = (memory - shared) / (connections * 2).max(1);
    // The log is bounded by the volume: a quarter of a small one.
    let log = (storage / 8).clamp(96, 4096);
    vec![
        ("shared_buffers", mebibytes(shared)),
        // Pages that Linux keeps for the pod count as its memory, and go first.
        ("effective_cache_size", mebibytes(memory / 2)),
        ("work_mem", mebibytes(work.clamp(1, 64))),
        (
            "maintenance_work_mem",
            mebibytes((memory / 16).clamp(16, 1024)),
        ),
        ("max_connections", connections.to_string()),
        ("max_wal_size", mebibytes(log)),
        ("min_wal_size", mebibytes(80)),
        ("checkpoint_timeout", "15min".into()),
        // Volumes are network disks or flash.
        ("random_page_cost", "1.1".into()),
        // A node that reserves huge pages for others gives none to this pod, and the server would end.
        ("huge_pages", "off".into()),
        // Compiling costs more than it saves for queries that take milliseconds, and memory in each connection.
        ("jit", "off".into()),
        ("log_line_prefix", "%m [%p] %q%u@%d ".into()),
        ("log_checkpoints", "off".into()),
        ("log_lock_waits", "on".into()),
        ("log_min_duration_statement", "10s".into()),
        ("timezone", "UTC".into()),
        ("log_timezone", "UTC".into()),
    ]
}

/// Of a server that others follow, on a volume of so many mebibytes: one that does not come back is not waited for until the
/// volume is full.
fn following(storage: u64) -> Vec<(&'static str, String)> {
    let kept = (storage / 4).clamp(256, 65_536);
    vec![("max_slot_wal_keep_size", format!("{kept}MB"))]
}

/// Each member keeps so much of the log for the archive, whether it is the primary now or will be: whoever takes it in goes on
/// where it was.
fn kept(storage: u64) -> (&'static str, String) {
    let kept = (storage / 8).clamp(128, 16_384);
    ("wal_keep_size", format!("{kept}MB"))
}

fn owned() -> Vec<(&'static str, String)> {
    vec![
        ("listen_addresses", "*".into()),
        ("port", PORT.to_string()),
        ("unix_socket_directories", SOCKET.into()),
        ("ssl", "on".into()),
        ("ssl_cert_file", format!("{CERTIFICATE}/tls.crt")),
        ("ssl_key_file", format!("{CERTIFICATE}/tls.key")),
        ("ssl_min_protocol_version", "TLSv1.2".into()),
        ("password_encryption", "scram-sha-256".into()),
        ("logging_collector", "off".into()),
        ("wal_level", "replica".into()),
    ]
}

/// A segment that is not full ends too, so that it comes into the archive.
fn ends_segments(backup: &Backup) -> (&'static str, String) {
    let seconds = backup.archive_timeout_seconds;
    ("archive_timeout", format!("{seconds}s"))
}

/// The archive of the log, which the server brings itself.
fn archiving(backup: &Backup) -> Vec<(&'static str, String)> {
    vec![
        ("archive_mode", "on".into()),
        (
            "archive_command",
            format!("/bin/sh {FILES}/archive.sh \"%p\" %f"),
        ),
        ends_segments(backup),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_connections_fit_into_the_memory() {
        for memory in [128, 256, 512, 2048, 16384, 65536] {
            let settings: std::collections::BTreeMap<_, _> =
                computed(memory, 5120).into_iter().collect();
            let of = |name: &str| -> u64 { settings[name].trim_end_matches("MB").parse().unwrap() };
            let all = of("shared_buffers") + of("work_mem") * of("max_connections");
            assert!(all <= memory, "{memory}: {all}");
            assert!(of("max_wal_size") >= of("min_wal_size"));
        }
    }
}
