use super::*;
use std::collections::HashSet;

use proptest::prelude::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn notification(id: &str, vehicle: &str, expires: i64) -> Arc<Notification> {
    Arc::new(Notification {
        id: id.to_owned(),
        vehicle: vehicle.to_owned(),
        rule: "overheating".to_owned(),
        severity: millrace_contract::Severity::Warning,
        episode: "e".to_owned(),
        event_time: at(0),
        detected_at: at(0),
        language: "en".to_owned(),
        text: "text".to_owned(),
        ssml: "<speak>text</speak>".to_owned(),
        expires_at: at(expires),
    })
}

fn outbox() -> Outbox {
    Outbox::new(SignedDuration::from_secs(50), SignedDuration::ZERO)
}

/// Subscribes; gives the ids that are sent at once.
fn attach(outbox: &mut Outbox, session: SessionId, now: Timestamp) -> Vec<String> {
    outbox.attach("car", session);
    send(outbox, session, now)
}

/// The ids that are sent now, which must be in this session.
fn send(outbox: &mut Outbox, session: SessionId, now: Timestamp) -> Vec<String> {
    let (found, sent) = outbox.to_send("car", now).unwrap();
    assert_eq!(found, session);
    sent.iter().map(|n| n.id.clone()).collect()
}

#[test]
fn once_per_session_until_acknowledged() {
    let mut outbox = outbox();
    assert_eq!(
        outbox.offer(notification("a", "car", 100), at(0)),
        Offer::Taken
    );
    assert_eq!(
        outbox.offer(notification("a", "car", 100), at(0)),
        Offer::Known
    );
    assert_eq!(attach(&mut outbox, 1, at(1)), ["a"]);
    assert!(
        attach(&mut outbox, 1, at(1)).is_empty(),
        "subscribed twice in one session"
    );
    assert_eq!(
        outbox.offer(notification("b", "car", 100), at(2)),
        Offer::Taken
    );
    assert_eq!(send(&mut outbox, 1, at(2)), ["b"]);
    assert_eq!(
        attach(&mut outbox, 2, at(3)),
        ["a", "b"],
        "in order, to the new session"
    );
    outbox.detach("car", 1);
    assert_eq!(
        outbox.offer(notification("c", "car", 100), at(4)),
        Offer::Taken
    );
    assert_eq!(
        send(&mut outbox, 2, at(4)),
        ["c"],
        "the old one's end is late"
    );
    assert!(outbox.acknowledge("a").is_some());
    assert!(outbox.acknowledge("a").is_none());
    assert_eq!(attach(&mut outbox, 3, at(5)), ["b", "c"]);
    assert_eq!(outbox.undelivered(&[], at(5)), 2);
    assert_eq!(outbox.undelivered(&["other".to_owned()], at(5)), 0);
    assert_eq!(
        outbox.undelivered(&["car".to_owned()], at(100)),
        0,
        "expired ones are not waited for"
    );
}

#[test]
fn a_delivery_read_before_its_notification_counts() {
    let mut outbox = outbox();
    outbox.delivered_elsewhere("a", at(100));
    assert_eq!(
        outbox.offer(notification("a", "car", 100), at(1)),
        Offer::Known
    );
    assert!(attach(&mut outbox, 1, at(2)).is_empty());
}

#[test]
fn expiry_and_memory() {
    let mut outbox = outbox();
    outbox.offer(notification("a", "car", 10), at(0));
    assert_eq!(
        outbox.offer(notification("late", "car", 10), at(10)),
        Offer::Expired
    );
    let found = outbox.expire(at(10));
    assert_eq!(found.undelivered, ["a"]);
    assert!(found.forgotten.is_empty());
    assert!(attach(&mut outbox, 1, at(11)).is_empty());
    assert_eq!(
        outbox.offer(notification("a", "car", 90), at(59)),
        Offer::Known
    );
    let mut forgotten = outbox.expire(at(60)).forgotten;
    forgotten.sort();
    assert_eq!(forgotten, ["a", "late"]);
    assert!(!outbox.knows("a"));
    outbox.detach("car", 1);
    assert!(
        outbox.vehicles.is_empty(),
        "nothing is kept for a vehicle without session and mail"
    );
}

