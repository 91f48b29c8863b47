//! Drives trips through a running platform: enrol, listen, send, wait until all is through.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::ValueEnum;
use jiff::Timestamp;
use millrace_contract::{Notification, WarningLine};
use millrace_trips::Trip;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::line::{Address, Line};
use super::pace::{batches, start_of};
use super::report::Report;
use super::rest::{Rest, body_of};
use crate::gateway::flow::Flow;
use crate::settings::{Secret, SettingsError};

const LOOK: Duration = Duration::from_millis(300);
/// What is slower than this would sleep for days between two samples.
const SLOWEST: f64 = 0.01;
const TELL: Duration = Duration::from_secs(5);

/// How telemetry is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Via {
    /// Batches by POST.
    Http,
    /// Batches by PUBLISH.
    Mqtt,
}

/// Flags of all that drives trips through a platform.
#[derive(Debug, Clone, clap::Args)]
pub struct DriveArgs {
    /// The gateway's HTTP side
    #[arg(
        long,
        env = "MILLRACE_GATEWAY_HTTP",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    pub gateway_http: String,
    /// The gateway's MQTT side, by which notifications come in any case
    #[arg(
        long,
        env = "MILLRACE_GATEWAY_MQTT",
        default_value = "127.0.0.1:1883",
        value_name = "HOST:PORT"
    )]
    pub gateway_mqtt: String,
    /// File with the gateway's admin-token, by which the vehicles are enrolled
    #[arg(long, env = "MILLRACE_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub admin_token_file: PathBuf,
    /// How telemetry is sent
    #[arg(long, value_enum, default_value = "http")]
    pub via: Via,
    /// 0: as fast as it is acknowledged; 1: as it was driven; N: so many times faster, 0.01 at least
    #[arg(long, default_value_t = 0.0, value_name = "N")]
    pub speed: f64,
    /// Most events in one batch
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=5000))]
    pub batch: u16,
    /// How many vehicles send at the same time when the speed is 0
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub parallel: u16,
    /// Longest wait, in seconds, for the gateway to answer and for the platform to get through
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    pub timeout: u64,
    /// Print each warning as a JSON line; progress and summary go to stderr in any case
    #[arg(long)]
    pub json: bool,
}

/// Why driving failed.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The admin token.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// An option.
    #[error("{0}")]
    Option(String),
    /// The gateway refuses; trying again would not help.
    #[error("gateway: {what}: refused with {status}: {answer}")]
    Refused {
        /// The request.
        what: &'static str,
        /// Status code.
        status: u16,
        /// What it said.
        answer: String,
    },
    /// An answer makes no sense.
    #[error(
        "gateway: {what}: {answer}: not an answer of this version; use the same version on both sides"
    )]
    Answer {
        /// The request.
        what: &'static str,
        /// What is wrong.
        answer: String,
    },
    /// The gateway stays away.
    #[error(
        "gateway: {what}: no success in {seconds} s, the last problem: {problem}; see that the gateway is ready"
    )]
    Away {
        /// The request.
        what: &'static str,
        /// The last problem.
        problem: String,
        /// How long it was tried.
        seconds: u64,
    },
    /// MQTT is refused.
    #[error("MQTT: {0}; see that nobody else enrols or uses these vehicles")]
    Mqtt(String),
    /// The platform does not get through.
    #[error("after {seconds} s not all is through: {pending}")]
    Stuck {
        /// How long it was waited for.
        seconds: u64,
        /// What waits, and where.
        pending: String,
    },
    /// Asked to stop.
    #[error("interrupted before all was through")]
    Interrupted,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Summary {
    /// Events acknowledged.
    pub events: usize,
    /// Different warnings received.
    pub warnings: usize,
}

struct Driver {
    args: DriveArgs,
    rest: Rest,
    report: Mutex<Report>,
    sent: Mutex<Sent>,
    slots: Semaphore,
    patience: Duration,
}

#[derive(Debug, Default)]
struct Sent {
    events: usize,
    rejected: usize,
    finished: usize,
}

