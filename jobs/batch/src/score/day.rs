//! A day of a lake, computed.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use millrace_contract::score::ScoreConfig;
use millrace_lake::content::Content;
use millrace_lake::layout::{Hour, Layout};
use millrace_lake::record::FileEntry;
use millrace_lake::{LakeError, Storage};

use super::columns::NAMES;
use super::fleet::{Fleet, FleetTrip};
use crate::read::{Part, fetch};

/// Microseconds of an hour.
pub(crate) const MICROS_PER_HOUR: i64 = 3_600_000_000;

/// A local day and the files that hold it.
#[derive(Debug, Clone)]
pub struct Day {
    /// Which.
    pub date: Date,
    /// From its first microsecond since 1970 up to before that of the next day.
    pub span: (i64, i64),
    /// Its hours that have files.
    pub files: Vec<(Hour, Vec<FileEntry>)>,
    /// What these files hold. An hour that belongs to two local days counts for both.
    pub content: Content,
}

impl Day {
    /// That date, with what `live` has of it.
    ///
    /// # Errors
    /// The date is out of range.
    pub fn of(
        date: Date,
        zone: &TimeZone,
        live: &BTreeMap<Hour, Vec<FileEntry>>,
    ) -> Result<Self, jiff::Error> {
        let start = date.to_zoned(zone.clone())?.timestamp().as_microsecond();
        let next = date.checked_add(1.day())?;
        let end = next.to_zoned(zone.clone())?.timestamp().as_microsecond();
        let files: Vec<_> = live
            .iter()
            .filter(|(hour, _)| {
                hour.start_micros() < end && hour.start_micros() + MICROS_PER_HOUR > start
            })
            .map(|(hour, files)| (*hour, files.clone()))
            .collect();
        let all = files.iter().flat_map(|(_, files)| files);
        Ok(Self {
            date,
            span: (start, end),
            content: Content::total(all.map(|file| &file.content)),
            files,
        })
    }

    /// Computes the day's trips of the vehicles of a part, by vehicle and start.
    ///
    /// # Errors
    /// A file that counts cannot be read, or is not what its record says. Nothing was computed then.
    pub async fn trips<S: Storage>(
        &self,
        storage: &S,
        layout: &Layout,
        config: &ScoreConfig,
        zone: &TimeZone,
        part: Part,
    ) -> Result<Vec<FleetTrip>, LakeError> {
        let mut fleet = Fleet::new(config, self.span);
        // The next hour is fetched while this one is computed.
        let hours = stream::iter(&self.files)
            .map(|(hour, files)| async move {
                let batches = fetch(storage, layout, files, NAMES, part).await?;
                Ok::<_, LakeError>((*hour, batches))
            })
            .buffered(2);
        let mut hours = std::pin::pin!(hours);
        while let Some((hour, batches)) = hours.try_next().await? {
            let offset = utc_offset(zone, hour.start_micros());
            fleet = tokio::task::block_in_place(move || {
                fleet.hour(&batches, offset)?;
                Ok::<_, LakeError>(fleet)
            })?;
        }
        Ok(fleet.finish(utc_offset(zone, self.span.1 - 1)))
    }
}

fn utc_offset(zone: &TimeZone, micros: i64) -> i64 {
    let time = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
    i64::from(zone.to_offset(time).seconds())
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_local_day_has_the_hours_that_touch_it() {
        let zone = TimeZone::get("Asia/Kolkata").unwrap();
        let hour = |text: &str| Hour::parse(text).unwrap();
        let mut live = BTreeMap::new();
        for text in [
            "date=2026-06-01/hour=17",
            "date=2026-06-01/hour=18",
            "date=2026-06-02/hour=18",
            "date=2026-06-02/hour=19",
        ] {
            live.insert(hour(text), Vec::new());
        }
        let day = Day::of(date(2026, 6, 2), &zone, &live).unwrap();
        let hours: Vec<_> = day.files.iter().map(|(hour, _)| hour.to_string()).collect();
        // From 18:30 to 18:30 UTC.
        assert_eq!(
            hours,
            ["date=2026-06-01/hour=18", "date=2026-06-02/hour=18"]
        );
        // A day in which clocks go forward has 23 hours.
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let day = Day::of(date(2026, 3, 29), &zone, &live).unwrap();
        assert_eq!(day.span.1 - day.span.0, 23 * MICROS_PER_HOUR);
    }
}
