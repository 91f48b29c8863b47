//! `score`: a day of telemetry in the lake to scores of trips, hires and weeks.

pub mod columns;
pub mod day;
pub mod due;
pub mod fleet;
pub mod report;
pub mod store;
pub mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
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
use tokio_postgres::Client;
use twox_hash::XxHash3_128;

use crate::dates;
use crate::postgres::PostgresArgs;
use crate::read::Part;
use day::Day;
use due::{Rule, State};
use fleet::FleetTrip;
use report::ReportArgs;
use store::Origin;
use tell::Tell;

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
    /// Without --day the first run begins so many days before today, and a new definition has so many days scored anew. What was
    /// never scored, or has changed in the lake, is found from the first run's first day on
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
    let today = Timestamp::now().to_zoned(zone.clone()).date();
    let recent = due::days_before(today, args.catch_up)?;
    let source = Source {
        storage: &storage,
        layout: &layout,
        config: &config,
        text: &text,
        zone: &zone,
    };
    if args.print {
        let dates = if args.day.is_empty() {
            &recent
        } else {
            &args.day
        };
        for date in dates {
            let day = Day::of(*date, &zone, &live)?;
            let trips = engine.trips(&day, &source).await?;
            print(&config, day.date, &trips)?;
        }
        return Ok(());
    }
    let mut client = args.postgres.connect(bindings).await.context(
        "PostgreSQL cannot be reached; nothing was changed, and the next run takes up what was not done",
    )?;
    store::prepare(&client).await?;
    let run = Run {
        source: &source,
        retired: dates::retired(&zone, &records),
        live: &live,
        today,
        recent: &recent,
        asked: &args.day,
        is_told: report.is_some(),
    };
    let scored = run.score(&mut client, engine).await;
    // What is scored is told also where some other day could not be.
    if let Some(report) = &report {
        match report.tell(&client).await {
            Ok(told) => tracing::info!(told, "hires told"),
            Err(error) => {
                let error =
                    error.context("scores are in PostgreSQL, but not all were told to the gateway");
                tracing::error!("{error:#}");
                scored?;
                return Err(error);
            }
        }
    }
    scored
}

/// A run that writes scores.
struct Run<'a> {
    source: &'a Source<'a>,
    live: &'a BTreeMap<Hour, Vec<FileEntry>>,
    /// Days of which hours were retired.
    retired: BTreeSet<Date>,
    today: Date,
    /// Days that a new definition has scored anew, the oldest first.
    recent: &'a [Date],
    /// Days that are asked for by name.
    asked: &'a [Date],
    /// Whether anybody hears of scores.
    is_told: bool,
}

impl Run<'_> {
    /// Scores the days that are due. One that cannot be computed is passed over.
    ///
    /// # Errors
    /// A day could not be computed: all others are done then. Or PostgreSQL fails: then days that are done stay done.
    async fn score(&self, client: &mut Client, engine: &impl Engine) -> anyhow::Result<()> {
        let definition = definition(self.source.config);
        let origins = store::origins(client).await?;
        let oldest = self.recent.first().copied().unwrap_or(self.today);
        let since = store::since(client, oldest).await?;
        let is_asked = !self.asked.is_empty();
        let dates = if is_asked {
            self.asked.to_vec()
        } else {
            self.looked_at(since, &origins)
        };
        let rule = Rule {
            definition: &definition,
            recent: oldest,
            is_asked,
        };
        let mut failed = Vec::new();
        for date in dates {
            let day = Day::of(date, self.source.zone, self.live)?;
            let is_retired = self.retired.contains(&date);
            let before = origins.get(&date);
            let state = rule.state(&day, is_retired, before);
            if state != State::Due {
                leave(date, state, date >= oldest);
                continue;
            }
            if is_retired {
                tracing::warn!(day = %date, "hours of it were retired before it was scored; the rest of it is scored");
            }
            match engine.trips(&day, self.source).await {
                Ok(trips) => {
                    let origin = Origin {
                        content: day.content,
                        definition: definition.clone(),
                    };
                    let tell = self.tell(before);
                    self.replace(client, &day, &trips, &origin, tell).await?;
                }
                Err(error) => {
                    let error = error.context(not_scored(date));
                    tracing::error!("{error:#}");
                    failed.push(error);
                }
            }
        }
        let count = failed.len();
        match failed.into_iter().next() {
            None => Ok(()),
            Some(only) if count == 1 => Err(only),
            Some(first) => Err(first.context(format!(
                "{count} days could not be scored, all others are; one of them"
            ))),
        }
    }

    // What the lake had before the first run is not scored by itself: drivers would be made offers for what is long over.
    fn looked_at(&self, since: Date, origins: &BTreeMap<Date, Origin>) -> Vec<Date> {
        let in_lake = dates::of_hours(self.source.zone, self.live.keys().copied());
        let is_before = |date: &&Date| **date < since && !origins.contains_key(*date);
        let before = in_lake.iter().filter(is_before).count();
        if before > 0 {
            tracing::info!(
                days = before,
                %since,
                "days of the lake that lie before the first run are not scored; --day scores one"
            );
        }
        due::looked_at(self.recent, &in_lake, since, self.today)
    }

    // A day of long ago may change by what concerns few of its hires: the others are not told of once more.
    fn tell(&self, before: Option<&Origin>) -> Tell {
        if !self.is_told {
            Tell::Nothing
        } else if self.asked.is_empty() && before.is_some() {
            Tell::Changed
        } else {
            Tell::All
        }
    }

    async fn replace(
        &self,
        client: &mut Client,
        day: &Day,
        trips: &[FleetTrip],
        origin: &Origin,
        tell: Tell,
    ) -> anyhow::Result<()> {
        let config = self.source.config;
        store::replace(client, config, day.date, trips, origin, tell)
            .await
            .with_context(|| not_scored(day.date))?;
        tracing::info!(
            day = %day.date,
            rows = day.content.rows,
            trips = trips.len(),
            "scored"
        );
        Ok(())
    }
}

fn not_scored(date: Date) -> String {
    format!("{date}: not scored; the day is as it was")
}

// Of all the days of a lake only the latest ones are worth a line each time.
fn leave(date: Date, state: State, is_recent: bool) {
    match state {
        State::Due => {}
        State::Empty => {
            tracing::info!(day = %date, "no telemetry in the lake; nothing is changed");
        }
        State::Retired => {
            tracing::info!(day = %date, "hours of it were retired; its scores stay");
        }
        State::Scored if is_recent => {
            tracing::info!(day = %date, "scored already, and nothing has changed");
        }
        State::Scored => tracing::debug!(day = %date, "scored already, and nothing has changed"),
    }
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
