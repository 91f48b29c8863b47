//! `lake retain`: what becomes of hours that grow old.

use anyhow::Context as _;
use jiff::Timestamp;
use millrace_lake::layout::{Hour, Layout};
use millrace_lake::reader::{Records, hours};
use millrace_lake::record::{RewriteRecord, Withdrawn};
use millrace_lake::{LakeError, Storage, retain};

use super::{Common, before, forget, span};
use crate::duration::Span;

/// An hour's age is that of its end.
#[derive(Debug, clap::Args)]
pub struct Retain {
    #[command(flatten)]
    common: Common,
    /// Hours of this age and more go to the trash, for example 90d
    #[arg(long, value_name = "AGE", value_parser = span)]
    older_than: Option<Span>,
    /// They are removed for good instead
    #[arg(long, requires = "older_than")]
    skip_trash: bool,
    /// Files of hours of --replicate-after and more lie on so many disks
    #[arg(long, value_name = "DISKS", requires = "replicate_after", value_parser = clap::value_parser!(u32).range(1..=512))]
    replication: Option<u32>,
    /// See --replication
    #[arg(long, value_name = "AGE", requires = "replication", value_parser = span)]
    replicate_after: Option<Span>,
    /// Files of hours of this age and more are erasure-coded, by the policy that the dataset's folder _coded has in HDFS
    #[arg(long, value_name = "AGE", value_parser = span)]
    code_after: Option<Span>,
    /// Hours with fewer bytes that are not erasure-coded are left as they are
    #[arg(long, default_value_t = 8 * 1024 * 1024, value_name = "BYTES")]
    code_at_least: u64,
    /// So long replaced files are kept for those who still read them
    #[arg(long, default_value = "1h", value_name = "DURATION", value_parser = span)]
    keep_replaced: Span,
    /// Only says which hours are old enough for what
    #[arg(long)]
    dry_run: bool,
}

/// What becomes of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Retired,
    Coded,
    Replicated(u32),
}

/// Since when hours are old enough.
#[derive(Debug, Clone, Copy, Default)]
struct Policy {
    retire: Option<Timestamp>,
    code: Option<Timestamp>,
    replicate: Option<(Timestamp, u32)>,
}

impl Policy {
    // In the order in which it is done. What is retired needs nothing else.
    fn fates(&self, hour: Hour) -> Vec<Fate> {
        let old = |since: Option<Timestamp>| since.is_some_and(|since| hour.is_before(since));
        if old(self.retire) {
            return vec![Fate::Retired];
        }
        let mut fates = Vec::new();
        if old(self.code) {
            fates.push(Fate::Coded);
        }
        if let Some((since, disks)) = self.replicate
            && hour.is_before(since)
        {
            fates.push(Fate::Replicated(disks));
        }
        fates
    }
}

impl Retain {
    fn policy(&self) -> anyhow::Result<Policy> {
        let policy = Policy {
            retire: self.older_than.map(before).transpose()?,
            code: self.code_after.map(before).transpose()?,
            replicate: match (self.replicate_after, self.replication) {
                (Some(age), Some(disks)) => Some((before(age)?, disks)),
                _ => None,
            },
        };
        anyhow::ensure!(
            policy.retire.is_some() || policy.code.is_some() || policy.replicate.is_some(),
            "no policy: give --older-than, --code-after, or --replication with --replicate-after"
        );
        Ok(policy)
    }

    pub(super) async fn run(&self) -> anyhow::Result<()> {
        let policy = self.policy()?;
        let (storage, layout) = self.common.open()?;
        if self.dry_run {
            return self.tell(&policy, &storage, &layout).await;
        }
        for hour in hours(&storage, layout.dataset()).await? {
            if !self.common.wants(hour) {
                continue;
            }
            for fate in policy.fates(hour) {
                match self.meet(fate, &storage, &layout, hour).await {
                    Ok(Some(done)) => println!("{hour}: {done}"),
                    Ok(None) => {}
                    // Another run, or a compaction: what is left to do the next run does.
                    Err(error @ LakeError::Fenced { .. }) => eprintln!("{hour}: {error}"),
                    Err(error) => return Err(error).with_context(|| hour.to_string()),
                }
            }
        }
        forget(&storage, &layout, self.keep_replaced).await
    }

    async fn meet<S: Storage>(
        &self,
        fate: Fate,
        storage: &S,
        layout: &Layout,
        hour: Hour,
    ) -> Result<Option<String>, LakeError> {
        let rewritten = |record: RewriteRecord, what: &str| {
            format!("{} files were {what}", record.replaces.len())
        };
        Ok(match fate {
            Fate::Retired => {
                let to = if self.skip_trash {
                    Withdrawn::Removed
                } else {
                    Withdrawn::Trash
                };
                let done = retain::retire(storage, layout, hour, to).await?;
                done.map(|record| rewritten(record, "retired"))
            }
            Fate::Coded => {
                let done = retain::code(storage, layout, hour, self.code_at_least).await?;
                done.map(|record| rewritten(record, "erasure-coded"))
            }
            Fate::Replicated(disks) => {
                let files = retain::replicate(storage, layout, hour, disks).await?;
                (files > 0).then(|| format!("{files} files lie on {disks} disks"))
            }
        })
    }

    async fn tell<S: Storage>(
        &self,
        policy: &Policy,
        storage: &S,
        layout: &Layout,
    ) -> anyhow::Result<()> {
        for (hour, files) in Records::read(storage, layout).await?.live() {
            if !self.common.wants(hour) {
                continue;
            }
            let bytes: u64 = files.iter().map(|file| file.bytes).sum();
            for fate in policy.fates(hour) {
                let what = match fate {
                    Fate::Retired if self.skip_trash => "would be removed".to_owned(),
                    Fate::Retired => "would go to the trash".to_owned(),
                    Fate::Coded => "would be erasure-coded".to_owned(),
                    Fate::Replicated(disks) => format!("would lie on {disks} disks"),
                };
                println!("{hour}: {} files, {bytes} bytes: {what}", files.len());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_meets_what_its_age_asks_for() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let policy = Policy {
            retire: Some(time("2026-08-30T13:59:59Z")),
            code: Some(time("2026-10-29T14:00:00Z")),
            replicate: Some((time("2026-11-21T14:00:00Z"), 2)),
        };
        let fates = |text: &str| policy.fates(super::super::hour(text).unwrap());
        assert_eq!(fates("2026-08-30T12"), [Fate::Retired]);
        // It ends a second after.
        assert_eq!(fates("2026-08-30T13"), [Fate::Coded, Fate::Replicated(2)]);
        assert_eq!(fates("2026-10-29T13"), [Fate::Coded, Fate::Replicated(2)]);
        assert_eq!(fates("2026-10-29T14"), [Fate::Replicated(2)]);
        assert_eq!(fates("2026-11-21T14"), []);
    }
}
