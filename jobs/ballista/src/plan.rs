//! The plan of a day: a table with one row for each part of the fleet, and above it [`ScoreExec`], which makes a row to the trips
//! of that part.
//!
//! Ballista gives each task some partitions of what lies at the bottom of a plan, and knows how for its own leaves only: so the parts
//! are a table in memory, which it can divide, and not partitions of a leaf of our own, which each task would compute in full.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::UInt32Type;
use arrow_array::{RecordBatch, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
    SendableRecordBatchStream,
};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::civil::Date;
use millrace_batch::read::Part;
use millrace_batch::score::configuration;
use millrace_batch::score::day::Day;
use millrace_lake::layout::{Hour, Layout};
use millrace_lake::record::FileEntry;
use millrace_lake::storage::Place;
use millrace_settings::{Bindings, DEFAULT_CONFIG, LakeArgs, SettingsError};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::trips;

/// A day to score, as executors are told it. It holds no address and no secret: how to get at the lake each knows by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScorePlan {
    /// Which day.
    pub day: Date,
    /// Into how many parts the fleet is divided.
    pub parts: u32,
    /// The definition as the text that it was read from: numbers in it mean the same wherever it is read.
    pub config: String,
    /// The files that count.
    pub files: Vec<FileEntry>,
}

/// How an executor gets at the lake.
#[derive(Debug, Clone, Default)]
pub struct LakeAccess {
    /// Its flags.
    pub lake: LakeArgs,
    /// The folder of service bindings.
    pub bindings: Option<PathBuf>,
}

impl LakeAccess {
    /// Opens the lake, with the bindings as they are now.
    ///
    /// # Errors
    /// They cannot be read or lead nowhere.
    pub fn open(&self) -> Result<Place, SettingsError> {
        let bindings = match &self.bindings {
            Some(root) => Bindings::read(root)?,
            None => Bindings::default(),
        };
        self.lake.open(&bindings, None, None)
    }
}

impl ScorePlan {
    /// The plan as DataFusion has it.
    ///
    /// # Errors
    /// A table of numbers cannot be made, which is a fault of this program.
    pub fn physical(self) -> Result<Arc<ScoreExec>> {
        let rows = (0..self.parts).map(|part| {
            let column = Arc::new(UInt32Array::from(vec![part]));
            Ok(vec![RecordBatch::try_new(parts(), vec![column])?])
        });
        let rows = rows.collect::<Result<Vec<_>>>()?;
        let table = MemorySourceConfig::try_new_exec(&rows, parts(), None)?;
        Ok(Arc::new(ScoreExec::new(Arc::new(self), None, table)))
    }

    /// Computes a part.
    async fn compute(&self, lake: &LakeAccess, index: u32) -> anyhow::Result<Vec<RecordBatch>> {
        let part = Part::new(index, self.parts)
            .ok_or_else(|| anyhow::anyhow!("part {index} of {}: there is none", self.parts))?;
        let (config, zone) = configuration(Path::new(DEFAULT_CONFIG), &self.config)?;
        let storage = lake.open()?;
        let layout = Layout::new(&config.dataset)?;
        let mut live: BTreeMap<Hour, Vec<FileEntry>> = BTreeMap::new();
        for file in &self.files {
            let hour = Hour::parse(&file.hour)
                .ok_or_else(|| anyhow::anyhow!("{}: {} is no hour", file.path, file.hour))?;
            live.entry(hour).or_default().push(file.clone());
        }
        let day = Day::of(self.day, &zone, &live)?;
        let trips = day.trips(&storage, &layout, &config, &zone, part).await?;
        Ok(trips::batches(index, &trips)?)
    }
}

fn parts() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new(
        "part",
        DataType::UInt32,
        false,
    )]))
}

/// The parts that its input names, made to their trips.
#[derive(Debug)]
pub struct ScoreExec {
    plan: Arc<ScorePlan>,
    lake: Option<Arc<LakeAccess>>,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl ScoreExec {
    /// Over a table of parts. Without `lake` it can only be handed on.
    #[must_use]
    pub fn new(
        plan: Arc<ScorePlan>,
        lake: Option<Arc<LakeAccess>>,
        input: Arc<dyn ExecutionPlan>,
    ) -> Self {
        let count = input.properties().output_partitioning().partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(trips::schema()),
            Partitioning::UnknownPartitioning(count),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self {
            plan,
            lake,
            input,
            properties: Arc::new(properties),
        }
    }

    /// What is scored.
    #[must_use]
    pub fn plan(&self) -> &ScorePlan {
        &self.plan
    }
}

impl DisplayAs for ScoreExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ScorePlan {
            day, parts, files, ..
        } = self.plan.as_ref();
        write!(
            f,
            "ScoreExec: day={day} parts={parts} files={}",
            files.len()
        )
    }
}

impl ExecutionPlan for ScoreExec {
    fn name(&self) -> &'static str {
        "ScoreExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = <[_; 1]>::try_from(children).map_err(|children| {
            DataFusionError::Internal(format!("ScoreExec has one input, not {}", children.len()))
        })?;
        let (plan, lake) = (Arc::clone(&self.plan), self.lake.clone());
        Ok(Arc::new(Self::new(plan, lake, input)))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let lake = self.lake.clone().ok_or_else(|| {
            DataFusionError::Execution("ScoreExec: only an executor has a lake".to_owned())
        })?;
        let plan = Arc::clone(&self.plan);
        let rows = self.input.execute(partition, context)?;
        let trips = stream::once(async move {
            let rows: Vec<RecordBatch> = rows.try_collect().await?;
            let mut trips = Vec::new();
            for rows in &rows {
                for part in numbers(rows)? {
                    let (plan, lake) = (Arc::clone(&plan), Arc::clone(&lake));
                    trips.extend(computed(plan, lake, part).await?);
                }
            }
            Ok::<_, DataFusionError>(stream::iter(trips).map(Ok))
        });
        let (schema, trips) = (trips::schema(), trips.try_flatten());
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, trips)))
    }
}

fn numbers(rows: &RecordBatch) -> Result<Vec<u32>> {
    let column = rows.columns().first();
    let column = column.and_then(|column| column.as_primitive_opt::<UInt32Type>());
    let numbers = column.map(|column| column.values().to_vec());
    numbers.ok_or_else(|| DataFusionError::Internal("ScoreExec: no table of parts".to_owned()))
}

/// A part, computed beside the tasks of the executor: it takes minutes.
async fn computed(
    plan: Arc<ScorePlan>,
    lake: Arc<LakeAccess>,
    part: u32,
) -> Result<Vec<RecordBatch>> {
    let handle = Handle::current();
    let computing = tokio::task::spawn_blocking(move || handle.block_on(plan.compute(&lake, part)));
    let computed = computing
        .await
        .map_err(|error| DataFusionError::Execution(error.to_string()))?;
    // As a text: what a scheduler hands on of an error is its text.
    computed.map_err(|error| DataFusionError::Execution(format!("part {part}: {error:#}")))
}
