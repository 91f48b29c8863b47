//! What was retired and erased, and the proof by the records alone that nothing else went: what an hour's commits hold is what counts
//! of it and what was retired.

use std::collections::BTreeMap;

use crate::content::Content;
use crate::layout::Hour;
use crate::reader::{Finding, Records};
use crate::record::{FileEntry, Reason};

impl Records {
    /// What was retired of each hour.
    #[must_use]
    pub fn retired(&self) -> BTreeMap<Hour, Content> {
        let files = self.files();
        let mut retired: BTreeMap<Hour, Content> = BTreeMap::new();
        for (hour, rewrite) in &self.rewrites {
            if rewrite.reason == Reason::Retirement {
                let old = rewrite
                    .replaces
                    .iter()
                    .filter_map(|old| files.get(old.as_str()));
                let content = Content::total(old.map(|file| &file.content));
                retired.entry(*hour).or_default().add(&content);
            }
        }
        retired
    }

    /// The hours whose records contradict each other.
    #[must_use]
    pub fn unbalanced(&self) -> Vec<Finding> {
        let mut committed: BTreeMap<Hour, Content> = BTreeMap::new();
        for file in self.commits.iter().flat_map(|record| &record.files) {
            if let Some(hour) = Hour::parse(&file.hour) {
                committed.entry(hour).or_default().add(&file.content);
            }
        }
        let mut accounted = self.retired();
        for (hour, rewrite) in &self.rewrites {
            if let Some(held) = &rewrite.held {
                let erased = accounted.entry(*hour).or_default();
                erased.add(&held.without(&rewrite.content));
            }
        }
        for (hour, files) in self.live() {
            let content = Content::total(files.iter().map(|file| &file.content));
            accounted.entry(hour).or_default().add(&content);
        }
        let mut findings = Vec::new();
        for hour in committed.keys().chain(accounted.keys()) {
            let of = |side: &BTreeMap<Hour, Content>| side.get(hour).copied().unwrap_or_default();
            let (before, after) = (of(&committed), of(&accounted));
            let problem = format!(
                "commits hold {before}; what counts, was retired and was erased is {after}"
            );
            let finding = Finding::Unbalanced {
                hour: *hour,
                problem,
            };
            if before != after && !findings.contains(&finding) {
                findings.push(finding);
            }
        }
        findings
    }

    // All files that any record names, by name.
    fn files(&self) -> BTreeMap<&str, &FileEntry> {
        let committed = self.commits.iter().flat_map(|record| &record.files);
        let rewritten = self.rewrites.iter().flat_map(|(_, record)| &record.files);
        let all = committed.chain(rewritten);
        all.map(|file| (file.path.as_str(), file)).collect()
    }
}
