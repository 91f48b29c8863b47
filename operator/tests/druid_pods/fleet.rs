//! Vehicles that drive recorded or simulated trips, and what Druid has to answer for them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use millrace_contract::{Telemetry, codec};
use millrace_operator::remote::druid::DruidClient;
use millrace_testkit::{data_dir, left_out};
use millrace_trips::simulate::{self, Faults};
use millrace_trips::{TripArguments, TripOptions};

use crate::druid_support::BEGIN;

/// Between two tries of a question.
const PAUSE: Duration = Duration::from_millis(200);
/// Questions are answered again at the latest so long after what was killed is back.
const SETTLES: Duration = Duration::from_secs(60);

/// Models of cars.
const MODELS: [&str; 3] = ["Polo", "Golf", "ID.3"];

/// Trips, one after the other; when all were driven they are driven again by other vehicles.
pub struct Fleet {
    trips: Vec<Vec<Telemetry>>,
    next: (usize, usize),
    /// What an answer has to be for what was taken of it.
    expected: BTreeMap<(String, String, String), Row>,
    pub taken: usize,
}

/// Of one vehicle in one minute.
#[derive(Debug, Default)]
struct Row {
    events: u64,
    speeds: u64,
    speed_sum: f64,
    coolant_max: Option<f64>,
}

fn trips() -> Option<Vec<Vec<Telemetry>>> {
    let Some(data) = data_dir().map(|data| data.join("carobd")) else {
        left_out("recorded trips", "set MILLRACE_DATA").unwrap();
        return None;
    };
    let options = TripOptions::parse(&TripArguments {
        format: "carobd",
        ..TripArguments::default()
    })
    .unwrap();
    let mut files: Vec<PathBuf> = data
        .read_dir()
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".csv.gz"))
        .collect();
    files.sort();
    assert!(files.len() > 20, "{}", files.len());
    let read = |(n, path): (usize, &PathBuf)| {
        let mut trip = options.read_path(path, "car").unwrap();
        trip.start_at(Timestamp::from_second(BEGIN).unwrap());
        for sample in &mut trip.samples {
            sample.model = Some(MODELS[n % MODELS.len()].into());
        }
        trip.samples
    };
    Some(files.iter().enumerate().map(read).collect())
}

impl Fleet {
    fn of(trips: Vec<Vec<Telemetry>>) -> Self {
        Self {
            trips,
            next: (0, 0),
            expected: BTreeMap::new(),
            taken: 0,
        }
    }

    /// Drives the recorded trips; nothing when they are not at hand.
    pub fn find() -> Option<Self> {
        Some(Self::of(trips()?))
    }

    /// Drives simulated trips of five minutes, which are at hand everywhere.
    pub fn simulated() -> Self {
        let fleet = simulate::Fleet {
            prefix: "simulated-".to_owned(),
            vehicles: 12,
            seed: 9,
            start: Timestamp::from_second(BEGIN).unwrap(),
            duration_seconds: 300,
            interval_seconds: 1.0,
            ambient: 18.0,
            coolant_at_start: None,
            centre: (48.2, 16.37),
            radius_km: 8.0,
            waypoints: Vec::new(),
            faulty: 0,
            faults: Faults::Given(Vec::new()),
        };
        let mut trips: Vec<_> = fleet
            .trips()
            .unwrap()
            .into_iter()
            .map(|trip| trip.samples)
            .collect();
        for (n, samples) in trips.iter_mut().enumerate() {
            for sample in samples {
                sample.model = Some(MODELS[n % MODELS.len()].to_owned());
            }
        }
        Self::of(trips)
    }

    /// The next so many events, encoded.
    pub fn take(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut taken = Vec::with_capacity(count);
        while taken.len() < count {
            let (drive, sample) = self.next;
            let trip = &self.trips[drive % self.trips.len()];
            let Some(event) = trip.get(sample) else {
                self.next = (drive + 1, 0);
                continue;
            };
            self.next.1 += 1;
            let event = Telemetry {
                vehicle: format!("car-{drive}"),
                ..event.clone()
            };
            taken.push(codec::encode(&event));
            let minute = Timestamp::from_second(event.time.as_second() / 60 * 60).unwrap();
            let minute = minute.strftime("%H:%M").to_string();
            let key = (event.vehicle, event.model.unwrap(), minute);
            let row = self.expected.entry(key).or_default();
            row.events += 1;
            if let Some(speed) = event.speed {
                row.speeds += 1;
                row.speed_sum += speed;
            }
            let coolants = row.coolant_max.into_iter().chain(event.coolant_temperature);
            row.coolant_max = coolants.reduce(f64::max);
        }
        self.taken += taken.len();
        taken
    }

    /// What Druid answers, beside what it has to.
    pub async fn check(&self, client: &DruidClient) {
        let question = "SELECT vehicle, model, TIME_FORMAT(TIME_FLOOR(__time, 'PT1M'), 'HH:mm') AS \"at\", SUM(events) AS events, \
                 SUM(speed_count) AS speeds, COALESCE(SUM(speed_sum), 0) AS speed_sum, \
                 MAX(coolant_temperature_max) AS coolant_max FROM telemetry GROUP BY 1, 2, 3";
        // A broker may still hold connections to who was killed: a question that fails is asked again, and no answer is wrong.
        let asked = Instant::now();
        let rows = loop {
            match client.sql(question).await {
                Ok(rows) => break rows,
                Err(error) => assert!(asked.elapsed() < SETTLES, "{error}"),
            }
            tokio::time::sleep(PAUSE).await;
        };
        assert_eq!(rows.len(), self.expected.len());
        for row in rows {
            let text = |key: &str| row[key].as_str().unwrap().to_owned();
            let key = (text("vehicle"), text("model"), text("at"));
            let expected = &self.expected[&key];
            let count = |key: &str| row[key].as_u64().unwrap();
            let told = (count("events"), count("speeds"));
            assert_eq!(told, (expected.events, expected.speeds), "{row:?}");
            // Druid adds up in another order.
            let off = (row["speed_sum"].as_f64().unwrap() - expected.speed_sum).abs();
            assert!(
                off <= 1e-9 * expected.speed_sum.abs(),
                "{row:?} {expected:?}"
            );
            assert_eq!(row["coolant_max"].as_f64(), expected.coolant_max, "{row:?}");
        }
    }
}
