//! Test programs side by side: a few lanes, each of which takes the next program when it is done with one.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{iter, thread, vec};

use anyhow::Context as _;
use serde_json::Value;

use crate::context::Context;
use crate::tally::{self, Count};
use crate::{builds, run};

/// Tests of servers wait most of the time, and each has ports and files of its own.
const LANES: usize = 4;
/// So many go on however busy the machine is.
const ALWAYS: usize = 2;
/// The others begin nothing while tasks wait for a core for more than this share of the time, in per cent: on a machine that is slow
/// at the moment, one more test would but starve the servers of the others.
const BUSY: f64 = 60.0;
/// How often they look.
const LOOK: Duration = Duration::from_secs(1);

/// A program of tests.
struct Program {
    name: String,
    path: PathBuf,
    /// The folder of its package, in which it runs.
    folder: PathBuf,
}

/// Those whose name begins so, of all that the workspace has.
fn programs(context: &Context, prefix: &str) -> anyhow::Result<Vec<Program>> {
    let mut command = builds::cargo(context);
    command.args(["test", "--locked", "--workspace", "--no-run"]);
    let told = run::output(command.arg("--message-format=json"))?;
    let messages = told
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let mut programs: Vec<Program> = messages
        .filter_map(|message: Value| {
            let is_test = message["target"]["kind"][0] == "test";
            let name = message["target"]["name"].as_str()?.to_owned();
            let folder = Path::new(message["manifest_path"].as_str()?).parent()?;
            let path = message["executable"].as_str()?.into();
            (is_test && name.starts_with(prefix)).then(|| Program {
                name,
                path,
                folder: folder.to_owned(),
            })
        })
        .collect();
    anyhow::ensure!(!programs.is_empty(), "no tests are called {prefix}*");
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(programs)
}

/// Runs the ignored tests of the programs whose name begins so. What a program said is shown when it has ended.
///
/// # Errors
/// One cannot be run, or ends badly without a failure that it counted.
pub fn run(
    context: &Context,
    prefix: &str,
    settings: &[(&str, PathBuf)],
    count: &mut Count,
) -> anyhow::Result<()> {
    let programs = Mutex::new(programs(context, prefix)?.into_iter());
    let programs = &programs;
    let lane = |number: usize| {
        let next = move || {
            while number >= ALWAYS && is_busy() && !is_done(programs) {
                thread::sleep(LOOK);
            }
            programs.lock().ok()?.next()
        };
        move || {
            let ran = iter::from_fn(next).map(|program| program.run(settings));
            ran.collect::<Vec<_>>()
        }
    };
    let ended: Vec<_> = thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|number| scope.spawn(lane(number))).collect();
        lanes
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect()
    });
    let mut outcome = Ok(());
    for lane in ended {
        let Ok(ran) = lane else {
            anyhow::bail!("a lane ended by a panic");
        };
        for program in ran {
            outcome = outcome.and(program.map(|counted| count.add(counted)));
        }
    }
    outcome
}

/// Whether no program is left to begin.
fn is_done(programs: &Mutex<vec::IntoIter<Program>>) -> bool {
    programs.lock().is_ok_and(|left| left.as_slice().is_empty())
}

/// Whether tasks of this machine wait for its cores; not where the kernel does not say.
fn is_busy() -> bool {
    let told = std::fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
    waiting(&told) > Some(BUSY)
}

/// The share of the last 10 s in which some task waited, in per cent ([pressure stall information][psi]).
///
/// [psi]: https://docs.kernel.org/accounting/psi.html
fn waiting(told: &str) -> Option<f64> {
    let some = told.lines().find_map(|line| line.strip_prefix("some "))?;
    let mut fields = some.split_whitespace();
    let share = fields.find_map(|field| field.strip_prefix("avg10="))?;
    share.parse().ok()
}

impl Program {
    fn run(&self, settings: &[(&str, PathBuf)]) -> anyhow::Result<Count> {
        let began = Instant::now();
        let output = Command::new(&self.path)
            .args(["--ignored", "--test-threads", "1"])
            .current_dir(&self.folder)
            .env("CARGO_MANIFEST_DIR", &self.folder)
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .with_context(|| self.path.display().to_string())?;
        let said = String::from_utf8_lossy(&output.stdout);
        let counted = tally::of(&said);
        println!(
            "     Running {} ({:.0} s)\n{said}",
            self.name,
            began.elapsed().as_secs_f64()
        );
        // What was left out is told there.
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        anyhow::ensure!(
            output.status.success() || counted.failed > 0,
            "{} ended with {}",
            self.name,
            output.status
        );
        Ok(counted)
    }
}

#[cfg(test)]
mod test {
    use super::waiting;

    #[test]
    fn the_kernel_says_how_much_waits() {
        let told = "some avg10=82.40 avg60=87.35 avg300=84.08 total=25663430893\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
        assert_eq!(waiting(told), Some(82.4));
        assert_eq!(waiting(""), None);
    }
}
