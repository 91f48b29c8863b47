//! Days by the hours of the lake.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use millrace_lake::layout::Hour;
use millrace_lake::reader::Records;

use crate::score::day::MICROS_PER_HOUR;

/// The local days that these hours belong to.
#[must_use]
pub fn of_hours(zone: &TimeZone, hours: impl IntoIterator<Item = Hour>) -> BTreeSet<Date> {
    // An hour may belong to two.
    let ends = |hour: Hour| {
        let start = hour.start_micros();
        [start, start + MICROS_PER_HOUR - 1]
    };
    hours
        .into_iter()
        .flat_map(ends)
        .filter_map(|micros| Timestamp::from_microsecond(micros).ok())
        .map(|time| time.to_zoned(zone.clone()).date())
        .collect()
}

/// The local days of which hours were retired: what the lake still holds of them is not all of it.
#[must_use]
pub fn retired(zone: &TimeZone, records: &Records) -> BTreeSet<Date> {
    of_hours(zone, records.retired().into_keys())
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn an_hour_may_belong_to_two_local_days() {
        let hours = ["date=2026-06-01/hour=17", "date=2026-06-01/hour=18"];
        let of = |zone: &str| {
            let hours = hours.iter().filter_map(|hour| Hour::parse(hour));
            let dates = of_hours(&TimeZone::get(zone).unwrap(), hours);
            dates.into_iter().collect::<Vec<_>>()
        };
        assert_eq!(of("UTC"), [date(2026, 6, 1)]);
        // Its midnight is at 18:30 UTC.
        assert_eq!(of("Asia/Kolkata"), [date(2026, 6, 1), date(2026, 6, 2)]);
    }
}
