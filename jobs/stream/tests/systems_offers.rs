//! From a driver's profile and a hire's score to an offer: a real gateway, a real Kafka, `materialize`, a real server of
//! MongoDB's wire protocol, and the action itself. Who has agreed and drove well enough gets one, once. Warnings are in the
//! language of the profile.
// Helpers outside of test functions count as production code for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod kafka_support;
mod offer_support;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use futures::TryStreamExt as _;
use millrace_actions::Context;
use millrace_actions::offer::{Made, action};
use millrace_contract::driver::{HireScore, Offer, OfferRule};
use millrace_contract::{Notification, topics};
use millrace_stream::materialize::store::put_rules;
use millrace_testkit::{DocumentStore, Kafka};
use mongodb::Client;
use mongodb::bson::{Document, doc};
use offer_support::{LIMIT, Scene, made};
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{ADMIN, DRIVERS, EVENTS, Gateway, NOTIFY, all, create_topics};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka and a document store"]
async fn who_agreed_and_drove_well_is_made_one_offer() {
    let Some(scene) = Scene::new().await else {
        return;
    };
    let bootstrap = scene.kafka.bootstrap();
    assert_eq!(scene.agree("D-Ann", "de-AT", true).await, StatusCode::OK);
    assert_eq!(scene.agree("D-Bob", "en", false).await, StatusCode::OK);
    assert_eq!(
        scene.agree("D-Eve", "en!", true).await,
        StatusCode::BAD_REQUEST
    );
    let ann = scene.drive("car-1", "D-Ann", "H-1").await;
    let ann_again = scene.drive("car-2", "D-Ann", "H-2").await;
    let bob = scene.drive("car-3", "D-Bob", "H-3").await;
    scene.wait_until_known().await;
    // Who drives is nowhere by name.
    for (topic, _) in topics::ALL {
        for record in all(&bootstrap, topic).await {
            let text =
                String::from_utf8_lossy(record.payload.as_deref().unwrap_or_default()).into_owned();
            assert!(
                !text.contains("D-Ann") && !text.contains("D-Bob"),
                "{topic}: {text}"
            );
        }
    }

    let reason = |made: Made| (made.offer, made.reason.unwrap());
    assert_eq!(
        reason(scene.offer(&ann, 79.9, 400.0).await).1,
        "the hire fulfils no rule"
    );
    assert_eq!(
        reason(scene.offer(&bob, 99.0, 400.0).await).1,
        "the driver has not agreed to offers"
    );
    let unknown = reason(scene.offer("nobody", 99.0, 400.0).await);
    assert_eq!(
        unknown,
        (None, "nobody is known to hide behind the hire".to_owned())
    );

    let made = scene.offer(&ann, 92.5, 400.0).await;
    assert_eq!(made.rule.as_deref(), Some("gold"));
    assert_eq!(made.delivered, ["offers", "webhook"]);
    let again = reason(scene.offer(&ann, 92.5, 400.0).await);
    assert_eq!(again, (made.offer.clone(), "it was told before".to_owned()));
    let second = reason(scene.offer(&ann_again, 97.0, 400.0).await);
    assert_eq!(second, (None, "the driver has an open offer".to_owned()));

    let taken = scene.receiver.taken.lock().unwrap().clone();
    assert_eq!(taken.len(), 1);
    assert_eq!(
        (taken[0]["type"].as_str(), taken[0]["data"]["text"].as_str()),
        (Some("driver.offer"), Some("Gut gefahren: 92."))
    );
    let offers: Vec<Offer> = all(&bootstrap, topics::OFFERS)
        .await
        .iter()
        .map(|record| serde_json::from_slice(record.payload.as_ref().unwrap()).unwrap())
        .collect();
    assert_eq!(offers.len(), 1);
    assert_eq!(offers[0].reward, json!({"percent": 10}));

    // Told nobody at its time, and its score sent again when it is over.
    let change = doc! {"$set": {"expires_at": "2026-01-01T00:00:00Z"}, "$unset": {"told_at": ""}};
    let written = scene.persons("offers").await;
    written.update_one(doc! {}, change).await.unwrap();
    let late = reason(scene.offer(&ann, 92.5, 400.0).await);
    let expired = "it has expired before it was told".to_owned();
    assert_eq!(late, (made.offer, expired));
    assert_eq!(scene.receiver.taken.lock().unwrap().len(), 1);
    scene.materialize.terminate(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka and a document store"]
async fn a_binding_leads_the_action_to_where_the_job_keeps_its_documents() {
    let Some(scene) = Scene::at("/fleet").await else {
        return;
    };
    scene.agree("D-Ann", "en", true).await;
    let ann = scene.drive("car-1", "D-Ann", "H-1").await;
    scene.wait_until_known().await;
    let offer = scene.offer(&ann, 92.5, 400.0).await;
    assert_eq!(offer.rule.as_deref(), Some("gold"));
    // The same by other entries.
    let uri = scene.store.uri();
    let address = uri.strip_prefix("mongodb://").unwrap();
    let (host, port) = address.rsplit_once(':').unwrap();
    for access in [
        json!({"mongodb_host": host, "mongodb_port": port, "mongodb_database": "fleet"}),
        json!({"mongodb_uri": uri, "mongodb_database": "fleet", "mongodb_identity_database": "fleet-identity"}),
    ] {
        let again = made(scene.input_by(&access, &ann, 92.5, 400.0)).await;
        assert_eq!(again.reason.as_deref(), Some("it was told before"));
        assert_eq!(again.offer, offer.offer);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka and a document store"]
async fn a_driver_is_warned_in_the_language_of_their_profile() {
    let Some(mut scene) = Scene::new().await else {
        return;
    };
    scene.agree("D-Ann", "de-AT", false).await;
    let ann = scene.drive("car-1", "D-Ann", "H-1").await;
    let bob = scene.drive("car-2", "D-Bob", "H-2").await;
    scene.wait_until_known().await;
    let (of_ann, of_bob) = (
        scene.warn("car-1", &ann, "fr").await,
        scene.warn("car-2", &bob, "fr").await,
    );
    assert_eq!(of_ann.delivered, ["vehicle"]);
    assert_eq!(
        (of_ann.language.as_str(), of_bob.language.as_str()),
        ("de", "fr")
    );
    let records = all(&scene.kafka.bootstrap(), topics::NOTIFICATIONS).await;
    let told = |vehicle: &str| {
        let all = records.iter().filter_map(|record| record.payload.as_ref());
        let mut all = all.map(|payload| serde_json::from_slice::<Notification>(payload).unwrap());
        let told = all.find(|told| told.vehicle == vehicle).unwrap();
        (told.language, told.text)
    };
    assert_eq!(told("car-1"), ("de".to_owned(), of_ann.text));
    assert_eq!(told("car-2"), ("fr".to_owned(), of_bob.text));

    // No warning waits for a store that is away.
    scene.store.kill();
    let of_ann = scene.warn("car-1", &ann, "en").await;
    assert_eq!(
        (of_ann.delivered, of_ann.language),
        (vec!["vehicle".to_owned()], "en".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka and a document store"]
async fn of_many_at_once_one_is_made() {
    let Some(mut scene) = Scene::new().await else {
        return;
    };
    scene.agree("D-Ann", "en", true).await;
    let mut hires = Vec::new();
    for n in 0..6 {
        hires.push(
            scene
                .drive(&format!("car-{n}"), "D-Ann", &format!("H-{n}"))
                .await,
        );
    }
    scene.wait_until_known().await;
    // Each hire twice, all at once.
    let runs: Vec<_> = hires
        .iter()
        .chain(&hires)
        .map(|hire| {
            let input = scene.input(hire, 95.0, 100.0);
            tokio::task::spawn_blocking(move || action(input, &Context::default()))
        })
        .collect();
    let mut offers = BTreeSet::new();
    for run in runs {
        offers.extend(run.await.unwrap().unwrap().offer);
    }
    assert_eq!(offers.len(), 1, "{offers:?}");
    assert_eq!(scene.count("offers").await, 1);

    // While the store is away the action fails and can be asked again.
    scene.store.kill();
    let input = scene.input(&hires[0], 95.0, 100.0);
    let failed = tokio::task::spawn_blocking(move || action(input, &Context::default()))
        .await
        .unwrap();
    let told = failed.unwrap_err().to_string();
    assert!(told.starts_with("mongodb: "), "{told}");
    scene.store.start_again().unwrap();
    let until = Instant::now() + LIMIT;
    loop {
        let input = scene.input(&hires[0], 95.0, 100.0);
        let made = tokio::task::spawn_blocking(move || action(input, &Context::default()));
        if made.await.unwrap().is_ok() {
            break;
        }
        assert!(Instant::now() < until, "it does not find its store again");
    }
    assert_eq!(scene.count("offers").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a document store"]
async fn a_rule_that_is_taken_out_goes_and_those_of_others_stay() {
    let Some(store) = DocumentStore::start().unwrap() else {
        return;
    };
    let client = Client::with_uri_str(store.uri()).await.unwrap();
    let database = client.database("millrace");
    let rules = database.collection::<Document>("offer_rules");
    let of = |names: &[&str]| -> BTreeMap<String, OfferRule> {
        let rule = json!({"leastScore": 80, "reward": {}, "text": {"en": "well done"}});
        let rule: OfferRule = serde_json::from_value(rule).unwrap();
        names
            .iter()
            .map(|name| ((*name).to_owned(), rule.clone()))
            .collect()
    };
    // By hand, and before rules said whose they are.
    let unmarked = [doc! {"_id": "by-hand"}, doc! {"_id": "gold"}];
    rules.insert_many(unmarked).await.unwrap();
    put_rules(&database, "ns/other", &of(&["silver"]))
        .await
        .unwrap();
    let all = of(&["bronze", "gold"]);
    assert_eq!(put_rules(&database, "ns/own", &all).await.unwrap(), 0);
    assert_eq!(rules.count_documents(doc! {}).await.unwrap(), 4);
    let left = of(&["bronze"]);
    assert_eq!(put_rules(&database, "ns/own", &left).await.unwrap(), 1);
    assert_eq!(put_rules(&database, "ns/own", &left).await.unwrap(), 0);
    assert_eq!(put_rules(&database, "ns/own", &of(&[])).await.unwrap(), 1);
    let names: Vec<Document> = rules
        .find(doc! {})
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let mut names: Vec<&str> = names
        .iter()
        .map(|rule| rule.get_str("_id").unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["by-hand", "silver"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn scores_come_in_by_the_gateway_all_or_none() {
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    create_topics(&kafka.bootstrap()).await;
    let gateway = Gateway::start(&kafka.bootstrap(), "").await;
    let score = |score: f64| {
        json!({"hire": "h", "score": score, "distance_km": 12.5, "trips": 2, "first_day": "2026-11-01",
            "last_day": "2026-11-02", "scored_at": "2026-11-03T02:20:00Z"})
    };
    let path = "/v1/hire-scores";
    let body = json!([score(90.0), score(50.0)]).to_string();
    assert_eq!(
        gateway.post_to(path, NOTIFY, body.clone()).await.0,
        StatusCode::FORBIDDEN
    );
    let (status, answer) = gateway.post_to(path, EVENTS, body).await;
    assert_eq!((status, &answer["accepted"]), (StatusCode::OK, &json!(2)));
    let wrong = json!([score(90.0), score(150.0)]).to_string();
    let (status, answer) = gateway.post_to(path, EVENTS, wrong).await;
    assert_eq!(
        (status, &answer["error"]["field"]),
        (StatusCode::BAD_REQUEST, &json!("score"))
    );
    let records = all(&kafka.bootstrap(), topics::HIRE_SCORES).await;
    let scores: Vec<HireScore> = records
        .iter()
        .map(|record| serde_json::from_slice(record.payload.as_ref().unwrap()).unwrap())
        .collect();
    assert_eq!(scores.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka and a document store"]
async fn an_erased_driver_is_not_known_any_more() {
    let Some(scene) = Scene::new().await else {
        return;
    };
    scene.agree("D-Ann", "en", true).await;
    scene.agree("D-Bob", "en", true).await;
    let first = scene.drive("car-1", "D-Ann", "H-1").await;
    let second = scene.drive("car-2", "D-Ann", "H-2").await;
    let other = scene.drive("car-3", "D-Bob", "H-3").await;
    let ask = async |path: &str, token: &str| {
        let body = json!({"driver": "D-Ann"}).to_string();
        scene.gateway.post_to(path, token, body).await
    };
    let (status, _) = ask("/v1/erasures/look-up", DRIVERS).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, found) = ask("/v1/erasures/look-up", ADMIN).await;
    assert_eq!(status, StatusCode::OK, "{found}");
    let hires: BTreeSet<&str> = found["hires"]
        .as_array()
        .unwrap()
        .iter()
        .map(|h| h.as_str().unwrap())
        .collect();
    assert_eq!(hires, BTreeSet::from([first.as_str(), second.as_str()]));
    let finish = async |hires: &Value| {
        let body = json!({"driver": "D-Ann", "hires": hires}).to_string();
        let path = "/v1/erasures/finish";
        let (status, finished) = scene.gateway.post_to(path, ADMIN, body).await;
        assert_eq!(status, StatusCode::OK, "{finished}");
        finished
    };
    // What was not erased stays known, and what was driven since the erasure began.
    let refused = finish(&json!({})).await;
    assert_eq!(refused["hires"], 0);
    assert_eq!(refused["left"].as_array().unwrap().len(), 2);
    let (status, begun) = ask("/v1/erasures/begin", ADMIN).await;
    assert_eq!(status, StatusCode::OK, "{begun}");
    scene.drive("car-5", "D-Ann", "H-1").await;
    let refused = finish(&begun["hires"]).await;
    assert_eq!(refused["left"], json!([first]));
    let (_, begun) = ask("/v1/erasures/begin", ADMIN).await;
    let finished = finish(&begun["hires"]).await;
    assert_eq!(
        (&finished["hires"], &finished["left"]),
        (&json!(2), &json!([]))
    );
    scene.wait_until_known().await;
    assert_eq!(
        (scene.count("hires").await, scene.count("drivers").await),
        (1, 1)
    );
    let made = scene.offer(&first, 99.0, 400.0).await;
    assert_eq!(
        made.reason.as_deref(),
        Some("nobody is known to hide behind the hire")
    );
    assert!(scene.offer(&other, 99.0, 400.0).await.offer.is_some());
    let (_, found) = ask("/v1/erasures/look-up", ADMIN).await;
    assert_eq!(found["hires"], json!([]));
    // Whoever drives again is known again.
    scene.drive("car-4", "D-Ann", "H-1").await;
    let (_, found) = ask("/v1/erasures/look-up", ADMIN).await;
    assert_eq!(found["hires"], json!([first]));
}
