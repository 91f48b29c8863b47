//! A row: a fault, the alerts that have to fire for it, and how it is over.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::scene::Scene;
use super::table::Table;
use super::timeline::Expect;

/// An alert may come so long after its rule could have fired: statuses are written, files shown and servers started, on two
/// cores.
const FIRES: Duration = Duration::from_secs(480);
/// What fires from the row before has to be silent by then.
const CALM: Duration = Duration::from_secs(480);
/// The systems have to be well by then. What is taken back amid a roll makes another one, and the kubelet may wait for five
/// minutes before it starts again what has crashed.
const WELL: Duration = Duration::from_secs(900);
const PAUSE: Duration = Duration::from_millis(500);

/// Ends a fault.
pub type Heal = Box<dyn FnOnce(&Scene)>;

/// A fault that was made.
pub struct Fault {
    /// From when on it counts.
    at: Instant,
    heal: Heal,
}

impl Fault {
    pub fn since(at: Instant, heal: impl FnOnce(&Scene) + 'static) -> Self {
        Self {
            at,
            heal: Box::new(heal),
        }
    }

    /// One that is over by itself.
    pub fn past(at: Instant) -> Self {
        Self::since(at, |_| {})
    }
}

/// Alerts that fire only when the fault is over: what waited gets through late.
#[derive(Clone, Copy)]
pub struct Late {
    pub fires: &'static [Expect],
    /// Brings back what was changed for them to be seen.
    pub settle: fn(&Scene),
}

#[derive(Clone, Copy)]
pub struct Row {
    pub fault: &'static str,
    pub fires: &'static [Expect],
    pub provoke: fn(&Scene) -> Fault,
    pub late: Option<Late>,
    /// Resources that have to be as they are to be before and after it.
    pub well: &'static [(&'static str, &'static str)],
}

impl Row {
    /// All alerts of it.
    pub fn expected(&self) -> impl Iterator<Item = Expect> {
        let late = self.late.map(|late| late.fires).unwrap_or_default();
        self.fires.iter().chain(late).copied()
    }

    /// Whether it is asked for by a part of its name or of a rule's.
    pub fn is_chosen(&self, only: &str) -> bool {
        let has = |text: &str| {
            self.fault.contains(text) || self.expected().any(|expect| expect.rule.contains(text))
        };
        only.split('|').any(has)
    }
}

/// Why something ended by a panic.
fn reason(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without words").to_owned()
}

fn attempt<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(act)).map_err(|panic| reason(&*panic))
}

fn until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Runs rows one after the other. One that fails takes none of the others along.
pub fn run(scene: &Scene, rows: &[Row], table: &Table) {
    for row in rows {
        if let Err(why) = one(scene, row, table) {
            table.failed(row.fault, "the row", &why);
        }
    }
}

fn one(scene: &Scene, row: &Row, table: &Table) -> Result<(), String> {
    let calm = || {
        let now = Instant::now();
        // A look of this moment, not the last one of before.
        std::thread::sleep(Duration::from_secs(2));
        row.expected()
            .all(|expect| scene.timeline.silent(expect, now).is_some())
    };
    wait_well(scene, row)?;
    if !until(CALM, calm) {
        let now = scene.timeline.now().join(", ");
        return Err(format!("an alert of it fired before the fault: {now}"));
    }
    let over = provoked(scene, row, table);
    // What was changed for it is brought back whatever has failed: the rows that follow count on it.
    let settled = row.late.map_or(Ok(()), |late| {
        let since = over.as_ref().ok().copied();
        let fired = since.map(|since| wait_fired(scene, late.fires, since, table));
        let over = Instant::now();
        let settled = attempt(|| (late.settle)(scene));
        note(row, &fired.unwrap_or_default(), over, table);
        settled
    });
    over?;
    settled?;
    wait_well(scene, row)
}

/// Makes the fault, waits for its alerts and ends it; gives when that was.
fn provoked(scene: &Scene, row: &Row, table: &Table) -> Result<Instant, String> {
    let fault = attempt(|| (row.provoke)(scene))?;
    let fired = wait_fired(scene, row.fires, fault.at, table);
    let over = Instant::now();
    let healed = attempt(|| (fault.heal)(scene));
    note(row, &fired, over, table);
    healed.map(|()| over)
}

/// Waits until all of them have fired, or could have for long.
fn wait_fired(
    scene: &Scene,
    fires: &[Expect],
    since: Instant,
    table: &Table,
) -> Vec<(Expect, Option<Duration>)> {
    let waits = fires.iter().map(|expect| table.wait(expect.rule)).max();
    let limit = FIRES + waits.unwrap_or_default();
    let fired = |expect: &Expect| scene.timeline.fired(*expect, since);
    until(limit, || fires.iter().all(|expect| fired(expect).is_some()));
    fires
        .iter()
        .map(|expect| (*expect, fired(expect)))
        .collect()
}

fn note(row: &Row, fired: &[(Expect, Option<Duration>)], over: Instant, table: &Table) {
    for (expect, fired) in fired {
        match fired {
            Some(fired) => table.fired(row.fault, *expect, *fired, over),
            None => table.failed(row.fault, expect.rule, "it did not fire"),
        }
    }
}

fn wait_well(scene: &Scene, row: &Row) -> Result<(), String> {
    let is_well = || {
        row.well
            .iter()
            .all(|one| scene.nodes.settled(*one).is_some())
    };
    if until(WELL, is_well) {
        return Ok(());
    }
    let wells: Vec<String> = row
        .well
        .iter()
        .map(|(kind, name)| format!("{kind}/{name}"))
        .collect();
    Err(format!("not all well: {}", wells.join(", ")))
}
