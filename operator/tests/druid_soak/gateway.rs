//! Vehicles that send what they measure by the gateway.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::cluster_support::wait;
use crate::door::{Car, Door};

/// The gateway may be busy for so long.
const PATIENCE: Duration = Duration::from_secs(180);

/// All that have sent something.
pub struct Vehicles {
    gateway: Door,
    enrolled: Mutex<BTreeMap<String, Arc<Car>>>,
}

impl Vehicles {
    /// Of a gateway that is shown the administrator's token.
    pub fn new(gateway: Door) -> Self {
        Self {
            gateway,
            enrolled: Mutex::new(BTreeMap::new()),
        }
    }

    async fn car(&self, vehicle: &str) -> Arc<Car> {
        let known = self.enrolled.lock().unwrap().get(vehicle).cloned();
        if let Some(car) = known {
            return car;
        }
        let (gateway, name) = (self.gateway.clone(), vehicle.to_owned());
        let enrolling =
            spawn_blocking(move || wait(&name, PATIENCE, || Car::enrol(&gateway, &name)));
        let car = Arc::new(enrolling.await.unwrap());
        let mut enrolled = self.enrolled.lock().unwrap();
        enrolled.insert(vehicle.to_owned(), Arc::clone(&car));
        car
    }

    /// Sends encoded events in their order, those of one vehicle in one request. It ends when all requests had their 200: then
    /// Kafka has the events.
    pub async fn send(&self, events: Vec<Vec<u8>>) {
        let events: Vec<Value> = events
            .into_iter()
            .map(|event| serde_json::from_slice(&event).unwrap())
            .collect();
        for of_one in events.chunk_by(|one, next| one["vehicle"] == next["vehicle"]) {
            let car = self.car(of_one[0]["vehicle"].as_str().unwrap()).await;
            let (body, count) = (json!(of_one), of_one.len());
            spawn_blocking(move || tell(&car, &body, count))
                .await
                .unwrap();
        }
    }
}

fn tell(car: &Car, body: &Value, count: usize) {
    let began = Instant::now();
    loop {
        match car.tell(body) {
            Ok((200, told)) => {
                let told: Value = serde_json::from_str(&told).unwrap();
                assert_eq!(told["accepted"], count, "{}: {told}", car.vehicle);
                return;
            }
            // Nothing of it was taken.
            Ok((429, _)) if began.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_secs(1));
            }
            // Kafka may have it all the same, and what is sent again counts twice.
            other => panic!("{}: {other:?}", car.vehicle),
        }
    }
}
