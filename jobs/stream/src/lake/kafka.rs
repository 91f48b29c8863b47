//! Commits compared with what Kafka still has.

use std::sync::{Arc, Mutex, PoisonError};

use millrace_lake::LakeError;
use millrace_lake::content::Content;
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
    /// Commits that hold something else.
    pub differences: Vec<String>,
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

/// Reads the records of each commit from Kafka again.
///
/// # Errors
/// Kafka does not answer.
pub async fn compare(servers: &str, commits: &[CommitRecord]) -> anyhow::Result<Comparison> {
    let client = "millrace-lake-verify";
    let (reader, lookup) = (
        SpanReader::new(servers, client)?,
        Lookup::new(servers, client)?,
    );
    let mut comparison = Comparison::default();
    for commit in commits {
        let (first, _) = lookup.watermarks(&commit.topic, commit.partition).await?;
        if first
            > commit
                .missing
                .map_or(commit.start_offset, |missing| missing.to)
        {
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
