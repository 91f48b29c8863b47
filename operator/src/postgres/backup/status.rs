//! What is told of backups and of a restore. Pure.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use k8s_openapi::api::batch::v1::{CronJob, Job};

use super::{BACKUP_COMPONENT, RESTORE_COMPONENT};
use crate::disk;
use crate::pods;
use crate::postgres::crd::{BackupStatus, BaseBackup, RestoreStatus};
use crate::postgres::inside::Look;
use crate::remote::postgres::Archive;

/// What is known of backups besides what the server says.
#[derive(Clone, Debug, Default)]
pub(in crate::postgres) struct Backups {
    /// The CronJob as it came back.
    pub(in crate::postgres) cron_job: Option<CronJob>,
    /// What its last pod that failed said.
    pub(in crate::postgres) words: Option<String>,
    /// Why the volume could not grow.
    pub(in crate::postgres) refused: Option<String>,
    /// Whether a pod takes in the log, and the servers do not bring it.
    pub(in crate::postgres) is_received: bool,
    /// Why this pod could not be asked.
    pub(in crate::postgres) away: Option<String>,
}

impl Backups {
    /// What is to be said of the last run, if it did not succeed.
    fn failure(&self) -> Option<String> {
        pods::runs(self.cron_job.as_ref()?, BACKUP_COMPONENT).trouble
    }

    /// Whether the last run did not succeed.
    pub(in crate::postgres) fn has_failed(&self) -> bool {
        self.failure().is_some()
    }
}

/// The former status as it is now. What could not be seen is as it was.
pub(in crate::postgres) fn backup(
    before: Option<&BackupStatus>,
    backups: &Backups,
    look: Option<&Look>,
    claim: &str,
) -> BackupStatus {
    let mut status = before.cloned().unwrap_or_default();
    if let Some(cron_job) = &backups.cron_job {
        let runs = pods::runs(cron_job, BACKUP_COMPONENT);
        (status.began, status.succeeded) = (runs.began, runs.succeeded);
    }
    let Some(archive) = look.and_then(|look| look.observed.archive.as_ref()) else {
        return status;
    };
    if !archive.is_on {
        return status;
    }
    status.kept = i32::try_from(archive.bases.len()).ok();
    status.earliest = archive.bases.keys().next().and_then(|name| time_of(name));
    status.last = archive.bases.iter().next_back().and_then(|(name, base)| {
        Some(BaseBackup {
            completed: time_of(name)?,
            bytes: base.bytes,
            database_bytes: base.database_bytes,
        })
    });
    status.latest = archive.latest.and_then(seconds);
    // Each attempt fails later: the first one counts.
    status.failing_since = archive
        .failed_at
        .and_then(|at| status.failing_since.clone().or_else(|| seconds(at)));
    if let Some(volume) =
        disk::fullest(archive.room.map(|room| (claim, room)), status.disk.as_ref())
    {
        status.disk = Some(volume);
    }
    status
}

/// When a base backup was complete, by its name.
fn time_of(name: &str) -> Option<String> {
    let time = DateTime::strptime("%Y%m%dT%H%M%SZ", name).ok()?;
    Some(Offset::UTC.to_timestamp(time).ok()?.to_string())
}

fn seconds(seconds: i64) -> Option<String> {
    Some(Timestamp::from_second(seconds).ok()?.to_string())
}

