//! JSON in and out. The good path reads straight into the structs; only a failure is looked at a second time,
//! to name field, value and cure.

pub(crate) mod diagnose;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::telemetry::Wire;
use crate::{FIELDS, Invalid, Telemetry, check_vehicle_id};

/// Longest `driver` and `hire` on the way in, in bytes.
pub const MAX_PERSON_BYTES: usize = 256;
/// Longest `model`, in characters.
pub const MAX_MODEL_CHARS: usize = 64;
/// Most entries of a list of codes.
pub const MAX_CODES: usize = 64;
/// Longest code, in bytes.
pub const MAX_CODE_BYTES: usize = 16;

/// An event as a vehicle sends it: telemetry, and who drives. The latter two stay inside of the gateway.
#[derive(Clone, PartialEq)]
pub struct Inbound {
    /// The measurements; `hire` is still `None`.
    pub telemetry: Telemetry,
    /// Raw driver id, JSON field `driver`.
    pub driver: Option<String>,
    /// Raw hire id, JSON field `hire`.
    pub hire_id: Option<String>,
}

impl std::fmt::Debug for Inbound {
    /// Leaves out who drives: debug output ends up in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbound")
            .field("telemetry", &self.telemetry)
            .finish_non_exhaustive()
    }
}

/// What one kind of event looks like on the way in.
pub(crate) trait Wired: DeserializeOwned {
    /// What a good one becomes.
    type Good;
    /// Its JSON Schema, as a path in the contract.
    const SCHEMA: &'static str;
    /// The page that lists its fields, as a path in the contract.
    const PAGE: &'static str;

    /// Checks what was read.
    fn finish(self) -> Result<Self::Good, Invalid>;

    /// All fields, with `driver` and `hire`.
    fn names() -> impl Iterator<Item = &'static str>;

    /// Whether there is a field of this name.
    fn knows(name: &str) -> bool;

    /// The second look at an object with known names that could not be read, but for `driver` and `hire`.
    fn look(object: &Map<String, Value>) -> Option<Invalid>;
}

/// Reads one event, or an array of them, each judged on its own.
pub(crate) fn each<W: Wired>(body: &[u8]) -> Result<Vec<Result<W::Good, Invalid>>, Invalid> {
    match body.iter().find(|b| !b.is_ascii_whitespace()) {
        Some(b'{') => match serde_json::from_slice::<W>(body) {
            Ok(wire) => Ok(vec![wire.finish()]),
            Err(e) => diagnose::event::<W>(body, &e).map(|invalid| vec![Err(invalid)]),
        },
        Some(b'[') => match serde_json::from_slice::<Vec<W>>(body) {
            Ok(wires) => Ok(wires.into_iter().map(W::finish).collect()),
            Err(_) => one_by_one::<W>(body),
        },
        _ => Err(diagnose::body::<W>(body)),
    }
}

fn one_by_one<W: Wired>(body: &[u8]) -> Result<Vec<Result<W::Good, Invalid>>, Invalid> {
    let elements: Vec<&RawValue> =
        serde_json::from_slice(body).map_err(|e| diagnose::syntax::<W>(body, &e))?;
    elements
        .into_iter()
        .map(|raw| {
            let bytes = raw.get().as_bytes();
            match serde_json::from_slice::<W>(bytes) {
                Ok(wire) => Ok(wire.finish()),
                Err(e) => diagnose::event::<W>(bytes, &e).map(Err),
            }
        })
        .collect()
}

/// Reads what a vehicle sent: one event, or an array of them, each judged on its own.
///
/// Unknown fields are refused: a misspelt `driver` must not slip through. Not-available sentinels are dropped.
/// Event times are not compared with a clock here, see [`crate::check_time`].
///
/// # Errors
/// The body as a whole is no JSON, or neither an object nor an array.
pub fn decode_inbound(body: &[u8]) -> Result<Vec<Result<Inbound, Invalid>>, Invalid> {
    each::<Wire>(body)
}

/// Fields of telemetry that are not signals.
const OTHERS: [&str; 6] = ["vehicle", "sequence", "time", "model", "driver", "hire"];

impl Wired for Wire {
    type Good = Inbound;
    const SCHEMA: &'static str = "schema/telemetry.schema.json";
    const PAGE: &'static str = "docs/telemetry.md";

    fn finish(self) -> Result<Inbound, Invalid> {
        finish(self)
    }

    fn names() -> impl Iterator<Item = &'static str> {
        FIELDS.iter().map(|f| f.name).chain(OTHERS)
    }

    fn knows(name: &str) -> bool {
        Telemetry::knows(name)
    }

    fn look(object: &Map<String, Value>) -> Option<Invalid> {
        diagnose::required(object).or_else(|| diagnose::optional(object))
    }
}

