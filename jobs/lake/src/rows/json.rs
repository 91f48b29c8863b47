//! Telemetry read from JSON without a struct in between: the texts are borrowed, the numbers go to their columns.

use std::borrow::Cow;
use std::fmt;

use millrace_contract::{FIELDS, Kind};
use serde::de::{
    DeserializeSeed, Deserializer as _, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::time::micros;

/// A bit for each field must be there.
const MOST_FIELDS: usize = 64;
const _: () = assert!(FIELDS.len() <= MOST_FIELDS);

/// Fields that are not signals, before those of the contract.
pub(super) const COMMON: [&str; 5] = ["vehicle", "sequence", "time", "hire", "model"];

/// Every whole number up to this is a double, too.
const EXACT: u64 = 1 << 53;

/// What the columns say of a record's value.
#[derive(Debug)]
pub struct Parsed<'a> {
    /// The vehicle's id.
    pub vehicle: Option<Cow<'a, str>>,
    /// The event's number.
    pub sequence: Option<i64>,
    /// The event time, in microseconds since 1970.
    pub time: Option<i64>,
    /// The pseudonym of the hire.
    pub hire: Option<Cow<'a, str>>,
    /// The vehicle's model.
    pub model: Option<Cow<'a, str>>,
    /// Whether the columns say all of it.
    pub exact: bool,
    /// Whether it is an event at all.
    pub readable: bool,
    numbers: [f64; MOST_FIELDS],
    // A bit for each field that is there.
    present: u64,
    flags: u64,
    codes: Vec<(usize, Vec<Cow<'a, str>>)>,
}

impl Default for Parsed<'_> {
    fn default() -> Self {
        Self {
            vehicle: None,
            sequence: None,
            time: None,
            hire: None,
            model: None,
            exact: true,
            readable: true,
            numbers: [0.0; MOST_FIELDS],
            present: 0,
            flags: 0,
            codes: Vec::new(),
        }
    }
}

#[cfg(test)]
impl PartialEq for Parsed<'_> {
    fn eq(&self, other: &Self) -> bool {
        let texts = |one: &Self| (one.vehicle.clone(), one.hire.clone(), one.model.clone());
        let bits = |one: &Self| -> Vec<Option<u64>> {
            let number = |n| one.number(n).map(f64::to_bits);
            (0..MOST_FIELDS).map(number).collect()
        };
        let flags = |one: &Self| -> Vec<_> { (0..MOST_FIELDS).map(|n| one.flag(n)).collect() };
        texts(self) == texts(other)
            && (self.sequence, self.time, self.exact, self.readable)
                == (other.sequence, other.time, other.exact, other.readable)
            && bits(self) == bits(other)
            && flags(self) == flags(other)
            && self.codes == other.codes
    }
}

impl<'a> Parsed<'a> {
    fn unreadable() -> Self {
        Self {
            exact: false,
            readable: false,
            ..Self::default()
        }
    }

    // As it is in the beginning. Numbers that are not present say nothing.
    pub(super) fn clear(&mut self) {
        (self.vehicle, self.sequence, self.time) = (None, None, None);
        (self.hire, self.model) = (None, None);
        (self.exact, self.readable) = (true, true);
        (self.present, self.flags) = (0, 0);
        self.codes.clear();
    }

    pub(super) fn set_number(&mut self, field: usize, number: f64) {
        self.numbers[field] = number;
        self.present |= 1 << field;
    }

    pub(super) fn set_flag(&mut self, field: usize, flag: bool) {
        self.flags |= u64::from(flag) << field;
        self.present |= 1 << field;
    }

    pub(super) fn set_codes(&mut self, field: usize, codes: Vec<Cow<'a, str>>) {
        self.codes.push((field, codes));
        self.present |= 1 << field;
    }

    fn has(&self, field: usize) -> bool {
        self.present & (1 << field) != 0
    }

