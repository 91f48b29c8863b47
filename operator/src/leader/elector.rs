//! Takes, renews and releases a Lease.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::{Api, PostParams};

use super::record::{Seen, Step, decide, held, released};
use super::{Candidate, Fence, Timing};
use crate::context::is_status;

/// Why a leader leads no longer.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// Another one has the Lease.
    #[error("the Lease is held by {0}")]
    Taken(String),
    /// It could not be renewed in time.
    #[error("the Lease could not be renewed for {0:?}: {1}")]
    Silent(Duration, String),
}

/// A candidate for a Lease.
pub struct Elector {
    api: Api<Lease>,
    me: Candidate,
    timing: Timing,
    fence: Fence,
    seen: Option<Seen>,
    // As it was last read or written.
    lease: Option<Lease>,
}

impl Elector {
    /// A candidate. `client` must not be behind the fence: it has to get the Lease first.
    #[must_use]
    pub fn new(client: Client, me: Candidate, timing: Timing, fence: Fence) -> Self {
        Self {
            api: Api::namespaced(client, &me.namespace),
            me,
            timing,
            fence,
            seen: None,
            lease: None,
        }
    }

    /// Waits until this process leads. The fence is open then.
    pub async fn acquire(&mut self) {
        let mut waiting = false;
        loop {
            let started = Instant::now();
            match self.attempt().await {
                Ok(true) => {
                    self.fence.open_until(started + self.timing.renew_deadline);
                    tracing::info!(
                        lease = self.me.lease,
                        identity = self.me.identity,
                        "leading"
                    );
                    return;
                }
                Ok(false) => {
                    if !waiting {
                        tracing::info!(
                            lease = self.me.lease,
                            holder = self.holder(),
                            "standing by"
                        );
                    }
                    waiting = true;
                }
                Err(error) => {
                    tracing::warn!(%error, lease = self.me.lease, "the Lease could not be had");
                }
            }
            tokio::time::sleep(self.timing.retry).await;
        }
    }

    /// Renews until the lead is lost. The fence is closed then.
    pub async fn hold(&mut self) -> Lost {
        let mut renewed = Instant::now();
        let mut problem = String::new();
        loop {
            tokio::time::sleep(self.timing.retry).await;
            let started = Instant::now();
            let left = self.timing.renew_deadline.saturating_sub(renewed.elapsed());
            match tokio::time::timeout(left, self.attempt()).await {
                Ok(Ok(true)) => {
                    renewed = started;
                    self.fence.open_until(started + self.timing.renew_deadline);
                }
                Ok(Ok(false)) => {
                    self.fence.close();
                    return Lost::Taken(self.holder());
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, lease = self.me.lease, "the Lease could not be renewed");
                    problem = error.to_string();
                }
                Err(_) => "no answer".clone_into(&mut problem),
            }
            if renewed.elapsed() >= self.timing.renew_deadline {
                self.fence.close();
                return Lost::Silent(self.timing.renew_deadline, problem);
            }
        }
    }

    /// Gives the Lease up, so that the next one need not wait. To be called when no work is under way any more.
    pub async fn release(&mut self) {
        self.fence.close();
        let Some(lease) = self.lease.take() else {
            return;
        };
        if holder_of(&lease) != self.me.identity {
            return;
        }
        let (params, free) = (PostParams::default(), released(&lease));
        let given = self.api.replace(&self.me.lease, &params, &free);
        match tokio::time::timeout(self.timing.retry, given).await {
            Ok(Ok(_)) => tracing::info!(lease = self.me.lease, "released"),
            Ok(Err(error)) => tracing::warn!(%error, "the Lease could not be released"),
            Err(_) => tracing::warn!("the Lease could not be released in time"),
        }
    }

    fn holder(&self) -> String {
        self.lease.as_ref().map(holder_of).unwrap_or_default()
    }

    // One look, and one write where it is ours to write. Whether this process has the Lease now.
    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        let found = self.api.get_opt(&self.me.lease).await?;
        let written = match &found {
            None => {
                let lease = held(None, &self.me, &self.timing);
                self.api.create(&PostParams::default(), &lease).await
            }
            Some(lease) => {
                let now = Instant::now();
                match decide(lease, &self.me, &mut self.seen, now, &self.timing) {
                    Step::Wait => {
                        self.lease = found;
                        return Ok(false);
                    }
                    Step::Take | Step::Renew => {
                        let lease = held(Some(lease), &self.me, &self.timing);
                        self.api
                            .replace(&self.me.lease, &PostParams::default(), &lease)
                            .await
                    }
                }
            }
        };
        match written {
            Ok(lease) => {
                self.lease = Some(lease);
                Ok(true)
            }
            // Somebody else was faster: whoever it was is seen at the next look, and until then we do not have it.
            Err(error) if is_status(&error, 409) => {
                self.lease = found;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

fn holder_of(lease: &Lease) -> String {
    lease
        .spec
        .as_ref()
        .and_then(|spec| spec.holder_identity.clone())
        .unwrap_or_default()
}
