//! GeoJSON: a collection of points with properties, in order of time. A property is a value, or an object with a
//! `value` in it, at any depth; the position is the columns `longitude`, `latitude` and `elevation`.

use std::collections::BTreeMap;
use std::io::Read;

use csv::ByteRecord;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::rows::Rows;
use super::{Draft, Origin};
use crate::TripError;
use crate::error::Place;
use crate::format::Format;

#[derive(Deserialize)]
struct Collection {
    features: Vec<Feature>,
}

#[derive(Deserialize)]
struct Feature {
    geometry: Option<Geometry>,
    #[serde(default)]
    properties: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Geometry {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    coordinates: Value,
}

pub(super) fn read(
    reader: impl Read,
    format: &Format,
    origin: &Origin<'_>,
) -> Result<Draft, TripError> {
    let collection: Collection = serde_json::from_reader(reader).map_err(|e| TripError::Row {
        at: Place::Line(e.line().max(1) as u64),
        problem: format!("not a GeoJSON FeatureCollection: {e}"),
        cure: "give a collection of points, or choose another --format",
    })?;
    let mut points = Vec::with_capacity(collection.features.len());
    let mut columns: BTreeMap<String, usize> = BTreeMap::new();
    for (n, feature) in (1..).zip(collection.features) {
        let cells = cells(feature, Place::Feature(n))?;
        for name in cells.keys() {
            let next = columns.len();
            columns.entry(name.clone()).or_insert(next);
        }
        points.push(cells);
    }
    if points.is_empty() {
        return Err(TripError::Empty {
            at: Place::File,
            problem: "the collection has no features",
        });
    }
    let mut header = vec![String::new(); columns.len()];
    for (name, index) in columns {
        header[index] = name;
    }
    let mut rows = Rows::new(format, header.clone(), Place::File, origin)?;
    for (n, cells) in (1..).zip(&points) {
        let record: ByteRecord = header
            .iter()
            .map(|name| cells.get(name).map_or("", String::as_str))
            .collect::<Vec<&str>>()
            .into();
        rows.take(&record, Place::Feature(n))?;
    }
    rows.finish(Place::File)
}

fn cells(feature: Feature, at: Place) -> Result<BTreeMap<String, String>, TripError> {
    let mut cells = BTreeMap::new();
    gather(feature.properties.unwrap_or_default(), &mut cells);
    // A point whose receiver had no fix has no geometry.
    let Some(geometry) = feature.geometry else {
        return Ok(cells);
    };
    let position = geometry
        .coordinates
        .as_array()
        .filter(|p| geometry.kind == "Point" && p.len() >= 2 && p.iter().all(Value::is_number));
    let Some(position) = position else {
        return Err(TripError::Row {
            at,
            problem: format!("its geometry is a {:?}, not a point", geometry.kind),
            cure: "a trip is a collection of points; zones are given with --zones",
        });
    };
    for (name, number) in ["longitude", "latitude", "elevation"]
        .into_iter()
        .zip(position)
    {
        cells.insert(name.to_owned(), number.to_string());
    }
    Ok(cells)
}

fn gather(properties: Map<String, Value>, cells: &mut BTreeMap<String, String>) {
    for (name, value) in properties {
        match value {
            Value::String(text) => {
                cells.insert(name, text);
            }
            Value::Number(number) => {
                cells.insert(name, number.to_string());
            }
            Value::Object(mut object) => match object.remove("value") {
                Some(Value::Number(number)) => {
                    cells.insert(name, number.to_string());
                }
                Some(Value::String(text)) => {
                    cells.insert(name, text);
                }
                _ => gather(object, cells),
            },
            Value::Null | Value::Bool(_) | Value::Array(_) => {}
        }
    }
}
