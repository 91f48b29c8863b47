//! Who asks for a day: the job, which goes on with the trips as if it had computed them itself.

use std::time::Instant;

use anyhow::Context as _;
use ballista_core::execution_plans::execute_physical_plan;
use ballista_core::extension::SessionConfigExt as _;
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::PhysicalPlanNode;
use futures::TryStreamExt as _;
use millrace_batch::score::day::Day;
use millrace_batch::score::fleet::FleetTrip;
use millrace_batch::score::{Engine, Source};
use uuid::Uuid;

use crate::codec::ScoreCodec;
use crate::plan::ScorePlan;
use crate::serve::MESSAGE;
use crate::trips;

/// A scheduler of Ballista and its executors.
#[derive(Debug, Clone)]
pub struct Ballista {
    scheduler: String,
    parts: u32,
}

impl Ballista {
    /// The scheduler at this address, `HOST:PORT`, with the fleet of each day divided into so many parts.
    #[must_use]
    pub fn new(scheduler: &str, parts: u32) -> Self {
        Self {
            scheduler: format!("http://{scheduler}"),
            parts,
        }
    }
}

impl Engine for Ballista {
    async fn trips(&self, day: &Day, source: &Source<'_>) -> anyhow::Result<Vec<FleetTrip>> {
        let files = day.files.iter().flat_map(|(_, files)| files);
        let plan = ScorePlan {
            day: day.date,
            parts: self.parts,
            config: source.text.to_owned(),
            files: files.cloned().collect(),
        };
        let began = Instant::now();
        let config = SessionConfig::new_with_ballista()
            .with_ballista_job_name(&format!("score {}", day.date))
            .with_ballista_grpc_client_max_message_size(MESSAGE);
        let asked = || {
            format!(
                "{}: the scheduler {} and its executors have not computed the day; nothing was changed",
                day.date, self.scheduler
            )
        };
        let batches = execute_physical_plan::<PhysicalPlanNode>(
            self.scheduler.clone(),
            &config.ballista_config(),
            plan.physical()?,
            &ScoreCodec::default(),
            Uuid::new_v4().to_string(),
            config,
        )
        .await
        .with_context(asked)?;
        let batches: Vec<_> = batches.try_collect().await.with_context(asked)?;
        let trips = trips::collect(self.parts, &batches).with_context(asked)?;
        tracing::info!(
            day = %day.date,
            parts = self.parts,
            trips = trips.len(),
            seconds = began.elapsed().as_secs(),
            "computed by executors"
        );
        Ok(trips)
    }
}
