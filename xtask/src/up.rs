//! `up` and `down`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::cluster::{self, Cluster};
use crate::context::Context;
use crate::drive::{self, Driven};
use crate::images::Image;
use crate::install::{self, READY_STEP};
use crate::steps::Steps;
use crate::{Target, access, builds, files, images, packages, report, run};

/// What the first drive gave, for every later `up`.
const FIRST_DRIVE: &str = "first-drive.json";

/// Brings everything up, each part only where it is not up already.
///
/// # Errors
/// The step that failed, with the end of its log.
pub fn up(context: &Context, target: &Target, nodes: Option<u8>) -> anyhow::Result<()> {
    let steps = Steps::new();
    eprintln!(
        "Millrace {}: bringing up {}",
        builds::VERSION,
        describe(target, nodes)
    );
    cluster::check(target)?;
    let (cluster, images) = platform(context, target, nodes, &steps)?;
    let noted = context.state.join(FIRST_DRIVE);
    let driven = match read_note(&noted, &cluster, &images) {
        Some(driven) => {
            // After a restart of the machine the way to the gateway has to be opened again.
            steps.step("gateway reachable", || access::gateway(context, &cluster))?;
            eprintln!("  ✔ everything was up; these are the warnings of the first drive");
            driven
        }
        None => {
            let driven = steps.step("trips driven", || drive::first(context, &cluster))?;
            write_note(&noted, &cluster, &images, &driven)?;
            driven
        }
    };
    report::print(context, &steps, &driven, cluster.kubeconfig());
    Ok(())
}

/// A cluster with the operator and one ready Platform, and the images that they run.
///
/// # Errors
/// The step that failed, with the end of its log.
pub fn platform(
    context: &Context,
    target: &Target,
    nodes: Option<u8>,
    steps: &Steps,
) -> anyhow::Result<(Cluster, Vec<String>)> {
    let (cluster, built) = operator(context, target, nodes, steps)?;
    steps.step("platform applied", || {
        install::environment(context, &cluster)
    })?;
    steps.step(READY_STEP, || {
        install::wait_ready(&cluster, steps, Duration::from_secs(900))
    })?;
    Ok((
        cluster,
        built.into_iter().map(|image| image.reference).collect(),
    ))
}

/// A cluster with the operator, and the images that were loaded.
///
/// # Errors
/// The step that failed, with the end of its log.
pub fn operator(
    context: &Context,
    target: &Target,
    nodes: Option<u8>,
    steps: &Steps,
) -> anyhow::Result<(Cluster, Vec<Image>)> {
    let local = cluster::is_local(target);
    if local {
        let installed = steps.step("Debian packages", || packages::ensure(context))?;
        if !installed.is_empty() {
            eprintln!("    installed {}", installed.join(" "));
        }
    }
    let cluster = build_and_boot(context, target, nodes, local, steps)?;
    let built = steps.step("images", || images::build(context, cluster.image_prefix()))?;
    steps.step("images loaded", || cluster.load(context, &built))?;
    steps.step("operator", || install::operator(context, &cluster, &built))?;
    Ok((cluster, built))
}

/// Go, Rust and downloads side by side; the cluster boots as soon as its own binaries are there.
fn build_and_boot(
    context: &Context,
    target: &Target,
    nodes: Option<u8>,
    local: bool,
    steps: &Steps,
) -> anyhow::Result<Cluster> {
    let finished = AtomicBool::new(false);
    thread::scope(|scope| {
        let ticker = scope.spawn(|| {
            while !finished.load(Ordering::Relaxed) {
                steps.draw();
                thread::sleep(Duration::from_millis(500));
            }
        });
        let rust = scope.spawn(|| {
            steps.step("operator, jobs, actions (Rust)", || {
                builds::binaries(context)
            })
        });
        let downloads = scope.spawn(|| {
            steps.step("Debian, Java, Kafka, HDFS (downloads)", || {
                images::fetch(context)
            })
        });
        let booted = (|| {
            let built = if local {
                steps.step("Kubernetes and helm (Go)", || builds::cluster(context))?
            } else {
                PathBuf::new()
            };
            let cluster = Cluster::of(context, target, &built)?;
            steps.step("Kubernetes up", || cluster.up(context, nodes))?;
            anyhow::Ok(cluster)
        })();
        let built = join(rust).and(join(downloads));
        finished.store(true, Ordering::Relaxed);
        let _ = ticker.join();
        built.and(booted)
    })
}