#[derive(Debug, Clone)]
enum Step {
    Offer { id: u8, ttl: i64 },
    NewSession,
    Detach,
    Acknowledge { which: usize },
    Elsewhere { id: u8 },
    Pass { seconds: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..12_u8, 1..40_i64).prop_map(|(id, ttl)| Step::Offer { id, ttl }),
        2 => Just(Step::NewSession),
        1 => Just(Step::Detach),
        4 => (0..8_usize).prop_map(|which| Step::Acknowledge { which }),
        1 => (0..12_u8).prop_map(|id| Step::Elsewhere { id }),
        2 => (1..15_i64).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

proptest! {
    // Against a model: a set of what is done, and what is on the way in the present session.
    #[test]
    fn every_id_until_acknowledged_and_never_after(steps in proptest::collection::vec(step(), 1..120)) {
        let mut outbox = Outbox::new(SignedDuration::from_secs(1_000_000), SignedDuration::ZERO);
        let (mut now, mut session, mut attached) = (0_i64, 0_u64, false);
        let mut expires: HashMap<String, i64> = HashMap::new();
        let mut done: HashSet<String> = HashSet::new();
        let mut on_the_way: Vec<String> = Vec::new();
        for step in steps {
            match step {
                Step::Offer { id, ttl } => {
                    let id = format!("n{id}");
                    let known = expires.contains_key(&id) || done.contains(&id);
                    match outbox.offer(notification(&id, "car", now + ttl), at(now)) {
                        Offer::Known => prop_assert!(known),
                        Offer::Expired => prop_assert!(false, "ttl is positive"),
                        Offer::Taken => {
                            prop_assert!(!known);
                            if attached {
                                prop_assert_eq!(send(&mut outbox, session, at(now)), [id.as_str()]);
                                on_the_way.push(id.clone());
                            } else {
                                prop_assert!(outbox.to_send("car", at(now)).is_none());
                            }
                        }
                    }
                    if !known { expires.insert(id, now + ttl); }
                }
                Step::NewSession => {
                    session += 1;
                    attached = true;
                    on_the_way = attach(&mut outbox, session, at(now));
                    let got: HashSet<&String> = on_the_way.iter().collect();
                    prop_assert_eq!(got.len(), on_the_way.len());
                    let due: HashSet<&String> = expires.iter()
                        .filter(|(id, end)| **end > now && !done.contains(*id)).map(|(id, _)| id).collect();
                    prop_assert_eq!(got, due, "all that is due and nothing else");
                }
                Step::Detach => { outbox.detach("car", session); attached = false; }
                Step::Acknowledge { which } => {
                    if let Some(id) = on_the_way.get(which).cloned() {
                        let first = outbox.acknowledge(&id).is_some();
                        let expired = expires[&id] <= now;
                        prop_assert!(expired || first != done.contains(&id));
                        done.insert(id);
                    }
                }
                Step::Elsewhere { id } => {
                    let id = format!("n{id}");
                    outbox.delivered_elsewhere(&id, at(now + 40));
                    done.insert(id);
                }
                Step::Pass { seconds } => { now += seconds; outbox.expire(at(now)); }
            }
            let due = expires.iter().filter(|(id, end)| **end > now && !done.contains(*id)).count();
            prop_assert_eq!(outbox.undelivered(&[], at(now)), due);
        }
    }
}

fn quiet_outbox() -> Outbox {
    Outbox::new(SignedDuration::from_secs(50), SignedDuration::from_secs(20))
}

fn critical(id: &str) -> Arc<Notification> {
    let mut critical = (*notification(id, "car", 100)).clone();
    critical.severity = Severity::Critical;
    Arc::new(critical)
}

#[test]
fn spoken_ones_keep_quiet_between_them_and_others_do_not_wait() {
    let mut outbox = quiet_outbox();
    for id in ["a", "b"] {
        outbox.offer(notification(id, "car", 100), at(0));
    }
    outbox.offer(critical("c"), at(0));
    let mut unspoken = (*notification("d", "car", 100)).clone();
    unspoken.ssml.clear();
    outbox.offer(Arc::new(unspoken), at(0));
    assert_eq!(attach(&mut outbox, 1, at(1)), ["d", "c"]);
    assert_eq!(outbox.next_wake(), Some(at(21)));
    assert!(send(&mut outbox, 1, at(20)).is_empty());
    assert!(outbox.due(at(20)).is_empty());
    assert_eq!(outbox.due(at(21)), BTreeSet::from(["car".to_owned()]));
    assert_eq!(send(&mut outbox, 1, at(21)), ["a"]);
    assert_eq!(outbox.due(at(41)).len(), 1);
    assert_eq!(send(&mut outbox, 1, at(41)), ["b"]);
    assert_eq!(outbox.next_wake(), None, "nobody waits any more");
}

#[test]
fn a_new_session_gets_the_last_one_again_at_once_and_the_rest_in_its_turn() {
    let mut outbox = quiet_outbox();
    for id in ["a", "b"] {
        outbox.offer(notification(id, "car", 100), at(0));
    }
    assert_eq!(attach(&mut outbox, 1, at(1)), ["a"]);
    assert_eq!(attach(&mut outbox, 2, at(5)), ["a"], "not acknowledged");
    assert!(outbox.acknowledge("a").is_some());
    assert!(outbox.due(at(24)).len() == 1 && send(&mut outbox, 2, at(24)).is_empty());
    assert_eq!(send(&mut outbox, 2, at(25)), ["b"]);
}

#[test]
fn what_another_replica_told_counts() {
    let mut outbox = quiet_outbox();
    outbox.heard("car", "x", at(0), at(2));
    outbox.offer(notification("a", "car", 100), at(2));
    assert!(attach(&mut outbox, 1, at(3)).is_empty());
    assert_eq!(outbox.next_wake(), Some(at(20)));
    assert_eq!(send(&mut outbox, 1, at(20)), ["a"]);
    // Another's clock, or this one's, may be wrong: the quiet is never longer than it should be.
    outbox.heard("car", "y", at(5000), at(30));
    outbox.offer(notification("b", "car", 100), at(30));
    assert!(send(&mut outbox, 1, at(30)).is_empty());
    assert_eq!(send(&mut outbox, 1, at(50)), ["b"]);
}
