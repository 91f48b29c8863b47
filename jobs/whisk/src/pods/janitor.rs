//! Deletes pods, also those that an earlier run of this server has left.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::kubernetes::Kubernetes;

/// What could not be deleted is tried again so often.
const AGAIN: Duration = Duration::from_secs(5);

/// A pod whose creation was not answered may come for so long: longer than Kubernetes works on a request.
const UNSURE: Duration = Duration::from_secs(60);

enum Job {
    Delete(Doomed),
    End,
}

/// A pod to delete.
struct Doomed {
    pod: String,
    /// Kubernetes may make it until then: that it is not there counts only later.
    may_come: Option<Instant>,
}

impl Doomed {
    fn may_come_yet(&self) -> bool {
        self.may_come.is_some_and(|until| Instant::now() < until)
    }
}

/// The way to it.
#[derive(Debug, Clone)]
pub struct Janitor {
    jobs: UnboundedSender<Job>,
}

impl Janitor {
    /// Begins with the pods that a selector finds; ends some time after it was told to.
    pub fn start(kubernetes: Arc<Kubernetes>, orphans: String) -> (Self, JoinHandle<()>) {
        let (jobs, inbox) = unbounded_channel();
        let task = tokio::spawn(work(kubernetes, orphans, inbox));
        (Self { jobs }, task)
    }

    /// Has a pod deleted, also one of which it is `unsure` whether Kubernetes makes it yet.
    pub fn delete(&self, name: &str, unsure: bool) {
        let doomed = Doomed {
            pod: name.to_owned(),
            may_come: unsure.then(|| Instant::now() + UNSURE),
        };
        // After the end of the server its pods go with its own.
        let _ = self.jobs.send(Job::Delete(doomed));
    }

    /// Has it end when all that it was told to delete is deleted.
    pub fn end(&self) {
        let _ = self.jobs.send(Job::End);
    }
}

async fn work(kubernetes: Arc<Kubernetes>, orphans: String, mut inbox: UnboundedReceiver<Job>) {
    let (mut doomed, mut ending) = (Vec::<Doomed>::new(), false);
    let mut orphans = Some(orphans);
    loop {
        if let Some(selector) = &orphans {
            match kubernetes.names(selector).await {
                Ok(names) => {
                    for pod in &names {
                        tracing::info!(pod, "an earlier run of this server left it; deleted");
                    }
                    doomed.extend(names.into_iter().map(|pod| Doomed {
                        pod,
                        may_come: None,
                    }));
                    orphans = None;
                }
                Err(error) => {
                    tracing::warn!(%error, "pods of an earlier run may be left; tried again");
                }
            }
        }
        let mut left = Vec::new();
        for one in doomed {
            match kubernetes.delete(&one.pod).await {
                Ok(false) if one.may_come_yet() => left.push(one),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(pod = one.pod, %error, "not deleted yet; tried again");
                    left.push(one);
                }
            }
        }
        doomed = left;
        // Those that may come are not waited for: they go with the server's own pod.
        if ending && doomed.iter().all(|one| one.may_come.is_some()) {
            return;
        }
        let is_behind = orphans.is_some() || !doomed.is_empty();
        tokio::select! {
            job = inbox.recv(), if !ending => match job {
                Some(Job::Delete(one)) => doomed.push(one),
                Some(Job::End) | None => ending = true,
            },
            () = tokio::time::sleep(AGAIN), if is_behind => {}
        }
        while let Ok(job) = inbox.try_recv() {
            match job {
                Job::Delete(one) => doomed.push(one),
                Job::End => ending = true,
            }
        }
    }
}
