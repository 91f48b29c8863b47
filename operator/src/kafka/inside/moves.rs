//! Carries drains, rebalances and changed replication factors out: one mover for all, so that nobody takes away the
//! throttle of another one.
//!
//! What is planned is told in the status before anything is throttled, so that whoever goes on after a crash knows whose
//! the throttles are.

use kube::ResourceExt;

use super::disks::Directories;
use crate::kafka::crd::{KafkaCluster, KafkaClusterStatus, MovesStatus};
use crate::kafka::moves::{self, Factors, Plan};
use crate::kafka::throttle;
use crate::kafka::validate::ValidatedKafka;
use crate::kafka::view::View;
use crate::remote::kafka::{Factor, KafkaAdmin, KafkaError, Moves};

/// What was planned and done.
#[derive(Clone, Debug, Default)]
pub struct Moved {
    /// The plan.
    pub plan: Plan,
    /// For the status; `None` when nothing moves and no throttle is left.
    pub moves: Option<MovesStatus>,
    /// What Kafka did not let happen; the next look tries again.
    pub failed: Option<String>,
}

impl Moved {
    /// Tells it in a status.
    pub fn tell(&self, status: &mut KafkaClusterStatus) {
        status.drain.clone_from(&self.plan.drain);
        status.rebalance.clone_from(&self.plan.rebalance);
        status.moves.clone_from(&self.moves);
    }
}

/// Takes one step of what is asked for.
pub(super) async fn step(
    admin: &KafkaAdmin,
    cluster: &KafkaCluster,
    kafka: &ValidatedKafka,
    view: &View,
    directories: &Directories,
    factors: &Factors,
) -> Moved {
    let before = cluster.status.as_ref();
    let asked = moves::asked(cluster.annotations(), factors);
    let mut plan = moves::plan(asked, view, kafka, before);
    let noted = before.is_some_and(|status| status.moves.is_some());
    count_bytes(directories, &mut plan);
    if !noted && plan.batch.is_empty() {
        return Moved {
            plan,
            ..Moved::default()
        };
    }
    let status = MovesStatus {
        partitions_left: i32::try_from(plan.left).unwrap_or(i32::MAX),
        bytes_per_second: i64::try_from(kafka.move_rate).unwrap_or(i64::MAX),
    };
    let mut moved = Moved {
        plan,
        moves: Some(status),
        failed: None,
    };
    if !noted {
        // It has to be in the status first.
        return moved;
    }
    match carry_out(admin, kafka, view, &moved.plan).await {
        Ok(true) => moved.moves = None,
        Ok(false) => {}
        Err(error) => moved.failed = Some(error.to_string()),
    }
    moved
}

/// Throttles and moves. Says whether it is all over, and the throttles are gone.
async fn carry_out(
    admin: &KafkaAdmin,
    kafka: &ValidatedKafka,
    view: &View,
    plan: &Plan,
) -> Result<bool, KafkaError> {
    let over = plan.batch.is_empty() && view.reassignments.is_empty();
    let rate = (!over).then_some(kafka.move_rate);
    let set = admin
        .settings_of_all_brokers(&[throttle::LEADER_RATE, throttle::FOLLOWER_RATE])
        .await?;
    let changes = throttle::rate_changes(rate, &set);
    if !changes.is_empty() {
        admin.change_all_brokers(&changes).await?;
    }
    let topics: Vec<&str> = view.topics.iter().map(|t| t.name.as_str()).collect();
    let lists = admin
        .settings_of_topics(&topics, &[throttle::LEADERS, throttle::FOLLOWERS])
        .await?;
    let wanted = throttle::throttled(view, &plan.batch);
    admin
        .change_topics(&throttle::list_changes(&wanted, &lists))
        .await?;
    if !plan.batch.is_empty() {
        let anew = moves::counted_anew(view, &plan.batch);
        let moves = plan.batch.iter().map(|(at, to)| (at, Some(to.clone())));
        let (changed, kept): (Moves, Moves) = moves
            .map(|(at, to)| (at.clone(), to))
            .partition(|(at, _)| anew.contains(at));
        admin.reassign(&kept, Factor::Kept).await?;
        admin.reassign(&changed, Factor::Changed).await?;
        tracing::info!(
            cluster = kafka.owner.name,
            partitions = plan.batch.len(),
            left = plan.left,
            "replicas are moved"
        );
    }
    Ok(over)
}

/// Tells how many bytes are left on brokers that are emptied. What is not known is not told.
fn count_bytes(directories: &Directories, plan: &mut Plan) {
    for drain in plan.drain.iter_mut().filter(|drain| !drain.done) {
        drain.bytes_left = directories.get(&drain.node).map(|directories| {
            let replicas = directories.iter().flat_map(|d| &d.replicas);
            let bytes = replicas.filter(|r| !r.future).map(|r| r.bytes.max(0));
            bytes.sum()
        });
    }
}
