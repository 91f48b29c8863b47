//! `cargo xtask test`: the tiers, what each needs, and one closing line.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use clap::ValueEnum;

use crate::cluster::Cluster;
use crate::context::Context;
use crate::steps::Steps;
use crate::tally::{self, Count};
use crate::{Target, access, builds, cluster, evidence, images, install, lanes, packages, run, up};

/// A tier of tests, by what it needs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Debug)]
pub enum Tier {
    /// Nothing: pure code
    Unit,
    /// The real API server, no nodes
    Api,
    /// The real Kafka and our own servers as local processes
    Systems,
    /// Real nodes and pods
    Cluster,
}

const ALL: [Tier; 4] = [Tier::Unit, Tier::Api, Tier::Systems, Tier::Cluster];

/// Those that are asked for; all where none is named.
fn asked(tiers: &[Tier]) -> BTreeSet<Tier> {
    let tiers: &[Tier] = if tiers.is_empty() { &ALL } else { tiers };
    tiers.iter().copied().collect()
}

/// Whether real nodes are among the tiers that are asked for.
#[must_use]
pub fn on_nodes_too(tiers: &[Tier]) -> bool {
    asked(tiers).contains(&Tier::Cluster)
}

/// An environment variable of a test.
pub type Variable = (&'static str, String);

/// Runs the tiers; ends with `N passed, N failed, N skipped`.
///
/// # Errors
/// A build fails.
pub fn test(context: &Context, tiers: &[Tier], require: bool) -> anyhow::Result<ExitCode> {
    let tiers = asked(tiers);
    let steps = Steps::new();
    let mut count = Count::default();
    let mut left_out = Vec::new();
    let able = prepare(context, &tiers, &steps, require, &mut left_out)?;
    for tier in able {
        let result = match tier {
            Tier::Unit => unit(context, &steps, require, &mut count),
            Tier::Api => {
                let api = Selection::of("api", "api*");
                ignored(context, &steps, &api, require, &[], &mut count)
            }
            Tier::Systems => systems(context, &steps, require, &mut count),
            Tier::Cluster => on_nodes(context, &steps, require, &mut count),
        };
        if let Err(error) = result {
            eprintln!("error: {error:#}");
            count.failed += 1;
        }
    }
    for (tier, why) in &left_out {
        println!("left out: {tier:?}: {why}");
        count.skipped += 1;
    }
    println!(
        "{} passed, {} failed, {} skipped",
        count.passed, count.failed, count.skipped
    );
    let bad = count.failed > 0 || (require && !left_out.is_empty());
    Ok(if bad {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Builds side by side what the tiers need; gives the tiers that can run.
///
/// # Errors
/// A build fails, or what is required is missing.
pub fn prepare(
    context: &Context,
    tiers: &BTreeSet<Tier>,
    steps: &Steps,
    require: bool,
    left_out: &mut Vec<(Tier, String)>,
) -> anyhow::Result<Vec<Tier>> {
    let mut able: Vec<Tier> = tiers.iter().copied().collect();
    let beyond_unit = able.iter().any(|t| *t != Tier::Unit);
    if beyond_unit && let Err(error) = steps.step("Debian packages", || packages::ensure(context)) {
        if require {
            return Err(error);
        }
        left_out.extend(
            able.iter()
                .filter(|t| **t != Tier::Unit)
                .map(|t| (*t, format!("{error:#}"))),
        );
        able.retain(|t| *t == Tier::Unit);
    }
    if able.contains(&Tier::Cluster) && !cluster::is_local(&Target::default()) {
        anyhow::ensure!(!require, "the cluster tier needs root");
        left_out.push((
            Tier::Cluster,
            "it needs root, for network namespaces and mounts".to_owned(),
        ));
        able.retain(|t| *t != Tier::Cluster);
    }
    // Patroni keeps its leases in Kubernetes.
    let go = able
        .iter()
        .any(|t| matches!(t, Tier::Api | Tier::Systems | Tier::Cluster));
    let jars = able
        .iter()
        .any(|t| matches!(t, Tier::Systems | Tier::Cluster));
    thread::scope(|scope| {
        let go = go.then(|| {
            scope.spawn(|| steps.step("Kubernetes and helm (Go)", || builds::cluster(context)))
        });
        let fetched = jars.then(|| {
            scope.spawn(|| {
                steps.step("Debian, Java, Kafka, HDFS (downloads)", || {
                    images::fetch(context)
                })
            })
        });
        let rust = steps.step("tests and binaries (Rust)", || {
            let mut command = builds::cargo(context);
            run::logged(
                command.args(["test", "--locked", "--workspace", "--no-run"]),
                &context.log("build-tests")?,
            )?;
            if jars {
                builds::binaries(context)
            } else {
                Ok(())
            }
        });
        for handle in [
            go.map(|h| h.join().map(|r| r.map(|_| ()))),
            fetched.map(|h| h.join()),
        ]
        .into_iter()
        .flatten()
        {
            match handle {
                Ok(result) => result?,
                Err(_) => anyhow::bail!("a step ended by a panic"),
            }
        }
        rust
    })?;
    Ok(able)
}

fn unit(context: &Context, steps: &Steps, require: bool, count: &mut Count) -> anyhow::Result<()> {
    steps.step("unit", || {
        let mut command = builds::cargo(context);
        command.args(["test", "--locked", "--workspace", "--no-fail-fast"]);
        if require {
            command.env("MILLRACE_REQUIRE", "1");
        }
        tally::run(&mut command, count)
    })
}

/// With more failures than this it is not the lanes.
const MOST_ALONE: usize = 3;

fn systems(
    context: &Context,
    steps: &Steps,
    require: bool,
    count: &mut Count,
) -> anyhow::Result<()> {
    let mut all = Count::default();
    let outcome = steps.step("systems", || {
        let settings = servers(context, require)?;
        lanes::run(context, "systems_", &settings, &mut all)
    });
    let again = alone(context, steps, require, &mut all);
    count.add(all);
    outcome.and(again)
}

/// Lanes that share a small machine can starve a server until its client gives up. What failed beside others is run once more
/// with the machine to itself; it is said which tests passed only so, since one that does often is a fault.
fn alone(context: &Context, steps: &Steps, require: bool, count: &mut Count) -> anyhow::Result<()> {
    if count.named.is_empty() || count.named.len() > MOST_ALONE {
        return Ok(());
    }
    let selection = Selection {
        only: count.named.iter().cloned().collect(),
        ..Selection::of("systems, alone", "systems_*")
    };
    let mut again = Count::default();
    ignored(context, steps, &selection, require, &[], &mut again)?;
    for name in count.settle(&again) {
        println!("flaky: {name} failed beside others and passed alone");
    }
    Ok(())
}

/// Which tests are run.
pub struct Selection<'a> {
    name: &'a str,
    /// Files of tests, as `cargo test --test` takes them.
    targets: &'a str,
    /// Their names; all when there are none.
    only: Vec<String>,
}

impl<'a> Selection<'a> {
    /// All tests of some files, by the name that is shown.
    #[must_use]
    pub const fn of(name: &'a str, targets: &'a str) -> Self {
        Self {
            name,
            targets,
            only: Vec::new(),
        }
    }
}

/// The tests of one tier are ignored by default, because a plain `cargo test` has no servers.
///
/// # Errors
/// They cannot be run.
pub fn ignored(
    context: &Context,
    steps: &Steps,
    selection: &Selection<'_>,
    require: bool,
    variables: &[Variable],
    count: &mut Count,
) -> anyhow::Result<()> {
    steps.step(selection.name, || {
        let mut command = builds::cargo(context);
        command.args([
            "test",
            "--locked",
            "--workspace",
            "--no-fail-fast",
            "--test",
            selection.targets,
            "--",
            "--ignored",
            "--test-threads",
            "1",
        ]);
        if !selection.only.is_empty() {
            command.arg("--exact").args(&selection.only);
        }
        if matches!(selection.name, "soak" | "drill") {
            // Its table is what it is run for.
            command.arg("--nocapture");
        }
        command.envs(servers(context, require)?);
        command.envs(variables.iter().map(|(k, v)| (*k, v.as_str())));
        tally::run(&mut command, count)
    })
}

/// Where tests find the servers that they start, and what else they are told.
fn servers(context: &Context, require: bool) -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
    let mut settings = vec![
        ("MILLRACE_KAFKA_LIBS", builds::kafka_libs(context)?),
        ("MILLRACE_ZOOKEEPER", builds::zookeeper_libs(context)?),
        ("MILLRACE_MONGO_WIRE", builds::mongo_wire(context)?),
        ("MILLRACE_DRUID", builds::druid_libs(context)?),
        ("MILLRACE_HADOOP", builds::hadoop_libs(context)?),
        ("MILLRACE_POSTGRES", builds::postgres_root(context)?),
        (
            "MILLRACE_HYPERKUBE",
            builds::cluster(context)?.join("hyperkube"),
        ),
        ("MILLRACE_TARGET_DIR", context.target()),
    ];
    if require {
        settings.push(("MILLRACE_REQUIRE", "1".into()));
    }
    Ok(settings)
}

/// The local cluster's own checks, then the platform end to end on a cluster made for it.
fn on_nodes(
    context: &Context,
    steps: &Steps,
    require: bool,
    count: &mut Count,
) -> anyhow::Result<()> {
    let built = builds::cluster(context)?;
    let own = context.of_tests();
    std::fs::create_dir_all(&own.state)?;
    steps.step("cluster: Go unit tests", || {
        script(context, "cluster/test.sh", &own, &built, count)
    })?;
    steps.step("cluster: the local Kubernetes itself", || {
        script(context, "cluster/test/live.sh", &own, &built, count)
    })?;
    let none = |_: &Cluster| Ok(Vec::new());
    let result = end_to_end(context, &own, steps, require, "cluster", none, count);
    if result.is_err() || count.failed > 0 {
        evidence::keep(context, &own);
    }
    up::down(&own, &Target::default())?;
    result
}

/// Brings up a platform and runs the tests whose files are called `NAME_*`.
///
/// # Errors
/// The platform does not come up, or the tests cannot be run.
pub fn end_to_end(
    context: &Context,
    own: &Context,
    steps: &Steps,
    require: bool,
    name: &str,
    more: impl FnOnce(&Cluster) -> anyhow::Result<Vec<Variable>>,
    count: &mut Count,
) -> anyhow::Result<()> {
    let target = Target::default();
    let (cluster, _) = up::platform(own, &target, Some(1), steps)?;
    let gateway = access::gateway(own, &cluster)?;
    let mut variables = vec![
        (
            "MILLRACE_KUBECONFIG",
            cluster.kubeconfig().display().to_string(),
        ),
        ("MILLRACE_GATEWAY_HTTP", gateway.http.clone()),
        ("MILLRACE_GATEWAY_MQTT", gateway.mqtt.clone()),
        (
            "MILLRACE_ADMIN_TOKEN_FILE",
            gateway.token_file.display().to_string(),
        ),
        ("MILLRACE_NAMESPACE", install::NAMESPACE.to_owned()),
        ("MILLRACE_PLATFORM", install::PLATFORM.to_owned()),
    ];
    variables.extend(more(&cluster)?);
    let targets = format!("{name}_*");
    let selection = Selection::of(name, &targets);
    ignored(context, steps, &selection, require, &variables, count)
}

fn script(
    context: &Context,
    name: &str,
    own: &Context,
    built: &Path,
    count: &mut Count,
) -> anyhow::Result<()> {
    let mut command = cluster::live_script(own, built);
    command
        .arg(context.root.join(name))
        .env("LC_API_PORT", access::port(own, "live", 6543)?.to_string())
        .env("GOMODCACHE", context.cache.join("go/mod"))
        .env("GOCACHE", context.cache.join("go/build"));
    tally::run(&mut command, count)
}
