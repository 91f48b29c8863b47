//! The formats of recorded trips, and the sets that are none.

use millrace_contract::Invalid;

use crate::mapping::Mapping;

/// Names of the formats that can be read.
pub const FORMATS: &[&str] = &[
    "carobd",
    "kit_obd2",
    "rsk_twizy",
    "envirocar",
    "carta_bus_road_class",
    "comma2k19_example",
    "obdb_tpms",
    "csv",
    "geojson",
];

/// How a file is laid out, before the mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Rows of cells under a header line.
    Table,
    /// A collection of points with properties.
    GeoJson,
    /// A folder of NumPy arrays.
    Arrays,
    /// A YAML list of decoded answers.
    Answers,
}

const BUILT_IN: &[(&str, Layout, &str)] = &[
    (
        "carobd",
        Layout::Table,
        include_str!("../formats/carobd.yaml"),
    ),
    (
        "kit_obd2",
        Layout::Table,
        include_str!("../formats/kit_obd2.yaml"),
    ),
    (
        "rsk_twizy",
        Layout::Table,
        include_str!("../formats/rsk_twizy.yaml"),
    ),
    (
        "envirocar",
        Layout::GeoJson,
        include_str!("../formats/envirocar.yaml"),
    ),
    (
        "carta_bus_road_class",
        Layout::Table,
        include_str!("../formats/carta_bus_road_class.yaml"),
    ),
    (
        "comma2k19_example",
        Layout::Arrays,
        include_str!("../formats/comma2k19_example.yaml"),
    ),
    (
        "obdb_tpms",
        Layout::Answers,
        include_str!("../formats/obdb_tpms.yaml"),
    ),
];

const BY_MAPPING: &[(&str, Layout)] = &[("csv", Layout::Table), ("geojson", Layout::GeoJson)];

/// Known sets that are no telemetry of a vehicle: what they are, and what to do.
const NO_TRIPS: &[(&str, &str, &str)] = &[
    (
        "azure_pdm",
        "it is about machines in a hall: their volts, rotation, pressure and vibration, hour by hour, are not \
         those of a vehicle, and the other files are lists of errors, failures and maintenance",
        "choose a set with signals of a vehicle, for instance carobd",
    ),
    (
        "cmapss_fd001",
        "it has cycles of turbofan engines with 21 sensors, none of which a vehicle has",
        "choose a set with signals of a vehicle, for instance carobd",
    ),
    (
        "mtbf_field_data",
        "it has lifetimes of shock absorbers and valve seats, one number for each",
        "choose a set with signals over time, for instance carobd",
    ),
    (
        "geofence_polygons",
        "it has zones",
        "give them with --zones, as GeoJSON, beside trips with positions, for instance rsk_twizy",
    ),
    (
        "standards",
        "it has definitions of signals",
        "choose a set with signals over time, for instance carobd",
    ),
];

/// A format: its name and how its columns become telemetry.
#[derive(Debug, Clone, PartialEq)]
pub struct Format {
    /// One of [`FORMATS`].
    pub name: &'static str,
    /// Columns, built in or given.
    pub mapping: Mapping,
    pub(crate) layout: Layout,
}

impl Format {
    /// The format of this name; `csv` and `geojson` need the text of a column mapping, the others have theirs
    /// built in, and `obdb_tpms` may be given another one.
    ///
    /// # Errors
    /// An unknown format, a set that is no telemetry, a mapping where none belongs or none where one is needed,
    /// or a bad mapping.
    pub fn parse(name: &str, mapping: Option<&str>) -> Result<Self, Invalid> {
        if let Some(&(name, layout)) = BY_MAPPING.iter().find(|(n, _)| *n == name) {
            return match mapping {
                Some(text) => Self::with(name, layout, text),
                None => Err(Invalid::new(
                    "mapping",
                    "",
                    "missing",
                    "give --mapping M.yaml, which says what the columns mean, for instance \
                     {time: {column: t, unit: seconds}, columns: {Coolant: coolant_temperature}}",
                )),
            };
        }
        if let Some(&(name, layout, text)) = BUILT_IN.iter().find(|(n, ..)| *n == name) {
            return match mapping {
                None => Self::with(name, layout, text),
                // Its built-in mapping knows the signals of tyres only.
                Some(given) if layout == Layout::Answers => Self::with(name, layout, given),
                Some(_) => Err(Invalid::new(
                    "mapping",
                    "",
                    format!("the format {name} has its own"),
                    "leave out --mapping, or choose --format csv",
                )),
            };
        }
        if let Some(&(_, what, cure)) = NO_TRIPS.iter().find(|(n, ..)| *n == name) {
            return Err(Invalid::new(
                "format",
                name,
                format!("this is no telemetry: {what}"),
                cure,
            ));
        }
        Err(Invalid::new(
            "format",
            name,
            "this format is not supported",
            format!(
                "choose one of {}; csv reads any table by a --mapping",
                FORMATS.join(", ")
            ),
        ))
    }

    fn with(name: &'static str, layout: Layout, text: &str) -> Result<Self, Invalid> {
        Ok(Self {
            name,
            mapping: Mapping::parse(text)?,
            layout,
        })
    }

    /// Who expects the columns: the user's mapping, or the format.
    pub(crate) fn expecting(&self) -> &'static str {
        let answers = self.layout == Layout::Answers && !self.mapping.columns.is_empty();
        if answers || BY_MAPPING.iter().any(|(n, _)| *n == self.name) {
            "the mapping"
        } else {
            self.name
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        for name in FORMATS {
            match Format::parse(name, None) {
                Ok(format) => assert_eq!(format.name, *name),
                Err(e) => assert!(
                    ["csv", "geojson"].contains(name) && e.cure.contains("--mapping"),
                    "{e}"
                ),
            }
        }
        assert!(
            Format::parse("carobd", Some(""))
                .unwrap_err()
                .cure
                .contains("csv")
        );
        let e = Format::parse("kit-obd2", None).unwrap_err();
        assert_eq!((e.field.as_str(), e.value.as_str()), ("format", "kit-obd2"));
        assert!(e.cure.contains("carobd, kit_obd2"));
    }

    #[test]
    fn sets_that_are_no_trips_say_what_they_are() {
        for (name, what, _) in NO_TRIPS {
            let e = Format::parse(name, None).unwrap_err();
            assert!(e.problem.contains(what) && !e.cure.is_empty(), "{e}");
        }
    }
}
