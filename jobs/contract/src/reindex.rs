//! The configuration of `reindex`: the operator writes it out of a DruidIngestion, and the job reads it.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Invalid;
use crate::archive::check_dataset;

/// So many days are loaded by one run at most.
pub const MOST_DAYS: i32 = 366;

/// config.yaml of `reindex`: which days of the lake are loaded into which data source of a Druid.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ReindexConfig {
    /// The dataset in the lake, a folder under its root.
    pub dataset: String,
    /// The first day, by event time in UTC.
    pub from: Date,
    /// The first day that is not loaded any more.
    pub to: Date,
    /// The data source, its columns and its granularity, as Druid's `dataSchema` has them.
    pub data_schema: Value,
    /// How a row is read, as Druid's `inputFormat` has it.
    pub input_format: Value,
}

impl ReindexConfig {
    /// Looks for what cannot work.
    ///
    /// # Errors
    /// The first field that is not acceptable.
    pub fn validate(&self, now: Timestamp) -> Result<(), Invalid> {
        check_dataset(&self.dataset)?;
        check_days(self.from, self.to, now)?;
        for (field, pointer) in [
            ("dataSchema.dataSource", "/dataSource"),
            ("dataSchema.timestampSpec.column", "/timestampSpec/column"),
        ] {
            if self
                .data_schema
                .pointer(pointer)
                .and_then(Value::as_str)
                .is_none()
            {
                return Err(Invalid::new(
                    field,
                    "",
                    "not there, or no text",
                    "give the dataSchema of the data source's supervisor",
                ));
            }
        }
        Ok(())
    }

    /// The days, in their order.
    pub fn days(&self) -> impl Iterator<Item = Date> + use<> {
        let (from, to) = (self.from, self.to);
        from.series(1.day()).take_while(move |day| *day < to)
    }

    /// The data source that is loaded into.
    #[must_use]
    pub fn data_source(&self) -> &str {
        self.text("/dataSource")
    }

    /// The field with the time of a row.
    #[must_use]
    pub fn time(&self) -> &str {
        self.text("/timestampSpec/column")
    }

    fn text(&self, pointer: &str) -> &str {
        let found = self.data_schema.pointer(pointer);
        found.and_then(Value::as_str).unwrap_or_default()
    }
}

/// Checks which days are loaded: there must be one, not too many, and all of them over.
///
/// # Errors
/// Names `from` or `to`, its value and the cure.
pub fn check_days(from: Date, to: Date, now: Timestamp) -> Result<(), Invalid> {
    if from >= to {
        return Err(Invalid::new(
            "to",
            to.to_string(),
            format!("not after from ({from}): no day lies between them"),
            "give the day after the last one that is to be loaded",
        ));
    }
    let today = now.to_zoned(TimeZone::UTC).date();
    if to > today {
        return Err(Invalid::new(
            "to",
            to.to_string(),
            format!(
                "the day {today} (UTC) is not over: the supervisor still writes it, and the lake does not have all of it"
            ),
            format!("give {today} or an earlier day, and the rest once it is over"),
        ));
    }
    if from.until(to).is_ok_and(|span| span.get_days() > MOST_DAYS) {
        return Err(Invalid::new(
            "from",
            from.to_string(),
            format!("more than {MOST_DAYS} days before to ({to})"),
            "load them in several runs, one after the other",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn now() -> Timestamp {
        "2026-11-09T00:30:00Z".parse().unwrap()
    }

    fn config(from: &str, to: &str) -> ReindexConfig {
        ReindexConfig {
            dataset: "telemetry".into(),
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            data_schema: json!({"dataSource": "cars", "timestampSpec": {"column": "time"}}),
            input_format: json!({"type": "json"}),
        }
    }

    #[test]
    fn the_last_day_is_not_among_them() {
        let good = config("2026-10-30", "2026-11-02");
        good.validate(now()).unwrap();
        let days: Vec<String> = good.days().map(|day| day.to_string()).collect();
        assert_eq!(days, ["2026-10-30", "2026-10-31", "2026-11-01"]);
        assert_eq!((good.data_source(), good.time()), ("cars", "time"));
        let text = serde_yaml_ng::to_string(&good).unwrap();
        assert_eq!(
            serde_yaml_ng::from_str::<ReindexConfig>(&text).unwrap(),
            good
        );
    }

    #[test]
    fn a_day_that_is_not_over_is_refused() {
        config("2026-11-08", "2026-11-09").validate(now()).unwrap();
        let told = config("2026-11-08", "2026-11-10").validate(now());
        assert_eq!(
            told.unwrap_err().to_string(),
            "to: 2026-11-10: the day 2026-11-09 (UTC) is not over: the supervisor still writes it, and the lake does not \
             have all of it; give 2026-11-09 or an earlier day, and the rest once it is over"
        );
    }

    #[test]
    fn what_cannot_work_is_named() {
        let field = |config: ReindexConfig| config.validate(now()).unwrap_err().field;
        assert_eq!(field(config("2026-11-02", "2026-11-02")), "to");
        assert_eq!(field(config("2026-11-02", "2026-11-01")), "to");
        assert_eq!(field(config("2025-11-01", "2026-11-09")), "from");
        config("2025-11-08", "2026-11-09").validate(now()).unwrap();
        let mut wrong = config("2026-11-01", "2026-11-02");
        wrong.dataset = "../telemetry".into();
        assert_eq!(field(wrong), "dataset");
        let mut wrong = config("2026-11-01", "2026-11-02");
        wrong.data_schema = json!({"dataSource": "cars"});
        assert_eq!(field(wrong), "dataSchema.timestampSpec.column");
    }
}
