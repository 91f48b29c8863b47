//! What a job says of itself, and how long it is waited for.

use std::fmt::Debug;
use std::path::Path;
use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant};

use super::LIMIT;
use crate::kafka_support::Job;

pub async fn wait_for_line(log: &Path, text: &str) {
    let until = Instant::now() + LIMIT;
    loop {
        let all = std::fs::read_to_string(log).unwrap_or_default();
        if all.contains(text) {
            return;
        }
        assert!(Instant::now() < until, "\"{text}\" was not logged:\n{all}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A job that cannot do its work says so all the time, and not between two tries only.
pub async fn stays_unready(job: &Job, text: &str, time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        let answer = job.get("/readyz");
        let honest = matches!(&answer, Some((503, why)) if why.contains(text));
        assert!(honest, "{answer:?}\n{}", job.server.tail());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a job says that it is not ready; gives why.
pub async fn wait_unready(job: &Job, text: &str) -> String {
    let until = Instant::now() + LIMIT;
    loop {
        let answer = job.get("/readyz");
        if let Some((503, why)) = &answer
            && why.contains(text)
        {
            return why.clone();
        }
        assert!(
            Instant::now() < until,
            "not unready by \"{text}\": {answer:?}\n{}",
            job.server.tail()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One of a job's metrics without labels.
pub fn metric(job: &Job, name: &str) -> f64 {
    let (_, text) = job.get("/metrics").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.unwrap_or_else(|| panic!("no {name} in {text}"));
    value.trim().parse().unwrap()
}

/// Waits until one of a job's metrics without labels is what is hoped for.
pub async fn wait_for_metric(job: &Job, name: &str, hoped: impl Fn(f64) -> bool) {
    let is_it = |values: &[f64]| values.first().is_some_and(|value| hoped(*value));
    wait_for_values(job, name, &format!("{name} "), is_it).await;
}

pub fn signal(job: &Job, name: &str) {
    let pid = job.server.pid().to_string();
    assert!(
        Command::new("kill")
            .args([name, &pid])
            .status()
            .unwrap()
            .success()
    );
}

/// Waits until a job says of all its partitions what is hoped for: from when the oldest record is that was read and not
/// committed, in seconds since 1970, and 0 where there is none.
pub async fn wait_for_oldest(job: &Job, what: &str, hoped: impl Fn(&[u64]) -> bool) {
    let prefix = "millrace_archive_oldest_unarchived_timestamp_seconds{";
    wait_for_values(job, what, prefix, hoped).await;
}

/// Waits until the values of the metrics whose lines begin so are what is hoped for.
async fn wait_for_values<T>(job: &Job, what: &str, prefix: &str, hoped: impl Fn(&[T]) -> bool)
where
    T: FromStr<Err: Debug> + Debug,
{
    let until = Instant::now() + LIMIT;
    loop {
        let (_, text) = job.get("/metrics").unwrap_or_default();
        let lines = text.lines().filter(|line| line.starts_with(prefix));
        let values = lines.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap());
        let values: Vec<T> = values.collect();
        if hoped(&values) {
            return;
        }
        assert!(
            Instant::now() < until,
            "{what}: {values:?}\n{}",
            job.server.tail()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
