//! `analyse`: vehicle events, alerts and odometers in the lake to the answers of four questions.

pub mod answers;
pub mod days;
pub mod events;
pub mod roads;
pub mod store;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use millrace_contract::analyse::AnalyseConfig;
use millrace_lake::Storage;
use millrace_lake::content::Content;
use millrace_lake::layout::{Hour, Layout};
use millrace_lake::reader::Records;
use millrace_lake::record::FileEntry;
use millrace_settings::{Bindings, LakeArgs, config_file, read_config};
use tokio_postgres::Transaction;

use crate::dates;
use crate::postgres::PostgresArgs;
use crate::read::{Part, fetch};

/// Flags of `analyse`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the lake is.
    #[command(flatten)]
    lake: LakeArgs,
    /// Where PostgreSQL is.
    #[command(flatten)]
    postgres: PostgresArgs,
    /// Folder of service bindings: one sub-folder each, with files type, host, password, …
    #[arg(long, env = "SERVICE_BINDING_ROOT", value_name = "DIR")]
    service_binding_root: Option<PathBuf>,
    /// Configuration file, YAML; /etc/millrace/config.yaml is read when it exists
    #[arg(long, env = "MILLRACE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// A file of stretches by kind of road, CSV, see docs/analysts.md; may be given several times
    #[arg(long, value_name = "FILE")]
    roads: Vec<PathBuf>,
    /// Load every day anew, whether it has changed or not
    #[arg(long)]
    all: bool,
}

/// Does what is asked: loads what has changed in the lake, and computes the answers, in one transaction.
///
/// # Errors
/// The lake or PostgreSQL cannot be used; then everything is as it was.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let config = match config_file(args.config.as_deref()) {
        Some(path) => read_config(&path)?,
        None => AnalyseConfig::default(),
    };
    config.validate()?;
    let bindings = || match &args.service_binding_root {
        Some(root) => Bindings::read(root),
        None => Ok(Bindings::default()),
    };
    let storage = args.lake.open(&bindings()?, None, None)?;
    let stretches = roads::read(&storage, &config.road_files, &args.roads).await?;
    let mut client = args.postgres.connect(bindings).await.context(
        "PostgreSQL cannot be reached; nothing was changed, and the next run takes up what was not done",
    )?;
    store::prepare(&client).await?;
    let transaction = client.transaction().await?;
    store::lock(&transaction).await?;
    let lake = Lake {
        storage: &storage,
        all: args.all,
    };
    for (kind, dataset) in [
        (Kind::VehicleEvents, &config.vehicle_events),
        (Kind::Alerts, &config.alerts),
        (Kind::Telemetry, &config.telemetry),
    ] {
        lake.load(&transaction, kind, dataset)
            .await
            .with_context(|| format!("{dataset}: not loaded; everything is as it was"))?;
    }
    store::stretches(&transaction, &stretches).await?;
    if store::set_run(&transaction, &config).await? {
        answers::compute(&transaction, &config)
            .await
            .context("the answers could not be computed; everything is as it was")?;
    } else {
        tracing::info!("nothing is known of any vehicle yet; there are no answers");
    }
    transaction.commit().await?;
    tracing::info!("answered");
    Ok(())
}

/// What a dataset holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    VehicleEvents,
    Alerts,
    Telemetry,
}

impl Kind {
    /// Whether a day is loaded. `before`: what of it was loaded last; `is_retired`: hours of it were retired; `all`: whether it has
    /// changed or not.
    fn is_due(self, day: &Day, before: Option<&Content>, is_retired: bool, all: bool) -> bool {
        // Telemetry of a day is replaced by what is loaded of it, and this is no longer all of it. Events and alerts are added.
        if self == Self::Telemetry && is_retired && before.is_some() {
            return false;
        }
        all || before != Some(&day.content)
    }
}

/// A day in UTC, and the files that hold it.
pub(crate) struct Day {
    pub(crate) date: Date,
    pub(crate) hours: Vec<Vec<FileEntry>>,
    pub(crate) content: Content,
}

struct Lake<'a, S: Storage> {
    storage: &'a S,
    all: bool,
}

