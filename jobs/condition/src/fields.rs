//! Which fields a condition may name, and their types.

/// The type of a field or of a part of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A number.
    Number,
    /// True or false.
    Flag,
    /// A text.
    Text,
    /// A list of texts or numbers.
    List,
    /// Not known before a record is there. Where types turn out not to fit, the outcome is NULL.
    Any,
}

impl Type {
    /// The word used in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Flag => "a flag (true or false)",
            Self::Text => "a text",
            Self::List => "a list",
            Self::Any => "of any type",
        }
    }

    pub(crate) fn fits(self, other: Self) -> bool {
        self == other || self == Self::Any || other == Self::Any
    }
}

/// The fields of a kind of record.
pub trait Fields {
    /// The type of the field of this dotted path; `None` when there is no such field.
    fn type_of(&self, path: &str) -> Option<Type>;
    /// All names, for messages; empty when every path is a field.
    fn names(&self) -> Vec<&str>;
}

/// A fixed table of fields.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Table<'a>(pub &'a [(&'a str, Type)]);

impl Fields for Table<'_> {
    fn type_of(&self, path: &str) -> Option<Type> {
        self.0.iter().find(|(n, _)| *n == path).map(|(_, t)| *t)
    }

    fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(n, _)| *n).collect()
    }
}

/// Any JSON record: every dotted path is a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnyJson;

impl Fields for AnyJson {
    fn type_of(&self, _path: &str) -> Option<Type> {
        Some(Type::Any)
    }

    fn names(&self) -> Vec<&str> {
        Vec::new()
    }
}

/// The fields of an alert.
pub const ALERT_FIELDS: Table<'static> = Table(&[
    ("id", Type::Text),
    ("vehicle", Type::Text),
    ("hire", Type::Text),
    ("model", Type::Text),
    ("rule", Type::Text),
    ("severity", Type::Text),
    ("episode", Type::Text),
    ("event_time", Type::Text),
    ("detected_at", Type::Text),
    ("signal", Type::Text),
    ("value", Type::Number),
    ("unit", Type::Text),
    ("threshold", Type::Number),
    ("trend_per_minute", Type::Number),
    ("seconds_to_limit", Type::Number),
    ("text", Type::Text),
    ("wheel", Type::Text),
    ("codes", Type::List),
    ("range_km", Type::Number),
    ("zone", Type::Any),
    ("zone.id", Type::Text),
    ("zone.name", Type::Text),
    ("zone.kind", Type::Text),
    ("zone.leaving", Type::Flag),
    ("zone.distance_m", Type::Number),
    ("zone.seconds", Type::Number),
    ("zone.until", Type::Text),
]);

/// The name that was probably meant, when one is near enough.
pub(crate) fn nearest<'a>(name: &str, names: &[&'a str]) -> Option<&'a str> {
    let lower = name.to_lowercase();
    names
        .iter()
        .map(|n| (distance(&lower, &n.to_lowercase()), *n))
        .min()
        .filter(|(d, n)| *d <= 2.max(n.chars().count() / 3))
        .map(|(_, n)| n)
}

/// Levenshtein distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = before + usize::from(x != *y);
            before = row[j + 1];
            row[j + 1] = replaced.min(before + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name() {
        let names = ["coolant_temperature", "oil_temperature", "speed"];
        assert_eq!(
            nearest("coolant_temprature", &names),
            Some("coolant_temperature")
        );
        assert_eq!(nearest("SPEED", &names), Some("speed"));
        assert_eq!(nearest("wind", &names), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
