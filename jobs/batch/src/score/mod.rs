//! `score`: a day of telemetry in the lake to scores of trips, hires and weeks.

pub mod columns;
pub mod day;
pub mod fleet;
pub mod report;
pub mod store;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use millrace_analytics::driving::{Exposure, score};
use millrace_contract::score::ScoreConfig;
use millrace_lake::layout::{Hour, Layout};
use millrace_lake::reader::Records;
use millrace_lake::record::FileEntry;
use millrace_lake::storage::Place;
use millrace_settings::{
    Bindings, DEFAULT_CONFIG, LakeArgs, config_file, config_text, parse_config,
};
use serde_json::json;
use twox_hash::XxHash3_128;

use crate::postgres::PostgresArgs;
use crate::read::Part;
use day::Day;
use fleet::FleetTrip;
use report::ReportArgs;
use store::Origin;

/// Flags of `score`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the lake is.
    #[command(flatten)]
    lake: LakeArgs,
    /// Where PostgreSQL is.
    #[command(flatten)]
    postgres: PostgresArgs,
    /// Whom scores of hires are told to.
    #[command(flatten)]
    report: ReportArgs,
    /// Folder of service bindings: one sub-folder each, with files type, host, password, …
    #[arg(long, env = "SERVICE_BINDING_ROOT", value_name = "DIR")]
    service_binding_root: Option<PathBuf>,
    /// Configuration file, YAML; /etc/millrace/config.yaml is read when it exists
    #[arg(long, env = "MILLRACE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Score this day anew, for example 2026-11-27; may be given several times
    #[arg(long, value_name = "DATE")]
    day: Vec<Date>,
    /// Without --day: look at so many days before today, and score those whose telemetry or definition has changed
    #[arg(long, default_value_t = 7, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=366))]
    catch_up: u16,
    /// Print the trips as lines of JSON and write nothing
    #[arg(long)]
    print: bool,
}

/// What days are computed from.
#[derive(Debug)]
pub struct Source<'a> {
    /// The lake.
    pub storage: &'a Place,
    /// Where the dataset lies in it.
    pub layout: &'a Layout,
    /// The definition.
    pub config: &'a ScoreConfig,
    /// The text that the definition was read from, for those who compute elsewhere.
    pub text: &'a str,
    /// The time zone of days.
    pub zone: &'a TimeZone,
}

/// Who computes the trips of days.
pub trait Engine {
    /// The trips of a day, by vehicle and start.
    ///
    /// # Errors
    /// A file that counts cannot be read, or whoever computes is away.
    fn trips(
        &self,
        day: &Day,
        source: &Source<'_>,
    ) -> impl Future<Output = anyhow::Result<Vec<FleetTrip>>>;
}

/// This process.
#[derive(Debug, Clone, Copy)]
pub struct Local;

impl Engine for Local {
    async fn trips(&self, day: &Day, source: &Source<'_>) -> anyhow::Result<Vec<FleetTrip>> {
        let Source {
            storage,
            layout,
            config,
            zone,
            ..
        } = *source;
        let trips = day.trips(storage, layout, config, zone, Part::WHOLE);
        Ok(trips.await?)
    }
}

/// The configuration that this text of a file holds, checked. An empty text is that of the defaults.
///
/// # Errors
/// It does not fit, or cannot work.
pub fn configuration(path: &Path, text: &str) -> anyhow::Result<(ScoreConfig, TimeZone)> {
    let config: ScoreConfig = parse_config(path, text)?;
    config.validate()?;
    let zone = config.time_zone()?;
    Ok((config, zone))
}

