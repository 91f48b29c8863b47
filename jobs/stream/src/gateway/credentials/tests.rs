use super::*;
use crate::gateway::credential::new_token;
use crate::settings::Secret;
use jiff::SignedDuration;

const HERE: Place = Place {
    partition: 0,
    written_ms: 1,
};

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn later(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

fn record(vehicle: &str, token: &Secret, former: Vec<Previous>) -> Vec<u8> {
    serde_json::to_vec(&Credential::of(vehicle, token, now(), former)).unwrap()
}

#[test]
fn enrol_rotate_revoke() {
    let all = Credentials::default();
    let (first, second) = (new_token().unwrap(), new_token().unwrap());
    let check = |token: &str| all.check("car-1", Some(token), now());
    assert_eq!(check("x"), Err(AuthError::UnknownVehicle("car-1".into())));
    assert_eq!(all.check("car-1", None, now()), Err(AuthError::NoToken));

    let enrolled = record("car-1", &first, Vec::new());
    assert!(
        !all.apply("car-1", Some(&enrolled), HERE),
        "no session can be open yet"
    );
    let of_first = check(first.expose()).unwrap();
    assert_eq!(check("x"), Err(AuthError::WrongToken("car-1".into())));
    assert_eq!(all.show("car-1", now()).unwrap().since, now());
    assert!(
        !all.apply("car-1", Some(&enrolled), HERE),
        "the same again cuts nobody"
    );
    assert_eq!(all.standing("car-1", &of_first, now()), Standing::Good);

    assert!(all.apply("car-1", Some(&record("car-1", &second, Vec::new())), HERE));
    assert!(check(first.expose()).is_err());
    assert_eq!(all.standing("car-1", &of_first, now()), Standing::Replaced);
    check(second.expose()).unwrap();

    assert!(all.apply("car-1", None, HERE));
    assert!(check(second.expose()).is_err());
    assert_eq!(all.standing("car-1", &of_first, now()), Standing::Revoked);
    assert!(all.is_empty());
    assert_eq!(
        all.partition_of("car-1"),
        Some(0),
        "kept for the next enrolment"
    );
}

#[test]
fn the_old_token_works_until_its_grace_is_over() {
    let all = Credentials::default();
    let (first, second) = (new_token().unwrap(), new_token().unwrap());
    all.apply("car-1", Some(&record("car-1", &first, Vec::new())), HERE);
    assert_eq!(all.former("car-9", later(30), now()), None);
    let former = all.former("car-1", later(30), now()).unwrap();
    assert!(all.apply("car-1", Some(&record("car-1", &second, former)), HERE));
    all.check("car-1", Some(first.expose()), later(29)).unwrap();
    all.check("car-1", Some(second.expose()), later(29))
        .unwrap();
    assert_eq!(
        all.show("car-1", later(29)).unwrap().grace_until,
        Some(later(30))
    );
    assert!(all.graces_over(later(29)).is_empty());
    assert!(all.check("car-1", Some(first.expose()), later(30)).is_err());
    assert_eq!(all.graces_over(later(30)), ["car-1"]);
    assert!(all.graces_over(later(30)).is_empty(), "told once");
    assert_eq!(all.show("car-1", later(30)).unwrap().grace_until, None);
}

#[test]
fn every_token_in_grace_works_on_however_often_it_is_rotated() {
    let all = Credentials::default();
    let tokens: Vec<Secret> = (0..4).map(|_| new_token().unwrap()).collect();
    all.apply(
        "car-1",
        Some(&record("car-1", &tokens[0], Vec::new())),
        HERE,
    );
    // The answers of the first two got lost, so they were repeated; the last one has the shortest grace.
    for (token, grace) in tokens[1..].iter().zip([30, 30, 10]) {
        let former = all.former("car-1", later(grace), now()).unwrap();
        all.apply("car-1", Some(&record("car-1", token, former)), HERE);
    }
    let good = |second| {
        let works = |t: &&Secret| all.check("car-1", Some(t.expose()), later(second)).is_ok();
        tokens.iter().filter(works).count()
    };
    assert_eq!((good(9), good(10), good(29), good(30)), (4, 3, 3, 1));
    assert_eq!(
        all.show("car-1", later(9)).unwrap().grace_until,
        Some(later(30))
    );
    assert_eq!(all.graces_over(later(10)), ["car-1"]);
    assert_eq!(
        all.former("car-1", later(50), later(30)).unwrap().len(),
        1,
        "those whose grace is over are not kept"
    );
    // Without grace all former ones end at once.
    let last = new_token().unwrap();
    all.apply("car-1", Some(&record("car-1", &last, Vec::new())), HERE);
    assert_eq!(good(9), 0);
}

#[test]
fn an_older_record_of_another_partition_changes_nothing() {
    let all = Credentials::default();
    let token = new_token().unwrap();
    let at = |partition, written_ms| Place {
        partition,
        written_ms,
    };
    all.apply("car-1", None, at(1, 20));
    assert!(!all.apply(
        "car-1",
        Some(&record("car-1", &token, Vec::new())),
        at(0, 10)
    ));
    assert!(all.is_empty(), "revoked stays revoked");
    all.apply(
        "car-1",
        Some(&record("car-1", &token, Vec::new())),
        at(0, 30),
    );
    assert_eq!(all.len(), 1);
}

#[test]
fn lists_in_pages() {
    let all = Credentials::default();
    for n in 0..25 {
        let vehicle = format!("car-{n:02}");
        let token = new_token().unwrap();
        all.apply(&vehicle, Some(&record(&vehicle, &token, Vec::new())), HERE);
    }
    all.apply("car-03", None, HERE);
    let (page, more) = all.list(None, 4, now());
    let ids: Vec<&str> = page.iter().map(|e| e.vehicle.as_str()).collect();
    assert_eq!(
        (ids, more),
        (vec!["car-00", "car-01", "car-02", "car-04"], true)
    );
    let (page, more) = all.list(Some("car-20"), 4, now());
    assert_eq!((page.len(), more), (4, false));
}

#[test]
fn an_unreadable_record_locks_out() {
    let all = Credentials::default();
    let token = new_token().unwrap();
    all.apply("car-1", Some(&record("car-1", &token, Vec::new())), HERE);
    assert!(all.apply("car-1", Some(b"{}"), HERE));
    assert!(all.check("car-1", Some(token.expose()), now()).is_err());
}

#[test]
fn errors_do_not_show_the_token() {
    let all = Credentials::default();
    let token = new_token().unwrap();
    all.apply("car-1", Some(&record("car-1", &token, Vec::new())), HERE);
    let e = all
        .check("car-1", Some("guessed-token"), now())
        .unwrap_err()
        .to_string();
    assert!(!e.contains("guessed-token"), "{e}");
}
