//! From an event to its alert under a steady load, beside a program that copies such events in transactions.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use millrace_analytics::{Detector, Rules, VehicleState, Zones};
use millrace_contract::{Alert, Telemetry, codec};
use millrace_stream::connect::{
    CompactedReader, GroupConsumer, GroupSettings, Lookup, Producer, ReadEvent, Record,
    TransactionalProducer,
};
use tokio_util::sync::CancellationToken;

use crate::bench_support::{Ignored, enqueue, group, percentile};
use crate::place::{FLUSH, Place};

/// The highest load, in events per second: beyond it the feeding itself would be measured.
const MOST: f64 = 30_000.0;
/// A load is carried when half of the alerts are there within so many milliseconds.
const CARRIED: f64 = 500.0;
const ROUNDS: u32 = 6;
const PER_VEHICLE: u64 = 220;
/// One in so many vehicles has a fault.
const FAULTY: u64 = 8;
const SLICE: Duration = Duration::from_millis(10);

/// Vehicle and sequence number of an event.
type Mark = (String, u64);
type Sent = Arc<Mutex<HashMap<Mark, Instant>>>;

struct Load {
    // Vehicle, value and, where it raises an alert, the mark. The values of those end in a blank, which JSON
    // allows: so the peer knows them without reading JSON.
    events: Vec<(String, Vec<u8>, Option<Mark>)>,
    // By alert id.
    alerts: HashMap<String, Mark>,
}

/// What was measured at a load that both sides carried.
pub struct Times {
    /// Events per second.
    pub load: f64,
    /// From an event to its alert.
    pub ours: Vec<Duration>,
    /// From an event to its copy.
    pub peer: Vec<Duration>,
}

/// Halves the load until the median of both sides is below [`CARRIED`]: of a side that cannot keep up, only the
/// length of its queue would be measured.
pub async fn run(place: &Place, rate: f64, time: Duration) -> anyhow::Result<Times> {
    let mut load = rate.min(MOST);
    for round in 0..ROUNDS {
        let (ours, peer) = at(place, load, time, round).await?;
        if percentile(&ours, 0.5)?.max(percentile(&peer, 0.5)?) < CARRIED {
            return Ok(Times { load, ours, peer });
        }
        load /= 2.0;
    }
    anyhow::bail!("not even {load:.0} events a second are carried by both sides")
}

async fn at(
    place: &Place,
    rate: f64,
    time: Duration,
    round: u32,
) -> anyhow::Result<(Vec<Duration>, Vec<Duration>)> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // some thousand
    let vehicles = ((rate * time.as_secs_f64()) as u64 / PER_VEHICLE).max(FAULTY * 8);
    let load = load(vehicles)?;
    eprintln!(
        "{rate:.0} events a second of {vehicles} vehicles, {} with an alert",
        load.alerts.len()
    );
    // Topics and groups of its own: no round reads what another has left.
    let name = |part: &str| format!("{part}-{round}");
    let (live, ours, copied) = (name("live"), name("ours"), name("copied"));
    let copy_group = name("copy");
    let copies = format!("{copy_group}-alerts");
    let mut topics = Place::detect_topics(&live);
    topics.extend([ours.clone(), copied.clone(), copies.clone()]);
    place.topics(&topics).await?;

    let detect = place.detect(&live, &ours)?;
    let of_alert = |record: &Record| {
        let alert: Alert = serde_json::from_slice(record.payload.as_deref()?).ok()?;
        load.alerts.get(&alert.id).cloned()
    };
    let alerts = format!("{live}-alerts");
    let ours = measure(place, &load, rate, &live, &ours, &alerts, of_alert).await;
    detect.stop().await?;

    let stop = CancellationToken::new();
    let settings = group(&place.bootstrap, &copy_group, &copied);
    let (stopped, to) = (stop.clone(), copies.clone());
    let peer = tokio::task::spawn_blocking(move || copy(&settings, &to, &stopped));
    let of_copy = |record: &Record| {
        let event = codec::decode(record.payload.as_deref()?).ok()?;
        Some((event.vehicle, event.sequence))
    };
    let theirs = measure(place, &load, rate, &copy_group, &copied, &copies, of_copy).await;
    stop.cancel();
    peer.await??;
    Ok((ours?, theirs?))
}

// Which events raise alerts is found out beforehand.
fn load(vehicles: u64) -> anyhow::Result<Load> {
    let detector = Detector::new(Rules::default(), Zones::default())?;
    let start: Timestamp = "2026-11-01T08:00:00Z".parse()?;
    let mut states: BTreeMap<u64, VehicleState> = BTreeMap::new();
    let mut load = Load {
        events: Vec::new(),
        alerts: HashMap::new(),
    };
    for sequence in 0..PER_VEHICLE {
        let time = start + jiff::SignedDuration::from_secs(i64::try_from(sequence)?);
        for n in 0..vehicles {
            let name = format!("car-{n:05}");
            let mut event = Telemetry::new(&name, sequence, time);
            event.speed = Some(50.0);
            event.engine_speed = Some(2100.0);
            let fault_at = 60 + n * 37 % 100;
            #[allow(clippy::cast_precision_loss)] // far below 2^52
            let climbed = match n % FAULTY {
                0 => sequence.saturating_sub(fault_at) as f64 * 0.5,
                _ => 0.0,
            };
            let swing = if sequence % 20 < 10 { 0.5 } else { -0.5 };
            event.coolant_temperature = Some((88.0 + swing + climbed).min(125.0));
            let state = states.entry(n).or_default();
            let alerts = detector.observe(state, &event, start);
            let mut value = codec::encode(&event);
            let mark = (!alerts.is_empty()).then(|| (name.clone(), sequence));
            if let Some(mark) = &mark {
                value.push(b' ');
                let ids = alerts.into_iter().map(|alert| (alert.id, mark.clone()));
                load.alerts.extend(ids);
            }
            load.events.push((name, value, mark));
        }
    }
    Ok(load)
}