/// What is wrong with backups, the worst first: the reason and the sentence.
pub(in crate::postgres) fn trouble(
    status: &BackupStatus,
    backups: &Backups,
    archive: Option<&Archive>,
) -> Option<(&'static str, String)> {
    if let Some(since) = &status.failing_since {
        let words = archive.and_then(|archive| archive.trouble.as_deref());
        let words = words.unwrap_or("see the log of the server");
        let waiting = archive.map_or(0, |archive| archive.waiting);
        if backups.is_received {
            return Some((
                "ArchiveFailing",
                format!(
                    "since {since} the log does not come into the archive: {words}; each member keeps so much of it as wal_keep_size says, and what is missing beyond that is made up for by a new base backup. Where the archive lacks room make spec.backup.storage.size larger, or keep fewer base backups; it goes on by itself"
                ),
            ));
        }
        return Some((
            "ArchiveFailing",
            format!(
                "since {since} the log cannot be brought to the archive: {words}; {waiting} files of it wait on the volume of the server, which ends when that is full. Where the archive lacks room make spec.backup.storage.size larger, or keep fewer base backups; it goes on by itself"
            ),
        ));
    }
    if let Some(away) = &backups.away
        && status.kept.is_some()
    {
        return Some((
            "ArchiveFailing",
            format!("what takes in the log of the members does not answer: {away}"),
        ));
    }
    if archive.is_some_and(|archive| !archive.is_on) {
        let told = "the server does not bring its log to the archive (archive_mode is off): it was not restarted since spec.backup came, or somebody set that by ALTER SYSTEM; restart it, or take that back by ALTER SYSTEM RESET archive_mode";
        return Some(("ArchiveOff", told.into()));
    }
    if let Some(told) = backups.failure() {
        let words = backups.words.as_deref();
        let words = words.map(|words| format!(": {words}")).unwrap_or_default();
        return Some(("BackupFailed", format!("{told}{words}")));
    }
    let refused = backups.refused.clone();
    refused.map(|refused| ("VolumeCannotGrow", refused))
}

/// How a restore stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::postgres) struct Restoring {
    /// The claim that is read.
    pub(in crate::postgres) claim: String,
    /// The volume is filled.
    pub(in crate::postgres) is_done: bool,
    /// Why it cannot be.
    pub(in crate::postgres) failed: Option<String>,
}

/// Reads it from the Job. `words`: what its last pod that failed said.
pub(in crate::postgres) fn restoring(
    claim: &str,
    job: Option<&Job>,
    words: Option<String>,
) -> Restoring {
    let is = |condition: &str| job.is_some_and(|job| pods::job_is(job, condition));
    let name = job.and_then(|job| job.metadata.name.as_deref());
    let failed = is("Failed").then(|| {
        let name = name.unwrap_or_default();
        let words = words.unwrap_or_else(|| {
            format!("see the log of its pods (kubectl logs -l app.kubernetes.io/name={RESTORE_COMPONENT})")
        });
        format!(
            "Job {name}: {words}. It begins anew when spec.bootstrap.restore changes, or when the Job is deleted"
        )
    });
    Restoring {
        claim: claim.to_owned(),
        is_done: is("Complete"),
        failed,
    }
}

