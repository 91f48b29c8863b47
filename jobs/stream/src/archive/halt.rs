//! A place in the commit protocol where the process stands still, for tests that kill it there.

use std::path::PathBuf;
use std::time::Duration;

use millrace_lake::commit::Step;

/// Where to stand still; nowhere by default.
#[derive(Debug, Clone, Default)]
pub struct Halt {
    after: Option<Step>,
    while_there: Option<PathBuf>,
}

impl Halt {
    /// After the step of that name, for ever or as long as a file is there. None when there is no such step. `stage` is one of
    /// the archive alone, `withdraw` one of a rewrite.
    pub fn parse(name: &str, while_there: Option<PathBuf>) -> Option<Self> {
        let steps = [
            Step::Stage,
            Step::Close,
            Step::Seal,
            Step::Commit,
            Step::Withdraw,
            Step::Publish,
            Step::Settle,
        ];
        let after = steps.into_iter().find(|step| step.name() == name)?;
        Some(Self {
            after: Some(after),
            while_there,
        })
    }

    /// That step was done.
    pub async fn reached(&self, step: Step) {
        if self.after != Some(step) {
            return;
        }
        tracing::warn!(%step, "standing still after this step, as asked");
        while self.while_there.as_ref().is_none_or(|file| file.exists()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
