//! Commits compared with what Kafka still has.

use std::sync::{Arc, Mutex, PoisonError};

use millrace_lake::LakeError;
use millrace_lake::content::Content;
use millrace_lake::layout::Source;
use millrace_lake::reader::Records;
use millrace_lake::record::CommitRecord;
use millrace_lake::rows::{Parsed, Raw, Reader, Rows, Shape};

use crate::connect::{Lookup, SpanReader};

/// What came of it.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Commits that hold the records of Kafka and no others.
    pub same: usize,
    /// Commits of which Kafka no longer has all.
    pub gone: usize,
    /// Offsets after the last commit of each partition.
    pub waiting: u64,
    /// Commits that hold something else, and offsets before the first one that Kafka still has.
    pub differences: Vec<String>,
}

impl Comparison {
    // The records cover `from` up to before `to`, and Kafka has `low` up to before `high`.
    fn ends(&mut self, source: &Source, (from, to): (i64, i64), (low, high): (i64, i64)) {
        // The first commit begins where Kafka began then, which since can only have moved on.
        if low < from {
            self.differences.push(format!(
                "gap: {source}: no record covers offsets {low} to {}, which Kafka still has: the first records are lost",
                from - 1
            ));
        }
        self.waiting += u64::try_from(high - to.max(low)).unwrap_or(0);
    }
}

struct Sum {
    reader: Reader,
    rows: Rows,
    content: Content,
    failed: Option<LakeError>,
}

impl Sum {
    fn end(&mut self) {
        match self.rows.finish().and_then(|batch| Content::of(&batch)) {
            Ok(content) => self.content.add(&content),
            Err(error) => self.failed = Some(error),
        }
    }
}

/// Reads the records of each commit from Kafka again, and looks what Kafka has before the first and after the last.
///
/// # Errors
/// Kafka does not answer.
pub async fn compare(servers: &str, records: &Records) -> anyhow::Result<Comparison> {
    let client = "millrace-lake-verify";
    let (reader, lookup) = (
        SpanReader::new(servers, client)?,
        Lookup::new(servers, client)?,
    );
    let mut comparison = Comparison::default();
    for (source, (from, to, _)) in records.sources() {
        let kafka = lookup.watermarks(&source.topic, source.partition).await?;
        comparison.ends(&source, (from, to), kafka);
    }
    for commit in &records.commits {
        let (first, _) = lookup.watermarks(&commit.topic, commit.partition).await?;
        // What was missing at its start Kafka has had no more; what was missing later took the records before it along.
        let at_start = commit
            .missing
            .filter(|missing| missing.from <= commit.start_offset);
        if first > at_start.map_or(commit.start_offset, |missing| missing.to) {
            comparison.gone += 1;
            continue;
        }
        let found = content(&reader, commit).await?;
        if found == commit.content {
            comparison.same += 1;
        } else {
            comparison.differences.push(format!(
                "{} from {} to {}: {}, Kafka has {found}",
                commit.source(),
                commit.start_offset,
                commit.end_offset - 1,
                commit.content
            ));
        }
    }
    Ok(comparison)
}

async fn content(reader: &SpanReader, commit: &CommitRecord) -> anyhow::Result<Content> {
    let shape = Shape::of_topic(&commit.topic);
    let sum = Arc::new(Mutex::new(Sum {
        reader: Reader::new(shape),
        rows: Rows::new(shape, shape.schema(), commit.partition),
        content: Content::default(),
        failed: None,
    }));
    let into = Arc::clone(&sum);
    let take = move |record: &crate::connect::Incoming<'_>| {
        let mut sum = into.lock().unwrap_or_else(PoisonError::into_inner);
        let plain = shape.keeps_headers();
        let headers = plain.then(|| record.headers_json()).flatten();
        let raw = Raw {
            offset: record.offset(),
            kafka_time: record.timestamp_ms(),
            key: record.key(),
            value: record.payload(),
            source: record.header("ce_source"),
            kind: record.header("ce_type").filter(|_| plain),
            time: record.header("ce_time").filter(|_| plain),
            headers: headers.as_deref(),
        };
        let mut parsed = Parsed::default();
        sum.reader.read(&raw, &mut parsed);
        sum.rows.push(&raw, &parsed);
        if sum.rows.len() >= 4096 {
            sum.end();
        }
    };
    let span = commit.start_offset..commit.end_offset;
    reader
        .read(&commit.topic, commit.partition, span, take)
        .await?;
    let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
    sum.end();
    match sum.failed.take() {
        Some(error) => Err(error.into()),
        None => Ok(sum.content),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(archived: (i64, i64), kafka: (i64, i64)) -> Comparison {
        let mut comparison = Comparison::default();
        comparison.ends(&Source::new("telemetry", 3), archived, kafka);
        comparison
    }

    #[test]
    fn a_first_record_that_is_lost_is_found_while_kafka_has_what_it_covered() {
        let lost = ends((400, 900), (0, 900)).differences;
        assert!(
            lost.len() == 1 && lost[0].contains("telemetry-3: no record covers offsets 0 to 399"),
            "{lost:?}"
        );
        // All is there; or Kafka has removed it since.
        for kept in [(400, 900), (600, 900), (900, 900), (950, 950)] {
            assert!(ends((400, 900), kept).differences.is_empty(), "{kept:?}");
        }
    }

    #[test]
    fn what_is_not_archived_yet_is_counted() {
        assert_eq!(ends((0, 900), (0, 900)).waiting, 0);
        assert_eq!(ends((0, 900), (0, 950)).waiting, 50);
        assert_eq!(ends((0, 900), (920, 950)).waiting, 30);
        assert_eq!(ends((0, 900), (920, 920)).waiting, 0);
    }
}