fn join<T>(handle: thread::ScopedJoinHandle<'_, anyhow::Result<T>>) -> anyhow::Result<()> {
    match handle.join() {
        Ok(result) => result.map(|_| ()),
        Err(_) => anyhow::bail!("a step ended by a panic"),
    }
}

fn describe(target: &Target, nodes: Option<u8>) -> String {
    match &target.context {
        Some(name) => format!("the platform on the cluster of context {name}"),
        None => match nodes {
            Some(count) => {
                format!("a Kubernetes of {count} node(s) on this machine, and the platform on it")
            }
            None => "a Kubernetes on this machine, and the platform on it".to_owned(),
        },
    }
}

/// The first drive belongs to one Platform object: a new one gets a new drive.
fn platform_uid(cluster: &Cluster) -> anyhow::Result<String> {
    run::output(cluster.kubectl().args([
        "-n",
        install::NAMESPACE,
        "get",
        "platform",
        install::PLATFORM,
        "-o",
        "jsonpath={.metadata.uid}",
    ]))
}

fn read_note(path: &Path, cluster: &Cluster, images: &[String]) -> Option<Driven> {
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    // After a change of what runs, old warnings prove nothing.
    if json["platform"].as_str()? != platform_uid(cluster).ok()?
        || json["images"] != serde_json::json!(images)
    {
        return None;
    }
    let lines = |key: &str| -> Option<Vec<String>> {
        json[key]
            .as_array()?
            .iter()
            .map(|v| v.as_str().map(str::to_owned))
            .collect()
    };
    Some(Driven {
        warnings: lines("warnings")?,
        summary: lines("summary")?,
        what: json["what"].as_str()?.to_owned(),
    })
}

fn write_note(
    path: &Path,
    cluster: &Cluster,
    images: &[String],
    driven: &Driven,
) -> anyhow::Result<()> {
    let json = serde_json::json!({
        "platform": platform_uid(cluster)?,
        "images": images,
        "what": driven.what,
        "warnings": driven.warnings,
        "summary": driven.summary,
    });
    files::replace(path, &serde_json::to_vec_pretty(&json)?)
}

/// Removes what `up` made: the local cluster with all in it, or the releases from a cluster that stays.
///
/// # Errors
/// Something cannot be removed.
pub fn down(context: &Context, target: &Target) -> anyhow::Result<()> {
    let steps = Steps::new();
    if cluster::is_local(target) {
        return down_local(context, target, &steps);
    }
    let cluster = Cluster::of(context, target, &PathBuf::new())?;
    if cluster.outlives_us() {
        steps.step("platform removed", || install::remove(context, &cluster))?;
    } else {
        steps.step("cluster removed", || cluster.remove(context))?;
    }
    // A local cluster may have its state beside this note: that one is not taken down here.
    match std::fs::remove_file(context.state.join(FIRST_DRIVE)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// The cluster of `up`, and those that an interrupted test run left.
fn down_local(context: &Context, target: &Target, steps: &Steps) -> anyhow::Result<()> {
    let test = context.of_tests();
    let live = test.state.join("live");
    let mut left = vec![context, &test];
    left.retain(|one| one.state.join("cluster").exists());
    if left.is_empty() && !live.exists() {
        eprintln!("nothing is up here");
    } else {
        let built = builds::cluster(context)?;
        steps.step("cluster removed", || {
            for one in left {
                Cluster::of(one, target, &built)?.remove(context)?;
            }
            if live.exists() {
                // What cannot be removed keeps its state, which is the only way to find it again.
                run::logged(
                    cluster::live_script(&test, &built)
                        .arg(context.root.join("cluster/cluster.sh"))
                        .arg("nuke"),
                    &context.log("down")?,
                )?;
            }
            Ok(())
        })?;
    }
    if context.state.exists() {
        std::fs::remove_dir_all(&context.state)?;
    }
    Ok(())
}
