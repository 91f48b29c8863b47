//! Stretches by kind of road: a file that somebody made who matched positions to a map.

use std::path::PathBuf;

use anyhow::Context as _;
use jiff::Timestamp;
use millrace_analytics::survival::roads::{Driven, Road};
use millrace_contract::Invalid;
use millrace_lake::Storage;

/// A stretch that a vehicle drove.
#[derive(Debug, Clone, PartialEq)]
pub struct Stretch {
    /// Which vehicle.
    pub vehicle: String,
    /// From when.
    pub began: Timestamp,
    /// To when.
    pub ended: Timestamp,
    /// How long it is.
    pub metres: f64,
    /// Shares on highways, main and village roads.
    pub shares: [f64; 3],
}

/// Reads files of the lake and local ones.
///
/// # Errors
/// One is not there, or is not in order: its name, the line, and what is wrong there.
pub async fn read<S: Storage>(
    storage: &S,
    in_lake: &[String],
    local: &[PathBuf],
) -> anyhow::Result<Vec<Stretch>> {
    let mut all = Vec::new();
    for path in in_lake {
        let bytes = storage
            .read(path)
            .await
            .with_context(|| format!("roadFiles: {path}"))?;
        all.extend(parse(&String::from_utf8_lossy(&bytes)).with_context(|| path.clone())?);
    }
    for path in local {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(|| format!("--roads {name}"))?;
        all.extend(parse(&text).context(name)?);
    }
    Ok(all)
}

enum Column {
    Vehicle,
    Began,
    Ended,
    Metres,
    Share(Road),
    /// A map's word for what is not known; its share is on unknown roads.
    Unknown,
}

fn of_header(name: &str) -> Result<Column, Invalid> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "vehicle" => Column::Vehicle,
        "began" => Column::Began,
        "ended" => Column::Ended,
        "metres" => Column::Metres,
        "highway" => Column::Share(Road::Highway),
        "main" => Column::Share(Road::Main),
        "village" => Column::Share(Road::Village),
        "unknown" => Column::Unknown,
        other => match Road::of_osm(other) {
            Road::Unknown => {
                return Err(Invalid::new(
                    "header",
                    name,
                    "no column of stretches",
                    "write vehicle, began, ended, metres, and a column of shares for each kind of road: highway, main, village, \
                     or values of OpenStreetMap's key highway such as motorway",
                ));
            }
            road => Column::Share(road),
        },
    })
}

/// Reads a file: a header, then one stretch a line, separated by commas and without quotation marks.
///
/// # Errors
/// Names the line, the field, its value and the cure.
pub fn parse(text: &str) -> Result<Vec<Stretch>, Invalid> {
    let mut lines = text
        .lines()
        .zip(1..)
        .filter(|(line, _)| !line.trim().is_empty());
    let Some((header, _)) = lines.next() else {
        return Ok(Vec::new());
    };
    let columns = header
        .trim_start_matches('\u{feff}')
        .split(',')
        .map(|name| of_header(name.trim()))
        .collect::<Result<Vec<_>, _>>()?;
    lines
        .map(|(line, number)| {
            stretch(&columns, line).map_err(|invalid| Invalid {
                field: format!("line {number}, {}", invalid.field),
                ..invalid
            })
        })
        .collect()
}