    /// The fields that are there, in their order.
    pub(super) fn fields(&self) -> impl Iterator<Item = usize> {
        let mut left = self.present;
        std::iter::from_fn(move || {
            let next = (left != 0).then(|| left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(next)
        })
    }

    pub(super) fn number(&self, field: usize) -> Option<f64> {
        self.has(field).then(|| self.numbers[field])
    }

    pub(super) fn flag(&self, field: usize) -> Option<bool> {
        self.has(field).then(|| self.flags & (1 << field) != 0)
    }

    pub(super) fn codes(&self, field: usize) -> Option<&[Cow<'a, str>]> {
        let found = self.codes.iter().find(|(n, _)| *n == field)?;
        Some(&found.1)
    }

    // Puts a value where it belongs; false when the columns cannot say it.
    fn set(&mut self, key: usize, value: Value<'a>) -> bool {
        let Some(field) = key.checked_sub(COMMON.len()) else {
            return self.set_common(key, value);
        };
        match (FIELDS[field].kind, value) {
            (_, Value::Null) => return true,
            (Kind::Number, Value::Whole(n)) => {
                self.set_number(field, n as f64);
                return n.unsigned_abs() <= EXACT;
            }
            (Kind::Number, Value::Fraction(n)) => self.set_number(field, n),
            (Kind::Flag, Value::Flag(flag)) => self.set_flag(field, flag),
            (Kind::Codes, Value::Texts(codes)) => self.set_codes(field, codes),
            _ => return false,
        }
        true
    }

    fn set_common(&mut self, key: usize, value: Value<'a>) -> bool {
        match (key, value) {
            (0, Value::Text(text)) => self.vehicle = Some(text),
            (1, Value::Whole(n)) if n >= 0 => self.sequence = Some(n),
            (2, Value::Text(text)) => {
                self.time = micros(&text);
                return self.time.is_some();
            }
            (3, Value::Text(text)) => self.hire = Some(text),
            (4, Value::Text(text)) => self.model = Some(text),
            (3 | 4, Value::Null) => {}
            _ => return false,
        }
        true
    }
}

/// Reads a record's value.
#[must_use]
pub fn parse(value: Option<&[u8]>) -> Parsed<'_> {
    let Some(value) = value else {
        return Parsed::unreadable();
    };
    let mut parsed = Parsed::default();
    let mut json = serde_json::Deserializer::from_slice(value);
    let read = json
        .deserialize_map(Object(&mut parsed))
        .and_then(|()| json.end());
    if read.is_err() {
        return Parsed::unreadable();
    }
    parsed.readable =
        parsed.vehicle.is_some() && parsed.sequence.is_some() && parsed.time.is_some();
    parsed.exact &= parsed.readable;
    parsed
}

struct Object<'p, 'a>(&'p mut Parsed<'a>);

impl<'de> Visitor<'de> for Object<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = 0_u128;
        let mut next = 0;
        while let Some(key) = map.next_key_seed(Key(next))? {
            let Some(key) = key else {
                map.next_value::<IgnoredAny>()?;
                self.0.exact = false;
                continue;
            };
            next = key + 1;
            let value = map.next_value_seed(Any)?;
            let twice = seen & (1 << key) != 0;
            seen |= 1 << key;
            if !self.0.set(key, value) || twice {
                self.0.exact = false;
            }
        }
        Ok(())
    }
}

// Which field a key names; writers keep the order of the contract, so it is mostly one of the next.
struct Key(usize);

pub(super) fn name(key: usize) -> Option<&'static str> {
    COMMON.get(key).copied().or_else(|| {
        FIELDS
            .get(key.checked_sub(COMMON.len())?)
            .map(|field| field.name)
    })
}

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<usize>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let all = COMMON.len() + FIELDS.len();
        Ok((self.0..all)
            .chain(0..self.0.min(all))
            .find(|key| name(*key) == Some(text)))
    }
}

enum Value<'a> {
    Null,
    Flag(bool),
    Whole(i64),
    Fraction(f64),
    Text(Cow<'a, str>),
    Texts(Vec<Cow<'a, str>>),
    // What no column takes.
    Other,
}

struct Any;

impl<'de> DeserializeSeed<'de> for Any {
    type Value = Value<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Value::Flag(flag))
    }

    fn visit_i64<E: Error>(self, n: i64) -> Result<Self::Value, E> {
        Ok(Value::Whole(n))
    }

    fn visit_u64<E: Error>(self, n: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(n).map_or(Value::Other, Value::Whole))
    }

    fn visit_f64<E: Error>(self, n: f64) -> Result<Self::Value, E> {
        Ok(Value::Fraction(n))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut texts = Some(Vec::new());
        while let Some(value) = list.next_element_seed(Any)? {
            match (value, &mut texts) {
                (Value::Text(text), Some(texts)) => texts.push(text),
                _ => texts = None,
            }
        }
        Ok(texts.map_or(Value::Other, Value::Texts))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
}
