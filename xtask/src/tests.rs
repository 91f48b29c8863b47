//! `cargo xtask test`: the tiers, what each needs, and one closing line.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use clap::ValueEnum;

use crate::cluster::Cluster;
use crate::context::Context;
use crate::steps::Steps;
use crate::{Target, access, builds, cluster, evidence, images, install, packages, run, up};

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

/// An environment variable of a test.
pub type Variable = (&'static str, String);

/// What became of tests.
#[derive(Default)]
pub struct Count {
    /// Those that passed.
    pub passed: u64,
    /// Those that failed.
    pub failed: u64,
    skipped: u64,
}

/// Runs the tiers; ends with `N passed, N failed, N skipped`.
///
/// # Errors
/// A build fails.
pub fn test(context: &Context, tiers: &[Tier], require: bool) -> anyhow::Result<ExitCode> {
    let tiers: BTreeSet<Tier> = if tiers.is_empty() {
        ALL.into()
    } else {
        tiers.iter().copied().collect()
    };
    let steps = Steps::new();
    let mut count = Count::default();
    let mut left_out = Vec::new();
    let able = prepare(context, &tiers, &steps, require, &mut left_out)?;
    for tier in able {
        let result = match tier {
            Tier::Unit => unit(context, &steps, require, &mut count),
            Tier::Api => ignored(context, &steps, "api", "api*", require, &[], &mut count),
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
        tally(&mut command, count)
    })
}

/// The systems tier in three lanes that take about as long. Its tests wait for servers most of the time, and each has ports and
/// files of its own.
const LANES: [&str; 3] = ["systems_[acg]*", "systems_[de]*", "systems_[!acdeg]*"];

fn systems(
    context: &Context,
    steps: &Steps,
    require: bool,
    count: &mut Count,
) -> anyhow::Result<()> {
    let ended = thread::scope(|scope| {
        let lanes = LANES.map(|lane| {
            scope.spawn(move || {
                let mut count = Count::default();
                let result = ignored(context, steps, lane, lane, require, &[], &mut count);
                (count, result)
            })
        });
        lanes.map(thread::ScopedJoinHandle::join)
    });
    let mut outcome = Ok(());
    for lane in ended {
        let Ok((counted, result)) = lane else {
            anyhow::bail!("a lane ended by a panic");
        };
        count.passed += counted.passed;
        count.failed += counted.failed;
        outcome = outcome.and(result);
    }
    outcome
}

/// The tests of one tier are ignored by default, because a plain `cargo test` has no servers.
///
/// # Errors
/// They cannot be run.
pub fn ignored(
    context: &Context,
    steps: &Steps,
    name: &str,
    targets: &str,
    require: bool,
    variables: &[Variable],
    count: &mut Count,
) -> anyhow::Result<()> {
    steps.step(name, || {
        let mut command = builds::cargo(context);
        command.args([
            "test",
            "--locked",
            "--workspace",
            "--no-fail-fast",
            "--test",
            targets,
            "--",
            "--ignored",
            "--test-threads",
            "1",
        ]);
        if matches!(name, "soak" | "drill") {
            // Its table is what it is run for.
            command.arg("--nocapture");
        }
        command.env("MILLRACE_KAFKA_LIBS", builds::kafka_libs(context)?);
        command.env("MILLRACE_ZOOKEEPER", builds::zookeeper_libs(context)?);
        command.env("MILLRACE_MONGO_WIRE", builds::mongo_wire(context)?);
        command.env("MILLRACE_DRUID", builds::druid_libs(context)?);
        command.env("MILLRACE_HADOOP", builds::hadoop_libs(context)?);
        command.env("MILLRACE_POSTGRES", builds::postgres_root(context)?);
        command.env(
            "MILLRACE_HYPERKUBE",
            builds::cluster(context)?.join("hyperkube"),
        );
        command.env("MILLRACE_TARGET_DIR", context.target());
        command.envs(variables.iter().map(|(k, v)| (*k, v.as_str())));
        if require {
            command.env("MILLRACE_REQUIRE", "1");
        }
        tally(&mut command, count)
    })
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
    ignored(
        context,
        steps,
        name,
        &format!("{name}_*"),
        require,
        &variables,
        count,
    )
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
    tally(&mut command, count)
}

/// Runs a test runner with its output shown, and adds up what it counted.
fn tally(command: &mut Command, count: &mut Count) -> anyhow::Result<()> {
    use std::io::BufRead as _;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let before = count.failed;
    if let Some(out) = child.stdout.take() {
        for line in std::io::BufReader::new(out).lines() {
            let line = line?;
            println!("{line}");
            add(&line, count);
        }
    }
    let status = child.wait()?;
    if !status.success() && count.failed == before {
        anyhow::bail!("{:?} ended with {status}", command.get_program());
    }
    Ok(())
}

/// Reads the closing line of cargo's test runner, or the plain one.
fn add(line: &str, count: &mut Count) {
    let text = line
        .strip_prefix("test result: ")
        .map_or(line, |rest| rest.split_once(". ").map_or(rest, |(_, r)| r));
    if !line.starts_with("test result: ") && !line.ends_with("failed") && !line.ends_with("skipped")
    {
        return;
    }
    for part in text.split([';', ',']) {
        let mut words = part.split_whitespace();
        let (Some(number), Some(what), None) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let Ok(number) = number.parse::<u64>() else {
            continue;
        };
        match what {
            "passed" => count.passed += number,
            "failed" => count.failed += number,
            _ => {}
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn closing_lines_are_added_up() {
        let mut count = Count::default();
        add(
            "test result: ok. 12 passed; 1 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.02s",
            &mut count,
        );
        add("4 passed, 2 failed", &mut count);
        add("ok something passed", &mut count);
        assert_eq!((count.passed, count.failed, count.skipped), (16, 3, 0));
    }
}