/// Does what is asked, with the days computed by `engine`.
///
/// # Errors
/// The lake or PostgreSQL cannot be used; days that are done stay done, the others are as they were.
pub async fn run(args: Args, engine: &impl Engine) -> anyhow::Result<()> {
    let file = config_file(args.config.as_deref());
    let text = match &file {
        Some(path) => config_text(path)?,
        None => String::new(),
    };
    let path = file.as_deref().unwrap_or(Path::new(DEFAULT_CONFIG));
    let (config, zone) = configuration(path, &text)?;
    let report = args.report.open()?;
    let bindings = || match &args.service_binding_root {
        Some(root) => Bindings::read(root),
        None => Ok(Bindings::default()),
    };
    let storage = args.lake.open(&bindings()?, None, None)?;
    let layout = Layout::new(&config.dataset)?;
    let records = Records::read(&storage, &layout).await?;
    let live = records.live();
    let days = days(&args, &zone, &live)?;
    let source = Source {
        storage: &storage,
        layout: &layout,
        config: &config,
        text: &text,
        zone: &zone,
    };
    if args.print {
        for day in &days {
            let trips = engine.trips(day, &source).await?;
            print(&config, day.date, &trips)?;
        }
        return Ok(());
    }
    let mut client = args.postgres.connect(bindings).await.context(
        "PostgreSQL cannot be reached; nothing was changed, and the next run takes up what was not done",
    )?;
    store::prepare(&client).await?;
    let definition = definition(&config);
    for day in days {
        let origin = Origin {
            content: day.content,
            definition: definition.clone(),
        };
        if day.content.rows == 0 {
            // Retired hours hold nothing any more: their scores stay.
            tracing::info!(day = %day.date, "no telemetry in the lake; nothing is changed");
            continue;
        }
        let same = store::origin(&client, day.date).await?.as_ref() == Some(&origin);
        if same && args.day.is_empty() {
            tracing::info!(day = %day.date, "scored already, and nothing has changed");
            continue;
        }
        let trips = engine.trips(&day, &source).await?;
        store::replace(
            &mut client,
            &config,
            day.date,
            &trips,
            &origin,
            report.is_some(),
        )
        .await
        .with_context(|| format!("{}: not scored; the day is as it was", day.date))?;
        tracing::info!(
            day = %day.date,
            rows = day.content.rows,
            trips = trips.len(),
            "scored"
        );
    }
    if let Some(report) = report {
        let told = report
            .tell(&client)
            .await
            .context("scores are in PostgreSQL, but were not told to the gateway")?;
        tracing::info!(told, "hires told");
    }
    Ok(())
}

// Those that were asked for, else those before today.
fn days(
    args: &Args,
    zone: &TimeZone,
    live: &BTreeMap<Hour, Vec<FileEntry>>,
) -> Result<Vec<Day>, jiff::Error> {
    let dates = if args.day.is_empty() {
        let today = Timestamp::now().to_zoned(zone.clone()).date();
        (1..=i64::from(args.catch_up))
            .rev()
            .map(|ago| today.checked_sub(ago.days()))
            .collect::<Result<Vec<_>, _>>()?
    } else {
        args.day.clone()
    };
    dates
        .into_iter()
        .map(|date| Day::of(date, zone, live))
        .collect()
}

// Days are scored anew when the definition changes.
fn definition(config: &ScoreConfig) -> String {
    format!(
        "{:032x}",
        XxHash3_128::oneshot(format!("1 {config:?}").as_bytes())
    )
}

fn print(config: &ScoreConfig, day: Date, trips: &[FleetTrip]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for trip in trips {
        let drive = &trip.trip.exposure;
        let score = score(config, drive);
        let parts = score.map(|score| score.parts).unwrap_or_default();
        let line = json!({
            "day": day.to_string(),
            "vehicle": trip.vehicle,
            "model": trip.model,
            "hire": trip.hire,
            "started": Timestamp::from_second(trip.trip.start)?.to_string(),
            "ended": Timestamp::from_second(trip.trip.end)?.to_string(),
            "drive": drive_of(drive),
            "score": score.map(|score| score.total),
            "parts": {
                "acceleration": parts.acceleration,
                "braking": parts.braking,
                "turning": parts.turning,
                "speeding": parts.speeding,
                "idling": parts.idling,
                "economy": parts.economy,
                "night": parts.night,
                "longShift": parts.long_shift,
            },
        });
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn drive_of(drive: &Exposure) -> serde_json::Value {
    store::SUMS
        .iter()
        .zip(drive.numbers())
        .map(|(name, number)| ((*name).to_owned(), json!(number)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