fn finish(wire: Wire) -> Result<Inbound, Invalid> {
    let (mut telemetry, driver, hire_id) = wire.split();
    let checked = check(&mut telemetry)
        .and_then(|()| check_person("driver", driver.as_deref()))
        .and_then(|()| check_person("hire", hire_id.as_deref()));
    match checked {
        Ok(()) => Ok(Inbound {
            telemetry,
            driver,
            hire_id,
        }),
        Err(e) => Err(diagnose::redact::<Wire>(
            e,
            driver.as_deref(),
            hire_id.as_deref(),
        )),
    }
}

/// Checks ids, ranges and lists, and drops not-available readings.
///
/// # Errors
/// The first field that is not acceptable.
pub fn check(telemetry: &mut Telemetry) -> Result<(), Invalid> {
    check_vehicle_id(&telemetry.vehicle)?;
    check_model(telemetry.model.as_deref())?;
    telemetry.each_number(|field, slot| {
        if let Some(value) = *slot {
            *slot = field.accept(value)?;
        }
        Ok(())
    })?;
    telemetry.each_codes(|field, codes| {
        if codes.len() > MAX_CODES {
            return Err(Invalid::new(
                field.name,
                format!("{} entries", codes.len()),
                format!("more than {MAX_CODES} entries"),
                "send the most recent ones",
            ));
        }
        let cure = "send codes such as P0217";
        codes
            .iter()
            .try_for_each(|code| check_code(field.name, code, cure))
    })
}

/// Checks the name of a vehicle's model.
pub(crate) fn check_model(model: Option<&str>) -> Result<(), Invalid> {
    match model {
        Some(model)
            if model.is_empty()
                || model.chars().count() > MAX_MODEL_CHARS
                || model.chars().any(char::is_control) =>
        {
            Err(Invalid::new(
                "model",
                model,
                format!(
                    "empty, longer than {MAX_MODEL_CHARS} characters, or has control characters"
                ),
                "send the name of the vehicle's model, or leave the field out",
            ))
        }
        _ => Ok(()),
    }
}

/// Checks a code: so short, and of so few characters, that nothing can be told of anybody in it.
pub(crate) fn check_code(field: &str, code: &str, cure: &str) -> Result<(), Invalid> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if !code.is_empty() && code.len() <= MAX_CODE_BYTES && code.bytes().all(fits) {
        return Ok(());
    }
    Err(Invalid::new(
        field,
        code,
        format!("not 1 to {MAX_CODE_BYTES} letters, digits and hyphens"),
        cure,
    ))
}

pub(crate) fn check_person(field: &str, id: Option<&str>) -> Result<(), Invalid> {
    match id {
        Some(id) if id.is_empty() || id.len() > MAX_PERSON_BYTES => Err(Invalid::new(
            field,
            diagnose::NOT_SHOWN,
            format!("empty or longer than {MAX_PERSON_BYTES} bytes"),
            "send the id, or leave the field out",
        )),
        _ => Ok(()),
    }
}

/// Reads telemetry from Kafka. Unknown fields are tolerated: a newer gateway may write more.
///
/// # Errors
/// No JSON, or a field of the wrong type.
pub fn decode(value: &[u8]) -> Result<Telemetry, Invalid> {
    serde_json::from_slice(value).map_err(|e| diagnose::stored::<Wire>(value, &e))
}

/// Writes telemetry for Kafka. A number that is not finite is left out: JSON has none.
pub fn encode(telemetry: &Telemetry) -> Vec<u8> {
    // Writing these structs into memory cannot fail: no map keys, no custom serializers that err.
    serde_json::to_vec(telemetry).unwrap_or_default()
}

/// Reads a flag; also the 2-bit switch of a bus: 0 and 1 are off and on, 2 (error) and 3 (not available) are dropped.
pub(crate) fn flag<'de, D: Deserializer<'de>>(d: D) -> Result<Option<bool>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "true or false")]
    enum Flag {
        Bool(bool),
        Switch(u8),
    }
    match Option::<Flag>::deserialize(d)? {
        None | Some(Flag::Switch(2 | 3)) => Ok(None),
        Some(Flag::Bool(b)) => Ok(Some(b)),
        Some(Flag::Switch(0)) => Ok(Some(false)),
        Some(Flag::Switch(1)) => Ok(Some(true)),
        Some(Flag::Switch(_)) => Err(serde::de::Error::custom("expected true or false")),
    }
}

#[cfg(test)]
mod tests;
