//! The configuration of `archive`: the job reads it, and the operator checks it before it starts the job.

use serde::Deserialize;

use crate::duration::Span;
use crate::{Invalid, topics};

const MIB: usize = 1024 * 1024;

/// config.yaml of `archive`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ArchiveConfig {
    /// The topic that is archived.
    pub topic: String,
    /// The folder under the lake's root; the topic's name when absent.
    pub dataset: Option<String>,
    /// The consumer group, which shares the partitions out. Its offsets are only for show.
    pub group: String,
    /// So old a commit's first event may become, by the wall clock, before it is committed.
    pub roll_interval: Span,
    /// A commit's files may have about so many bytes in all.
    pub roll_bytes: usize,
    /// Hours of event time that a commit may touch.
    pub roll_hours: usize,
    /// A row group ends when it takes so many bytes in memory.
    pub row_group_bytes: usize,
    /// All open files may take so many bytes in memory; over that row groups end early.
    pub memory_bytes: usize,
    /// Records read and not yet in a file may take so many bytes; over that reading pauses.
    pub ahead_bytes: usize,
    /// After that long without a sign of life a member's partitions go to others.
    pub session_timeout: Span,
    /// How long a last commit may take when the job stops or gives partitions away.
    pub drain_timeout: Span,
    /// The longest wait before another try while the storage is away or full.
    pub longest_wait: Span,
    /// The longest wait for an answer of the storage.
    pub storage_timeout: Span,
    /// Replication of the files in HDFS; HDFS's own when absent.
    pub replication: Option<u32>,
}

impl Default for ArchiveConfig {
    fn default() -> Self {
        Self {
            topic: topics::TELEMETRY.to_owned(),
            dataset: None,
            group: "archive".to_owned(),
            roll_interval: Span::seconds(300),
            roll_bytes: 128 * MIB,
            roll_hours: 64,
            row_group_bytes: 16 * MIB,
            memory_bytes: 96 * MIB,
            ahead_bytes: 16 * MIB,
            session_timeout: Span::seconds(10),
            drain_timeout: Span::seconds(20),
            longest_wait: Span::seconds(30),
            storage_timeout: Span::seconds(60),
            replication: None,
        }
    }
}

impl ArchiveConfig {
    /// The folder under the lake's root.
    #[must_use]
    pub fn dataset(&self) -> &str {
        self.dataset.as_deref().unwrap_or(&self.topic)
    }

    /// Looks for what cannot work.
    ///
    /// # Errors
    /// The first field that is not acceptable.
    pub fn validate(&self) -> Result<(), Invalid> {
        for (field, text) in [("topic", &self.topic), ("group", &self.group)] {
            if text.trim().is_empty() {
                return Err(Invalid::new(
                    field,
                    "",
                    "empty",
                    "name one, or leave the field out",
                ));
            }
        }
        check_dataset(self.dataset())?;
        let at_least = |field: &str, value: usize, least: usize| {
            if value >= least {
                return Ok(());
            }
            let problem = format!("less than {least}");
            Err(Invalid::new(
                field,
                value.to_string(),
                problem,
                "give more, or leave the field out",
            ))
        };
        at_least("rollBytes", self.roll_bytes, MIB)?;
        at_least("rollHours", self.roll_hours, 1)?;
        at_least("rowGroupBytes", self.row_group_bytes, MIB / 4)?;
        at_least("memoryBytes", self.memory_bytes, 8 * MIB)?;
        at_least("aheadBytes", self.ahead_bytes, MIB)?;
        for (field, span) in [
            ("rollInterval", self.roll_interval),
            ("sessionTimeout", self.session_timeout),
            ("drainTimeout", self.drain_timeout),
            ("longestWait", self.longest_wait),
            ("storageTimeout", self.storage_timeout),
        ] {
            if span.0.is_zero() {
                return Err(Invalid::new(
                    field,
                    "0s",
                    "no time at all",
                    "write for example 30s",
                ));
            }
        }
        Ok(())
    }
}

/// Checks the name of a dataset, a folder under the lake's root.
///
/// # Errors
/// It cannot be the name of one.
pub fn check_dataset(dataset: &str) -> Result<(), Invalid> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    // Readers of folders pass over what begins with these two.
    if !dataset.is_empty() && dataset.chars().all(fits) && !dataset.starts_with(['.', '_']) {
        return Ok(());
    }
    Err(Invalid::new(
        "dataset",
        dataset,
        "not the name of a dataset",
        "write letters, digits, '.', '_' and '-', beginning with a letter, a digit or '-'",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_named() {
        let config = |text: &str| serde_yaml_ng::from_str::<ArchiveConfig>(text).unwrap();
        config("{}").validate().unwrap();
        assert_eq!(config("topic: alerts").dataset(), "alerts");
        for (text, field) in [
            ("topic: ''", "topic"),
            ("rollBytes: 1", "rollBytes"),
            ("memoryBytes: 1000", "memoryBytes"),
            ("rollInterval: 0s", "rollInterval"),
            ("dataset: ../other", "dataset"),
            ("topic: _x", "dataset"),
        ] {
            assert_eq!(config(text).validate().unwrap_err().field, field);
        }
    }
}
