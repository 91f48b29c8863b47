//! Zones from GeoJSON (RFC 7946), with errors that name the file, the field, its value and the cure.

mod geometry;
mod json;

use jiff::tz::TimeZone;
use millrace_contract::Invalid;
use serde_json::{Map, Value};

use super::curfew::{Window, time, weekday};
use super::shape::Shape;
use geometry::geometry;
use json::{Element, Features, Object};

/// Longest id or name of a zone, in characters.
const LONGEST_NAME: usize = 128;
/// Shortest and longest lead, in seconds.
pub(crate) const LEADS: std::ops::RangeInclusive<f64> = 5.0..=3600.0;

/// What a zone is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Border,
    Closed,
    Curfew,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Border => "border",
            Self::Closed => "closed",
            Self::Curfew => "curfew",
        }
    }

    fn named(name: &str) -> Option<Self> {
        match name.trim().to_lowercase().replace([' ', '_'], "-").as_str() {
            "border" | "boundary" | "frontier" | "country" => Some(Self::Border),
            "closed" | "closed-zone" | "no-entry" | "no-go" | "restricted" | "forbidden" => {
                Some(Self::Closed)
            }
            "curfew" | "curfew-area" | "night-ban" => Some(Self::Curfew),
            _ => None,
        }
    }
}

/// One zone.
#[derive(Debug, Clone)]
pub(crate) struct Zone {
    pub id: String,
    pub name: String,
    pub kind: Kind,
    pub shape: Shape,
    /// Seconds ahead of which to warn, where the zone says so itself.
    pub lead: Option<f64>,
    /// Empty unless it is a curfew.
    pub curfew: Vec<Window>,
}

type Members = Map<String, Value>;

/// A place in a file, for messages.
#[derive(Clone)]
struct At(String);

impl At {
    fn member(&self, name: &str) -> Self {
        let dot = if self.0.ends_with(": ") { "" } else { "." };
        Self(format!("{}{dot}{name}", self.0))
    }

    fn item(&self, i: usize) -> Self {
        Self(format!("{}[{i}]", self.0))
    }

    fn invalid(&self, value: &Value, problem: impl Into<String>, cure: &str) -> Invalid {
        // Long values are cut by `Invalid`, but need not be written out before.
        let value = match value {
            Value::Null => "null".to_owned(),
            Value::Array(a) => format!("a list of {}", a.len()),
            Value::Object(_) => "an object".to_owned(),
            Value::String(s) => s.clone(),
            other => other.to_string(),
        };
        self.says(&value, problem, cure)
    }

    fn says(&self, value: &str, problem: impl Into<String>, cure: &str) -> Invalid {
        Invalid::new(&self.0, value, problem, cure)
    }
}

/// Reads all zones of one file.
pub(crate) fn read(file: &str, text: &str) -> Result<Vec<Zone>, Invalid> {
    let at = At(format!("{file}: "));
    let json: Element = serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|e| {
        Invalid::new(
            file,
            text.chars().take(20).collect::<String>(),
            format!("not JSON: {e}"),
            "give GeoJSON: a FeatureCollection, a Feature, a Polygon or a MultiPolygon",
        )
    })?;
    let object = match &json {
        Element::Object(object) => object,
        Element::Other(value) => {
            return Err(at.invalid(value, "not an object", "give a GeoJSON FeatureCollection"));
        }
    };
    let members = &object.members;
    check_crs(&at, members)?;
    // Members that GeoJSON leaves free: properties of the whole, which hold where a feature has none of its own.
    let empty = Members::new();
    let common = members
        .get("properties")
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    let stem = file.rsplit(['/', '\\']).next().unwrap_or(file);
    let stem = stem.split('.').next().unwrap_or(stem);
    match kind_of(&at, members)? {
        "FeatureCollection" => {
            let at = at.member("features");
            let features = match &object.features {
                Some(Features::List(features)) => features,
                other => {
                    let value = match other {
                        Some(Features::Other(value)) => value,
                        _ => &Value::Null,
                    };
                    return Err(at.invalid(value, "not a list", "list the features"));
                }
            };
            let mut zones = Vec::with_capacity(features.len());
            for (i, feature) in features.iter().enumerate() {
                let at = at.item(i);
                let object = match feature {
                    Element::Object(object) => object,
                    Element::Other(value) => {
                        return Err(at.invalid(value, "not an object", "give a GeoJSON Feature"));
                    }
                };
                match kind_of(&at, &object.members)? {
                    "Feature" => {}
                    other => {
                        let problem = format!("a {other} where a Feature belongs");
                        let cure = "wrap geometries in Features";
                        return Err(at.member("type").says(other, problem, cure));
                    }
                }
                zones.push(feature_of(&at, object, common, &format!("{stem}-{i}"))?);
            }
            Ok(zones)
        }
        "Feature" => Ok(vec![feature_of(&at, object, &empty, stem)?]),
        _ => {
            let shape = geometry(&at, &json)?;
            Ok(vec![zone(
                &at,
                shape,
                members.get("id"),
                common,
                &empty,
                stem,
            )?])
        }
    }
}

