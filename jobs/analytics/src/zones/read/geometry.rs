//! Polygons: rings of positions, brought into one piece.

use millrace_contract::Invalid;
use serde_json::Value;

use super::json::{Coordinates, Element};
use super::{At, kind_of};
use crate::zones::shape::{Bounds, Part, Place, Shape, TURNS, bounds, reaches_into};

/// What turning by 360 degrees may cost, in degrees.
const ROUNDING: f64 = 1e-9;

const POLYGONS: &str = "give a Polygon or a MultiPolygon";

pub(super) fn geometry(at: &At, element: &Element) -> Result<Shape, Invalid> {
    let object = match element {
        Element::Object(object) => object,
        Element::Other(value) => return Err(at.invalid(value, "no geometry", POLYGONS)),
    };
    let coordinates_at = at.member("coordinates");
    let coordinates = object.coordinates.as_ref();
    match kind_of(at, &object.members)? {
        "Polygon" => {
            let rings = list(&coordinates_at, coordinates)?;
            Ok(Shape(vec![polygon(&coordinates_at, rings)?]))
        }
        "MultiPolygon" => {
            let mut parts = Vec::new();
            for (i, one) in list(&coordinates_at, coordinates)?.iter().enumerate() {
                let at = coordinates_at.item(i);
                parts.push(polygon(&at, list(&at, Some(one))?)?);
            }
            Ok(Shape(parts))
        }
        other => Err(at.member("type").says(
            other,
            format!("a {other} is no area"),
            "give a Polygon or a MultiPolygon; draw lines and points as areas",
        )),
    }
}

fn list<'a>(at: &At, value: Option<&'a Coordinates>) -> Result<&'a [Coordinates], Invalid> {
    match value {
        Some(Coordinates::List(items)) if !items.is_empty() => Ok(items),
        other => {
            let shown = other.map_or(Value::Null, Coordinates::shown);
            Err(at.invalid(&shown, "not a list, or an empty one", POLYGONS))
        }
    }
}

fn polygon(at: &At, rings: &[Coordinates]) -> Result<Part, Invalid> {
    let mut read: Vec<Vec<Place>> = Vec::with_capacity(rings.len());
    for (i, value) in rings.iter().enumerate() {
        let at = at.item(i);
        let mut places = ring(&at, value)?;
        if let Some(outer) = read.first() {
            let cure = "give separate areas as a MultiPolygon";
            // A hole lies where the area lies, also when longitudes were unrolled.
            let Some(turn) = turn_into(bounds(&places), bounds(outer)) else {
                return Err(at.invalid(&value.shown(), "a hole that leaves its polygon", cure));
            };
            places.iter_mut().for_each(|p| p.x += turn);
            if !reaches_into(&places, outer) {
                let problem = "a hole that lies outside its polygon";
                return Err(at.invalid(&value.shown(), problem, cure));
            }
        }
        read.push(places);
    }
    Part::new(&read).ok_or_else(|| at.says("", "no area", "give at least three places that differ"))
}

/// The turn, in degrees of longitude, that brings a hole into the bounds of its polygon.
fn turn_into([w, s, e, n]: Bounds, [west, south, east, north]: Bounds) -> Option<f64> {
    TURNS.into_iter().find(|turn| {
        let within = w + turn >= west - ROUNDING && e + turn <= east + ROUNDING;
        within && s >= south && n <= north
    })
}

/// A closed ring, whichever way it turns, without repeated places, and with longitudes that do not jump.
fn ring(at: &At, value: &Coordinates) -> Result<Vec<Place>, Invalid> {
    let few = "a ring has at least 4 positions, the last one being the first";
    let positions = match value {
        Coordinates::List(positions) => positions,
        // Numbers where positions belong.
        Coordinates::Position(x, _) => {
            return Err(at
                .item(0)
                .invalid(&Value::from(*x), "not a position", ORDER));
        }
        Coordinates::Other(other) => match other.get(0) {
            Some(first) => return Err(at.item(0).invalid(first, "not a position", ORDER)),
            None => return Err(at.invalid(other, "not a list of positions", few)),
        },
    };
    let mut places: Vec<Place> = Vec::with_capacity(positions.len() + 1);
    for (i, p) in positions.iter().enumerate() {
        let mut place = position(&at.item(i), p)?;
        if let Some(last) = places.last() {
            let jump = (place.x - last.x).abs();
            if jump > 270.0 && jump < 360.0 {
                place.x += 360.0 * (last.x - place.x).signum();
            } else if jump > 180.0 && jump < 360.0 {
                return Err(at.item(i).invalid(
                    &p.shown(),
                    "more than half around the earth from the position before",
                    "cut the polygon in two, or add positions in between",
                ));
            }
            if *last == place {
                continue;
            }
        }
        places.push(place);
    }
    // An unclosed ring can only mean one thing.
    if let (Some(first), Some(last)) = (places.first().copied(), places.last())
        && first != *last
    {
        if (first.x - last.x).abs() > 180.0 && first.y != last.y {
            let cure = "cut it at the antimeridian (RFC 7946, 3.1.9)";
            return Err(at.invalid(&value.shown(), "goes around the earth", cure));
        }
        places.push(first);
    }
    let area: f64 = places
        .windows(2)
        .map(|w| {
            (w[0].x - places[0].x) * (w[1].y - places[0].y)
                - (w[1].x - places[0].x) * (w[0].y - places[0].y)
        })
        .sum();
    if places.len() < 4 || area == 0.0 {
        return Err(at.invalid(&value.shown(), "too few positions for an area", few));
    }
    Ok(places)
}

const ORDER: &str = "a position is [longitude, latitude] in degrees";

fn position(at: &At, value: &Coordinates) -> Result<Place, Invalid> {
    let Coordinates::Position(x, y) = *value else {
        return Err(no_position(at, value));
    };
    let place = Place { x, y };
    let shown = || format!("[{}, {}]", place.x, place.y);
    if place.x.abs() > 360.0 || place.y.abs() > 360.0 {
        let cure = "reproject to longitude and latitude (EPSG:4326)";
        return Err(at.says(&shown(), "not degrees", cure));
    }
    if place.y.abs() > 90.0 {
        let cure = "write longitude first, then latitude: are they exchanged?";
        return Err(at.says(&shown(), "a latitude beyond 90", cure));
    }
    Ok(place)
}

fn no_position(at: &At, value: &Coordinates) -> Invalid {
    let two = match value {
        Coordinates::List(items) => match items.as_slice() {
            [x, y, ..] => Some([x.shown(), y.shown()]),
            _ => None,
        },
        Coordinates::Other(other) => other
            .get(0)
            .cloned()
            .zip(other.get(1).cloned())
            .map(<[Value; 2]>::from),
        Coordinates::Position(..) => None,
    };
    let bad = two.and_then(|two| {
        let mut numbered = two.into_iter().enumerate();
        numbered.find(|(_, v)| v.as_f64().is_none())
    });
    match bad {
        Some((i, v)) => at.item(i).invalid(&v, "not a number", ORDER),
        None => at.invalid(&value.shown(), "not a position", ORDER),
    }
}

#[cfg(test)]
mod tests;
