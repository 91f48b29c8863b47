//! The stage `served` of a flow: what a real Druid has read of a real Kafka, and when its answers count a canary. The gateway is
//! played.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod druid_support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use druid_support::{Topic, bring_about, limits, wanted};
use jiff::Timestamp;
use millrace_contract::{Telemetry, codec};
use millrace_operator::flow::{DruidAt, GatewayAt, Looker, Seen, Token, Wanted, Watched};
use millrace_operator::ingestion::Source;
use millrace_operator::platform::crd::StageName;
use millrace_operator::remote::druid::{Credentials, DruidClient};
use millrace_operator::remote::kafka::KafkaAdmin;
use millrace_testkit::{Druid, Kafka};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const LIMIT: Duration = Duration::from_secs(120);

struct Played {
    bootstrap: String,
    kafka: Arc<KafkaAdmin>,
}

impl Played {
    fn topic(&self) -> Topic<'_> {
        Topic {
            bootstrap: &self.bootstrap,
            admin: &self.kafka,
            name: "telemetry",
        }
    }
}

/// As the gateway writes it.
fn event(vehicle: &str, time: Timestamp) -> Vec<u8> {
    codec::encode(&Telemetry {
        vehicle: vehicle.into(),
        time,
        ..Telemetry::default()
    })
}

async fn canary(State(played): State<Arc<Played>>) -> Json<Value> {
    let now = Timestamp::now();
    let stored = [event("millrace-canary", now)].into_iter();
    let offset = played.topic().send(stored).await;
    Json(json!({"partition": 0, "offset": offset, "time": now.to_string()}))
}

async fn gateway(played: Arc<Played>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new()
        .route("/v1/canary", post(canary))
        .with_state(played);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    format!("http://{address}")
}

/// Looks until what was seen holds.
async fn until(
    looker: &mut Looker,
    wanted: &Wanted,
    what: &str,
    holds: impl Fn(&Seen) -> bool,
) -> Seen {
    let begin = Instant::now();
    loop {
        let seen = looker.look(wanted).await;
        if holds(&seen) {
            println!("{what}: {:?}", begin.elapsed());
            return seen;
        }
        assert!(begin.elapsed() < LIMIT, "{what}: {seen:#?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test]
#[ignore = "systems tier"]
async fn a_canary_is_served_when_an_answer_counts_it_and_what_druid_has_not_read_waits() {
    let starting = std::thread::spawn(Druid::start);
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let Some(druid) = starting.join().unwrap().unwrap() else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    let played = Arc::new(Played {
        kafka: Arc::new(KafkaAdmin::new(&bootstrap, limits()).unwrap()),
        bootstrap: bootstrap.clone(),
    });
    played.topic().create().await;
    let stage = |stage| Watched {
        stage,
        topic: "telemetry".into(),
        group: None,
        leads_to_vehicles: false,
        usual: Duration::ZERO,
    };
    let wanted_ = Wanted {
        kafka: Arc::clone(&played.kafka),
        stages: vec![stage(StageName::Produced), stage(StageName::Served)],
        gateway: Some(GatewayAt {
            url: gateway(Arc::clone(&played)).await,
            token: Token("t".into()),
            admin_token: None,
        }),
        druid: Some(DruidAt {
            coordinator: druid.coordinator(),
            broker: druid.broker(),
            credentials: Credentials::default(),
        }),
        canary_every: Some(Duration::from_secs(3600)),
        stuck_after: Duration::ZERO,
    };

    // The canary is in Kafka, and nobody takes it in.
    let mut looker = Looker::new().unwrap();
    let seen = looker.look(&wanted_).await;
    let served = &seen.stages[1];
    assert_eq!((served.end, served.lag), (Some(1), None));
    let problem = served.problem.as_deref().unwrap();
    assert_eq!(problem, "Druid has no supervisor telemetry");
    let stuck = seen.canary.unwrap().stuck_at;
    assert_eq!(stuck, Some(StageName::Served));

    let (coordinator, broker) = (druid.coordinator(), druid.broker());
    let client = DruidClient::new(&coordinator, &broker, Duration::from_secs(40)).unwrap();
    let asked = wanted(Source::Telemetry, "telemetry", &bootstrap);
    bring_about(&client, &asked).await.unwrap();
    let seen = until(&mut looker, &wanted_, "the canary is served", |seen| {
        seen.stages[1].canary.is_some() && seen.stages[1].lag == Some(0)
    })
    .await;
    let served = &seen.stages[1];
    assert_eq!(seen.canary.unwrap().stuck_at, None);
    assert_eq!((served.committed, &served.problem), (Some(1), &None));
    let since = served.newest.unwrap();
    // Events of an hour and a half ago make no answer newer.
    let old = Timestamp::now() - jiff::SignedDuration::from_mins(90);
    let stored = (0..50).map(|_| event("car-1", old));
    played.topic().send(stored).await;
    let seen = until(&mut looker, &wanted_, "all is read", |seen| {
        seen.stages[1].committed == Some(51)
    })
    .await;
    assert_eq!(seen.stages[1].lag, Some(0));
    let now = seen.stages[1].newest.unwrap();
    assert!((since..Duration::from_secs(3600)).contains(&now), "{now:?}");

    // What reads nothing tells nothing: it is not taken for one that has nothing to read.
    client.set_suspended("telemetry", true).await.unwrap();
    let seen = until(&mut looker, &wanted_, "it is suspended", |seen| {
        let problem = seen.stages[1].problem.as_deref();
        problem.is_some_and(|problem| problem.ends_with("it is SUSPENDED"))
    })
    .await;
    assert_eq!(seen.stages[1].lag, None);
}
