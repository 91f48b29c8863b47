//! What has to change to make an ingestion as it is asked for. Pure.

use std::fmt;

use millrace_contract::Invalid;
use serde_json::Value;

use crate::ingestion::Wanted;
use crate::ingestion::spec::{MARK, covers};
use crate::remote::druid::Supervisor;
use crate::remote::pipeline::Plan;

/// An ingestion as it is asked for, in Druid's words.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedIngestion {
    /// The data source, which is the supervisor's name too.
    pub name: String,
    /// The specification of its supervisor.
    pub supervisor: Value,
    /// How long rows are kept.
    pub rules: Vec<Value>,
    /// How rows are merged.
    pub compaction: Option<Value>,
    /// Whether nothing is read for now.
    pub suspended: bool,
}

impl WantedIngestion {
    /// In Druid's words.
    ///
    /// # Errors
    /// A signal is none of the contract.
    pub fn of(wanted: &Wanted) -> Result<Self, Invalid> {
        Ok(Self {
            name: wanted.data_source.clone(),
            supervisor: wanted.supervisor()?,
            rules: wanted.rules(),
            compaction: wanted.compaction(),
            suspended: wanted.suspended,
        })
    }

    fn mark(&self) -> Option<&str> {
        self.supervisor.get("context")?.get(MARK)?.as_str()
    }
}

/// An ingestion as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Its supervisor.
    pub supervisor: Option<Supervisor>,
    /// How long rows are kept.
    pub rules: Vec<Value>,
    /// How rows are merged.
    pub compaction: Option<Value>,
}

/// One change of an ingestion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngestionChange {
    /// There is none of that name.
    Start {
        /// The supervisor.
        name: String,
    },
    /// It is another one.
    Replace {
        /// The supervisor.
        name: String,
    },
    /// It is to read, or not any more.
    Suspend {
        /// The supervisor.
        name: String,
        /// Whether it shall not.
        suspended: bool,
    },
    /// Rows are to be kept for another time.
    SetRules {
        /// The data source.
        name: String,
    },
    /// Rows are to be merged in another way.
    SetCompaction {
        /// The data source.
        name: String,
    },
    /// Rows are not to be merged.
    RemoveCompaction {
        /// The data source.
        name: String,
    },
}

impl fmt::Display for IngestionChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { name } => write!(f, "start supervisor {name}"),
            Self::Replace { name } => {
                write!(f, "supervisor {name}: replace the specification")
            }
            Self::Suspend {
                name,
                suspended: true,
            } => write!(f, "supervisor {name}: suspend"),
            Self::Suspend {
                name,
                suspended: false,
            } => write!(f, "supervisor {name}: resume"),
            Self::SetRules { name } => write!(f, "data source {name}: set how long rows are kept"),
            Self::SetCompaction { name } => {
                write!(f, "data source {name}: set how rows are merged")
            }
            Self::RemoveCompaction { name } => {
                write!(f, "data source {name}: merge rows no more")
            }
        }
    }
}

/// Compares.
#[must_use]
pub fn diff(wanted: &WantedIngestion, observed: &Observed) -> Plan<IngestionChange> {
    let mut plan = Plan::default();
    let name = wanted.name.clone();
    match &observed.supervisor {
        None => plan.changes.push(IngestionChange::Start { name }),
        Some(there) => match there.context(MARK) {
            None => {
                plan.refused.push(Invalid::new(
                    "spec.dataSource",
                    name,
                    "Druid has a supervisor of that name that no DruidIngestion made",
                    "terminate it in Druid, or give another name",
                ));
                return plan;
            }
            // It is suspended, or not, as its specification says.
            mark if mark != wanted.mark() => plan.changes.push(IngestionChange::Replace { name }),
            _ if there.suspended() != wanted.suspended => {
                let suspended = wanted.suspended;
                plan.changes
                    .push(IngestionChange::Suspend { name, suspended });
            }
            _ => {}
        },
    }
    let name = wanted.name.clone();
    let as_asked = |there: &[Value]| {
        there.len() == wanted.rules.len()
            && there.iter().zip(&wanted.rules).all(|(o, w)| covers(o, w))
    };
    if !as_asked(&observed.rules) {
        plan.changes.push(IngestionChange::SetRules { name });
    }
    let name = wanted.name.clone();
    match (&observed.compaction, &wanted.compaction) {
        (Some(_), None) => plan
            .changes
            .push(IngestionChange::RemoveCompaction { name }),
        (there, Some(asked)) if !there.as_ref().is_some_and(|there| covers(there, asked)) => {
            plan.changes.push(IngestionChange::SetCompaction { name });
        }
        _ => {}
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingestion::spec::tests::wanted;
    use serde_json::json;

    fn asked() -> WantedIngestion {
        WantedIngestion::of(&wanted()).unwrap()
    }

    fn as_asked() -> Observed {
        let asked = asked();
        Observed {
            supervisor: Some(Supervisor {
                spec: asked.supervisor,
            }),
            rules: asked.rules,
            compaction: asked.compaction,
        }
    }

    #[test]
    fn what_is_as_asked_for_is_left_alone() {
        let mut there = as_asked();
        // Druid writes out its defaults.
        there.supervisor.as_mut().unwrap().spec["spec"]["tuningConfig"]["maxPendingPersists"] =
            json!(0);
        there.rules[0]["useDefaultTierForNull"] = json!(true);
        assert!(diff(&asked(), &there).is_settled());
    }

    #[test]
    fn changes_in_words() {
        let all = "start supervisor telemetry\ndata source telemetry: set how long rows are kept\n\
                   data source telemetry: set how rows are merged";
        assert_eq!(diff(&asked(), &Observed::default()).to_string(), all);

        let mut suspended = asked();
        suspended.suspended = true;
        assert_eq!(
            diff(&suspended, &as_asked()).to_string(),
            "supervisor telemetry: suspend"
        );
        let mut other = wanted();
        (other.tasks, other.keep.compact_after) = (3, None);
        assert_eq!(
            diff(&WantedIngestion::of(&other).unwrap(), &as_asked()).to_string(),
            "supervisor telemetry: replace the specification\ndata source telemetry: merge rows no more"
        );
    }

    #[test]
    fn a_supervisor_of_somebody_else_is_left_alone() {
        let mut there = as_asked();
        there.supervisor.as_mut().unwrap().spec["context"] = json!(null);
        let plan = diff(&asked(), &there);
        assert!(plan.changes.is_empty());
        assert!(plan.to_string().starts_with(
            "refused: spec.dataSource: telemetry: Druid has a supervisor of that name"
        ));
    }
}
