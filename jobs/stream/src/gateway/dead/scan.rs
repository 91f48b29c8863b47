//! From the newest dead letter backwards, over all partitions, a piece at a time.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use millrace_contract::{Invalid, topics};

use super::{Summary, summary};
use crate::connect::{ConnectError, Incoming};
use crate::gateway::Gateway;

/// Letters that are read at once; each may be as large as a record may be.
const PIECE: i64 = 50;
/// Letters that one request looks at.
const MOST_SCANNED: usize = 10_000;
/// How long one request looks.
const LONGEST: Duration = Duration::from_secs(10);

/// Up to where each partition was listed, exclusive. As text `0-120_2-7`: partition, offset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursor(BTreeMap<i32, i64>);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (partition, offset)) in self.0.iter().enumerate() {
            let between = if n == 0 { "" } else { "_" };
            write!(f, "{between}{partition}-{offset}")?;
        }
        Ok(())
    }
}

impl FromStr for Cursor {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parts = text.split('_').map(|part| {
            let (partition, offset) = part.split_once('-')?;
            Some((partition.parse().ok()?, offset.parse().ok()?))
        });
        parts.collect::<Option<_>>().map(Self).ok_or_else(|| {
            Invalid::new(
                "before",
                text,
                "is not a cursor",
                "follow the Link header of the answer before",
            )
        })
    }
}

/// One partition.
#[derive(Debug)]
struct Lane {
    partition: i32,
    first: i64,
    // What lies at and behind it was read.
    read: i64,
    // What lies at and behind it was given out.
    given: i64,
    // Read and not given out, the newest in front, with offsets.
    ahead: VecDeque<(i64, Summary)>,
}

impl Lane {
    fn piece(&self) -> Option<std::ops::Range<i64>> {
        (self.ahead.is_empty() && self.read > self.first)
            .then(|| self.first.max(self.read - PIECE)..self.read)
    }

    fn take(&mut self, piece: &std::ops::Range<i64>, found: Vec<(i64, Summary)>) {
        self.read = piece.start;
        self.ahead.extend(found.into_iter().rev());
        if self.ahead.is_empty() {
            // Only marks of transactions, or nothing any more.
            self.given = self.read;
        }
    }
}

/// The dead letters, the newest first. Within a partition their order is that of the partition.
#[derive(Debug)]
pub struct Newest {
    lanes: Vec<Lane>,
    scanned: usize,
    until: Instant,
}

impl Newest {
    /// Begins at the end, or before what an earlier request came to.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub async fn open(gateway: &Gateway, before: Option<Cursor>) -> Result<Self, ConnectError> {
        let topic = topics::DEAD_LETTERS;
        let before = before.map(|cursor| cursor.0);
        let mut lanes = Vec::new();
        for partition in 0..gateway.lookup.partition_count(topic).await? {
            let (first, end) = gateway.lookup.watermarks(topic, partition).await?;
            // A partition that the cursor does not name is new, and so is all that lies in it.
            let end = match &before {
                Some(cursor) => cursor.get(&partition).copied().unwrap_or(0).clamp(0, end),
                None => end,
            };
            lanes.push(Lane {
                partition,
                first,
                read: end.max(first),
                given: end.max(first),
                ahead: VecDeque::new(),
            });
        }
        Ok(Self {
            lanes,
            scanned: 0,
            until: Instant::now() + LONGEST,
        })
    }

    /// The next one; none when there is no more, or this request has looked at enough.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub async fn next(&mut self, gateway: &Gateway) -> Result<Option<Summary>, ConnectError> {
        for lane in &mut self.lanes {
            while let Some(piece) = lane.piece() {
                if self.scanned >= MOST_SCANNED || Instant::now() > self.until {
                    return Ok(None);
                }
                let found = gateway
                    .spans
                    .read(
                        topics::DEAD_LETTERS,
                        lane.partition,
                        piece.clone(),
                        |record: &Incoming<'_>| (record.offset(), summary(&record.to_record())),
                    )
                    .await?;
                self.scanned += found.len();
                lane.take(&piece, found);
            }
        }
        Ok(newest(&mut self.lanes))
    }

    /// Where the next request goes on; none when all was given out.
    #[must_use]
    pub fn cursor(&self) -> Option<Cursor> {
        let more = self.lanes.iter().any(|lane| lane.given > lane.first);
        more.then(|| Cursor(self.lanes.iter().map(|l| (l.partition, l.given)).collect()))
    }
}

fn newest(lanes: &mut [Lane]) -> Option<Summary> {
    let lane = lanes
        .iter_mut()
        .filter(|lane| !lane.ahead.is_empty())
        .max_by_key(|lane| lane.ahead.front().map(|(_, summary)| summary.time))?;
    let (offset, summary) = lane.ahead.pop_front()?;
    lane.given = offset;
    if lane.ahead.is_empty() {
        lane.given = lane.read;
    }
    Some(summary)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use millrace_contract::Reason;

    fn letter(partition: i32, offset: i64, second: i64) -> (i64, Summary) {
        let summary = Summary {
            id: format!("{partition}-{offset}"),
            time: Timestamp::from_second(second).unwrap(),
            vehicle: None,
            source: "alerts".to_owned(),
            reason: Reason {
                field: None,
                value: None,
                problem: "p".to_owned(),
                cure: "c".to_owned(),
            },
            attempts: 1,
            size: 1,
            redriven: false,
        };
        (offset, summary)
    }

    fn lane(partition: i32, read: i64) -> Lane {
        Lane {
            partition,
            first: 0,
            read,
            given: read,
            ahead: VecDeque::new(),
        }
    }

    #[test]
    fn the_newest_of_all_partitions_first() {
        let (mut a, mut b) = (lane(0, 3), lane(1, 2));
        let piece = a.piece().unwrap();
        assert_eq!(piece, 0..3);
        a.take(&piece, (0..3).map(|n| letter(0, n, 10 * n)).collect());
        let piece = b.piece().unwrap();
        b.take(&piece, (0..2).map(|n| letter(1, n, 15 + n)).collect());
        let mut newest_first = Newest {
            lanes: vec![a, b],
            scanned: 0,
            until: Instant::now(),
        };
        let mut next = || newest(&mut newest_first.lanes).map(|s| s.id);
        assert_eq!(next().unwrap(), "0-2");
        assert_eq!(next().unwrap(), "1-1");
        assert_eq!(newest_first.cursor().unwrap().to_string(), "0-2_1-1");
        let mut next = || newest(&mut newest_first.lanes).map(|s| s.id);
        assert_eq!(
            [next(), next(), next()].map(Option::unwrap),
            ["1-0", "0-1", "0-0"]
        );
        assert_eq!(next(), None);
        assert_eq!(newest_first.cursor(), None, "all is given out");
    }

    #[test]
    fn pieces_go_backwards_and_empty_ones_are_passed() {
        let mut lane = lane(0, 120);
        for expected in [70..120, 20..70, 0..20] {
            let piece = lane.piece().unwrap();
            assert_eq!(piece, expected);
            lane.take(&piece, Vec::new());
        }
        assert_eq!((lane.piece(), lane.given), (None, 0));
    }

    #[test]
    fn cursors_to_text_and_back() {
        let cursor: Cursor = "0-120_2-7".parse().unwrap();
        assert_eq!(cursor.to_string(), "0-120_2-7");
        assert_eq!("x".parse::<Cursor>().unwrap_err().field, "before");
    }
}
