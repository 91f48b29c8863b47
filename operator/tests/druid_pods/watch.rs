//! Events that come in, and what answers say of them meanwhile.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use millrace_operator::remote::druid::DruidClient;
use serde_json::{Map, Value};

use super::LIMIT;
use super::fleet::Fleet;

/// Events of one request, and the pause after it.
const BATCH: usize = 50;
const PAUSE: Duration = Duration::from_millis(200);
/// Of two tasks that read the same one is asked, and one is a moment behind the other: only what was counted so long ago has to
/// be counted again.
const FIRM: Duration = Duration::from_secs(3);

/// What was sent: how many events, when that was begun, and when Kafka had them.
#[derive(Debug, Default)]
pub struct Sent {
    offered: u64,
    stored: Vec<(u64, Instant)>,
    is_over: bool,
}

impl Sent {
    /// So many had been sent before.
    pub fn after(offered: u64) -> Self {
        Self {
            offered,
            ..Self::default()
        }
    }
}

/// Sends for so long, by what ends when a batch is stored.
pub async fn load(
    send: impl AsyncFn(Vec<Vec<u8>>),
    fleet: &mut Fleet,
    sent: &Mutex<Sent>,
    long: Duration,
) {
    let end = Instant::now() + long;
    while Instant::now() < end {
        let batch = fleet.take(BATCH);
        let all = u64::try_from(fleet.taken).unwrap();
        sent.lock().unwrap().offered = all;
        send(batch).await;
        sent.lock().unwrap().stored.push((all, Instant::now()));
        tokio::time::sleep(PAUSE).await;
    }
    sent.lock().unwrap().is_over = true;
}

/// What answers said over a row.
#[derive(Debug, Default)]
pub struct Watched {
    pub answers: u64,
    /// Asked, and no answer.
    pub failed: Duration,
    /// Answers lacked something that one had counted [`FIRM`] before.
    pub short: Duration,
    /// From Kafka into an answer, for each request.
    pub delays: Vec<Duration>,
    /// From the last request until an answer counted all.
    pub settled: Duration,
}

/// The head of the table whose lines [`Watched::line`] gives.
pub const HEAD: &str = "| what | events | answers | failed, s | short, s | p50, s | p95, s | longest, s | settled, s |";

impl Watched {
    /// A line of the table.
    pub fn line(&mut self, what: &str, events: usize) -> String {
        self.delays.sort();
        let delays = &self.delays;
        let at = |percent: usize| delays[(delays.len() - 1) * percent / 100].as_secs_f64();
        format!(
            "| {what} | {events} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} |",
            self.answers,
            self.failed.as_secs_f64(),
            self.short.as_secs_f64(),
            at(50),
            at(95),
            at(100),
            self.settled.as_secs_f64(),
        )
    }
}

/// The one number of an answer.
pub fn number(rows: &[Map<String, Value>]) -> Option<u64> {
    rows.first()?.get("n")?.as_u64()
}

/// Asks without a pause until everything that was sent is counted.
pub async fn watch(client: &DruidClient, before: u64, sent: &Mutex<Sent>) -> Watched {
    let (mut watched, mut firm) = (Watched::default(), before);
    let mut counted = VecDeque::new();
    let (mut seen, begin) = (0, Instant::now());
    let mut last = Instant::now();
    loop {
        let answer = client.sql("SELECT SUM(events) AS n FROM telemetry").await;
        let now = Instant::now();
        let passed = now - last;
        last = now;
        match answer.as_deref().map(number) {
            Ok(Some(n)) => {
                watched.answers += 1;
                let sent = sent.lock().unwrap();
                assert!(
                    n <= sent.offered,
                    "{n} are counted, {} were sent",
                    sent.offered
                );
                while let Some((_, n)) = counted.pop_front_if(|(at, _)| now - *at > FIRM) {
                    firm = firm.max(n);
                }
                counted.push_back((now, n));
                if n < firm {
                    watched.short += passed;
                }
                while let Some((_, stored)) = sent.stored.get(seen).filter(|(all, _)| *all <= n) {
                    watched.delays.push(now.saturating_duration_since(*stored));
                    seen += 1;
                    watched.settled = now.saturating_duration_since(*stored);
                }
                if sent.is_over && seen == sent.stored.len() {
                    return watched;
                }
            }
            // No rows at all: what was there is not.
            Ok(None) => watched.short += passed,
            Err(_) => watched.failed += passed,
        }
        assert!(
            begin.elapsed() < 3 * LIMIT,
            "{watched:?} {firm} {:?}",
            sent.lock().unwrap()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
