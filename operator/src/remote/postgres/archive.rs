//! The archive of the log and the base backups, as the server sees them on their volume.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::client::Session;
use super::error::PostgresError;
use crate::disk::Room;

/// A base backup.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Base {
    /// Its size, in bytes.
    pub bytes: i64,
    /// The size of the databases in it, in bytes.
    pub database_bytes: i64,
}

/// The archive of the log and the base backups of these databases.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Archive {
    /// Whether the server brings its log there. One that was not restarted yet does not.
    pub is_on: bool,
    /// The room on the volume, when a file was last brought there or could not be.
    pub room: Option<Room>,
    /// When a file could not be brought last (seconds of the epoch), if none could be since.
    pub failed_at: Option<i64>,
    /// Why.
    pub trouble: Option<String>,
    /// How many files wait.
    pub waiting: i64,
    /// What was committed until then is in the archive (seconds of the epoch).
    pub latest: Option<i64>,
    /// Base backups by name: when they were complete, in the form of `20260301T093000Z`.
    pub bases: BTreeMap<String, Base>,
}

/// What a cluster was restored from.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Restored {
    /// The base backup.
    pub backup: String,
    /// The time of the last transaction that came back, as PostgreSQL writes it; empty when none was replayed.
    pub reached: String,
}

const ARCHIVE: &str = "
SELECT current_setting('archive_mode') <> 'off',
       btrim(pg_read_file('millrace-lineage', 0, 128, true), E' \\n'),
       pg_read_file('/tmp/archive-room', 0, 128, true),
       pg_read_file('/tmp/archive-trouble', 0, 1000, true),
       CASE WHEN last_failed_time > coalesce(last_archived_time, '-infinity') THEN extract(epoch FROM last_failed_time)::int8 END,
       (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready')
FROM pg_stat_archiver";

const LATEST: &str = "SELECT pg_read_file('/backups/' || $1 || '/latest', 0, 128, true)";

const BASES: &str = "
SELECT name, pg_read_file('/backups/' || $1 || '/base/' || name || '/backup.json', 0, 1000, true)
FROM pg_ls_dir('/backups/' || $1 || '/base', true, false) AS name
WHERE name !~ '^[.]'";

pub(super) async fn observe(admin: &Session) -> Result<Archive, PostgresError> {
    let failed = || PostgresError::doing("look at the archive of the log");
    let row = admin.query_one(ARCHIVE, &[]).await.map_err(failed())?;
    let mut archive = Archive {
        is_on: row.get(0),
        room: row.get::<_, Option<String>>(2).as_deref().and_then(room),
        failed_at: row.get(4),
        trouble: row
            .get::<_, Option<String>>(3)
            .map(|said| said.trim().to_owned()),
        waiting: row.get(5),
        ..Archive::default()
    };
    let lineage: Option<String> = row.get(1);
    let Some(lineage) = lineage.filter(|lineage| !lineage.is_empty()) else {
        return Ok(archive);
    };
    let row = admin
        .query_one(LATEST, &[&lineage])
        .await
        .map_err(failed())?;
    archive.latest = row.get::<_, Option<String>>(0).as_deref().and_then(latest);
    for row in admin.query(BASES, &[&lineage]).await.map_err(failed())? {
        let told: Option<String> = row.get(1);
        // One without it is on its way out.
        if let Some(base) = told.and_then(|told| serde_json::from_str(&told).ok()) {
            archive.bases.insert(row.get(0), base);
        }
    }
    Ok(archive)
}

/// Kibibytes of the whole, and how many of them can be written.
pub(super) fn room(told: &str) -> Option<Room> {
    let (total, usable) = told.trim().split_once(' ')?;
    let bytes = |text: &str| text.parse::<u64>().ok()?.checked_mul(1024);
    Some(Room {
        total: bytes(total)?,
        usable: bytes(usable)?,
    })
}

/// The segment, and when it was written last.
pub(super) fn latest(told: &str) -> Option<i64> {
    told.trim().split_once(' ')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_scripts_have_noted_is_read() {
        let read = room("264212084 79166232\n").unwrap();
        assert_eq!(read.percent(), 70);
        assert_eq!(room("264212084"), None);
        assert_eq!(
            latest("000000010000000000000005 1764410000\n"),
            Some(1_764_410_000)
        );
        assert_eq!(latest(""), None);
    }
}
