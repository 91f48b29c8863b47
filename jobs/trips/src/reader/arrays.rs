//! A folder of NumPy arrays: for each signal a folder with `t`, its times in seconds, and `value`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use jiff::Timestamp;
use millrace_contract::telemetry::field;
use millrace_contract::{Telemetry, check_vehicle_id};
use npyz::NpyFile;

use super::rows::note_implausible;
use super::{Draft, Origin, instant};
use crate::error::Place;
use crate::format::Format;
use crate::mapping::TimeUnit;
use crate::{Trip, TripError};

/// Numbers in rows and columns.
struct Array {
    values: Vec<f64>,
    rows: usize,
    columns: usize,
    /// How far a row and a column are from the next.
    steps: (usize, usize),
}

impl Array {
    fn at(&self, row: usize, column: usize) -> Option<f64> {
        if row >= self.rows || column >= self.columns {
            return None;
        }
        self.values
            .get(row * self.steps.0 + column * self.steps.1)
            .copied()
    }
}

/// Reads a trip from a folder. See [`super::read_trip`].
pub(crate) fn read_arrays(
    folder: &Path,
    format: &Format,
    origin: &Origin<'_>,
    start: Option<Timestamp>,
) -> Result<Trip, TripError> {
    check_vehicle_id(origin.vehicle)?;
    // The set wraps each drive in a folder of this name.
    let inner = folder.join("processed_log");
    let folder = if inner.is_dir() {
        inner.as_path()
    } else {
        folder
    };
    let mut arrays: BTreeMap<String, Array> = BTreeMap::new();
    let mut draft = Draft {
        cycle: 1,
        ..Draft::default()
    };
    let mut readings: Vec<(f64, &'static millrace_contract::Field, f64)> = Vec::new();
    for (name, column) in &format.mapping.columns {
        let (Some((signal, number)), Some(field)) = (signal_of(name), field(&column.field)) else {
            return Err(bad_name(name));
        };
        let times = load(&mut arrays, folder, &format!("{signal}/t"))?;
        let times: Vec<f64> = (0..times.rows).filter_map(|row| times.at(row, 0)).collect();
        let values = load(&mut arrays, folder, &format!("{signal}/value"))?;
        if values.rows != times.len() || values.at(0, number).is_none() {
            return Err(TripError::Row {
                at: Place::File,
                problem: format!(
                    "{signal}/value has {} rows and {} columns; {name} needs {} rows and column {number}",
                    values.rows,
                    values.columns,
                    times.len()
                ),
                cure: "check that the folder is whole",
            });
        }
        for (row, time) in times.into_iter().enumerate() {
            let Some(value) = values.at(row, number).filter(|v| v.is_finite()) else {
                continue;
            };
            match field.accept(column.convert(value)) {
                Ok(Some(value)) if time.is_finite() => readings.push((time, field, value)),
                Ok(_) => {}
                Err(why) => note_implausible(&mut draft.implausible, field.name, why),
            }
        }
        draft.fields.push(field);
    }
    if readings.is_empty() {
        return Err(TripError::Empty {
            at: Place::File,
            problem: "there are no readings",
        });
    }
    readings.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (time, field, value) in readings {
        if draft.times.last() != Some(&time) {
            let mut sample = Telemetry::new(origin.vehicle, 0, Timestamp::UNIX_EPOCH);
            sample.model.clone_from(&format.mapping.model);
            draft.times.push(time);
            draft.samples.push(sample);
        }
        let slot = draft
            .samples
            .last_mut()
            .and_then(|s| s.number_mut(field.name));
        if let Some(slot) = slot {
            *slot = Some(value);
        }
    }
    draft.recorded = recorded(&mut arrays, folder, format, draft.times.first().copied())?;
    draft.into_trip(format, origin, start)
}

/// When the first reading was made, by a column with the time since 1970.
fn recorded(
    arrays: &mut BTreeMap<String, Array>,
    folder: &Path,
    format: &Format,
    first: Option<f64>,
) -> Result<Option<Timestamp>, TripError> {
    let (Some(start), Some(first)) = (&format.mapping.time.start, first) else {
        return Ok(None);
    };
    let (signal, number) = signal_of(&start.column).ok_or_else(|| bad_name(&start.column))?;
    let measured = load(arrays, folder, &format!("{signal}/t"))?.at(0, 0);
    let since = load(arrays, folder, &format!("{signal}/value"))?.at(0, number);
    let (Some(measured), Some(since)) = (measured, since) else {
        return Ok(None);
    };
    let since = match start.unit {
        TimeUnit::Milliseconds => since / 1000.0,
        _ => since,
    };
    Ok(instant(since - (measured - first)))
}

/// `FOLDER/N` is column N of `FOLDER/value`.
fn signal_of(name: &str) -> Option<(&str, usize)> {
    let (signal, number) = name.rsplit_once('/')?;
    Some((signal, number.parse().ok()?))
}

fn bad_name(name: &str) -> TripError {
    millrace_contract::Invalid::new(
        "mapping.columns",
        name,
        "not FOLDER/N",
        "write for instance CAN/speed/0",
    )
    .into()
}

fn load<'a>(
    arrays: &'a mut BTreeMap<String, Array>,
    folder: &Path,
    name: &str,
) -> Result<&'a Array, TripError> {
    if !arrays.contains_key(name) {
        let file = File::open(folder.join(name)).map_err(|source| TripError::Open {
            name: name.to_owned(),
            source,
        })?;
        let array = parse(file).map_err(|e| TripError::Row {
            at: Place::File,
            problem: format!("{name}: not an array of numbers: {e}"),
            cure: "check that the folder is whole",
        })?;
        arrays.insert(name.to_owned(), array);
    }
    arrays.get(name).ok_or_else(|| bad_name(name))
}

fn parse(file: File) -> io::Result<Array> {
    let npy = NpyFile::new(BufReader::new(file))?;
    let size = |n: Option<&u64>| n.map_or(1, |n| usize::try_from(*n).unwrap_or(usize::MAX));
    if npy.shape().is_empty() || npy.shape().len() > 2 {
        let shape = format!("{:?} is neither one column nor a table", npy.shape());
        return Err(io::Error::new(io::ErrorKind::InvalidData, shape));
    }
    let (rows, columns) = (size(npy.shape().first()), size(npy.shape().get(1)));
    let steps = (size(npy.strides().first()), size(npy.strides().get(1)));
    let values = match npy.try_data::<f64>() {
        Ok(data) => data.collect::<io::Result<Vec<f64>>>()?,
        Err(npy) => npy.into_vec::<f32>()?.into_iter().map(f64::from).collect(),
    };
    Ok(Array {
        values,
        rows,
        columns,
        steps,
    })
}
