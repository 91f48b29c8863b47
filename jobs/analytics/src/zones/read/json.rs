//! GeoJSON as it is read: positions as pairs of numbers, since a list of JSON values for each takes ten times the
//! memory; all else as JSON values.

use std::fmt;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::Members;

/// An object of GeoJSON.
#[derive(Debug, Default)]
pub(super) struct Object {
    pub features: Option<Features>,
    pub geometry: Option<Box<Element>>,
    pub coordinates: Option<Coordinates>,
    /// All other members.
    pub members: Members,
}

/// What should be an object of GeoJSON.
#[derive(Debug)]
pub(super) enum Element {
    Object(Object),
    Other(Value),
}

/// What should be a list of features.
#[derive(Debug)]
pub(super) enum Features {
    List(Vec<Element>),
    Other(Value),
}

/// What should be positions, or lists of them.
#[derive(Debug)]
pub(super) enum Coordinates {
    /// Two numbers or more, of which the others mean nothing here.
    Position(f64, f64),
    /// Of anything but numbers.
    List(Vec<Self>),
    Other(Box<Value>),
}

impl Coordinates {
    /// What a message shows of it.
    pub fn shown(&self) -> Value {
        match self {
            Self::Position(x, y) => Value::from(vec![*x, *y]),
            Self::List(items) => Value::Array(vec![Value::Null; items.len()]),
            Self::Other(value) => (**value).clone(),
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Other(value) => value.as_f64(),
            _ => None,
        }
    }

    /// As JSON has it.
    fn into_value(self) -> Value {
        match self {
            Self::Position(x, y) => Value::from(vec![x, y]),
            Self::List(items) => items.into_iter().map(Self::into_value).collect(),
            Self::Other(value) => *value,
        }
    }
}

impl From<Value> for Element {
    fn from(value: Value) -> Self {
        Self::Other(value)
    }
}

impl From<Value> for Features {
    fn from(value: Value) -> Self {
        Self::Other(value)
    }
}

impl From<Value> for Coordinates {
    fn from(value: Value) -> Self {
        Self::Other(Box::new(value))
    }
}

/// What a visitor makes of a text, number, truth value or null.
macro_rules! scalars {
    () => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("GeoJSON")
        }

        fn visit_bool<E: Error>(self, v: bool) -> Result<Self::Value, E> {
            Ok(Value::from(v).into())
        }

        fn visit_i64<E: Error>(self, v: i64) -> Result<Self::Value, E> {
            Ok(Value::from(v).into())
        }

        fn visit_u64<E: Error>(self, v: u64) -> Result<Self::Value, E> {
            Ok(Value::from(v).into())
        }

        fn visit_f64<E: Error>(self, v: f64) -> Result<Self::Value, E> {
            Ok(Value::from(v).into())
        }

        fn visit_str<E: Error>(self, v: &str) -> Result<Self::Value, E> {
            Ok(Value::from(v).into())
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(Value::Null.into())
        }
    };
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ElementVisitor)
    }
}

struct ElementVisitor;

impl<'de> Visitor<'de> for ElementVisitor {
    type Value = Element;

    scalars!();

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Element, A::Error> {
        Ok(Value::deserialize(SeqAccessDeserializer::new(seq))?.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Element, A::Error> {
        let mut object = Object::default();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "features" => object.features = Some(map.next_value()?),
                "geometry" => object.geometry = Some(map.next_value()?),
                "coordinates" => object.coordinates = Some(map.next_value()?),
                _ => {
                    object.members.insert(name, map.next_value()?);
                }
            }
        }
        Ok(Element::Object(object))
    }
}

impl<'de> Deserialize<'de> for Features {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FeaturesVisitor)
    }
}

struct FeaturesVisitor;

impl<'de> Visitor<'de> for FeaturesVisitor {
    type Value = Features;

    scalars!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Features, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = seq.next_element()? {
            list.push(element);
        }
        Ok(Features::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Features, A::Error> {
        Ok(object_of(map)?.into())
    }
}

impl<'de> Deserialize<'de> for Coordinates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CoordinatesVisitor)
    }
}

struct CoordinatesVisitor;

impl<'de> Visitor<'de> for CoordinatesVisitor {
    type Value = Coordinates;

    scalars!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Coordinates, A::Error> {
        let mut list: Vec<Coordinates> = Vec::new();
        while let Some(item) = seq.next_element::<Coordinates>()? {
            let first = list.first().and_then(Coordinates::number);
            if let (1, Some(x), Some(y)) = (list.len(), first, item.number()) {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(Coordinates::Position(x, y));
            }
            list.push(item);
        }
        if list.first().is_some_and(|first| first.number().is_some()) {
            // Something that begins as a position does; the message needs it as it is.
            let values: Value = list.into_iter().map(Coordinates::into_value).collect();
            return Ok(values.into());
        }
        list.shrink_to_fit();
        Ok(Coordinates::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Coordinates, A::Error> {
        Ok(object_of(map)?.into())
    }
}

fn object_of<'de, A: MapAccess<'de>>(mut map: A) -> Result<Value, A::Error> {
    let mut members = Members::new();
    while let Some((name, value)) = map.next_entry()? {
        members.insert(name, value);
    }
    Ok(Value::Object(members))
}
