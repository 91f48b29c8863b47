//! A client that writes row after row while primaries come and go, and remembers what was acknowledged.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use millrace_operator::remote::postgres::Login;

use crate::postgres_members::LIMIT;

/// Writes row after row by whichever member takes writes, and remembers which were acknowledged, and when.
pub struct Writer {
    ends: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<(i64, Instant)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Writer {
    pub fn start(logins: Vec<Login>) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let (until, list) = (Arc::clone(&ends), Arc::clone(&acknowledged));
        let task = tokio::spawn(async move {
            let mut row = 0_i64;
            while !until.load(Ordering::Relaxed) {
                for login in &logins {
                    // One that hangs is a primary whose replicas are gone: its client gives up.
                    let writing = write(login, &until, &list, &mut row);
                    let _ = writing.await;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self {
            ends,
            acknowledged,
            task,
        }
    }

    pub fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Waits until so many more rows are acknowledged; gives how long none was, from this moment on.
    pub async fn wait_for(&self, more: usize) -> Duration {
        let (began, before) = (Instant::now(), self.count());
        while self.count() < before + more {
            assert!(began.elapsed() < LIMIT, "nothing is acknowledged");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let first = self.acknowledged.lock().unwrap()[before].1;
        let gap = first.saturating_duration_since(began);
        gap.max(self.longest(before))
    }

    /// How long no row was acknowledged, of those from this one on.
    pub fn longest(&self, from: usize) -> Duration {
        let list = self.acknowledged.lock().unwrap();
        let gaps = list[from..].windows(2).map(|two| two[1].1 - two[0].1);
        gaps.max().unwrap_or_default()
    }

    pub async fn end(self) -> BTreeSet<i64> {
        self.ends.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        let list = self.acknowledged.lock().unwrap();
        list.iter().map(|(row, _)| *row).collect()
    }
}

async fn write(
    login: &Login,
    until: &AtomicBool,
    list: &Mutex<Vec<(i64, Instant)>>,
    row: &mut i64,
) -> Option<()> {
    let session = login.connect("scores").await.ok()?;
    while !until.load(Ordering::Relaxed) {
        // Never twice: of one that was not acknowledged nobody knows whether it is there.
        *row += 1;
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&*row];
        let insert = session.execute("INSERT INTO public.kept VALUES ($1)", &values);
        let done = tokio::time::timeout(Duration::from_secs(2), insert).await;
        done.ok()?.ok()?;
        list.lock().unwrap().push((*row, Instant::now()));
    }
    Some(())
}
