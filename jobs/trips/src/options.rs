//! The options that every door for recorded trips has.

use std::io::Read;

use jiff::Timestamp;
use millrace_contract::Invalid;

use crate::format::Format;
use crate::inject::{Injection, inject};
use crate::reader::read_trip;
use crate::{Trip, TripError};

/// Where a trip starts when nothing else is said: fixed, so that the same files give the same episodes.
pub const DEFAULT_START: &str = "2026-01-01T00:00:00Z";

/// The options as they were written, whatever parsed the command line.
#[derive(Debug, Clone, Copy, Default)]
pub struct TripArguments<'a> {
    /// `--format`
    pub format: &'a str,
    /// The text in the file of `--mapping`.
    pub mapping: Option<&'a str>,
    /// The text in the file of `--zones`.
    pub zones: Option<&'a str>,
    /// Each `--inject`.
    pub inject: &'a [String],
    /// `--start`
    pub start: Option<&'a str>,
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
        if arguments.zones.is_some() {
            return Err(Invalid::new(
                "zones",
                "(a file)",
                "zones are not supported",
                "leave out --zones",
            ));
        }
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
        Ok(Self {
            format: Format::parse(arguments.format, arguments.mapping)?,
            injections,
            start,
        })
    }

    /// Reads one trip, from [`TripOptions::start`] or else [`DEFAULT_START`] on, and injects the faults.
    ///
    /// # Errors
    /// See [`read_trip`] and [`inject`].
    pub fn read(&self, reader: impl Read, vehicle: &str) -> Result<Trip, TripError> {
        let start = match self.start {
            Some(start) => start,
            None => DEFAULT_START.parse().unwrap_or(Timestamp::UNIX_EPOCH),
        };
        let mut trip = read_trip(reader, &self.format, vehicle, start)?;
        for injection in &self.injections {
            inject(&mut trip, injection)?;
        }
        Ok(trip)
    }
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
            zones: Some("{}"),
            ..base
        })
        .unwrap_err();
        assert_eq!(e.problem, "zones are not supported");
        let e = TripOptions::parse(&TripArguments {
            start: Some("noon"),
            ..base
        })
        .unwrap_err();
        assert_eq!((e.field.as_str(), e.value.as_str()), ("start", "noon"));
        let faults = ["rust@3".to_owned()];
        let e = TripOptions::parse(&TripArguments {
            inject: &faults,
            ..base
        })
        .unwrap_err();
        assert!(e.cure.contains("coolant-ramp"), "{e}");
    }
}