fn kind_of<'a>(at: &At, members: &'a Members) -> Result<&'a str, Invalid> {
    let kind = members.get("type").unwrap_or(&Value::Null);
    kind.as_str().ok_or_else(|| {
        at.member("type").invalid(
            kind,
            "missing or not a text",
            "GeoJSON objects have a type, such as Feature or Polygon",
        )
    })
}

fn check_crs(at: &At, members: &Members) -> Result<(), Invalid> {
    let Some(crs) = members.get("crs").filter(|c| !c.is_null()) else {
        return Ok(());
    };
    let name = crs
        .pointer("/properties/name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if ["CRS84", "4326", "WGS84", "WGS 84"]
        .iter()
        .any(|known| name.contains(known))
    {
        return Ok(());
    }
    Err(at.member("crs").says(
        name,
        "not WGS 84",
        "reproject to longitude and latitude (EPSG:4326)",
    ))
}

fn feature_of(at: &At, object: &Object, common: &Members, stem: &str) -> Result<Zone, Invalid> {
    let none = Element::Other(Value::Null);
    let found = object.geometry.as_deref().unwrap_or(&none);
    let shape = geometry(&at.member("geometry"), found)?;
    let members = &object.members;
    let empty = Members::new();
    let own = match members.get("properties") {
        None | Some(Value::Null) => &empty,
        Some(Value::Object(own)) => own,
        Some(other) => {
            let cure = "give an object with kind and name";
            return Err(at
                .member("properties")
                .invalid(other, "not an object", cure));
        }
    };
    zone(at, shape, members.get("id"), own, common, stem)
}

fn zone(
    at: &At,
    shape: Shape,
    id: Option<&Value>,
    own: &Members,
    common: &Members,
    stem: &str,
) -> Result<Zone, Invalid> {
    let at = at.member("properties");
    let find = |name: &str| {
        let present = |m: &'_ Members| m.get(name).filter(|v| !v.is_null()).cloned();
        present(own).or_else(|| present(common))
    };
    let kind_at = at.member("kind");
    let kinds = "write border, closed or curfew";
    let kind = find("kind").ok_or_else(|| kind_at.says("", "missing", kinds))?;
    let kind = kind
        .as_str()
        .and_then(Kind::named)
        .ok_or_else(|| kind_at.invalid(&kind, "not a kind of zone", kinds))?;
    let id_at = at.member("id");
    let own_id = own.get("id").or(id).filter(|v| !v.is_null());
    let id = match own_id {
        Some(v) => word(&id_at, v)?,
        None => stem.to_owned(),
    };
    let name = match own.get("name").filter(|v| !v.is_null()) {
        Some(v) => word(&at.member("name"), v)?,
        None => id.clone(),
    };
    let lead_at = at.member("lead_seconds");
    let lead = match find("lead_seconds") {
        None => None,
        Some(v) => Some(v.as_f64().filter(|s| LEADS.contains(s)).ok_or_else(|| {
            lead_at.invalid(
                &v,
                "not a number of seconds from 5 to 3600",
                "write, for instance, 60",
            )
        })?),
    };
    let curfew_at = at.member("curfew");
    let curfew = match (kind, find("curfew")) {
        (Kind::Curfew, Some(v)) => curfew(&curfew_at, &v)?,
        (Kind::Curfew, None) => {
            return Err(curfew_at.says("", "missing", WINDOW));
        }
        (_, None) => Vec::new(),
        (_, Some(v)) => {
            let problem = format!("given for a zone of kind {}", kind.as_str());
            return Err(curfew_at.invalid(&v, problem, "write kind curfew, or leave curfew out"));
        }
    };
    Ok(Zone {
        id,
        name,
        kind,
        shape,
        lead,
        curfew,
    })
}

fn word(at: &At, value: &Value) -> Result<String, Invalid> {
    let text = match value {
        Value::String(s) => s.trim().to_owned(),
        Value::Number(n) => n.to_string(),
        _ => String::new(),
    };
    let fits = !text.is_empty()
        && text.chars().count() <= LONGEST_NAME
        && !text.chars().any(char::is_control);
    if fits {
        Ok(text)
    } else {
        Err(at.invalid(
            value,
            format!("not a text of 1 to {LONGEST_NAME} characters in one line"),
            "write a short text, or leave it out",
        ))
    }
}

const WINDOW: &str =
    r#"write {"from": "22:00", "to": "06:00", "time_zone": "Europe/Berlin"}, or a list of such"#;

fn curfew(at: &At, value: &Value) -> Result<Vec<Window>, Invalid> {
    match value {
        // Some editors write nested values as text.
        Value::String(text) => {
            let inner: Value = serde_json::from_str(text)
                .map_err(|_| at.invalid(value, "neither an object nor a list", WINDOW))?;
            match inner {
                Value::String(_) => Err(at.invalid(value, "a text", WINDOW)),
                inner => curfew(at, &inner),
            }
        }
        Value::Object(members) => Ok(vec![window(at, members)?]),
        Value::Array(all) if !all.is_empty() && all.len() <= 32 => all
            .iter()
            .enumerate()
            .map(|(i, v)| match v.as_object() {
                Some(members) => window(&at.item(i), members),
                None => Err(at.item(i).invalid(v, "not an object", WINDOW)),
            })
            .collect(),
        _ => Err(at.invalid(value, "neither an object nor a list of 1 to 32", WINDOW)),
    }
}

fn window(at: &At, members: &Members) -> Result<Window, Invalid> {
    for name in members.keys() {
        if !["from", "to", "time_zone", "days"].contains(&name.as_str()) {
            let cure = "the members are from, to, time_zone and days";
            return Err(at.member(name).says(name, "unknown", cure));
        }
    }
    let text = |name: &str, cure: &str| {
        let value = members.get(name).unwrap_or(&Value::Null);
        match value.as_str() {
            Some(s) => Ok(s),
            None => Err(at
                .member(name)
                .invalid(value, "missing or not a text", cure)),
        }
    };
    let hours = "write hours and minutes, such as 22:00";
    let clock = |name: &str| {
        let s = text(name, hours)?;
        time(s).ok_or_else(|| at.member(name).says(s, "not a time of day", hours))
    };
    let from = clock("from")?;
    let to = match members.get("to").and_then(Value::as_str) {
        Some("24:00") => None,
        _ => Some(clock("to")?),
    };
    if to == Some(from) {
        let problem = "the same as from, which may mean a whole day or nothing";
        let cure = "write from 00:00 to 24:00 for the whole day";
        return Err(at.member("to").says(text("to", hours)?, problem, cure));
    }
    let zones = "write an IANA name such as Europe/Berlin";
    let name = text("time_zone", zones)?;
    let zone = TimeZone::get(name)
        .map_err(|_| at.member("time_zone").says(name, "not a time zone", zones))?;
    let mut days = [true; 7];
    if let Some(value) = members.get("days").filter(|v| !v.is_null()) {
        let at = at.member("days");
        let cure = "list the days on which it begins, such as [\"mon\", \"tue\"]";
        let list = value
            .as_array()
            .filter(|l| !l.is_empty())
            .ok_or_else(|| at.invalid(value, "not a list of days", cure))?;
        days = [false; 7];
        for (i, day) in list.iter().enumerate() {
            let day = day
                .as_str()
                .and_then(weekday)
                .ok_or_else(|| at.item(i).invalid(day, "not a day", cure))?;
            days[usize::from(day.to_monday_zero_offset().unsigned_abs())] = true;
        }
    }
    Ok(Window {
        from,
        to,
        zone,
        days,
    })
}
