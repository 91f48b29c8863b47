//! How the plan travels from who asks through the scheduler to executors: [`ScoreExec`] as JSON behind a mark, all else as Ballista
//! writes it.

use std::sync::Arc;

use ballista_core::serde::BallistaPhysicalExtensionCodec;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};

use crate::plan::{LakeAccess, ScoreExec};

/// No message of Ballista begins so: these are protobuf, in which it would be a number of 32 bits.
const MARK: &[u8] = b"millrace-score 1\n";

/// Writes and reads plans.
#[derive(Debug, Default)]
pub struct ScoreCodec {
    lake: Option<Arc<LakeAccess>>,
    others: BallistaPhysicalExtensionCodec,
}

impl ScoreCodec {
    /// That of an executor, whose plans can be executed.
    #[must_use]
    pub fn of_executor(lake: LakeAccess) -> Self {
        Self {
            lake: Some(Arc::new(lake)),
            ..Self::default()
        }
    }
}

impl PhysicalExtensionCodec for ScoreCodec {
    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        ctx: &TaskContext,
        proto_converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(json) = buf.strip_prefix(MARK) else {
            return self.others.try_decode(buf, inputs, ctx, proto_converter);
        };
        let plan = serde_json::from_slice(json).map_err(|error| {
            DataFusionError::Execution(format!(
                "the plan cannot be read: {error}; scheduler, executors and the job must have the same version"
            ))
        })?;
        let [input] = inputs else {
            let told = format!("ScoreExec has one input, not {}", inputs.len());
            return Err(DataFusionError::Internal(told));
        };
        let (lake, input) = (self.lake.clone(), Arc::clone(input));
        Ok(Arc::new(ScoreExec::new(Arc::new(plan), lake, input)))
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        proto_converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let Some(score) = node.downcast_ref::<ScoreExec>() else {
            return self.others.try_encode(node, buf, proto_converter);
        };
        buf.extend_from_slice(MARK);
        serde_json::to_writer(buf, score.plan())
            .map_err(|error| DataFusionError::Internal(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::physical_plan::displayable;
    use datafusion::prelude::SessionContext;
    use datafusion_proto::physical_plan::AsExecutionPlan as _;
    use datafusion_proto::protobuf::PhysicalPlanNode;
    use jiff::civil::date;
    use millrace_lake::content::{Content, Sum};
    use millrace_lake::record::FileEntry;

    use super::*;
    use crate::plan::ScorePlan;

    fn plan() -> ScorePlan {
        ScorePlan {
            day: date(2026, 11, 10),
            parts: 3,
            config: "zone: Europe/Berlin\nbraking: 3.3333333333333335\n".to_owned(),
            files: vec![FileEntry {
                path: "telemetry/date=2026-11-10/hour=07/a.parquet".to_owned(),
                staged: "telemetry/_staging/a.parquet".to_owned(),
                hour: "date=2026-11-10/hour=07".to_owned(),
                bytes: u64::MAX,
                sha256: "0".repeat(64),
                content: Content {
                    rows: 7,
                    sum: Sum(u128::MAX),
                },
                first_offset: 0,
                last_offset: i64::MAX,
            }],
        }
    }

    #[test]
    fn a_plan_comes_out_as_it_went_in() {
        let sent = plan().physical().unwrap();
        let codec = ScoreCodec::default();
        let node = PhysicalPlanNode::try_from_physical_plan(sent.clone(), &codec).unwrap();
        let mut bytes = Vec::new();
        node.try_encode(&mut bytes).unwrap();
        let read = |codec: &ScoreCodec| {
            let node = PhysicalPlanNode::try_decode(&bytes).unwrap();
            let context = SessionContext::new().task_ctx();
            node.try_into_physical_plan(&context, codec).unwrap()
        };
        let got = read(&codec);
        assert_eq!(got.downcast_ref::<ScoreExec>().unwrap().plan(), &plan());
        let told = |plan: &dyn ExecutionPlan| displayable(plan).indent(true).to_string();
        assert_eq!(told(got.as_ref()), told(sent.as_ref()));
        // The parts came along, one partition each.
        let count = got.properties().output_partitioning().partition_count();
        assert_eq!(count, 3);
        // Who only hands it on cannot execute it.
        let context = || SessionContext::new().task_ctx();
        let refused = got.execute(0, context()).err().unwrap();
        assert!(
            refused.to_string().contains("only an executor"),
            "{refused}"
        );
        let executor = ScoreCodec::of_executor(LakeAccess::default());
        assert!(read(&executor).execute(0, context()).is_ok());
    }

    #[test]
    fn nothing_but_the_plan_of_a_day_is_taken_for_one() {
        let context = SessionContext::new().task_ctx();
        let codec = ScoreCodec::default();
        let mut bytes = MARK.to_vec();
        bytes.extend_from_slice(b"{\"day\": 1}");
        let converter = datafusion_proto::physical_plan::DefaultPhysicalProtoConverter {};
        let told = |bytes: &[u8]| {
            let read = codec.try_decode(bytes, &[], &context, &converter);
            read.err().unwrap().to_string()
        };
        assert!(told(&bytes).contains("same version"));
        assert!(told(b"\x0a").contains("BallistaPhysicalPlanNode"));
    }
}
