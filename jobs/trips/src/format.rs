//! The formats of recorded trips.

use millrace_contract::Invalid;

use crate::mapping::Mapping;

/// Names of the formats that can be read.
pub const FORMATS: &[&str] = &["carobd", "csv"];

const CAROBD: &str = include_str!("../formats/carobd.yaml");

/// A format: its name and how its columns become telemetry.
#[derive(Debug, Clone, PartialEq)]
pub struct Format {
    /// One of [`FORMATS`].
    pub name: &'static str,
    /// Columns, built in or given.
    pub mapping: Mapping,
}

impl Format {
    /// The format of this name; `csv` needs the text of a column mapping, the others have theirs built in.
    ///
    /// # Errors
    /// An unknown format, a mapping where none belongs or none where one is needed, or a bad mapping.
    pub fn parse(name: &str, mapping: Option<&str>) -> Result<Self, Invalid> {
        match (name, mapping) {
            ("carobd", None) => Ok(Self {
                name: "carobd",
                mapping: Mapping::parse(CAROBD)?,
            }),
            ("csv", Some(text)) => Ok(Self {
                name: "csv",
                mapping: Mapping::parse(text)?,
            }),
            ("csv", None) => Err(Invalid::new(
                "mapping",
                "",
                "missing",
                "give --mapping M.yaml, which says what the columns mean, for instance \
                 {time: {column: t, unit: seconds}, columns: {Coolant: coolant_temperature}}",
            )),
            ("carobd", Some(_)) => Err(Invalid::new(
                "mapping",
                "",
                format!("the format {name} has its own"),
                "leave out --mapping, or choose --format csv",
            )),
            _ => Err(Invalid::new(
                "format",
                name,
                "this format is not supported",
                format!(
                    "choose one of {}; csv reads any table by a --mapping",
                    FORMATS.join(", ")
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        assert_eq!(Format::parse("carobd", None).unwrap().name, "carobd");
        assert!(
            Format::parse("csv", None)
                .unwrap_err()
                .cure
                .contains("--mapping")
        );
        assert!(
            Format::parse("carobd", Some(""))
                .unwrap_err()
                .cure
                .contains("csv")
        );
        let e = Format::parse("kit_obd2", None).unwrap_err();
        assert_eq!((e.field.as_str(), e.value.as_str()), ("format", "kit_obd2"));
        assert!(e.cure.contains("carobd, csv"));
    }
}
