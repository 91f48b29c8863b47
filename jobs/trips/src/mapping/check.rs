//! What serde cannot check of a mapping.

use jiff::tz::TimeZone;
use millrace_contract::Invalid;
use millrace_contract::field::Kind;
use millrace_contract::telemetry::field;

use super::{Column, TimeColumn, TimeUnit};
use crate::units::conversion;

pub(super) fn fail(
    key: &str,
    value: impl AsRef<str>,
    problem: &str,
    cure: impl Into<String>,
) -> Invalid {
    Invalid::new(format!("mapping.{key}"), value, problem, cure)
}

impl TimeColumn {
    pub(super) fn check(&self) -> Result<(), Invalid> {
        match (self.every_seconds, self.unit) {
            (Some(every), None) if self.column.is_empty() => {
                if !(every > 0.0 && every <= 86_400.0) {
                    let cure = "give seconds above 0, at most a day";
                    return Err(fail(
                        "time.every_seconds",
                        every.to_string(),
                        "not a step",
                        cure,
                    ));
                }
            }
            (Some(every), _) => {
                let cure = "leave out every_seconds, or column and unit";
                return Err(fail(
                    "time.every_seconds",
                    every.to_string(),
                    "beside a time column",
                    cure,
                ));
            }
            (None, None) => {
                let cure = "write seconds, milliseconds, clock or rfc3339";
                return Err(fail("time.unit", "", "missing", cure));
            }
            (None, Some(_)) => {}
        }
        if self.epoch && !matches!(self.unit, Some(TimeUnit::Seconds | TimeUnit::Milliseconds)) {
            let cure = "leave it out, or use seconds or milliseconds";
            return Err(fail(
                "time.epoch",
                "true",
                "only for seconds and milliseconds",
                cure,
            ));
        }
        if let Some(date) = &self.date {
            if self.unit != Some(TimeUnit::Clock) {
                return Err(fail(
                    "time.date",
                    "",
                    "only beside a time of day",
                    "use unit: clock",
                ));
            }
            if date.column.is_some() == date.file_name {
                let cure = "write {column: NAME, order: mdy} or {file_name: true}";
                return Err(fail(
                    "time.date",
                    "",
                    "not one of column and file_name",
                    cure,
                ));
            }
        }
        if let Some(start) = &self.start
            && !matches!(start.unit, TimeUnit::Seconds | TimeUnit::Milliseconds)
        {
            return Err(fail(
                "time.start.unit",
                "",
                "not a number of seconds",
                "use seconds or milliseconds",
            ));
        }
        if let Some(zone) = &self.zone {
            TimeZone::get(zone).map_err(|_| {
                fail(
                    "time.zone",
                    zone,
                    "no such time zone",
                    "use a name such as Europe/Berlin",
                )
            })?;
        }
        Ok(())
    }
}

impl Column {
    pub(super) fn check(&mut self, key: &str) -> Result<(), Invalid> {
        let Some(field) = field(&self.field) else {
            let cure = "use a field of the contract's docs/telemetry.md";
            return Err(fail(key, &self.field, "no such telemetry field", cure));
        };
        if field.kind != Kind::Number {
            return Err(fail(
                key,
                &self.field,
                "not a number field",
                "map number fields only",
            ));
        }
        if let Some(unit) = self.unit.take() {
            let (scale, offset) = conversion(&unit, field.unit).map_err(|known| {
                let problem = format!("cannot be turned into {} of {}", field.unit, field.name);
                fail(
                    key,
                    &unit,
                    &problem,
                    format!("use {known}, or scale and offset"),
                )
            })?;
            self.scale *= scale;
            self.offset = self.offset * scale + offset;
        }
        if !self.scale.is_finite() || !self.offset.is_finite() {
            let problem = "scale or offset is not finite";
            return Err(fail(key, "", problem, "use ordinary numbers"));
        }
        Ok(())
    }

    /// The reading in the unit of the field.
    pub(crate) fn convert(&self, number: f64) -> f64 {
        number * self.scale + self.offset
    }
}
