//! What analysts of a platform ask for: the archives of the topics that it needs, and the job. Pure.

use millrace_contract::topics;
use serde_json::json;

use super::score;
use super::{hdfs, meta};
use crate::batch::crd::{Batch, BatchJob};
use crate::job::crd::StreamJob;
use crate::platform::crd::{PlatformAnalysts, PlatformHdfs, PlatformPostgres, PlatformScore};
use crate::platform::validate::{ValidatedArchive, ValidatedPlatform};
use crate::types::FreeForm;

/// Topics that are archived for analysts, with what the job of each is named by.
const ARCHIVED: [(&str, &str); 2] = [
    (topics::VEHICLE_EVENTS, "lake-events"),
    (topics::ALERTS, "lake-alerts"),
];
/// Keys of the archive's configuration that these jobs have in common with that of telemetry; what memory they may take does
/// not belong to them, since vehicle events and alerts are few.
const SHARED: [&str; 6] = [
    "rollInterval",
    "sessionTimeout",
    "drainTimeout",
    "longestWait",
    "storageTimeout",
    "replication",
];

/// Topics that are archived beside that of the archive, each with its consumer group.
pub(super) fn archived(platform: &ValidatedPlatform) -> Vec<(&'static str, String)> {
    let (Some(_), Some(ValidatedArchive { config, .. })) = (&platform.analysts, &platform.archive)
    else {
        return Vec::new();
    };
    let others = ARCHIVED.iter().filter(|(topic, _)| *topic != config.topic);
    others
        .map(|(topic, _)| (*topic, format!("{}-{topic}", config.group)))
        .collect()
}

/// The archives of vehicle events and alerts.
pub(super) fn archives(platform: &ValidatedPlatform, wanted: &PlatformHdfs) -> Vec<StreamJob> {
    let Some(ValidatedArchive { asked, .. }) = &platform.archive else {
        return Vec::new();
    };
    let job = |(topic, group): (&str, String)| {
        let part = ARCHIVED.iter().find(|(of, _)| *of == topic)?.1;
        let mut job = hdfs::archive_job(platform, wanted, asked);
        job.metadata = meta(platform, part);
        job.spec.replicas = asked.replicas.unwrap_or(1).min(1);
        job.spec.resources = None;
        job.spec.config = FreeForm::new();
        for (key, value) in [
            ("topic", json!(topic)),
            ("group", json!(group)),
            ("rollBytes", json!(32 << 20)),
            ("rowGroupBytes", json!(1 << 20)),
            ("memoryBytes", json!(16 << 20)),
            ("aheadBytes", json!(4 << 20)),
        ] {
            job.spec.config.insert(key.to_owned(), value);
        }
        for key in SHARED {
            if let Some(value) = asked.config.get(key) {
                job.spec.config.insert(key.to_owned(), value.clone());
            }
        }
        Some(job)
    };
    archived(platform).into_iter().filter_map(job).collect()
}

/// The job that answers.
pub(super) fn job(
    platform: &ValidatedPlatform,
    hdfs: &PlatformHdfs,
    postgres: &PlatformPostgres,
    wanted: &PlatformAnalysts,
) -> BatchJob {
    let wanted = wanted.clone();
    let like_score = PlatformScore {
        schedule: wanted.schedule,
        time_zone: wanted.time_zone,
        catch_up_days: 7,
        config: wanted.config,
        image: wanted.image,
        resources: wanted.resources,
    };
    let mut job = score::job(platform, hdfs, postgres, &like_score);
    job.metadata = meta(platform, "analyse");
    job.spec.job = Batch::Analyse;
    job
}

#[cfg(test)]
mod tests {
    use super::super::super::validate::tests::{live, platform};
    use super::super::super::validate::validate;
    use super::super::build;
    use super::*;
    use crate::user::crd::KafkaUser;

    #[test]
    fn analysts_bring_archives_of_what_they_need_and_a_job() {
        let spec = json!({"kafka": {"listeners": {"secure": {}}}, "gateway": {}, "hdfs": {}, "postgres": {},
            "archive": {"path": "/cars", "config": {"rollInterval": "1m", "memoryBytes": 100_000_000}, "retention": {"schedule": "@daily", "olderThan": "90d"}},
            "analysts": {"timeZone": "Europe/Vienna"}});
        let (resources, _) = build(&validate(&platform(spec), live(None)).unwrap()).unwrap();
        for (name, topic) in [
            ("p-lake-events", "vehicle-events"),
            ("p-lake-alerts", "alerts"),
        ] {
            let job = resources.get::<StreamJob>(name).unwrap().spec;
            assert_eq!(job.config["topic"], topic);
            assert_eq!(job.config["group"], format!("archive-{topic}"));
            assert_eq!(job.config["rollInterval"], "1m");
            assert_eq!(job.config["memoryBytes"], 16 << 20);
            crate::job::lake::config(&job.config, "spec.config").unwrap();
            let lake = job.lake.unwrap();
            assert_eq!(lake.path.as_deref(), Some("/cars"));
            assert!(lake.retention.is_some());
        }
        let user = resources.get::<KafkaUser>("p-archive").unwrap().spec;
        for name in [
            "vehicle-events",
            "archive-vehicle-events",
            "alerts",
            "archive-alerts",
        ] {
            let rules = user.acls.iter();
            assert!(
                rules
                    .filter(|rule| rule.name.as_deref() == Some(name))
                    .count()
                    == 1,
                "{name}"
            );
        }
        let job = resources.get::<BatchJob>("p-analyse").unwrap().spec;
        assert_eq!(
            (job.job, job.time_zone.as_str()),
            (Batch::Analyse, "Europe/Vienna")
        );
        assert_eq!(job.schedule, "50 2 * * *");
        assert_eq!(job.postgres_secret, "p-postgres-score-binding");
        assert_eq!(job.lake.path.as_deref(), Some("/cars"));
    }

    #[test]
    fn without_analysts_only_telemetry_is_archived() {
        let spec = json!({"kafka": {}, "hdfs": {}, "archive": {}, "postgres": {}});
        let (resources, _) = build(&validate(&platform(spec), live(None)).unwrap()).unwrap();
        assert!(resources.get::<StreamJob>("p-archive").is_some());
        assert!(resources.get::<StreamJob>("p-lake-events").is_none());
        assert!(resources.get::<BatchJob>("p-analyse").is_none());
    }
}
