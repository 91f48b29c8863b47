//! Sends recorded trips to a running platform and prints the warnings as the vehicles receive them.

pub mod drive;
mod error;
mod line;
mod options;
pub(crate) mod pace;
mod report;
mod rest;
mod wait;

use std::path::{Path, PathBuf};

use millrace_contract::{Invalid, check_vehicle_id};
use millrace_trips::{FORMATS, Trip, TripArguments, TripError, TripOptions, inject_help};
use tokio_util::sync::CancellationToken;

use self::drive::{DriveArgs, DriveError, drive, enrolled_before};

/// Flags of replay.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Format of the files
    #[arg(long, value_name = "FORMAT", help = format!("Format of the files: {}", FORMATS.join(", ")))]
    pub format: String,
    /// Column mapping, for the formats csv and geojson, and for obdb_tpms where its own does not do
    #[arg(long, value_name = "FILE")]
    pub mapping: Option<PathBuf>,
    /// Refused: the zones that a platform warns of are its own, in spec.detect.zones
    #[arg(long, value_name = "FILE", hide = true)]
    pub zones: Vec<PathBuf>,
    /// Fault to be put into every trip, SECONDS after its first sample; may be repeated
    #[arg(long, value_name = "FAULT@SECONDS[:RATE[:OPTION]]", long_help = inject_help())]
    pub inject: Vec<String>,
    /// One event for each so many seconds instead of one for each row [default: as the format has it]
    #[arg(long, value_name = "SECONDS")]
    pub resample: Option<f64>,
    /// Event time of each trip's first sample, RFC 3339; else chosen so that the last sample is measured now
    #[arg(long, value_name = "TIME")]
    pub start: Option<String>,
    /// Put before each vehicle id, which is the file's name without endings
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub vehicle_prefix: String,
    /// How they are sent
    #[command(flatten)]
    pub drive: DriveArgs,
    /// Recorded trips, one vehicle each; gzip is read. Folders for formats that are folders
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Why a replay failed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// An option, a vehicle id, or two files of one vehicle.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The mapping cannot be opened.
    #[error("{}: cannot be read: {source}; give a readable file", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not a trip of this format.
    #[error("{}: {source}", path.display())]
    Trip {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<TripError>,
    },
    /// Sending them.
    #[error(transparent)]
    Drive(#[from] DriveError),
}

/// Replays the files; comes back when all warnings have been received.
///
/// # Errors
/// When a file is not readable, the gateway refuses, or the platform does not get through in time.
pub async fn run(args: Args, stop: CancellationToken) -> Result<(), ReplayError> {
    let mapping = args.mapping.as_deref().map(text_of).transpose()?;
    if let Some(file) = args.zones.first() {
        return Err(Invalid::new(
            "zones",
            file.display().to_string(),
            "a platform warns of its own zones",
            "name a ConfigMap with them in spec.detect.zones of the Platform, or try them with millrace-local run",
        )
        .into());
    }
    let options = TripOptions::parse(&TripArguments {
        format: &args.format,
        mapping: mapping.as_deref(),
        inject: &args.inject,
        start: args.start.as_deref(),
        resample: args.resample,
    })?;
    options.check_distinct(&args.files)?;
    let mut trips = Vec::with_capacity(args.files.len());
    for path in &args.files {
        let trip = read(path, &args.vehicle_prefix, &options)?;
        for note in &trip.notes {
            tracing::info!(file = %path.display(), note);
        }
        trips.push(trip);
    }
    if options.start.is_some()
        && let Some(vehicle) = enrolled_before(&trips, &args.drive).await?
    {
        eprintln!(
            "note: vehicle {vehicle} was enrolled before; warnings that it was told of in a replay with this \
             --start are not told again: use another --vehicle-prefix to see them again"
        );
    }
    drive(trips, options.start.is_none(), &args.drive, stop).await?;
    Ok(())
}

fn read(path: &Path, prefix: &str, options: &TripOptions) -> Result<Trip, ReplayError> {
    let vehicle = format!("{prefix}{}", options.vehicle_of(path)?);
    check_vehicle_id(&vehicle)?;
    options
        .read_path(path, &vehicle)
        .map_err(|source| ReplayError::Trip {
            path: path.to_path_buf(),
            source: Box::new(source),
        })
}

/// A line about the progress: stdout is for warnings.
pub(crate) fn tell(text: &str) {
    eprintln!("{text}");
}

fn text_of(path: &Path) -> Result<String, ReplayError> {
    std::fs::read_to_string(path).map_err(|source| ReplayError::File {
        path: path.to_path_buf(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[tokio::test]
    async fn two_files_of_one_vehicle_are_refused_before_anything_is_sent() {
        let line = [
            "replay",
            "--format",
            "carobd",
            "--admin-token-file",
            "/nonexistent",
            "a/drive1.csv",
            "b/drive1.csv",
        ];
        let args = Line::parse_from(line).args;
        let e = run(args, CancellationToken::new()).await.unwrap_err();
        assert!(matches!(e, ReplayError::Invalid(_)), "{e}");
        let text = e.to_string();
        assert!(
            text.contains("a/drive1.csv and b/drive1.csv") && text.contains("rename"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn zones_are_the_platforms() {
        let line = [
            "replay",
            "--format",
            "carobd",
            "--admin-token-file",
            "/nonexistent",
            "--zones",
            "z.geojson",
            "a.csv",
        ];
        let e = run(Line::parse_from(line).args, CancellationToken::new())
            .await
            .unwrap_err();
        assert!(e.to_string().contains("spec.detect.zones"), "{e}");
    }
}
