//! The options that every door for recorded trips has.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use jiff::Timestamp;
use millrace_contract::{Invalid, check_vehicle_id};

use crate::format::{Format, Layout};
use crate::inject::{Injection, inject};
use crate::reader::{Origin, SignalSet, read_arrays, read_signals, read_stream};
use crate::{Trip, TripError, vehicle_of};

/// Where a trip starts when nothing else is said and its file does not tell: fixed, so that the same files give
/// the same episodes.
pub const DEFAULT_START: &str = "2026-01-01T00:00:00Z";

/// Where the set of signals of a model lies, in one of so many folders above its answers.
const SIGNALS: &[&str] = &[
    "signalset_v3_default.json.gz",
    "signalset_v3_default.json",
    "signalsets/v3/default.json",
];
const SIGNALS_ABOVE: usize = 5;

/// The options as they were written, whatever parsed the command line.
#[derive(Debug, Clone, Copy, Default)]
pub struct TripArguments<'a> {
    /// `--format`
    pub format: &'a str,
    /// The text in the file of `--mapping`.
    pub mapping: Option<&'a str>,
    /// Each `--inject`.
    pub inject: &'a [String],
    /// `--start`
    pub start: Option<&'a str>,
    /// `--resample`, in seconds
    pub resample: Option<f64>,
}

/// How trips are read and what is injected.
#[derive(Debug, Clone, PartialEq)]
pub struct TripOptions {
    /// Format with its mapping.
    pub format: Format,
    /// Faults, in the order in which they are applied.
    pub injections: Vec<Injection>,
    /// Event time of the first sample, where it was given.
    pub start: Option<Timestamp>,
}

impl TripOptions {
    /// Understands and checks the options.
    ///
    /// # Errors
    /// Names the option, its value and the cure.
    pub fn parse(arguments: &TripArguments<'_>) -> Result<Self, Invalid> {
        let injections = arguments
            .inject
            .iter()
            .map(|text| text.parse())
            .collect::<Result<_, _>>()?;
        let start = arguments
            .start
            .map(|text| {
                text.parse::<Timestamp>()
                    .map(millrace_contract::time::truncate)
                    .map_err(|_| {
                        Invalid::new(
                            "start",
                            text,
                            "not an RFC 3339 time with an offset",
                            format!("write for instance {DEFAULT_START}"),
                        )
                    })
            })
            .transpose()?;
        let mut format = Format::parse(arguments.format, arguments.mapping)?;
        if let Some(seconds) = arguments.resample {
            format.mapping.resample_to(seconds)?;
        }
        Ok(Self {
            format,
            injections,
            start,
        })
    }

    /// Reads one trip and injects the faults. Its first sample lies at [`TripOptions::start`], or when it was
    /// recorded, or else at [`DEFAULT_START`].
    ///
    /// # Errors
    /// See [`crate::read_trip`] and [`inject`].
    pub fn read(&self, reader: impl Read, vehicle: &str) -> Result<Trip, TripError> {
        self.finish(read_stream(
            reader,
            &self.format,
            &Origin::of(vehicle),
            self.start,
        )?)
    }

    /// Reads one trip from a file, or from a folder where the format is one of folders; as [`TripOptions::read`].
    ///
    /// # Errors
    /// It cannot be opened; and as [`TripOptions::read`].
    pub fn read_path(&self, path: &Path, vehicle: &str) -> Result<Trip, TripError> {
        let origin = Origin {
            vehicle,
            file_name: path
                .file_name()
                .map(|n| n.to_string_lossy().into_owned())
                .unwrap_or_default(),
            signals: match self.format.layout {
                Layout::Answers if self.format.mapping.columns.is_empty() => signals_above(path)?,
                _ => None,
            },
        };
        let folders = self.format.layout == Layout::Arrays;
        if folders != path.is_dir() && path.exists() {
            let (problem, cure) = if folders {
                (
                    "a trip of this format is a folder",
                    "name the folder with CAN and GNSS in it",
                )
            } else {
                ("this is a folder", "name the files in it")
            };
            return Err(Invalid::new("file", path.display().to_string(), problem, cure).into());
        }
        let trip = if folders {
            read_arrays(path, &self.format, &origin, self.start)?
        } else {
            let file = File::open(path).map_err(|source| TripError::Open {
                name: origin.file_name.clone(),
                source,
            })?;
            read_stream(file, &self.format, &origin, self.start)?
        };
        self.finish(trip)
    }

    fn finish(&self, mut trip: Trip) -> Result<Trip, TripError> {
        for injection in &self.injections {
            inject(&mut trip, injection)?;
        }
        Ok(trip)
    }

