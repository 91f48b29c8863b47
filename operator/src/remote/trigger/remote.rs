//! One trigger of one OpenWhisk, as the pipeline sees it.

use super::change::{TriggerChange, WantedTrigger, diff, put_for};
use crate::remote::openwhisk::{TriggerRecord, WhiskClient, WhiskError};
use crate::remote::pipeline::{Plan, Remote};

/// A trigger together with a client of its OpenWhisk.
pub struct RemoteTrigger<'a> {
    /// The server.
    pub client: &'a WhiskClient,
    /// What is asked for.
    pub wanted: &'a WantedTrigger,
}

impl std::fmt::Debug for RemoteTrigger<'_> {
    /// What is asked for holds secrets: only the name is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteTrigger")
            .field("name", &self.wanted.name)
            .finish_non_exhaustive()
    }
}

impl Remote for RemoteTrigger<'_> {
    type Observed = Option<TriggerRecord>;
    type Change = TriggerChange;
    type Error = WhiskError;

    async fn observe(&self) -> Result<Self::Observed, WhiskError> {
        self.client.trigger(&self.wanted.name).await
    }

    fn diff(&self, observed: &Self::Observed) -> Plan<TriggerChange> {
        diff(self.wanted, observed.as_ref())
    }

    async fn act(&self, _: &Self::Observed, changes: &[TriggerChange]) -> Result<(), WhiskError> {
        let put = put_for(self.wanted, changes);
        self.client
            .put_trigger(&self.wanted.name, &put)
            .await
            .map(drop)
    }
}
