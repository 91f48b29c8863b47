//! The commit of the epoch before the one that is taken in.

use std::pin::Pin;

use millrace_lake::LakeError;

type Commit = Pin<Box<dyn Future<Output = Result<(), LakeError>> + Send>>;

/// At most one commit under way.
#[derive(Default)]
pub struct Before {
    commit: Option<Commit>,
    outcome: Option<Result<(), LakeError>>,
    oldest: Option<i64>,
    succeeded: bool,
}

impl Before {
    /// Begins one whose first record is of that time. There is none under way.
    pub fn begin(
        &mut self,
        oldest: Option<i64>,
        commit: impl Future<Output = Result<(), LakeError>> + Send + 'static,
    ) {
        self.commit = Some(Box::pin(commit));
        self.oldest = oldest;
    }

    /// Whether there is one whose outcome was not told.
    pub fn is_there(&self) -> bool {
        self.commit.is_some() || self.outcome.is_some()
    }

    /// The time of its first record, while it is under way.
    pub fn oldest(&self) -> Option<i64> {
        self.oldest.filter(|_| self.commit.is_some())
    }

    /// Whether one has succeeded since this was asked last.
    pub fn has_succeeded(&mut self) -> bool {
        std::mem::take(&mut self.succeeded)
    }

    /// Goes on with it while `work` is done.
    pub async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        while let Some(commit) = &mut self.commit {
            tokio::select! {
                biased;
                done = &mut work => return done,
                outcome = commit => {
                    self.commit = None;
                    self.outcome = Some(outcome);
                }
            }
        }
        work.await
    }

    /// Waits until none is under way, and tells the outcome. May be given up and called again.
    ///
    /// # Errors
    /// That of the commit.
    pub async fn ended(&mut self) -> Result<(), LakeError> {
        if let Some(commit) = &mut self.commit {
            let outcome = commit.await;
            self.commit = None;
            self.outcome = Some(outcome);
        }
        if let Some(outcome) = self.outcome.take() {
            outcome?;
            self.succeeded = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_commit_survives_a_wait_that_was_given_up() {
        let mut before = Before::default();
        assert!(before.ended().await.is_ok() && !before.has_succeeded());
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        before.begin(Some(7), async move {
            let _ = wait.await;
            Ok(())
        });
        tokio::select! {
            biased;
            _ = before.ended() => panic!("it has not ended"),
            () = std::future::ready(()) => {}
        }
        assert_eq!((before.is_there(), before.oldest()), (true, Some(7)));
        assert_eq!(before.beside(std::future::ready(3)).await, 3);
        let beside = async {
            go.send(()).unwrap();
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        };
        before.beside(beside).await;
        assert_eq!((before.is_there(), before.oldest()), (true, None));
        before.ended().await.unwrap();
        assert_eq!((before.is_there(), before.oldest()), (false, None));
        assert!(before.has_succeeded() && !before.has_succeeded());
    }
}