    /// The vehicle id for a file: see [`vehicle_of`]; for formats whose files all have the same names, of the
    /// folders that they are in.
    ///
    /// # Errors
    /// The names give no id.
    pub fn vehicle_of(&self, path: &Path) -> Result<String, Invalid> {
        let folders = self.format.mapping.vehicle_folders;
        if folders == 0 {
            return vehicle_of(path);
        }
        let mut names: Vec<String> = path
            .ancestors()
            .skip(1)
            .filter_map(|p| p.file_name())
            .take(folders)
            .map(|n| n.to_string_lossy().into_owned())
            .collect();
        names.reverse();
        if names.is_empty() {
            return vehicle_of(path);
        }
        let id: String = names
            .join("-")
            .chars()
            .map(|c| match c {
                c if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') => c,
                _ => '-',
            })
            .take(millrace_contract::vehicle::MAX_LENGTH)
            .collect();
        check_vehicle_id(&id)?;
        Ok(id)
    }

    /// Refuses files that would be trips of one vehicle: their events would be taken for one drive.
    ///
    /// # Errors
    /// Names the two files and their id. Files that give no id are passed over: [`TripOptions::vehicle_of`]
    /// tells of them.
    pub fn check_distinct(&self, files: &[impl AsRef<Path>]) -> Result<(), Invalid> {
        let mut seen: BTreeMap<String, &Path> = BTreeMap::new();
        for file in files.iter().map(AsRef::as_ref) {
            let Ok(id) = self.vehicle_of(file) else {
                continue;
            };
            if let Some(other) = seen.insert(id.clone(), file) {
                return Err(Invalid::new(
                    "vehicle",
                    id,
                    format!(
                        "{} and {} both give this vehicle id",
                        other.display(),
                        file.display()
                    ),
                    "give each file once, and rename one of two that differ",
                ));
            }
        }
        Ok(())
    }
}

/// The set of signals that lies nearest above a file of answers.
fn signals_above(path: &Path) -> Result<Option<SignalSet>, TripError> {
    for folder in path.ancestors().skip(1).take(SIGNALS_ABOVE) {
        for name in SIGNALS {
            let path = folder.join(name);
            if !path.is_file() {
                continue;
            }
            return File::open(&path)
                .and_then(read_signals)
                .map(Some)
                .map_err(|source| TripError::Open {
                    name: (*name).to_owned(),
                    source,
                });
        }
    }
    Ok(None)
}

pub(crate) fn default_start() -> Timestamp {
    DEFAULT_START.parse().unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_checked() {
        let base = TripArguments {
            format: "carobd",
            ..TripArguments::default()
        };
        let options = TripOptions::parse(&base).unwrap();
        let trip = options
            .read(
                "ENGINE_RUN_TINE (),VEHICLE_SPEED ()\n5,1,\n".as_bytes(),
                "c",
            )
            .unwrap();
        assert_eq!(trip.samples[0].time.to_string(), DEFAULT_START);
        let e = TripOptions::parse(&TripArguments {
            start: Some("noon"),
            ..base
        })
        .unwrap_err();
        assert_eq!((e.field.as_str(), e.value.as_str()), ("start", "noon"));
        let e = TripOptions::parse(&TripArguments {
            resample: Some(0.0),
            ..base
        })
        .unwrap_err();
        assert_eq!((e.field.as_str(), e.value.as_str()), ("resample", "0"));
        let slow = TripOptions::parse(&TripArguments {
            resample: Some(10.0),
            ..base
        })
        .unwrap();
        let rows: String = (0..60).map(|s| format!("{s},{s}\n")).collect();
        let text = format!("ENGINE_RUN_TINE (),VEHICLE_SPEED ()\n{rows}");
        let trip = slow.read(text.as_bytes(), "c").unwrap();
        let speeds: Vec<_> = trip.samples.iter().filter_map(|s| s.speed).collect();
        assert_eq!(speeds, [9.0, 19.0, 29.0, 39.0, 49.0, 59.0]);
        let faults = ["rust@3".to_owned()];
        let e = TripOptions::parse(&TripArguments {
            inject: &faults,
            ..base
        })
        .unwrap_err();
        assert!(e.cure.contains("coolant-ramp"), "{e}");
    }

    #[test]
    fn two_files_of_one_vehicle_are_named() {
        let options = |format| {
            TripOptions::parse(&TripArguments {
                format,
                ..TripArguments::default()
            })
            .unwrap()
        };
        let tables = options("carobd");
        assert!(
            tables
                .check_distinct(&["a/drive1.csv", "a/drive2.csv", "/", "/"])
                .is_ok()
        );
        let e = tables
            .check_distinct(&["x.csv", "a/drive1.csv", "b/drive1.csv.gz"])
            .unwrap_err();
        assert_eq!((e.field.as_str(), e.value.as_str()), ("vehicle", "drive1"));
        assert!(
            e.problem.contains("a/drive1.csv and b/drive1.csv.gz") && e.cure.contains("rename"),
            "{e}"
        );
        let answers = options("obdb_tpms");
        let files = [
            "d/Toyota-RAV4/2019/7.yaml.gz",
            "d/Toyota-RAV4/2020/7.yaml.gz",
        ];
        assert!(answers.check_distinct(&files).is_ok());
        assert_eq!(
            answers.vehicle_of(Path::new(files[0])).unwrap(),
            "Toyota-RAV4-2019"
        );
        assert_eq!(answers.vehicle_of(Path::new("7.yaml")).unwrap(), "7");
    }
}
