//! Reads the numbers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Place;
use super::ledger::{Consumed, Gap, number};
use crate::connect::{Access, CompactedReader, Lookup, ReadEvent, Record};

const CLIENT_ID: &str = "millrace-check-sequence";
const AGAIN: Duration = Duration::from_secs(1);

/// Flags of consume.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) place: Place,
    /// What produce printed: what is in it and does not come is lost
    #[arg(long, value_name = "FILE")]
    pub(super) acknowledged: Option<PathBuf>,
    /// Ends when all has been read that lay in the topic at the start
    #[arg(long)]
    to_end: bool,
}

struct Reading<'a> {
    options: &'a Options,
    consumed: Consumed,
    gap: Gap,
    /// The next offset of each partition: a reader that is opened anew begins with the first one.
    next: BTreeMap<i32, i64>,
}

pub(super) async fn run(
    options: &Options,
    access: &Access,
    stop: &CancellationToken,
) -> anyhow::Result<Consumed> {
    let place = &options.place;
    let mut reading = Reading {
        options,
        consumed: Consumed {
            run: place.run.clone(),
            topic: place.topic.clone(),
            ..Consumed::default()
        },
        gap: Gap::default(),
        next: BTreeMap::new(),
    };
    let lookup = Lookup::new(access, CLIENT_ID)?;
    if place.partitions(&lookup, stop).await?.is_some() {
        tracing::info!(topic = place.topic, "reading");
        reading.all(access, stop).await?;
    }
    let Reading {
        mut consumed, gap, ..
    } = reading;
    consumed.longest_gap_ms = gap.milliseconds();
    consumed.end();
    Ok(consumed)
}

impl Reading<'_> {
    async fn all(&mut self, access: &Access, stop: &CancellationToken) -> anyhow::Result<()> {
        let topic = &self.options.place.topic;
        loop {
            let opened = CompactedReader::open(access, CLIENT_ID, topic, None).await;
            let error = match opened {
                Ok(mut reader) => loop {
                    let event = tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        event = reader.next() => event,
                    };
                    match event {
                        Ok(ReadEvent::Record(record)) => self.take(&record),
                        Ok(ReadEvent::End) if self.options.to_end => return Ok(()),
                        Ok(ReadEvent::End) => {}
                        Err(error) => break error,
                    }
                },
                Err(error) => error,
            };
            if !error.is_retriable() {
                return Err(error.into());
            }
            tracing::warn!(%error, "reading starts over");
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    fn take(&mut self, record: &Record) {
        let next = self.next.entry(record.partition).or_default();
        if record.offset < *next {
            return;
        }
        *next = record.offset + 1;
        let payload = record.payload.as_deref().unwrap_or_default();
        if let Some(number) = number(&self.options.place.run, payload) {
            self.gap.now();
            self.consumed.came(record.partition, number);
        }
    }
}