impl<S: Storage> Lake<'_, S> {
    async fn load(
        &self,
        transaction: &Transaction<'_>,
        kind: Kind,
        dataset: &str,
    ) -> anyhow::Result<()> {
        let layout = Layout::new(dataset)?;
        let records = Records::read(self.storage, &layout).await?;
        let loaded = store::loaded(transaction, dataset).await?;
        let retired = dates::retired(&TimeZone::UTC, &records);
        for day in days_of(&records.live()) {
            let before = loaded.get(&day.date);
            if !kind.is_due(&day, before, retired.contains(&day.date), self.all) {
                continue;
            }
            let unreadable = match kind {
                Kind::VehicleEvents => self.load_events(transaction, &layout, &day).await?,
                Kind::Alerts => self.load_alerts(transaction, &layout, &day).await?,
                Kind::Telemetry => self.load_days(transaction, &layout, &day).await?,
            };
            if unreadable > 0 {
                tracing::warn!(dataset, day = %day.date, unreadable, "events that cannot be read are passed over; they stay in the lake");
            }
            store::set_loaded(transaction, dataset, day.date, &day.content, unreadable).await?;
            tracing::info!(dataset, day = %day.date, rows = day.content.rows, "loaded");
        }
        Ok(())
    }

    async fn load_events(
        &self,
        transaction: &Transaction<'_>,
        layout: &Layout,
        day: &Day,
    ) -> anyhow::Result<i64> {
        let mut found = events::Found::default();
        for files in &day.hours {
            for batch in fetch(self.storage, layout, files, events::NAMES, Part::WHOLE).await? {
                found.take_events(&batch)?;
            }
        }
        store::events(transaction, &found.events).await?;
        Ok(found.unreadable)
    }

    async fn load_alerts(
        &self,
        transaction: &Transaction<'_>,
        layout: &Layout,
        day: &Day,
    ) -> anyhow::Result<i64> {
        let mut found = events::Found::default();
        for files in &day.hours {
            for batch in fetch(self.storage, layout, files, events::NAMES, Part::WHOLE).await? {
                found.take_alerts(&batch)?;
            }
        }
        store::alerts(transaction, &found.alerts).await?;
        Ok(found.unreadable)
    }

    async fn load_days(
        &self,
        transaction: &Transaction<'_>,
        layout: &Layout,
        day: &Day,
    ) -> anyhow::Result<i64> {
        let mut fleet = days::Fleet::default();
        for files in &day.hours {
            for batch in fetch(self.storage, layout, files, days::NAMES, Part::WHOLE).await? {
                fleet.take(&batch)?;
            }
        }
        store::days(transaction, day.date, &fleet).await?;
        Ok(fleet.unreadable)
    }
}

/// Hours by their day. An hour of UTC is of one day.
pub(crate) fn days_of(live: &BTreeMap<Hour, Vec<FileEntry>>) -> Vec<Day> {
    let mut days: BTreeMap<Date, Vec<Vec<FileEntry>>> = BTreeMap::new();
    for (hour, files) in live {
        let Ok(start) = jiff::Timestamp::from_microsecond(hour.start_micros()) else {
            continue;
        };
        let date = start.to_zoned(TimeZone::UTC).date();
        days.entry(date).or_default().push(files.clone());
    }
    days.into_iter()
        .map(|(date, hours)| Day {
            date,
            content: Content::total(hours.iter().flatten().map(|file| &file.content)),
            hours,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn what_is_left_of_a_day_of_telemetry_does_not_replace_what_was_loaded() {
        let day = Day {
            date: date(2026, 6, 21),
            hours: Vec::new(),
            content: Content::default(),
        };
        let more = Content {
            rows: 7,
            ..Content::default()
        };
        let is_due = |kind: Kind, before, is_retired| kind.is_due(&day, before, is_retired, true);
        assert!(!is_due(Kind::Telemetry, Some(&more), true));
        assert!(is_due(Kind::Telemetry, Some(&more), false));
        assert!(is_due(Kind::Telemetry, None, true));
        assert!(is_due(Kind::Alerts, Some(&more), true));
        let same = Some(&day.content);
        assert!(!Kind::Alerts.is_due(&day, same, false, false));
        assert!(Kind::Alerts.is_due(&day, Some(&more), false, false));
    }
}
