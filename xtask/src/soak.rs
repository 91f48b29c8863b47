//! `cargo xtask soak`: the fault tables of docs/reliability.md. They take long and are part of no other task.

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::ValueEnum;

use crate::cluster::Cluster;
use crate::context::Context;
use crate::steps::Steps;
use crate::tally::Count;
use crate::tests::{self, Tier, Variable};
use crate::{Target, builds, evidence, images, up};

/// What is let fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Drill {
    /// Each part of a platform on one node, and the gateway behind others' controllers
    Platform,
    /// A Kafka of controllers and brokers on three nodes: rolls, upgrade, drain, lost volumes, certificates, kills
    Kafka,
    /// HDFS with several NameNodes on three nodes, and the archive: kills, a drain, a cold start, full volumes
    Hdfs,
    /// Each alert rule, with shorter times, against a real fault of a small platform on one node, by a real Prometheus
    Alerts,
}

/// A drill that makes what it drills.
struct Making {
    /// Nodes of the cluster.
    nodes: u8,
    /// Its file among the operator's tests.
    test: &'static str,
    /// What it is told beside the cluster and its images.
    variables: Vec<Variable>,
}

/// Runs the drills, each on a cluster made for it. With `keep` the cluster stays, and the next run goes on with it. Times of
/// alert rules are divided by `shorten`.
///
/// # Errors
/// A build fails, or a cluster cannot be made.
pub fn soak(
    context: &Context,
    only: Option<Drill>,
    keep: bool,
    shorten: u32,
) -> anyhow::Result<ExitCode> {
    let (steps, mut count) = (Steps::new(), Count::default());
    if only.is_none_or(|only| only == Drill::Platform) {
        let tiers = BTreeSet::from([Tier::Cluster]);
        tests::prepare(context, &tiers, &steps, true, &mut Vec::new())?;
    }
    let own = context.of_tests();
    std::fs::create_dir_all(&own.state)?;
    for drill in [Drill::Platform, Drill::Kafka, Drill::Hdfs, Drill::Alerts] {
        if only.is_some_and(|only| only != drill) {
            continue;
        }
        let before = count.failed;
        let result = match drill {
            Drill::Platform => {
                let more = |cluster: &Cluster| controllers(context, &own, &steps, cluster);
                tests::end_to_end(context, &own, &steps, true, "soak", more, &mut count)
            }
            Drill::Kafka => on_three(context, &own, &steps, "drill_kafka", &mut count),
            Drill::Hdfs => on_three(context, &own, &steps, "drill_hdfs", &mut count),
            Drill::Alerts => alerts(context, &own, &steps, shorten, &mut count),
        };
        if result.is_err() || count.failed > before {
            evidence::keep(context, &own);
        }
        if !keep {
            up::down(&own, &Target::default())?;
        }
        result?;
    }
    println!("{} passed, {} failed", count.passed, count.failed);
    Ok(if count.failed > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn controllers(
    context: &Context,
    own: &Context,
    steps: &Steps,
    cluster: &Cluster,
) -> anyhow::Result<Vec<Variable>> {
    let built = steps.step("Traefik and cert-manager (Go)", || {
        let built = builds::controllers(context)?;
        let images = ["traefik", "cert-manager"].map(|name| images::Image {
            name,
            reference: format!("localhost/{name}:1"),
            archive: built.join(format!("{name}.tar")),
        });
        cluster.load(own, &images)?;
        Ok(built)
    })?;
    Ok(vec![("MILLRACE_CONTROLLERS", built.display().to_string())])
}

/// A drill on three nodes.
fn on_three(
    context: &Context,
    own: &Context,
    steps: &Steps,
    test: &'static str,
    count: &mut Count,
) -> anyhow::Result<()> {
    let making = Making {
        nodes: 3,
        test,
        variables: Vec::new(),
    };
    making.run(context, own, steps, count)
}

/// The drill of the alert rules. Its table is also in a file among the logs, which stays when the cluster goes.
fn alerts(
    context: &Context,
    own: &Context,
    steps: &Steps,
    shorten: u32,
    count: &mut Count,
) -> anyhow::Result<()> {
    let table = context.log("alerts-table")?;
    let making = Making {
        nodes: 1,
        test: "drill_alerts",
        variables: vec![
            ("MILLRACE_ALERTS_SHORTEN", shorten.to_string()),
            ("MILLRACE_ALERTS_TABLE", table.display().to_string()),
        ],
    };
    let ran = making.run(context, own, steps, count);
    eprintln!("    the table is in {}", table.display());
    ran
}

impl Making {
    /// Brings up the cluster with the operator alone, and runs the drill on it.
    fn run(
        self,
        context: &Context,
        own: &Context,
        steps: &Steps,
        count: &mut Count,
    ) -> anyhow::Result<()> {
        let (cluster, mut loaded) = up::operator(own, &Target::default(), Some(self.nodes), steps)?;
        if self.test == "drill_kafka" {
            loaded.push(former_kafka(own, steps, &cluster)?);
        }
        let mut variables = self.variables;
        variables.push((
            "MILLRACE_KUBECONFIG",
            cluster.kubeconfig().display().to_string(),
        ));
        for image in loaded {
            let variable = match image.name {
                "kafka" => "MILLRACE_KAFKA_IMAGE",
                "former-kafka" => "MILLRACE_FORMER_KAFKA_IMAGE",
                "hadoop" => "MILLRACE_HADOOP_IMAGE",
                "millrace-stream" => "MILLRACE_STREAM_IMAGE",
                _ => continue,
            };
            variables.push((variable, image.reference));
        }
        variables.extend(cluster.drill());
        let selection = tests::Selection::of("drill", self.test);
        tests::ignored(context, steps, &selection, true, &variables, count)
    }
}

/// The version of Kafka that a drill upgrades from.
fn former_kafka(own: &Context, steps: &Steps, cluster: &Cluster) -> anyhow::Result<images::Image> {
    steps.step("the Kafka before", || {
        let former = images::former_kafka(own, cluster.image_prefix())?;
        cluster.load(own, std::slice::from_ref(&former))?;
        Ok(former)
    })
}
