//! Drivers on real nodes: who they are, how they drive, and what they are offered.

use std::time::{Duration, Instant};

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use millrace_contract::driver::Offer;
use millrace_testkit::{Platform, fresh};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(240);
/// Seconds of each hire: 40 km at the pace below.
const SECONDS: u64 = 1800;
/// In km/h.
const PACE: f64 = 80.0;
/// So many events are sent at once.
const BATCH: usize = 300;

/// A driver of the scene.
struct Driver {
    name: &'static str,
    agrees: bool,
    /// Whether they brake hard, twice a minute.
    is_harsh: bool,
}

const DRIVERS: [Driver; 3] = [
    Driver {
        name: "good",
        agrees: true,
        is_harsh: false,
    },
    Driver {
        name: "harsh",
        agrees: true,
        is_harsh: true,
    },
    Driver {
        name: "shy",
        agrees: false,
        is_harsh: false,
    },
];

/// Drivers who drive in hired cars, and agree to offers or do not.
pub struct OfferScene<'a> {
    platform: &'a Platform,
    prefix: String,
    token: String,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl<'a> OfferScene<'a> {
    /// Adds documents and offers to the platform: `kubectl patch`, as an operator would.
    pub fn new(platform: &'a Platform) -> Self {
        let rule = json!({"leastScore": 90, "leastDistanceKm": 10, "reward": {"percent": 10},
            "text": {"en": "{score} points", "de": "{score} Punkte"}});
        let patch =
            json!({"spec": {"mongo": {}, "materialize": {}, "offers": {"rules": {"gold": rule}}}});
        let what = format!("platform/{}", platform.name);
        platform
            .kubectl(&["patch", &what, "--type=merge", "-p", &patch.to_string()])
            .unwrap();
        let token = std::fs::read_to_string(&platform.admin_token_file).unwrap();
        Self {
            platform,
            prefix: fresh("hired"),
            token: token.trim().to_owned(),
            client: reqwest::Client::new(),
            runtime: tokio::runtime::Runtime::new().unwrap(),
        }
    }

    async fn call(&self, method: reqwest::Method, path: &str, token: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.platform.http);
        let until = Instant::now() + LIMIT;
        loop {
            let request = self.client.request(method.clone(), &url).bearer_auth(token);
            let answer = request.body(body.to_string()).send().await.unwrap();
            let status = answer.status();
            let text = answer.text().await.unwrap();
            if status.is_success() {
                return serde_json::from_str(&text).unwrap();
            }
            // Topics that were added a moment ago are there a moment later.
            assert!(
                status.as_u16() == 503 && Instant::now() < until,
                "{path}: {status}: {text}"
            );
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    fn driver(&self, driver: &Driver) -> String {
        format!("{}-{}", self.prefix, driver.name)
    }

    fn vehicle(&self, driver: &Driver) -> String {
        format!("{}-car-{}", self.prefix, driver.name)
    }

    fn samples(&self, driver: &Driver, day: Date) -> Vec<Value> {
        let start: Timestamp = format!("{day}T10:00:00Z").parse().unwrap();
        let sample = |n: u64| {
            // By 5 m/s² down, twice a minute, and up again.
            let speed = match n % 30 {
                5 if driver.is_harsh => PACE - 18.0,
                6 if driver.is_harsh => PACE - 36.0,
                7 if driver.is_harsh => PACE - 18.0,
                _ => PACE,
            };
            let time = start + SignedDuration::from_secs(i64::try_from(n).unwrap());
            json!({"vehicle": self.vehicle(driver), "sequence": n, "time": time, "speed": speed,
                "driver": self.driver(driver), "hire": "H-1"})
        };
        (0..SECONDS).map(sample).collect()
    }

    /// Says what drivers agree to, and drives their hires on a day.
    pub fn drive(&self, day: Date) {
        self.runtime.block_on(async {
            for driver in &DRIVERS {
                let profile = json!({"driver": self.driver(driver), "language": "de", "mail": "a@example.com",
                    "offers": driver.agrees});
                let path = "/v1/driver-profiles";
                self.call(reqwest::Method::PUT, path, &self.token, &profile).await;
                let vehicle = format!("/v1/vehicles/{}", self.vehicle(driver));
                let enrolled = self.call(reqwest::Method::PUT, &vehicle, &self.token, &Value::Null).await;
                let token = enrolled["token"].as_str().unwrap();
                for batch in self.samples(driver, day).chunks(BATCH) {
                    let path = format!("{vehicle}/telemetry");
                    self.call(reqwest::Method::POST, &path, token, &json!(batch)).await;
                }
            }
        });
    }

    /// Waits until everything that offers need is there.
    pub fn wait(&self) {
        let name = &self.platform.name;
        for what in [
            "mongocluster/%-mongo",
            "streamjob/%-materialize",
            "action/%-make-offer",
            "eventsource/%-offers",
        ] {
            let what = what.replace('%', name);
            let until = Instant::now() + LIMIT;
            // The operator has to make it first.
            while self.platform.kubectl(&["get", &what]).is_err() {
                assert!(Instant::now() < until, "{what} is not made");
                std::thread::sleep(Duration::from_secs(1));
            }
            let wait = ["wait", "--for=condition=Available", &what, "--timeout=180s"];
            self.platform.kubectl(&wait).unwrap();
        }
    }

    /// The offers in the topic, read by Kafka's own consumer in a pod of its own.
    fn offers(&self) -> Vec<Offer> {
        let name = &self.platform.name;
        let get = |of: &str, path: &str| self.platform.kubectl(&["get", of, "-o", path]).unwrap();
        let set = get(
            "statefulsets",
            "jsonpath={.items[*].spec.template.spec.containers[?(@.name=='kafka')].image}",
        );
        let image = set.split_whitespace().next().unwrap().to_owned();
        let arguments = format!(
            "exec java -Xmx64m -cp 'libs/*:/opt/kafka/libs/*' org.apache.kafka.tools.consumer.ConsoleConsumer \
             --bootstrap-server {name}-kafka-bootstrap:9092 --topic offers --from-beginning --timeout-ms 8000"
        );
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "offers-reader", "labels": {"millrace.dev/uses-kafka": "true"}},
            "spec": {
                "restartPolicy": "Never",
                "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": "reader", "image": image, "command": ["/bin/sh", "-c", arguments],
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                }],
            },
        });
        let remove = [
            "delete",
            "pod",
            "offers-reader",
            "--ignore-not-found",
            "--grace-period=0",
            "--force",
        ];
        self.platform.kubectl(&remove).unwrap();
        self.platform.apply(&pod.to_string()).unwrap();
        let until = Instant::now() + LIMIT;
        let said = loop {
            let phase = get("pod/offers-reader", "jsonpath={.status.phase}");
            if ["Succeeded", "Failed"].contains(&phase.as_str()) {
                break self.platform.kubectl(&["logs", "offers-reader"]).unwrap();
            }
            assert!(Instant::now() < until, "the pod is {phase}");
            std::thread::sleep(Duration::from_millis(500));
        };
        self.platform.kubectl(&remove).unwrap();
        assert!(said.contains("Processed a total of"), "{said}");
        let lines = said
            .lines()
            .filter_map(|line| serde_json::from_str::<Offer>(line).ok());
        lines.collect()
    }

    /// One offer, to the one who agreed and drove well, in their language; none after a second run of the same scores.
    pub fn one_was_made(&self, again: impl FnOnce()) {
        let until = Instant::now() + LIMIT;
        let made = loop {
            let made = self.offers();
            if !made.is_empty() {
                break made;
            }
            assert!(Instant::now() < until, "no offer was made");
        };
        assert_eq!(made.len(), 1, "{made:?}");
        assert_eq!(
            (made[0].rule.as_str(), made[0].language.as_str()),
            ("gold", "de")
        );
        assert!(
            made[0].score >= 90.0 && made[0].text.ends_with("Punkte"),
            "{made:?}"
        );
        assert!(
            !format!("{made:?}").contains(&self.prefix),
            "a driver is named: {made:?}"
        );
        again();
        let later = self.offers();
        let ids: Vec<&str> = later.iter().map(|offer| offer.id.as_str()).collect();
        assert!(ids.iter().all(|id| *id == made[0].id), "{later:?}");
    }
}
