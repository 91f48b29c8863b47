//! Polygons: rings of positions, brought into one piece.

use millrace_contract::Invalid;
use serde_json::Value;

use super::{At, kind_of};
use crate::zones::shape::{Bounds, Part, Place, Shape, TURNS, bounds, reaches_into};

/// What turning by 360 degrees may cost, in degrees.
const ROUNDING: f64 = 1e-9;

pub(super) fn geometry(at: &At, value: &Value) -> Result<Shape, Invalid> {
    let polygons = "give a Polygon or a MultiPolygon";
    let Some(members) = value.as_object() else {
        return Err(at.invalid(value, "no geometry", polygons));
    };
    let coordinates_at = at.member("coordinates");
    let coordinates = members.get("coordinates").unwrap_or(&Value::Null);
    let list = |at: &At, value: &Value| match value.as_array() {
        Some(l) if !l.is_empty() => Ok(l.clone()),
        _ => Err(at.invalid(value, "not a list, or an empty one", polygons)),
    };
    match kind_of(at, members)? {
        "Polygon" => {
            let rings = list(&coordinates_at, coordinates)?;
            Ok(Shape(vec![polygon(&coordinates_at, &rings)?]))
        }
        "MultiPolygon" => {
            let mut parts = Vec::new();
            for (i, one) in list(&coordinates_at, coordinates)?.iter().enumerate() {
                let at = coordinates_at.item(i);
                parts.push(polygon(&at, &list(&at, one)?)?);
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

fn polygon(at: &At, rings: &[Value]) -> Result<Part, Invalid> {
    let mut read: Vec<Vec<Place>> = Vec::with_capacity(rings.len());
    for (i, value) in rings.iter().enumerate() {
        let at = at.item(i);
        let mut places = ring(&at, value)?;
        if let Some(outer) = read.first() {
            let cure = "give separate areas as a MultiPolygon";
            // A hole lies where the area lies, also when longitudes were unrolled.
            let Some(turn) = turn_into(bounds(&places), bounds(outer)) else {
                return Err(at.invalid(value, "a hole that leaves its polygon", cure));
            };
            places.iter_mut().for_each(|p| p.x += turn);
            if !reaches_into(&places, outer) {
                return Err(at.invalid(value, "a hole that lies outside its polygon", cure));
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
fn ring(at: &At, value: &Value) -> Result<Vec<Place>, Invalid> {
    let few = "a ring has at least 4 positions, the last one being the first";
    let Some(positions) = value.as_array() else {
        return Err(at.invalid(value, "not a list of positions", few));
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
                    p,
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
            return Err(at.invalid(value, "goes around the earth", cure));
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
        return Err(at.invalid(value, "too few positions for an area", few));
    }
    Ok(places)
}

fn position(at: &At, value: &Value) -> Result<Place, Invalid> {
    let order = "a position is [longitude, latitude] in degrees";
    let numbers = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let [x, y, ..] = numbers else {
        return Err(at.invalid(value, "not a position", order));
    };
    let number = |i: usize, v: &Value| {
        v.as_f64()
            .filter(|n| n.is_finite())
            .ok_or_else(|| at.item(i).invalid(v, "not a number", order))
    };
    let place = Place {
        x: number(0, x)?,
        y: number(1, y)?,
    };
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

#[cfg(test)]
mod tests;
