//! Drives trips through a running platform: enrol, listen, send, wait until all is through.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use millrace_contract::{InboundEvent, Notification, WarningLine};
use millrace_trips::Trip;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::line::{Address, Line};
use super::options::{check_speed, host_and_port};
use super::pace::{batches, start_of};
use super::report::Report;
use super::rest::{Rest, body_of};
use super::tell;
use super::wait::{LOOK, TELL, through};
use crate::settings::Secret;

pub use super::error::DriveError;
pub use super::options::{DriveArgs, Via};

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
    let patience = args.patience();
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
        through(&driver.rest, &vehicles, driver.patience).await?;
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

/// Tells the gateway what happened to vehicles, and how many events it took.
///
/// # Errors
/// When the gateway refuses or stays away.
pub async fn tell_events(events: &[InboundEvent], args: &DriveArgs) -> Result<usize, DriveError> {
    let rest = Rest::new(&args.gateway_http, &args.admin_token_file, args.patience())?;
    let mut accepted = 0;
    for batch in events.chunks(usize::from(args.batch).max(1)) {
        let taken = rest.tell(batch).await?;
        if let Some(first) = taken.rejected.first() {
            tracing::warn!(%first, "vehicle events rejected");
        }
        accepted += taken.accepted;
    }
    Ok(accepted)
}

/// One of the trips' vehicles that the gateway knows already, if any.
///
/// # Errors
/// When the gateway refuses or stays away.
pub async fn enrolled_before(
    trips: &[Trip],
    args: &DriveArgs,
) -> Result<Option<String>, DriveError> {
    let rest = Rest::new(&args.gateway_http, &args.admin_token_file, args.patience())?;
    for trip in trips {
        if rest.knows(&trip.vehicle).await? {
            return Ok(Some(trip.vehicle.clone()));
        }
    }
    Ok(None)
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
        if let Some(delays) = report.delays() {
            let _ = write!(
                text,
                ", from event to the first warning of a vehicle {:.2} s in the median, {:.2} s at most",
                delays.first.as_secs_f64(),
                delays.first_longest.as_secs_f64()
            );
            if delays.longest > delays.first_longest {
                let _ = write!(
                    text,
                    ", later ones after {:.2} s at most: the gateway keeps quietSeconds between spoken notices",
                    delays.longest.as_secs_f64()
                );
            }
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
