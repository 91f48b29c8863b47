//! Cars under load: what they send, what they must be told, what they are told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use millrace_analytics::{Detector, Rules, VehicleState, Zones};
use millrace_contract::{Notification, Telemetry};
use millrace_testkit::Platform;
use tokio::task::JoinSet;

/// Events of one car; one second of the car's time lies between two.
const EVENTS: u64 = 600;
/// Events that a car sends in one go; once a second, so that ten minutes of driving take one.
const BATCH: usize = 10;

/// What was told to a car.
#[derive(Clone, Debug)]
pub struct Told {
    /// How often it was delivered; more than once is a redelivery that a client drops by its id.
    pub deliveries: u32,
    /// From detection to the first delivery.
    pub after: SignedDuration,
}

/// Cars that drive, and what they hear.
pub struct Load {
    /// Ids of all alerts that the rules find in what is sent.
    pub expected: Vec<String>,
    told: Arc<Mutex<BTreeMap<String, Told>>>,
    offline: Arc<AtomicBool>,
    sending: JoinSet<()>,
    hearing: JoinSet<()>,
}

/// Ten minutes of a car: the coolant begins to rise, and on every other car the alternator fails, at a time of its own.
fn events(vehicle: &str, number: u64, start: Timestamp) -> Vec<Telemetry> {
    let (ramp, failure) = (60 + (number % 20) * 18, 60 + (number % 15) * 20);
    (0..EVENTS)
        .map(|second| {
            let time = start + SignedDuration::from_secs(i64::try_from(second).unwrap());
            let mut event = Telemetry::new(vehicle, second, time);
            let minutes =
                |from: u64| f64::from(u32::try_from(second.saturating_sub(from)).unwrap()) / 60.0;
            event.engine_speed = Some(2100.0);
            event.speed = Some(72.0);
            event.engine_run_time = Some(f64::from(u32::try_from(1200 + second).unwrap()));
            event.coolant_temperature = Some((90.0 + 9.0 * minutes(ramp)).min(121.0));
            if number % 2 == 1 {
                event.battery_voltage = Some((14.1 - 0.8 * minutes(failure)).max(10.8));
            }
            event
        })
        .collect()
}

/// The ids of what the rules find.
fn expected(events: &[Telemetry]) -> Vec<String> {
    let detector = Detector::new(Rules::default(), Zones::default()).unwrap();
    let mut state = VehicleState::default();
    events
        .iter()
        .flat_map(|event| detector.observe(&mut state, event, Timestamp::now()))
        .map(|alert| alert.id)
        .collect()
}

/// Enrols a vehicle, and again for as long as pods of the gateway are being replaced.
async fn enrol(client: &reqwest::Client, url: &str, admin: &str) -> String {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let request = client.put(url).bearer_auth(admin).send();
        let error = match request.await {
            Ok(answer) => match answer.json::<serde_json::Value>().await {
                Ok(enrolled) if enrolled["token"].is_string() => {
                    return enrolled["token"].as_str().unwrap().to_owned();
                }
                Ok(other) => other.to_string(),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        assert!(Instant::now() < end, "{url}: {error}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

impl Load {
    /// Enrols the cars and lets them drive for a minute.
    pub async fn start(platform: &Platform, prefix: &str, cars: u64) -> Self {
        let admin = std::fs::read_to_string(&platform.admin_token_file).unwrap();
        let client = reqwest::Client::new();
        let start = Timestamp::now() - SignedDuration::from_secs(i64::try_from(EVENTS).unwrap());
        let mut load = Self {
            expected: Vec::new(),
            told: Arc::default(),
            offline: Arc::default(),
            sending: JoinSet::new(),
            hearing: JoinSet::new(),
        };
        let mut ready = Vec::new();
        for number in 0..cars {
            let vehicle = format!("{prefix}-{number}");
            let url = format!("{}/v1/vehicles/{vehicle}", platform.http);
            let token = enrol(&client, &url, admin.trim()).await;
            let events = events(&vehicle, number, start);
            load.expected.extend(expected(&events));
            ready.push((vehicle, token, format!("{url}/telemetry"), events));
        }
        for (vehicle, token, url, events) in ready {
            let (told, offline) = (load.told.clone(), load.offline.clone());
            load.hearing.spawn(hear(
                platform.mqtt.clone(),
                vehicle,
                token.clone(),
                told,
                offline.clone(),
            ));
            load.sending
                .spawn(send(client.clone(), url, token, events, offline));
        }
        load
    }

    /// Cuts every car off, or lets it come back.
    pub fn offline(&self, off: bool) {
        self.offline.store(off, Ordering::Relaxed);
    }

    /// Waits until everything is sent and everything expected was told, or `limit` has passed; then listens a little for
    /// what nobody expects.
    pub async fn finish(mut self, limit: Duration) -> (Vec<String>, BTreeMap<String, Told>) {
        let end = Instant::now() + limit;
        while self.sending.join_next().await.is_some() {}
        while Instant::now() < end {
            let missing = {
                let told = self.told.lock().unwrap();
                self.expected.iter().any(|id| !told.contains_key(id))
            };
            if !missing {
                break;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        self.hearing.abort_all();
        let told = self.told.lock().unwrap().clone();
        (self.expected.clone(), told)
    }
}

/// A car repeats what was not acknowledged, as the contract asks of it.
async fn send(
    client: reqwest::Client,
    url: String,
    token: String,
    events: Vec<Telemetry>,
    offline: Arc<AtomicBool>,
) {
    let mut turn = tokio::time::interval(Duration::from_secs(1));
    for batch in events.chunks(BATCH) {
        turn.tick().await;
        loop {
            while offline.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let sent = client
                .post(&url)
                .bearer_auth(&token)
                .timeout(Duration::from_secs(12))
                .json(batch)
                .send()
                .await;
            match sent {
                Ok(answer) if answer.status().is_success() => break,
                Ok(answer) if answer.status().as_u16() == 400 => {
                    panic!("{}", answer.text().await.unwrap_or_default())
                }
                _ => tokio::time::sleep(Duration::from_millis(300)).await,
            }
        }
    }
}

async fn hear(
    mqtt: String,
    vehicle: String,
    token: String,
    told: Arc<Mutex<BTreeMap<String, Told>>>,
    offline: Arc<AtomicBool>,
) {
    let (host, port) = mqtt.rsplit_once(':').unwrap();
    let topic = format!("vehicles/{vehicle}/notifications");
    loop {
        while offline.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let mut options = rumqttc::MqttOptions::new(&vehicle, host, port.parse::<u16>().unwrap());
        options.set_credentials(&vehicle, &token);
        options.set_keep_alive(Duration::from_secs(5));
        let (client, mut events) = rumqttc::AsyncClient::new(options, 16);
        if client
            .subscribe(&topic, rumqttc::QoS::AtLeastOnce)
            .await
            .is_err()
        {
            continue;
        }
        while !offline.load(Ordering::Relaxed) {
            let event = tokio::time::timeout(Duration::from_millis(500), events.poll()).await;
            match event {
                Err(_) => {}
                Ok(Ok(rumqttc::Event::Incoming(rumqttc::Packet::Publish(publish)))) => {
                    let notification: Notification =
                        serde_json::from_slice(&publish.payload).unwrap();
                    let after = Timestamp::now().duration_since(notification.detected_at);
                    told.lock()
                        .unwrap()
                        .entry(notification.id)
                        .and_modify(|t| t.deliveries += 1)
                        .or_insert(Told {
                            deliveries: 1,
                            after,
                        });
                }
                Ok(Ok(_)) => {}
                Ok(Err(_)) => {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    break;
                }
            }
        }
    }
}
