//! What is said of an ingestion. Pure.

use millrace_contract::Invalid;

use super::change::Observed;
use crate::controller::Reconciled;
use crate::ingestion::crd::{DruidIngestion, DruidIngestionStatus};
use crate::remote::druid::{FailedTask, SupervisorState};
use crate::remote::resident;

/// Errors of a supervisor, and of tasks, that are told.
const TOLD: usize = 3;
const MESSAGE_CHARS: usize = 500;

/// What was seen.
pub(super) struct Seen {
    pub(super) observed: Observed,
    pub(super) state: Option<SupervisorState>,
    pub(super) failed: Vec<FailedTask>,
    /// What could not be had; what runs was not touched.
    pub(super) refused: Vec<Invalid>,
}

/// The status out of what is there.
pub(super) fn seen(
    ingestion: &DruidIngestion,
    mut status: DruidIngestionStatus,
    seen: Seen,
) -> Reconciled<DruidIngestionStatus> {
    let name = ingestion.data_source();
    let foreign = |supervisor: &crate::remote::druid::Supervisor| {
        supervisor.context(crate::ingestion::spec::MARK).is_none()
    };
    match &seen.observed.supervisor {
        None => {
            let text = "the supervisor was started and is not there yet";
            let again = std::time::Duration::from_secs(2);
            return resident::wait(ingestion, status, "Starting", text, again);
        }
        Some(supervisor) if foreign(supervisor) => {
            let refused: Vec<String> = seen.refused.iter().map(ToString::to_string).collect();
            let text = refused.join("; ");
            return resident::stands_against(ingestion, status, "Taken", &text);
        }
        Some(_) => status.made = true,
    }
    let state = seen.state.unwrap_or_default();
    status.lag = state.aggregate_lag;
    status.active_tasks = i32::try_from(state.active_tasks.len()).ok();
    let of_supervisor = state.recent_errors.iter().take(TOLD).map(|error| {
        let message = error.message.as_deref().unwrap_or(&error.exception_class);
        format!("{}: {message}", error.timestamp)
    });
    let of_tasks = seen.failed.iter().take(TOLD).map(|task| {
        let message = task.error.as_deref().unwrap_or("it does not say why");
        format!("{}: task {} failed: {message}", task.created, task.id)
    });
    let shortened = |text: String| text.chars().take(MESSAGE_CHARS).collect();
    status.errors = of_supervisor.chain(of_tasks).map(shortened).collect();
    let said = match state.detailed_state.as_str() {
        "" => format!("supervisor {name} is there"),
        word => format!("supervisor {name} is {word}"),
    };
    status.state = Some(state.detailed_state).filter(|word| !word.is_empty());
    resident::there(ingestion, status, "SupervisorThere", &said, &seen.refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingestion::spec::tests::wanted;
    use crate::remote::druid::Supervisor;
    use crate::remote::ingestion::WantedIngestion;
    use crate::status::{AVAILABLE, DEGRADED, is_true};
    use serde_json::json;

    fn told(spec: Option<serde_json::Value>, refused: Vec<Invalid>) -> DruidIngestionStatus {
        let asked = json!({"binding": "d", "topic": "t"});
        let ingestion = DruidIngestion::new("i", serde_json::from_value(asked).unwrap());
        let state = json!({"detailedState": "RUNNING", "healthy": true, "aggregateLag": 7, "activeTasks": [{}],
            "recentErrors": [{"timestamp": "T", "exceptionClass": "E", "message": "m".repeat(900)}]});
        let failed = json!({"id": "x", "createdTime": "U", "statusCode": "FAILED"});
        let seen_ = Seen {
            observed: Observed {
                supervisor: spec.map(|spec| Supervisor { spec }),
                ..Observed::default()
            },
            state: serde_json::from_value(state).unwrap(),
            failed: vec![serde_json::from_value(failed).unwrap()],
            refused,
        };
        match seen(&ingestion, DruidIngestionStatus::default(), seen_) {
            Reconciled::Status(status, _) => status,
            Reconciled::Gone => panic!("gone"),
        }
    }

    #[test]
    fn a_refused_specification_leaves_the_former_one_available() {
        let spec = WantedIngestion::of(&wanted()).unwrap().supervisor;
        let refused = Invalid::new("spec", "i", "Druid says: no", "correct it");
        let status = told(Some(spec), vec![refused]);
        assert!(is_true(&status.conditions, AVAILABLE));
        assert!(is_true(&status.conditions, DEGRADED));
        assert_eq!((status.lag, status.active_tasks), (Some(7), Some(1)));
        assert_eq!(status.state.as_deref(), Some("RUNNING"));
        assert_eq!(status.errors[0].chars().count(), MESSAGE_CHARS);
        assert_eq!(status.errors[1], "U: task x failed: it does not say why");
        assert!(status.made);
    }

    #[test]
    fn the_supervisor_of_somebody_else_is_not_taken_for_ours() {
        let refused = Invalid::new("spec.dataSource", "i", "taken", "rename");
        let status = told(Some(json!({"type": "kafka"})), vec![refused]);
        assert!(!status.made && !is_true(&status.conditions, AVAILABLE));
        assert!(!told(None, Vec::new()).made);
    }
}
