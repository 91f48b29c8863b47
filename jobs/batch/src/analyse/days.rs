//! Telemetry to what is known of each vehicle on a day. Pure.

use std::collections::HashMap;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, TimestampMicrosecondType};
use arrow_array::{Array as _, Float64Array, PrimitiveArray, RecordBatch, StringArray};
use millrace_lake::{LakeError, schema};

use crate::score::columns::{column, text};

/// The columns that are read.
pub const NAMES: &[&str] = &["vehicle", schema::TIME, "model", "odometer"];

/// A vehicle on one day. Times in microseconds since 1970, odometers in m.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OfDay {
    /// Its model as told last.
    pub model: Option<String>,
    model_at: i64,
    /// From when to when it was seen.
    pub seen: (i64, i64),
    /// How many events.
    pub readings: i64,
    /// Its first, highest and last odometer; none when it told none.
    pub odometers: Option<[(i64, f64); 3]>,
}

/// All vehicles on one day.
#[derive(Debug, Default)]
pub struct Fleet {
    /// By vehicle.
    pub vehicles: HashMap<String, OfDay>,
    /// Events of which vehicle or time are not known.
    pub unreadable: i64,
}

impl Fleet {
    /// Takes in rows, in any order. Repeated ones change nothing but the number of readings.
    ///
    /// # Errors
    /// A column has a type that it never had.
    pub fn take(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        let vehicle: Option<&StringArray> = column(batch, "vehicle", |a| a.as_string_opt())?;
        let model: Option<&StringArray> = column(batch, "model", |a| a.as_string_opt())?;
        let time: Option<&PrimitiveArray<TimestampMicrosecondType>> =
            column(batch, schema::TIME, |a| a.as_primitive_opt())?;
        let odometer: Option<&Float64Array> =
            column(batch, "odometer", |a| a.as_primitive_opt::<Float64Type>())?;
        for row in 0..batch.num_rows() {
            let at = time.filter(|array| array.is_valid(row));
            let (Some(vehicle), Some(at)) = (text(vehicle, row), at) else {
                self.unreadable += 1;
                continue;
            };
            let odometer = odometer.filter(|array| array.is_valid(row));
            let odometer = odometer.map(|array| array.value(row));
            let (at, model) = (at.value(row), text(model, row));
            match self.vehicles.get_mut(vehicle) {
                Some(day) => day.take(at, model, odometer),
                None => {
                    let mut day = OfDay {
                        seen: (at, at),
                        ..OfDay::default()
                    };
                    day.take(at, model, odometer);
                    self.vehicles.insert(vehicle.to_owned(), day);
                }
            }
        }
        Ok(())
    }
}

impl OfDay {
    fn take(&mut self, at: i64, model: Option<&str>, odometer: Option<f64>) {
        self.readings += 1;
        self.seen = (self.seen.0.min(at), self.seen.1.max(at));
        if let Some(model) = model
            && (self.model.is_none() || self.model_at <= at)
        {
            if self.model.as_deref() != Some(model) {
                self.model = Some(model.to_owned());
            }
            self.model_at = at;
        }
        let Some(odometer) = odometer.filter(|m| m.is_finite()) else {
            return;
        };
        let reading = (at, odometer);
        let [first, highest, last] = self.odometers.get_or_insert([reading; 3]);
        // At one time the lower one comes first, as everywhere.
        let before = |a: &(i64, f64), b: &(i64, f64)| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1));
        if before(&reading, first).is_lt() {
            *first = reading;
        }
        if before(&reading, last).is_gt() {
            *last = reading;
        }
        if odometer > highest.1 || (odometer == highest.1 && at < highest.0) {
            *highest = reading;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_the_same_in_any_order() {
        let mut readings = vec![
            (5, Some("Golf"), Some(1000.0)),
            (9, None, Some(4000.0)),
            (7, Some("Polo"), Some(4500.0)),
            (3, None, None),
            (6, None, Some(f64::NAN)),
        ];
        let day = |readings: &[(i64, Option<&str>, Option<f64>)]| {
            let mut day = OfDay {
                seen: (readings[0].0, readings[0].0),
                ..OfDay::default()
            };
            for (at, model, odometer) in readings {
                day.take(*at, *model, *odometer);
            }
            day
        };
        let found = day(&readings);
        assert_eq!((found.seen, found.readings), ((3, 9), 5));
        assert_eq!(found.model.as_deref(), Some("Polo"));
        assert_eq!(
            found.odometers,
            Some([(5, 1000.0), (7, 4500.0), (9, 4000.0)])
        );
        readings.reverse();
        assert_eq!(day(&readings), found);
    }
}
