//! One ingestion of one Druid, as the pipeline sees it.
//!
//! A specification that Druid cannot start ends the supervisor that it is to replace (apache/druid#18827). So each is tried
//! first, on the first records of its topic; only one that reads them replaces what runs. Should a replacement vanish all the
//! same, the former one is started again.

use super::change::{IngestionChange, Observed, WantedIngestion, diff};
use crate::remote::druid::{DruidClient, DruidError};
use crate::remote::pipeline::{Plan, Remote};

/// An ingestion together with a client of its Druid.
#[derive(Debug)]
pub struct RemoteIngestion<'a> {
    /// The Druid.
    pub client: &'a DruidClient,
    /// What is asked for.
    pub wanted: &'a WantedIngestion,
}

/// Why an ingestion could not be made as asked for.
#[derive(Debug, thiserror::Error)]
pub enum IngestionError {
    /// Druid cannot be asked, or failed.
    #[error(transparent)]
    Druid(#[from] DruidError),
    /// The trial run of the specification failed; what runs was not touched.
    #[error("{0}")]
    Trial(String),
    /// The new supervisor vanished, and the former one was started again.
    #[error(
        "Druid took the specification and has no supervisor now; the former one was started again"
    )]
    Vanished,
}

impl Remote for RemoteIngestion<'_> {
    type Observed = Observed;
    type Change = IngestionChange;
    type Error = IngestionError;

    async fn observe(&self) -> Result<Observed, IngestionError> {
        let name = &self.wanted.name;
        Ok(Observed {
            supervisor: self.client.supervisor(name).await?,
            rules: self.client.rules(name).await?,
            compaction: self.client.compaction(name).await?,
        })
    }

    fn diff(&self, observed: &Observed) -> Plan<IngestionChange> {
        diff(self.wanted, observed)
    }

    async fn act(
        &self,
        observed: &Observed,
        changes: &[IngestionChange],
    ) -> Result<(), IngestionError> {
        let wanted = self.wanted;
        for change in changes {
            match change {
                IngestionChange::Start { .. } | IngestionChange::Replace { .. } => {
                    self.try_out().await?;
                    self.submit(observed).await?;
                }
                IngestionChange::Suspend { name, suspended } => {
                    self.client.set_suspended(name, *suspended).await?;
                }
                IngestionChange::SetRules { name } => {
                    self.client.set_rules(name, &wanted.rules).await?;
                }
                IngestionChange::SetCompaction { .. } => {
                    if let Some(compaction) = &wanted.compaction {
                        self.client.set_compaction(compaction).await?;
                    }
                }
                IngestionChange::RemoveCompaction { name } => {
                    self.client.remove_compaction(name).await?;
                }
            }
        }
        Ok(())
    }
}

impl RemoteIngestion<'_> {
    async fn try_out(&self) -> Result<(), IngestionError> {
        let tried = self.client.sample(&self.wanted.supervisor).await;
        let sampled = tried.map_err(|error| match error {
            DruidError::Refused { message, .. } if error.is_invalid() => {
                IngestionError::Trial(format!("Druid says: {message}"))
            }
            other => other.into(),
        })?;
        if sampled.num_rows_read > 0 && sampled.num_rows_indexed == 0 {
            return Err(IngestionError::Trial(format!(
                "none of the first {} records of the topic can be read by it",
                sampled.num_rows_read
            )));
        }
        Ok(())
    }

    async fn submit(&self, observed: &Observed) -> Result<(), IngestionError> {
        let submitted = self.client.submit(&self.wanted.supervisor).await;
        let Some(former) = &observed.supervisor else {
            return Ok(submitted?);
        };
        if self.client.supervisor(&self.wanted.name).await?.is_some() {
            return Ok(submitted?);
        }
        self.client.submit(&former.spec).await?;
        submitted?;
        Err(IngestionError::Vanished)
    }
}
