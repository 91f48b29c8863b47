//! One rule of one OpenWhisk, as the pipeline sees it.

use super::change::{RuleChange, WantedRule, diff};
use crate::remote::openwhisk::{RulePut, RuleRecord, WhiskClient, WhiskError};
use crate::remote::pipeline::{Plan, Remote};

/// A rule together with a client of its OpenWhisk.
#[derive(Debug)]
pub struct RemoteRule<'a> {
    /// The server.
    pub client: &'a WhiskClient,
    /// What is asked for.
    pub wanted: &'a WantedRule,
}

impl Remote for RemoteRule<'_> {
    type Observed = Option<RuleRecord>;
    type Change = RuleChange;
    type Error = WhiskError;

    async fn observe(&self) -> Result<Self::Observed, WhiskError> {
        self.client.rule(&self.wanted.name).await
    }

    fn diff(&self, observed: &Self::Observed) -> Plan<RuleChange> {
        diff(self.wanted, observed.as_ref())
    }

    async fn act(&self, _: &Self::Observed, changes: &[RuleChange]) -> Result<(), WhiskError> {
        let name = &self.wanted.name;
        for change in changes {
            match change {
                RuleChange::Create { .. } | RuleChange::Connect { .. } => {
                    let put = RulePut {
                        trigger: format!("/_/{}", self.wanted.trigger),
                        action: format!("/_/{}", self.wanted.action),
                    };
                    self.client.put_rule(name, &put).await?;
                }
                RuleChange::Active { active, .. } => {
                    self.client.set_rule_active(name, *active).await?;
                }
            }
        }
        Ok(())
    }
}
