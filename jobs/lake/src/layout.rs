//! Names of folders and files.
//!
//! ```text
//! telemetry/
//!   date=2026-11-28/hour=13/telemetry-4-00000000000000120000-0000.parquet    a file that counts
//!   date=2026-11-28/hour=13/rewrite-00000003-0000.parquet                    a file of the third rewrite of that hour
//!   _commits/telemetry-4/000000000000/telemetry-4-00000000000000120000.json  the commit record of that file
//!   _rewrites/date=2026-11-28/hour=13/00000003.json                          the record of that rewrite
//!   _staging/telemetry-4/00000000000000120000-WRITER/                        what a writer has not committed yet
//!   _replaced/date=2026-11-28/hour=13/…                                      files that a rewrite has replaced
//!   _coded/date=2026-11-28/hour=13/00000000000000000004-WRITER/              files that are being erasure-coded
//! ```
//! Names that begin with `_` are passed over by Spark, Hive and DataFusion.

use std::fmt;

use crate::error::LakeError;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// So many offsets share a folder of commit records. A function of the start offset alone: two writers that want to
/// commit from the same offset must want the same name.
const OFFSETS_PER_FOLDER: i64 = 100_000_000;

const MICROS_PER_HOUR: i64 = 3_600_000_000;

/// An hour of event time, UTC: a partition of the lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(i64);

impl Hour {
    /// The hour of a time in microseconds since 1970; none outside of the years 1970 to 9999.
    #[must_use]
    pub fn of_micros(micros: i64) -> Option<Self> {
        // Asked for each record: hence not by its date.
        let last = jiff::Timestamp::MAX.as_microsecond() / MICROS_PER_HOUR;
        let hour = Self(micros.div_euclid(MICROS_PER_HOUR));
        (0..=last).contains(&hour.0).then_some(hour)
    }

    /// 1970-01-01 00:00, where events without any time lie.
    #[must_use]
    pub const fn first() -> Self {
        Self(0)
    }

    /// Its beginning, in microseconds since 1970.
    #[must_use]
    pub const fn start_micros(self) -> i64 {
        self.0 * MICROS_PER_HOUR
    }

    /// Whether all of it lies before a time.
    #[must_use]
    pub fn is_before(self, time: jiff::Timestamp) -> bool {
        (self.0 + 1) * MICROS_PER_HOUR <= time.as_microsecond()
    }

    fn date(self) -> Option<Date> {
        let start = jiff::Timestamp::from_microsecond(self.0.checked_mul(MICROS_PER_HOUR)?).ok()?;
        let date = start.to_zoned(TimeZone::UTC).date();
        (date.year() <= 9999).then_some(date)
    }

    /// The hour of a folder's path, `date=2026-11-28/hour=13`.
    #[must_use]
    pub fn parse(folder: &str) -> Option<Self> {
        let (date, hour) = folder.split_once('/')?;
        let date: Date = date.strip_prefix("date=")?.parse().ok()?;
        let hour: i8 = hour.strip_prefix("hour=")?.parse().ok()?;
        let start = date
            .at(hour.clamp(0, 23), 0, 0, 0)
            .to_zoned(TimeZone::UTC)
            .ok()?;
        let parsed = Self::of_micros(start.timestamp().as_microsecond())?;
        (parsed.to_string() == folder).then_some(parsed)
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = self.date().unwrap_or(Date::ZERO);
        write!(f, "date={date}/hour={:02}", self.0.rem_euclid(24))
    }
}

/// A partition of a Kafka topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// The topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
}

impl Source {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl Into<String>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }

    /// Reads `TOPIC-PARTITION`. A topic may have hyphens itself.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (topic, partition) = text.rsplit_once('-')?;
        let parsed = Self::new(topic, partition.parse().ok()?);
        (!topic.is_empty() && parsed.to_string() == text).then_some(parsed)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A data file's name, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataName {
    /// Of the commit of that source and start offset.
    Commit(Source, i64),
    /// Of the rewrite with that number.
    Rewrite(u32),
}

/// The names in one dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    dataset: String,
}

