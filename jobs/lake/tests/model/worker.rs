//! What rewrites an hour, step by step, and dies and comes back.

use futures::executor::block_on;
use millrace_lake::LakeError;
use millrace_lake::commit::Step;
use millrace_lake::layout::Hour;
use millrace_lake::record::Withdrawn;
use millrace_lake::retain::{begin_coding, begin_retirement};
use millrace_lake::rewrite::Rewrite;
use millrace_lake::storage::{Fault, Memory};
use millrace_lake::{compact, erase};

use super::hours::{SETTINGS, erased, layout};

/// How an hour is rewritten.
#[derive(Debug, Clone, Copy)]
pub enum Work {
    Compact,
    Retire,
    Code,
    Erase,
}

/// A process that rewrites an hour again and again.
pub struct Worker {
    storage: Memory,
    hour: Hour,
    work: Work,
    rewrite: Option<Rewrite>,
}

impl Worker {
    pub fn new(storage: &Memory, hour: Hour, work: Work) -> Self {
        Self {
            storage: storage.clone(),
            hour,
            work,
            rewrite: None,
        }
    }

    /// Does its next step, and dies at the so-manieth change from now, if it is told to: after it or before it.
    pub fn step(&mut self, dies: Option<(u32, bool)>) {
        if let Some((after, done)) = dies {
            let fault = if done { Fault::After } else { Fault::Before };
            self.storage.fail_after(after, fault);
        }
        match block_on(self.go_on()) {
            Ok(()) => {}
            // Dead or fenced, or another moved a file while it was read: it starts afresh.
            Err(LakeError::Storage(_) | LakeError::Fenced { .. } | LakeError::Gone { .. }) => {
                self.storage.mend();
                self.rewrite = None;
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn go_on(&mut self) -> Result<(), LakeError> {
        match &mut self.rewrite {
            None => self.rewrite = self.begin().await?,
            Some(rewrite) => {
                if rewrite.advance(&self.storage).await? == Step::Done {
                    self.rewrite = None;
                }
            }
        }
        Ok(())
    }

    async fn begin(&self) -> Result<Option<Rewrite>, LakeError> {
        let (storage, layout, hour) = (&self.storage, layout(), self.hour);
        match self.work {
            Work::Compact => compact::begin(storage, &layout, hour, &SETTINGS).await,
            Work::Retire => begin_retirement(storage, &layout, hour, Withdrawn::Trash).await,
            Work::Code => begin_coding(storage, &layout, hour, 1).await,
            Work::Erase => erase::begin(storage, &layout, hour, &erased()).await,
        }
    }
}