fn stretch(columns: &[Column], line: &str) -> Result<Stretch, Invalid> {
    let cells: Vec<&str> = line.split(',').map(str::trim).collect();
    if cells.len() != columns.len() {
        return Err(Invalid::new(
            "columns",
            cells.len().to_string(),
            format!("not {}, as the header has", columns.len()),
            "give each line as many cells, without commas and quotation marks in them",
        ));
    }
    let (mut vehicle, mut began, mut ended, mut metres) = (None, None, None, None);
    let mut shares = Vec::new();
    for (column, cell) in columns.iter().zip(cells) {
        match column {
            Column::Vehicle => vehicle = Some(cell.to_owned()).filter(|text| !text.is_empty()),
            Column::Began => began = Some(time("began", cell)?),
            Column::Ended => ended = Some(time("ended", cell)?),
            Column::Metres => metres = Some(number("metres", cell)?),
            Column::Share(road) => shares.push((*road, number("share", cell)?)),
            Column::Unknown => {
                number("unknown", cell)?;
            }
        }
    }
    let missing = |field: &str| Invalid::new(field, "", "missing", "give the column and a value");
    let (began, ended) = (
        began.ok_or_else(|| missing("began"))?,
        ended.ok_or_else(|| missing("ended"))?,
    );
    if ended < began {
        return Err(Invalid::new(
            "ended",
            ended.to_string(),
            format!("before {began}, where the stretch began"),
            "correct the times",
        ));
    }
    let metres = metres.ok_or_else(|| missing("metres"))?;
    // Checks them, and what they are together.
    Driven::default().add(metres, shares.iter().copied())?;
    let sum = |wanted: Road| {
        let of = shares.iter().filter(|(road, _)| *road == wanted);
        of.map(|(_, share)| share).sum()
    };
    Ok(Stretch {
        vehicle: vehicle.ok_or_else(|| missing("vehicle"))?,
        began,
        ended,
        metres,
        shares: [sum(Road::Highway), sum(Road::Main), sum(Road::Village)],
    })
}

fn number(field: &str, cell: &str) -> Result<f64, Invalid> {
    match cell.parse::<f64>() {
        Ok(number) if number >= 0.0 && number.is_finite() => Ok(number),
        _ => Err(Invalid::new(
            field,
            cell,
            "not a number from 0 on",
            "write for example 0.25",
        )),
    }
}

fn time(field: &str, cell: &str) -> Result<Timestamp, Invalid> {
    cell.parse().map_err(|_| {
        Invalid::new(
            field,
            cell,
            "no time in RFC 3339",
            "write for example 2026-11-28T13:00:00Z",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_a_map_are_kinds_of_roads() {
        let text = "vehicle,began,ended,metres,Trunk,Primary_link,Residential,village,Unknown\n\
            car-1,2026-11-28T13:00:00Z,2026-11-28T13:01:00Z,900.5,0.5,0.25,0.1,0.05,0.1\n\n";
        let found = parse(text).unwrap();
        assert_eq!((found.len(), found[0].metres), (1, 900.5));
        let [highway, main, village] = found[0].shares;
        assert_eq!((highway, main), (0.5, 0.25));
        assert!((village - 0.15).abs() < 1e-12);
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let head = "vehicle,began,ended,metres,highway,main\n";
        let good = "c,2026-11-28T13:00:00Z,2026-11-28T13:01:00Z,9,1,0\n";
        for (line, told) in [
            (
                "c,2026-11-28T13:00:00Z,2026-11-28T13:01:00Z,9,1",
                "line 3, columns",
            ),
            ("c,yesterday,2026-11-28T13:01:00Z,9,1,0", "line 3, began"),
            (
                "c,2026-11-28T13:00:00Z,2026-11-28T12:01:00Z,9,1,0",
                "line 3, ended",
            ),
            (
                "c,2026-11-28T13:00:00Z,2026-11-28T13:01:00Z,-9,1,0",
                "line 3, metres",
            ),
            (
                "c,2026-11-28T13:00:00Z,2026-11-28T13:01:00Z,9,1,0.5",
                "line 3, share",
            ),
            (
                ",2026-11-28T13:00:00Z,2026-11-28T13:01:00Z,9,1,0",
                "line 3, vehicle",
            ),
        ] {
            let error = parse(&format!("{head}{good}{line}")).unwrap_err();
            assert_eq!(error.field, told, "{line}");
        }
        assert_eq!(parse("vehicle,speed").unwrap_err().value, "speed");
    }
}