/// Drives the trips, each as its own vehicle, and prints every warning on stdout as it is received. With
/// `align`, each trip is moved in time so that its last sample is measured when it is sent.
///
/// # Errors
/// When the gateway refuses or stays away, or the platform does not get through in time.
pub async fn drive(
    mut trips: Vec<Trip>,
    align: bool,
    args: &DriveArgs,
    stop: CancellationToken,
) -> Result<Summary, DriveError> {
    check_speed(args.speed)?;
    let (host, port) = host_and_port(&args.gateway_mqtt)?;
    let patience = patience(args);
    let rest = Rest::new(&args.gateway_http, &args.admin_token_file, patience)?;
    // Continues the numbers of any earlier drive of these vehicles: a repeated number is a repeated event.
    let first = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or_default();
    for trip in &mut trips {
        trip.number_from(first);
    }
    let slots = if args.speed > 0.0 {
        trips.len()
    } else {
        usize::from(args.parallel)
    };
    let vehicles: Vec<String> = trips.iter().map(|t| t.vehicle.clone()).collect();
    let driver = Arc::new(Driver {
        args: args.clone(),
        rest,
        report: Mutex::default(),
        sent: Mutex::default(),
        slots: Semaphore::new(slots.max(1)),
        patience,
    });
    let (received, mut incoming) = mpsc::unbounded_channel();
    let listening = stop.child_token();
    let _until_the_end = listening.clone().drop_guard();
    let work = async {
        let lines = driver
            .connect(&vehicles, &host, port, &received, &listening)
            .await?;
        tell(&format!("{} vehicles connected", lines.len()));
        let begin = Instant::now();
        if align {
            let now = Timestamp::now();
            for trip in &mut trips {
                trip.start_at(start_of(trip, args.speed, now));
            }
        }
        *driver.report() = Report::of(&trips);
        driver.send_all(trips, lines).await?;
        driver.wait_through(&vehicles).await?;
        Ok::<Duration, DriveError>(begin.elapsed())
    };
    tokio::pin!(work);
    let elapsed = loop {
        tokio::select! {
            biased;
            Some(notification) = incoming.recv() => driver.print(&notification),
            done = &mut work => break done?,
            () = stop.cancelled() => return Err(DriveError::Interrupted),
        }
    };
    // The gateway may know of a delivery a moment before it is handed over here.
    let until = Instant::now() + LOOK;
    while let Ok(Some(notification)) = tokio::time::timeout_at(until, incoming.recv()).await {
        driver.print(&notification);
    }
    Ok(driver.summary(elapsed))
}

/// One of the trips' vehicles that the gateway knows already, if any.
///
/// # Errors
/// When the gateway refuses or stays away.
pub async fn enrolled_before(
    trips: &[Trip],
    args: &DriveArgs,
) -> Result<Option<String>, DriveError> {
    let rest = Rest::new(&args.gateway_http, &args.admin_token_file, patience(args))?;
    for trip in trips {
        if rest.knows(&trip.vehicle).await? {
            return Ok(Some(trip.vehicle.clone()));
        }
    }
    Ok(None)
}

fn patience(args: &DriveArgs) -> Duration {
    Duration::from_secs(args.timeout.max(1))
}

fn check_speed(speed: f64) -> Result<(), DriveError> {
    if speed == 0.0 || (speed.is_finite() && speed >= SLOWEST) {
        return Ok(());
    }
    Err(DriveError::Option(format!(
        "--speed: {speed}: is neither 0 nor a number from {SLOWEST} on; give 0, 1 or N"
    )))
}

fn host_and_port(text: &str) -> Result<(String, u16), DriveError> {
    text.rsplit_once(':')
        .and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)))
        .filter(|(host, _)| !host.is_empty())
        .ok_or_else(|| {
            DriveError::Option(format!(
                "--gateway-mqtt: {text}: is not HOST:PORT; write for example 127.0.0.1:1883"
            ))
        })
}

impl Driver {
    async fn connect(
        &self,
        vehicles: &[String],
        host: &str,
        port: u16,
        received: &mpsc::UnboundedSender<Notification>,
        stop: &CancellationToken,
    ) -> Result<Vec<(Line, Secret)>, DriveError> {
        let mut lines = Vec::with_capacity(vehicles.len());
        for vehicle in vehicles {
            let token = self.rest.enrol(vehicle).await?;
            let address = Address {
                host: host.to_owned(),
                port,
                vehicle: vehicle.clone(),
                token: token.clone(),
            };
            lines.push((Line::open(address, received.clone(), stop.clone()), token));
        }
        for (line, _) in &lines {
            line.subscribed(self.patience).await?;
        }
        Ok(lines)
    }

    async fn send_all(
        self: &Arc<Self>,
        trips: Vec<Trip>,
        lines: Vec<(Line, Secret)>,
    ) -> Result<(), DriveError> {
        let (count, begin) = (trips.len(), Instant::now());
        let mut tasks = JoinSet::new();
        // The lines outlive the sending: they listen until the end.
        for (trip, line) in trips.into_iter().zip(lines) {
            let driver = Arc::clone(self);
            tasks.spawn(async move { driver.send(&trip, &line.0, &line.1, begin).await });
        }
        let mut due = tokio::time::interval(TELL);
        due.tick().await;
        loop {
            tokio::select! {
                done = tasks.join_next() => match done {
                    None => return Ok(()),
                    Some(Ok(result)) => result?,
                    Some(Err(error)) => return Err(DriveError::Option(format!("a sender ended: {error}"))),
                },
                _ = due.tick() => {
                    let (events, finished) = { let sent = self.sent(); (sent.events, sent.finished) };
                    tell(&format!("{events} events sent, {finished} of {count} trips finished"));
                }
            }
        }
    }