impl Layout {
    /// The dataset of that name, a folder under the lake's root.
    ///
    /// # Errors
    /// The name cannot be that of one folder that readers look into.
    pub fn new(dataset: &str) -> Result<Self, LakeError> {
        let fits = dataset
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        if dataset.is_empty() || !fits || dataset.starts_with(['.', '_']) {
            return Err(LakeError::record(
                dataset,
                "not the name of a dataset: letters, digits, '.', '_' and '-', beginning with a letter or digit",
            ));
        }
        Ok(Self {
            dataset: dataset.to_owned(),
        })
    }

    /// The dataset's folder.
    #[must_use]
    pub fn dataset(&self) -> &str {
        &self.dataset
    }

    /// Where the commit records of all sources lie.
    #[must_use]
    pub fn commits(&self) -> String {
        format!("{}/_commits", self.dataset)
    }

    /// Where the commit records of a source lie, in folders.
    #[must_use]
    pub fn commits_of(&self, source: &Source) -> String {
        format!("{}/_commits/{source}", self.dataset)
    }

    /// The commit record of what begins at `start`.
    #[must_use]
    pub fn commit(&self, source: &Source, start: i64) -> String {
        let folder = start / OFFSETS_PER_FOLDER;
        format!(
            "{}/{folder:012}/{source}-{start:020}.json",
            self.commits_of(source)
        )
    }

    /// The file by which a writer finds out whether it may write.
    #[must_use]
    pub fn trial(&self) -> String {
        format!("{}/_staging/trial", self.dataset)
    }

    /// Where a source's writers work.
    #[must_use]
    pub fn staging_of(&self, source: &Source) -> String {
        format!("{}/_staging/{source}", self.dataset)
    }

    /// Where one writer keeps what begins at `start` until it counts.
    #[must_use]
    pub fn staging(&self, source: &Source, start: i64, writer: &str) -> String {
        format!("{}/{start:020}-{writer}", self.staging_of(source))
    }

    /// The start offset of a writer's folder in a source's staging.
    #[must_use]
    pub fn staged_start(name: &str) -> Option<i64> {
        name.split_once('-')?.0.parse().ok()
    }

    /// The folder of an hour.
    #[must_use]
    pub fn hour(&self, hour: Hour) -> String {
        format!("{}/{hour}", self.dataset)
    }

    /// The name that a committed file ends with.
    #[must_use]
    pub fn data(&self, hour: Hour, source: &Source, start: i64, number: usize) -> String {
        format!(
            "{}/{source}-{start:020}-{number:04}.parquet",
            self.hour(hour)
        )
    }

    /// Where the records of an hour's rewrites lie.
    #[must_use]
    pub fn rewrites_of(&self, hour: Hour) -> String {
        format!("{}/_rewrites/{hour}", self.dataset)
    }

    /// The record of an hour's rewrite.
    #[must_use]
    pub fn rewrite(&self, hour: Hour, number: u32) -> String {
        format!("{}/{number:08}.json", self.rewrites_of(hour))
    }

    /// The number of a rewrite's record.
    #[must_use]
    pub fn rewrite_number(name: &str) -> Option<u32> {
        name.strip_suffix(".json")?.parse().ok()
    }

    /// The name that a file of a rewrite ends with.
    #[must_use]
    pub fn rewritten(&self, hour: Hour, number: u32, file: usize) -> String {
        format!("{}/rewrite-{number:08}-{file:04}.parquet", self.hour(hour))
    }

    /// Where those that rewrite an hour work.
    #[must_use]
    pub fn rewrite_staging_of(&self, hour: Hour) -> String {
        format!("{}/_staging/{hour}", self.dataset)
    }

    /// Where one of them keeps its files until they count.
    #[must_use]
    pub fn rewrite_staging(&self, hour: Hour, number: u32, writer: &str) -> String {
        format!("{}/{number:020}-{writer}", self.rewrite_staging_of(hour))
    }

    /// The folder that an administrator gives an erasure coding policy. What is written there stays coded when it gets
    /// its name.
    #[must_use]
    pub fn coded(&self) -> String {
        format!("{}/_coded", self.dataset)
    }

