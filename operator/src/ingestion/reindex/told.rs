//! What a load comes to, by its Job. Pure.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use millrace_contract::Invalid;
use serde::Deserialize;

use crate::ingestion::crd::{Reindex, ReindexPhase, ReindexStatus};
use crate::pods;

/// Most of what is told in a status.
const TOLD_CHARS: usize = 1000;

/// What a run came to, as `millrace-batch` tells it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Came {
    days: i32,
    rows: i64,
    repeated: u64,
    unreadable: u64,
    left: u32,
    why: Option<String>,
}

/// How a load stands, by its Job. `said`: the last line of its pod that ended, or what keeps it from running.
#[must_use]
pub fn stands(job: &Job, said: Option<&str>, now: Timestamp) -> ReindexStatus {
    let mut status = ReindexStatus {
        job: job.metadata.name.clone().unwrap_or_default(),
        phase: phase(job),
        message: said.map(|said| said.chars().take(TOLD_CHARS).collect()),
        ..ReindexStatus::default()
    };
    if status.phase != ReindexPhase::Running {
        status.ended = Some(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    }
    let came = said.and_then(|said| serde_json::from_str::<Came>(said).ok());
    if let (ReindexPhase::Succeeded, Some(came)) = (status.phase, came) {
        (status.days, status.rows) = (Some(came.days), Some(came.rows));
        let mut left_out = Vec::new();
        if came.left > 0 {
            let why = came.why.unwrap_or_default();
            left_out.push(format!("{} days left as they were ({why})", came.left));
        }
        for (rows, what) in [
            (came.repeated, "repeated events left out"),
            (came.unreadable, "events that cannot be read left out"),
        ] {
            if rows > 0 {
                left_out.push(format!("{rows} {what}"));
            }
        }
        status.message = (!left_out.is_empty()).then(|| left_out.join("; "));
    }
    status
}

/// How far a Job is.
#[must_use]
pub fn phase(job: &Job) -> ReindexPhase {
    if pods::job_is(job, "Complete") {
        ReindexPhase::Succeeded
    } else if pods::job_is(job, "Failed") {
        ReindexPhase::Failed
    } else {
        ReindexPhase::Running
    }
}

/// What is wrong with a load, if it failed.
#[must_use]
pub fn trouble(asked: &Reindex, status: &ReindexStatus) -> Option<Invalid> {
    (status.phase == ReindexPhase::Failed).then(|| {
        let why = match &status.message {
            Some(said) => format!("Job {}: {said}", status.job),
            None => format!("Job {} failed; see the log of its pods", status.job),
        };
        Invalid::new(
            "spec.reindex",
            format!("{} to {}", asked.from, asked.to),
            why,
            "see to that, then give spec.reindex.revision another number: what Druid had of the days that were not loaded is still \
             there",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::asked;
    use super::*;
    use serde_json::json;

    fn ended(condition: &str) -> Job {
        let conditions = json!([{"type": condition, "status": "True"}]);
        let job =
            json!({"metadata": {"name": "cars-reindex-1"}, "status": {"conditions": conditions}});
        serde_json::from_value(job).unwrap()
    }

    #[test]
    fn a_load_tells_what_it_came_to() {
        let now = "2026-01-09T12:00:00.5Z".parse().unwrap();
        let said = r#"{"days":2,"rows":600,"repeated":3,"unreadable":0,"left":1,"why":"2026-01-07: the lake has no rows of it"}"#;
        let status = stands(&ended("Complete"), Some(said), now);
        assert_eq!((status.days, status.rows), (Some(2), Some(600)));
        assert_eq!(status.ended.as_deref(), Some("2026-01-09T12:00:00Z"));
        assert_eq!(
            status.message.as_deref(),
            Some(
                "1 days left as they were (2026-01-07: the lake has no rows of it); 3 repeated events left out"
            )
        );
        assert_eq!(trouble(&asked(&json!({})), &status), None);
        // Its pod may be gone.
        let status = stands(&ended("Complete"), None, now);
        assert_eq!((status.phase, status.rows), (ReindexPhase::Succeeded, None));
        let status = stands(&ended("Suspended"), Some("p has no node"), now);
        assert_eq!((status.phase, status.ended), (ReindexPhase::Running, None));
        assert_eq!(status.message.as_deref(), Some("p has no node"));
    }

    #[test]
    fn a_load_that_failed_says_why_and_what_is_left() {
        let now = Timestamp::UNIX_EPOCH;
        let why = "millrace-batch: 2026-01-06: not loaded: what Druid has of it is as it was";
        let status = stands(&ended("Failed"), Some(why), now);
        assert_eq!(status.phase, ReindexPhase::Failed);
        let told = trouble(&asked(&json!({})), &status).unwrap().to_string();
        assert!(
            told.starts_with("spec.reindex: 2026-01-05 to 2026-01-08: Job cars-reindex-1: millrace-batch: 2026-01-06: "),
            "{told}"
        );
        assert!(told.contains("spec.reindex.revision"), "{told}");
    }
}