async fn measure(
    place: &Place,
    load: &Load,
    rate: f64,
    group: &str,
    from: &str,
    to: &str,
    mark_of: impl Fn(&Record) -> Option<Mark>,
) -> anyhow::Result<Vec<Duration>> {
    let producer = Producer::new(&place.bootstrap, "bench")?;
    // Both sides are under way before it begins: one event of a vehicle of its own, committed.
    let first = codec::encode(&Telemetry::new("first", 0, Timestamp::now()));
    enqueue(&producer, from, "first", &[], &first).await?;
    let lookup = Lookup::new(&place.bootstrap, "bench")?;
    let until = Instant::now() + Duration::from_secs(60);
    while lookup
        .committed(group, from)
        .await?
        .iter()
        .all(|(_, at)| at.is_none())
    {
        anyhow::ensure!(Instant::now() < until, "{group} does not begin");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut reader = CompactedReader::open(&place.bootstrap, "bench", to, None).await?;
    let sent = Sent::default();
    let expected: std::collections::HashSet<&Mark> = load.alerts.values().collect();
    let mut times = HashMap::new();
    let reading = async {
        while times.len() < expected.len() {
            let ReadEvent::Record(record) = reader.next().await? else {
                continue;
            };
            let now = Instant::now();
            let Some(mark) = mark_of(&record) else {
                continue;
            };
            let lock = sent.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(then) = lock.get(&mark) {
                times.entry(mark).or_insert(now - *then);
            }
        }
        anyhow::Ok(())
    };
    // A run of which an alert is missing is worthless.
    #[allow(clippy::cast_precision_loss)] // some hundred thousand
    let limit = Duration::from_secs_f64(load.events.len() as f64 / rate * 2.0 + 60.0);
    let reading = async {
        match tokio::time::timeout(limit, reading).await {
            Ok(read) => read,
            Err(_) => anyhow::bail!("{group}: not all alerts came within {limit:?}"),
        }
    };
    tokio::try_join!(feed(&producer, load, rate, from, &sent), reading)?;
    producer.flush(Duration::from_secs(60)).await?;
    Ok(times.into_values().collect())
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)] // some thousand
async fn feed(
    producer: &Producer,
    load: &Load,
    rate: f64,
    topic: &str,
    sent: &Sent,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut done = 0;
    while done < load.events.len() {
        let due = (started.elapsed().as_secs_f64() * rate) as usize;
        for (vehicle, value, mark) in &load.events[done..due.min(load.events.len())] {
            if let Some(mark) = mark {
                let mut lock = sent.lock().unwrap_or_else(PoisonError::into_inner);
                lock.insert(mark.clone(), Instant::now());
            }
            enqueue(producer, topic, vehicle, &[], value).await?;
        }
        done = due.clamp(done, load.events.len());
        tokio::time::sleep(SLICE).await;
    }
    let took = started.elapsed().as_secs_f64();
    eprintln!(
        "sent {:.0} events a second",
        load.events.len() as f64 / took
    );
    Ok(())
}

// The least that `detect` could do: offsets in transactions, and each marked event at once.
fn copy(settings: &GroupSettings, to: &str, stop: &CancellationToken) -> anyhow::Result<()> {
    let (interval, most) = FLUSH;
    let producer = TransactionalProducer::new(
        &settings.access,
        &settings.group,
        "bench-copy",
        Duration::from_secs(15),
    )?;
    producer.init(Duration::from_secs(30))?;
    let consumer = GroupConsumer::join(settings, Ignored)?;
    let mut marked: Vec<(String, Vec<u8>)> = Vec::new();
    let mut next: BTreeMap<i32, i64> = BTreeMap::new();
    let (mut events, mut oldest) = (0, None);
    while !stop.is_cancelled() {
        if let Some(record) = consumer.poll(Duration::from_millis(20))? {
            next.insert(record.partition(), record.offset() + 1);
            oldest.get_or_insert_with(Instant::now);
            events += 1;
            let payload = record.payload().unwrap_or_default();
            if payload.ends_with(b" ") {
                let key = String::from_utf8_lossy(record.key().unwrap_or_default());
                marked.push((key.into_owned(), payload.to_vec()));
            }
        }
        let waited = oldest.is_some_and(|since: Instant| since.elapsed() >= interval);
        if !(waited || events >= most || !marked.is_empty()) {
            continue;
        }
        let Some(member) = consumer.membership() else {
            continue;
        };
        producer.begin()?;
        for (key, value) in marked.drain(..) {
            producer.send(to, &key, &[], Some(&value), None)?;
        }
        let offsets: Vec<(i32, i64)> = std::mem::take(&mut next).into_iter().collect();
        producer.send_offsets(&settings.topic, &offsets, &member)?;
        producer.commit()?;
        (events, oldest) = (0, None);
    }
    Ok(())
}