    async fn send(
        &self,
        trip: &Trip,
        line: &Line,
        token: &Secret,
        begin: Instant,
    ) -> Result<(), DriveError> {
        let _slot = self
            .slots
            .acquire()
            .await
            .map_err(|_| DriveError::Interrupted)?;
        for batch in batches(trip, self.args.speed, usize::from(self.args.batch)) {
            tokio::time::sleep_until(begin + batch.due).await;
            if let Some(last) = batch.samples.last() {
                self.report()
                    .sent(&trip.vehicle, last.time, Timestamp::now());
            }
            let (accepted, rejected) = match self.args.via {
                Via::Http => {
                    let taken = self.rest.send(&trip.vehicle, token, batch.samples).await?;
                    if let Some(first) = taken.rejected.first() {
                        tracing::warn!(vehicle = trip.vehicle, %first, "events rejected");
                    }
                    (taken.accepted, taken.rejected.len())
                }
                Via::Mqtt => {
                    line.send(body_of(batch.samples), self.patience).await?;
                    (batch.samples.len(), 0)
                }
            };
            let mut sent = self.sent();
            sent.events += accepted;
            sent.rejected += rejected;
        }
        self.sent().finished += 1;
        Ok(())
    }

    async fn wait_through(&self, vehicles: &[String]) -> Result<(), DriveError> {
        let until = Instant::now() + self.patience;
        let mut told = Instant::now();
        loop {
            let flow = self.rest.flow(vehicles).await?;
            if flow.through {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(DriveError::Stuck {
                    seconds: self.patience.as_secs(),
                    pending: pending(&flow),
                });
            }
            if told.elapsed() > TELL {
                told = Instant::now();
                tell(&format!("waiting: {}", pending(&flow)));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn print(&self, notification: &Notification) {
        let line = self.report().received(notification, Timestamp::now());
        let Some(line) = line else { return };
        let text = if self.args.json {
            serde_json::to_string(&line).unwrap_or_default()
        } else {
            human(&line)
        };
        let mut out = std::io::stdout().lock();
        // Who reads may have gone, as `head` does; the exit status still tells how it went.
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }

    fn summary(&self, elapsed: Duration) -> Summary {
        let (report, sent) = (self.report(), self.sent());
        let mut text = format!(
            "{} events in {:.1} s, {} warnings",
            sent.events,
            elapsed.as_secs_f64(),
            report.warnings()
        );
        if let Some((median, longest)) = report.delays() {
            let _ = write!(
                text,
                ", from event to delivery {:.2} s in the median, {:.2} s at most",
                median.as_secs_f64(),
                longest.as_secs_f64()
            );
        }
        for (count, what) in [
            (sent.rejected, "events rejected"),
            (report.repetitions, "repeated deliveries dropped"),
            (report.earlier, "deliveries of earlier trips left out"),
        ] {
            if count > 0 {
                let _ = write!(text, ", {count} {what}");
            }
        }
        tell(&text);
        Summary {
            events: sent.events,
            warnings: report.warnings(),
        }
    }

    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(text: &str) {
    eprintln!("{text}");
}

fn human(line: &WarningLine) -> String {
    format!(
        "{:.0}  {}  {:8}  {}: {}",
        line.event_time,
        line.vehicle,
        line.severity.as_str(),
        line.rule,
        line.text
    )
}

fn pending(flow: &Flow) -> String {
    let mut parts = Vec::new();
    if flow.telemetry.pending > 0 {
        parts.push(format!(
            "{} telemetry records wait for detection",
            flow.telemetry.pending
        ));
    }
    if flow.alerts.pending > 0 {
        parts.push(format!(
            "{} alert records wait for an action",
            flow.alerts.pending
        ));
    }
    if flow.notifications.undelivered > 0 {
        parts.push(format!(
            "{} notifications are not delivered",
            flow.notifications.undelivered
        ));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds() {
        for good in [0.0, 0.01, 1.0, 1000.0] {
            assert!(check_speed(good).is_ok(), "{good}");
        }
        for bad in [0.009, 1e-300, -1.0, f64::NAN, f64::INFINITY] {
            let e = check_speed(bad).unwrap_err().to_string();
            assert!(
                e.starts_with(&format!("--speed: {bad}")) && e.contains("give"),
                "{e}"
            );
        }
    }

    #[test]
    fn addresses() {
        assert_eq!(
            host_and_port("gateway:1883").unwrap(),
            ("gateway".to_owned(), 1883)
        );
        for bad in ["gateway", ":1883", "gateway:x"] {
            assert!(host_and_port(bad).unwrap_err().to_string().contains(bad));
        }
    }
}
