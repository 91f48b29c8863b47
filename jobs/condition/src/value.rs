//! Values of fields, and the records that hold them.

use serde_json::Value as Json;

/// The value of a field of a record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Not there, or unknown.
    Null,
    /// A finite number.
    Number(f64),
    /// True or false.
    Flag(bool),
    /// A text.
    Text(&'a str),
    /// A list.
    List(List<'a>),
    /// Something that is there but can be compared with nothing, such as an object.
    Other,
}

/// A list in a record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum List<'a> {
    /// Of texts.
    Texts(&'a [String]),
    /// Of JSON values.
    Json(&'a [Json]),
}

impl<'a> List<'a> {
    pub(crate) fn items(self) -> impl Iterator<Item = Value<'a>> {
        let (texts, json): (&[String], &[Json]) = match self {
            Self::Texts(t) => (t, &[]),
            Self::Json(j) => (&[], j),
        };
        texts
            .iter()
            .map(|t| Value::Text(t))
            .chain(json.iter().map(Value::from))
    }
}

impl Value<'_> {
    /// A number; NULL when it is not finite.
    pub fn number(value: f64) -> Self {
        if value.is_finite() {
            Self::Number(value)
        } else {
            Self::Null
        }
    }
}

impl<'a> From<&'a Json> for Value<'a> {
    fn from(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(b) => Self::Flag(*b),
            Json::Number(n) => n.as_f64().map_or(Self::Null, Self::number),
            Json::String(s) => Self::Text(s),
            Json::Array(items) => Self::List(List::Json(items)),
            Json::Object(_) => Self::Other,
        }
    }
}

/// A record that conditions are evaluated over.
pub trait Row {
    /// The value of the field of this dotted path; NULL when it is not there.
    fn get(&self, path: &str) -> Value<'_>;
}

/// A path `a.b` is the member `b` of the member `a`; a member whose name itself is `a.b` goes first.
impl Row for Json {
    fn get(&self, path: &str) -> Value<'_> {
        find(self, path).map_or(Value::Null, Value::from)
    }
}

fn find<'a>(json: &'a Json, path: &str) -> Option<&'a Json> {
    let members = json.as_object()?;
    if let Some(found) = members.get(path) {
        return Some(found);
    }
    let (first, rest) = path.split_once('.')?;
    find(members.get(first)?, rest)
}
