//! The scripts of backups and of restoring. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::Offset;

use super::{ARCHIVE_PORT, ValidatedRestore};
use crate::postgres::crd::Backup;
use crate::postgres::files::{PATH, settings};
use crate::postgres::validate::ValidatedPostgres;

/// Where the volume of backups is mounted, in the server and in pods that make base backups or take in the log.
pub const BACKUPS: &str = "/backups";
/// Where a pod that restores has the volume that it reads.
pub const SOURCE: &str = "/source";
/// Where the Secret of the role that makes base backups is mounted.
pub const BINDING: &str = "/etc/millrace-binding";
/// How many base backups are kept when nobody says it.
const KEEP: i32 = 7;

/// `archive_command`.
pub(in crate::postgres) const ARCHIVE: &str = include_str!("archive.sh");
/// `restore_command`.
const FETCH: &str = include_str!("fetch.sh");
const BACKUP: &str = include_str!("backup.sh");
/// Takes in the log of several members.
const RECEIVE: &str = include_str!("receive.sh");
/// How the role of base backups gets in.
const LOGIN: &str = include_str!("login.sh");
const RESTORE: &str = include_str!("restore.sh");

/// At the start of a server: under what name its log is in the archive.
pub(in crate::postgres) const LINEAGE: &str = "[ -s $PGDATA/millrace-lineage ] || pg_controldata $PGDATA | sed -n 's/^Database system identifier: *//p' >$PGDATA/millrace-lineage
";

/// The scripts of pods that make base backups, take in the log and restore. The server reads none of them.
pub(in crate::postgres) fn of_other_pods(postgres: &ValidatedPostgres) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    if let Some(wanted) = &postgres.backup {
        files.insert("backup.sh".into(), backup(wanted, postgres.is_ha()));
        if postgres.is_ha() {
            files.insert("receive.sh".into(), receive(postgres));
        }
    }
    if let Some(wanted) = &postgres.restore {
        files.insert("restore.sh".into(), restore(wanted));
        files.insert("fetch.sh".into(), FETCH.into());
        if postgres.is_ha() {
            // By these it replays the log; the members have theirs from Patroni.
            files.insert("postgresql.conf".into(), settings::text(postgres));
        }
    }
    files
}

/// `received`: the log is not brought by the server, but taken in by a pod.
fn backup(wanted: &Backup, received: bool) -> String {
    let days = wanted.keep_days.map(|days| days.to_string());
    let (keep, days) = (wanted.keep.unwrap_or(KEEP), days.unwrap_or_default());
    let received = if received { "yes" } else { "" };
    format!("{PATH}keep={keep}\nkeep_days={days}\nreceived={received}\n{LOGIN}{BACKUP}")
}

/// What takes in the log of several members.
pub(super) fn receive(postgres: &ValidatedPostgres) -> String {
    let uid = &postgres.owner.uid;
    let told = format!("http.server {ARCHIVE_PORT} ");
    let script = RECEIVE.replace("http.server PORT ", &told);
    format!("{PATH}uid='{uid}'\n{LOGIN}{script}")
}

fn restore(wanted: &ValidatedRestore) -> String {
    let mut text = String::from(PATH);
    // As PostgreSQL reads it, as base backups are named, and in seconds, rounded up.
    let (target, until, seconds) = match wanted.target {
        Some(target) => (
            Offset::UTC
                .to_datetime(target)
                .strftime("%Y-%m-%d %H:%M:%S%.f+00")
                .to_string(),
            target.strftime("%Y%m%dT%H%M%SZ").to_string(),
            seconds_up(target).to_string(),
        ),
        None => Default::default(),
    };
    for (name, value) in [
        ("target", target),
        ("until", until),
        ("target_seconds", seconds),
    ] {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{name}='{value}'");
    }
    text + RESTORE
}

fn seconds_up(time: Timestamp) -> i64 {
    time.as_second() + i64::from(time.subsec_nanosecond() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::validate::tests::valid;
    use serde_json::json;

    #[test]
    fn what_is_to_be_kept_and_until_when_stands_at_the_head() {
        let head = |spec, name: &str| {
            let files = of_other_pods(&valid(spec));
            let text = files[name].strip_prefix(PATH).unwrap().to_owned();
            let lines: Vec<_> = text.lines().take(3).map(str::to_owned).collect();
            lines.join(" ")
        };
        let backup = |fields: serde_json::Value| {
            let mut backup = json!({"schedule": "@daily"});
            backup
                .as_object_mut()
                .unwrap()
                .extend(fields.as_object().unwrap().clone());
            head(json!({"backup": backup}), "backup.sh")
        };
        assert_eq!(backup(json!({})), "keep=7 keep_days= received=");
        let days = backup(json!({"keepDays": 30}));
        assert_eq!(days, "keep=7 keep_days=30 received=");
        let restore = |time: Option<&str>| {
            let restore = json!({"from": {"cluster": "q"}, "targetTime": time});
            head(json!({"bootstrap": {"restore": restore}}), "restore.sh")
        };
        assert_eq!(restore(None), "target='' until='' target_seconds=''");
        assert_eq!(
            restore(Some("2026-03-01T10:30:00.25+01:00")),
            "target='2026-03-01 09:30:00.25+00' until='20260301T093000Z' target_seconds='1772357401'"
        );
        assert_eq!(
            restore(Some("2026-03-01T09:30:00Z")),
            "target='2026-03-01 09:30:00+00' until='20260301T093000Z' target_seconds='1772357400'"
        );
    }

    #[test]
    fn scripts_name_the_places_where_volumes_are_mounted() {
        for (script, place) in [
            (ARCHIVE, BACKUPS),
            (BACKUP, BACKUPS),
            (RECEIVE, BACKUPS),
            (LOGIN, BINDING),
            (FETCH, SOURCE),
            (RESTORE, SOURCE),
        ] {
            assert!(script.contains(place), "{place}: {script}");
        }
    }
}
