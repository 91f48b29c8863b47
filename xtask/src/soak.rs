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
}

/// Runs the drills, each on a cluster made for it. With `keep` the cluster stays, and the next run goes on with it.
///
/// # Errors
/// A build fails, or a cluster cannot be made.
pub fn soak(context: &Context, only: Option<Drill>, keep: bool) -> anyhow::Result<ExitCode> {
    let (steps, mut count) = (Steps::new(), Count::default());
    if only.is_none_or(|only| only == Drill::Platform) {
        let tiers = BTreeSet::from([Tier::Cluster]);
        tests::prepare(context, &tiers, &steps, true, &mut Vec::new())?;
    }
    let own = context.of_tests();
    std::fs::create_dir_all(&own.state)?;
    for drill in [Drill::Platform, Drill::Kafka, Drill::Hdfs] {
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

/// Three nodes with the operator alone, and a drill that makes the rest.
fn on_three(
    context: &Context,
    own: &Context,
    steps: &Steps,
    drill: &str,
    count: &mut Count,
) -> anyhow::Result<()> {
    let (cluster, mut loaded) = up::operator(own, &Target::default(), Some(3), steps)?;
    if drill == "drill_kafka" {
        loaded.push(former_kafka(own, steps, &cluster)?);
    }
    let mut variables = vec![(
        "MILLRACE_KUBECONFIG",
        cluster.kubeconfig().display().to_string(),
    )];
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
    let selection = tests::Selection::of("drill", drill);
    tests::ignored(context, steps, &selection, true, &variables, count)
}

/// The version of Kafka that a drill upgrades from.
fn former_kafka(own: &Context, steps: &Steps, cluster: &Cluster) -> anyhow::Result<images::Image> {
    steps.step("the Kafka before", || {
        let former = images::former_kafka(own, cluster.image_prefix())?;
        cluster.load(own, std::slice::from_ref(&former))?;
        Ok(former)
    })
}