/// What is told of a restore that was done, with what the server knows of it.
pub(in crate::postgres) fn restored(
    before: Option<&RestoreStatus>,
    restoring: Option<&Restoring>,
    look: Option<&Look>,
) -> Option<RestoreStatus> {
    let mut status = before.cloned();
    if let Some(restoring) = restoring {
        let now = || Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        status = Some(RestoreStatus {
            claim: restoring.claim.clone(),
            completed: restoring.is_done.then(now),
            ..RestoreStatus::default()
        });
    }
    if let Some(status) = &mut status
        && let Some(known) = look.and_then(|look| look.observed.restored.as_ref())
    {
        let reached = Some(&known.reached).filter(|reached| !reached.is_empty());
        status.reached = reached.cloned();
        status.backup = Some(known.backup.clone());
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::postgres::{Base, Observed};
    use serde_json::json;

    fn look(archive: Archive) -> Look {
        Look {
            observed: Observed {
                archive: Some(archive),
                ..Observed::default()
            },
            ..Look::default()
        }
    }

    fn archive() -> Archive {
        let base = |bytes| Base {
            bytes,
            database_bytes: 10 * bytes,
        };
        Archive {
            is_on: true,
            latest: Some(1_772_357_400),
            bases: [
                ("20260228T013000Z".to_owned(), base(7)),
                ("20260301T013000Z".to_owned(), base(8)),
            ]
            .into(),
            ..Archive::default()
        }
    }

    #[test]
    fn from_when_to_when_can_be_restored() {
        let seen = backup(
            None,
            &Backups::default(),
            Some(&look(archive())),
            "p-backup",
        );
        assert_eq!(seen.kept, Some(2));
        assert_eq!(seen.earliest.as_deref(), Some("2026-02-28T01:30:00Z"));
        assert_eq!(seen.latest.as_deref(), Some("2026-03-01T09:30:00Z"));
        let last = seen.last.clone().unwrap();
        assert_eq!((last.bytes, last.database_bytes), (8, 80));
        let unseen = backup(Some(&seen), &Backups::default(), None, "p-backup");
        assert_eq!(unseen, seen);
        assert_eq!(trouble(&seen, &Backups::default(), None), None);
    }

    #[test]
    fn an_archive_that_fails_is_told_since_it_does() {
        let failing = |at| Archive {
            failed_at: Some(at),
            trouble: Some("gzip: stdout: No space left on device".into()),
            waiting: 3,
            room: Some(disk::Room {
                total: 100,
                usable: 0,
            }),
            ..archive()
        };
        let first = backup(
            None,
            &Backups::default(),
            Some(&look(failing(1_772_357_460))),
            "p-backup",
        );
        let later = failing(1_772_357_520);
        let second = backup(
            Some(&first),
            &Backups::default(),
            Some(&look(later.clone())),
            "p-backup",
        );
        assert_eq!(
            second.failing_since.as_deref(),
            Some("2026-03-01T09:31:00Z")
        );
        assert!(second.disk.as_ref().unwrap().full);
        let (reason, told) = trouble(&second, &Backups::default(), Some(&later)).unwrap();
        assert_eq!(reason, "ArchiveFailing");
        assert!(
            told.contains("No space left") && told.contains("3 files"),
            "{told}"
        );
        let well = backup(
            Some(&second),
            &Backups::default(),
            Some(&look(archive())),
            "p-backup",
        );
        assert_eq!(well.failing_since, None);
    }

    #[test]
    fn a_run_that_failed_says_why() {
        let cron_job = json!({"metadata": {"name": "p-backup"}, "status": {"lastScheduleTime": "2026-03-01T01:30:00Z"}});
        let backups = Backups {
            cron_job: Some(serde_json::from_value(cron_job).unwrap()),
            words: Some("pg_basebackup: error: no room".into()),
            ..Backups::default()
        };
        let (reason, told) = trouble(&BackupStatus::default(), &backups, None).unwrap();
        assert_eq!(reason, "BackupFailed");
        assert!(told.ends_with(": pg_basebackup: error: no room"), "{told}");
    }

    #[test]
    fn who_takes_in_the_log_is_missed_once_it_has_been_there() {
        let backups = Backups {
            is_received: true,
            away: Some("p-backup-x has no node".into()),
            ..Backups::default()
        };
        let mut status = BackupStatus::default();
        assert_eq!(trouble(&status, &backups, None), None, "it begins");
        status.kept = Some(2);
        let (reason, told) = trouble(&status, &backups, None).unwrap();
        assert_eq!(reason, "ArchiveFailing");
        assert!(told.ends_with(": p-backup-x has no node"), "{told}");
        status.failing_since = Some("2026-03-01T09:31:00Z".into());
        let (_, told) = trouble(&status, &backups, None).unwrap();
        assert!(told.contains("wal_keep_size"), "{told}");
    }

    #[test]
    fn a_restore_is_done_once_its_job_says_so() {
        let job = |kind: &str| -> Job {
            let condition = json!({"type": kind, "status": "True"});
            serde_json::from_value(
                json!({"metadata": {"name": "p-restore-1"}, "status": {"conditions": [condition]}}),
            )
            .unwrap()
        };
        let begun = restoring("q-backup", None, None);
        assert!(!begun.is_done && begun.failed.is_none());
        let status = restored(None, Some(&begun), None).unwrap();
        assert_eq!(
            (status.claim.as_str(), status.completed),
            ("q-backup", None)
        );
        let done = restoring("q-backup", Some(&job("Complete")), None);
        let status = restored(None, Some(&done), None).unwrap();
        assert!(status.completed.is_some());
        assert_eq!(restored(Some(&status), None, None), Some(status));
        let failed = restoring(
            "q-backup",
            Some(&job("Failed")),
            Some("no base backup".into()),
        );
        assert!(
            failed
                .failed
                .unwrap()
                .starts_with("Job p-restore-1: no base backup. ")
        );
    }
}