    /// Where those that code an hour work.
    #[must_use]
    pub fn coded_staging_of(&self, hour: Hour) -> String {
        format!("{}/{hour}", self.coded())
    }

    /// Where one of them keeps its files until they count.
    #[must_use]
    pub fn coded_staging(&self, hour: Hour, number: u32, writer: &str) -> String {
        format!("{}/{number:020}-{writer}", self.coded_staging_of(hour))
    }

    /// Where a file lies after it was replaced: for those who still read it.
    #[must_use]
    pub fn replaced(&self, path: &str) -> String {
        let inside = path
            .strip_prefix(&self.dataset)
            .map_or(path, |rest| rest.trim_start_matches('/'));
        format!("{}/_replaced/{inside}", self.dataset)
    }

    /// What a data file's name, without its folder, says.
    #[must_use]
    pub fn parse_data(name: &str) -> Option<DataName> {
        let (rest, _) = name.strip_suffix(".parquet")?.rsplit_once('-')?;
        let (before, number) = rest.rsplit_once('-')?;
        if before == "rewrite" && number.len() == 8 {
            return number.parse().ok().map(DataName::Rewrite);
        }
        Some(DataName::Commit(
            Source::parse(before)?,
            number.parse().ok()?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_read_as_they_are_written() {
        let time: jiff::Timestamp = "2026-11-28T13:59:59.999999Z".parse().unwrap();
        let hour = Hour::of_micros(time.as_microsecond()).unwrap();
        assert_eq!(hour.to_string(), "date=2026-11-28/hour=13");
        assert_eq!(Hour::parse("date=2026-11-28/hour=13"), Some(hour));
        assert_eq!(Hour::first().to_string(), "date=1970-01-01/hour=00");
        for bad in [
            "date=2026-11-28/hour=24",
            "date=2026-11-28/hour=3",
            "date=2026-11-28",
            "_x/hour=01",
        ] {
            assert_eq!(Hour::parse(bad), None, "{bad}");
        }
        assert_eq!(Hour::of_micros(-1), None);
        assert_eq!(Hour::of_micros(i64::MAX), None);
        let last = jiff::Timestamp::MAX.as_microsecond();
        for (micros, known) in [(last, true), (last + MICROS_PER_HOUR, false)] {
            let hour = Hour::of_micros(micros);
            assert_eq!(hour.is_some_and(|hour| hour.date().is_some()), known);
            assert_eq!(hour.is_some(), known);
        }
    }

    #[test]
    fn names_tell_what_they_hold() {
        let layout = Layout::new("telemetry").unwrap();
        let source = Source::new("my-topic", 4);
        let hour = Hour::parse("date=2026-11-28/hour=13").unwrap();
        let path = layout.data(hour, &source, 120_000, 2);
        assert_eq!(
            path,
            "telemetry/date=2026-11-28/hour=13/my-topic-4-00000000000000120000-0002.parquet"
        );
        let name = path.rsplit_once('/').unwrap().1;
        assert_eq!(
            Layout::parse_data(name),
            Some(DataName::Commit(source.clone(), 120_000))
        );
        let rewritten = layout.rewritten(hour, 7, 0);
        let name = rewritten.rsplit_once('/').unwrap().1;
        assert_eq!(Layout::parse_data(name), Some(DataName::Rewrite(7)));
        assert_eq!(Layout::parse_data("part-0000.parquet"), None);
        assert_eq!(
            layout.commit(&source, 1_234_567_890),
            "telemetry/_commits/my-topic-4/000000000012/my-topic-4-00000000001234567890.json"
        );
        let staging = layout.staging(&source, 5, "w-1");
        assert_eq!(
            Layout::staged_start(staging.rsplit_once('/').unwrap().1),
            Some(5)
        );
        assert_eq!(
            layout.replaced(&path),
            "telemetry/_replaced/date=2026-11-28/hour=13/my-topic-4-00000000000000120000-0002.parquet"
        );
        assert!(
            Layout::new("_x").is_err() && Layout::new("a/b").is_err() && Layout::new("").is_err()
        );
    }
}
