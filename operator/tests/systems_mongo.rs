//! What the operator does inside a replica set, by the real driver over TLS, against a double that keeps the set's state: no
//! mongod can be had where this is built.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by a panic"
)]

mod mongo_double;

use jiff::Timestamp;
use millrace_operator::pki::Authority;
use millrace_operator::remote::mongo::{
    Answer, Login, Observed, RemoteMongo, Wanted, WantedUser, step_down, waits,
};
use millrace_operator::remote::pipeline::{Plan, Remote as _, converge, plan};
use mongo_double::{Mongo, SOON};
use mongodb::bson::doc;

const KEYFILE: &str = "a2V5ZmlsZQ\n a2V5ZmlsZQ\n";

fn login(mongo: &Mongo) -> Login {
    Login::of_members(KEYFILE, &mongo.authority.certificate)
}

async fn start(servers: usize) -> Mongo {
    Mongo::start(servers, "a2V5ZmlsZQa2V5ZmlsZQ").await
}

fn user(name: &str, password: &str, role: &str) -> WantedUser {
    WantedUser {
        name: name.into(),
        password: password.into(),
        rights: [(role.to_owned(), "millrace".to_owned())].into(),
    }
}

fn wanted(mongo: &Mongo, members: usize, running: usize) -> Wanted {
    Wanted {
        set: "m".into(),
        members: mongo.addresses(0..members),
        leaving: mongo.addresses(members.min(running)..running),
        users: vec![user("jobs", "first", "readWrite")],
        may_found: true,
        certificate_ends_ms: Some(mongo.certificate_ends(0)),
        ..Wanted::default()
    }
}

struct Done {
    made: Vec<String>,
    failed: Vec<String>,
    observed: Observed,
    waits: Option<String>,
}

/// One run of the reconciler; servers are told by their numbers.
async fn run(mongo: &Mongo, wanted: &Wanted) -> Done {
    let login = login(mongo);
    let remote = RemoteMongo::new(&login, wanted);
    let outcome = converge(&remote).await.unwrap();
    let (made, failed) = remote.outcome();
    Done {
        made: made
            .iter()
            .map(|change| named(mongo, &change.to_string()))
            .collect(),
        failed: failed
            .iter()
            .map(|(_, error)| named(mongo, &error.to_string()))
            .collect(),
        waits: waits(wanted, &outcome.observed).map(|told| named(mongo, &told)),
        observed: outcome.observed,
    }
}

fn named(mongo: &Mongo, text: &str) -> String {
    let mut text = text.to_owned();
    for (number, address) in mongo.addresses(0..mongo.count()).iter().enumerate() {
        text = text.replace(address, &format!("m-{number}"));
    }
    text
}

/// Runs until nothing is left to do; gives what was done.
async fn settle(mongo: &Mongo, wanted: &Wanted) -> Vec<String> {
    let mut made = Vec::new();
    for _ in 0..20 {
        let done = run(mongo, wanted).await;
        assert_eq!(done.failed, [""; 0]);
        let idle = done.made.is_empty();
        made.extend(done.made);
        if idle && done.waits.is_none() {
            return made;
        }
        tokio::time::sleep(SOON / 2).await;
    }
    panic!("it does not settle: {made:?}");
}

/// Whether a user gets in, as clients do.
async fn lets_in(mongo: &Mongo, name: &str, password: &str) -> Result<(), String> {
    let login = Login {
        user: name.into(),
        source: "admin".into(),
        password: password.into(),
        authorities: mongo.authority.certificate.clone(),
    };
    let primary = mongo.set().primary().unwrap();
    let session = login.session(&primary).unwrap();
    let pinged = session.run("admin", doc! {"ping": 1}, "ping").await;
    pinged.map(drop).map_err(|error| error.reason().to_owned())
}

#[tokio::test]
#[ignore = "systems tier"]
async fn a_set_is_founded_grows_and_shrinks() {
    let mongo = start(3).await;
    let one = wanted(&mongo, 1, 1);
    let first = run(&mongo, &one).await;
    assert_eq!(
        first.made,
        ["replica set: found it on m-0", "user jobs: create"]
    );
    assert_eq!(first.failed, [""; 0]);
    assert_eq!(first.waits, None);
    assert_eq!(first.observed.version.as_deref(), Some("7.0.28"));
    assert!(first.observed.users["jobs"].password_fits);
    let does = first.observed.activities[&mongo.address(0)];
    assert_eq!((does.connections, does.connections_limit), (3, 100));
    assert_eq!((does.reads, does.writes, does.lag), (2, 1, Some(0)));
    assert_eq!(
        run(&mongo, &one).await.made,
        [""; 0],
        "it is as it is to be"
    );
    assert_eq!(lets_in(&mongo, "jobs", "first").await, Ok(()));

    // One by one, each when the one before serves.
    let three = wanted(&mongo, 3, 3);
    let more = run(&mongo, &three).await;
    assert_eq!(more.made, ["member m-1: add"]);
    assert_eq!(
        more.waits.as_deref(),
        Some("m-2 is to become a member: member m-1 is STARTUP2")
    );
    assert_eq!(settle(&mongo, &three).await, ["member m-2: add"]);
    assert_eq!(mongo.set().hosts(), mongo.addresses(0..3));

    let again = wanted(&mongo, 1, 3);
    assert_eq!(
        settle(&mongo, &again).await,
        ["member m-2: remove", "member m-1: remove"]
    );
    assert_eq!(mongo.set().hosts(), mongo.addresses(0..1));
    // One that was removed may come back.
    let answers = run(&mongo, &again).await.observed.answers;
    assert_eq!(answers[&mongo.address(1)], Answer::Outside);
    let back = settle(&mongo, &three).await;
    assert_eq!(back, ["member m-1: add", "member m-2: add"]);
}

#[tokio::test]
#[ignore = "systems tier"]
async fn a_primary_that_is_to_go_hands_over_first() {
    let mongo = start(3).await;
    let three = wanted(&mongo, 3, 3);
    settle(&mongo, &three).await;
    // The roll hands over in the same way: secondaries are restarted before.
    step_down(&login(&mongo), &mongo.address(0)).await.unwrap();
    tokio::time::sleep(SOON * 2).await;
    step_down(&login(&mongo), &mongo.address(1)).await.unwrap();
    tokio::time::sleep(SOON * 2).await;
    assert_eq!(mongo.set().primary(), Some(mongo.address(0)));
    mongo.set().set_up(&mongo.address(0), false);
    tokio::time::sleep(SOON * 2).await;
    mongo.set().set_up(&mongo.address(0), true);
    assert_eq!(mongo.set().primary(), Some(mongo.address(1)));
    let one = wanted(&mongo, 1, 3);
    // The one that stays is behind: nobody could take over.
    mongo.set().set_behind(&mongo.address(0), 60_000);
    mongo.set().set_behind(&mongo.address(2), 60_000);
    let refused = step_down(&login(&mongo), &mongo.address(1))
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("No electable secondaries"),
        "{refused}"
    );
    assert_eq!(run(&mongo, &one).await.made, ["member m-2: remove"]);
    assert_eq!(run(&mongo, &one).await.made, [""; 0]);
    mongo.set().set_behind(&mongo.address(0), 0);
    assert_eq!(
        settle(&mongo, &one).await,
        ["member m-1: step down as the primary", "member m-1: remove"]
    );
    assert_eq!(mongo.set().hosts(), mongo.addresses(0..1));
}

#[tokio::test]
#[ignore = "systems tier"]
async fn users_are_kept_as_asked() {
    let mongo = start(1).await;
    let mut wanted = wanted(&mongo, 1, 1);
    wanted.users.push(user("ann", "ann's", "read"));
    settle(&mongo, &wanted).await;
    assert_eq!(lets_in(&mongo, "ann", "ann's").await, Ok(()));

    // A new password: the former one is refused.
    wanted.users[0].password = "second".into();
    let rotated = run(&mongo, &wanted).await;
    assert_eq!(rotated.made, ["user jobs: set the password of its Secret"]);
    assert_eq!(
        lets_in(&mongo, "jobs", "first").await,
        Err("OperatorRefused".to_owned())
    );
    assert_eq!(lets_in(&mongo, "jobs", "second").await, Ok(()));

    // What was changed by hand is put back.
    mongo.set().meddle("jobs");
    assert_eq!(
        run(&mongo, &wanted).await.made,
        [
            "user jobs: set what it may",
            "user jobs: set the password of its Secret"
        ]
    );
    assert_eq!(lets_in(&mongo, "jobs", "second").await, Ok(()));

    wanted.users.pop();
    wanted.former_users = ["ann".to_owned(), "gone".to_owned()].into();
    assert_eq!(run(&mongo, &wanted).await.made, ["user ann: drop"]);
    assert!(lets_in(&mongo, "ann", "ann's").await.is_err());
}

#[tokio::test]
#[ignore = "systems tier"]
async fn a_member_that_is_down_holds_changes_up() {
    let mongo = start(3).await;
    let three = wanted(&mongo, 3, 3);
    // Its volume may have the documents.
    mongo.set().set_up(&mongo.address(2), false);
    let silent = run(&mongo, &three).await;
    assert_eq!(silent.made, [""; 0]);
    let told = silent.waits.unwrap();
    assert!(
        told.starts_with("the set is founded when all servers answer"),
        "{told}"
    );
    mongo.set().set_up(&mongo.address(2), true);
    settle(&mongo, &three).await;

    // Without one of three users are still changed; with two nothing is.
    mongo.set().set_up(&mongo.address(1), false);
    let mut rotated = three.clone();
    rotated.users[0].password = "second".into();
    let done = run(&mongo, &rotated).await;
    assert_eq!(done.made, ["user jobs: set the password of its Secret"]);
    assert_eq!(done.waits.as_deref(), Some("member m-1 is DOWN"));
    let one = wanted(&mongo, 1, 3);
    mongo.set().set_up(&mongo.address(0), false);
    let headless = run(&mongo, &one).await;
    assert_eq!(headless.made, [""; 0]);
    assert_eq!(headless.waits.as_deref(), Some("no member is the primary"));
}

#[tokio::test]
#[ignore = "systems tier"]
async fn a_set_that_has_worked_does_not_begin_anew() {
    let mongo = start(1).await;
    let mut one = wanted(&mongo, 1, 1);
    settle(&mongo, &one).await;
    mongo.set().lose_volumes();
    one.may_found = false;
    let key = login(&mongo);
    let planned: Plan<_> = plan(&RemoteMongo::new(&key, &one)).await.unwrap();
    assert!(planned.changes.is_empty());
    assert!(planned.to_string().contains("allow-format"), "{planned}");
    one.may_found = true;
    assert!(!settle(&mongo, &one).await.is_empty());

    // Another keyfile, and nobody gets in.
    let other = Login::of_members("other", &mongo.authority.certificate);
    let seen = RemoteMongo::new(&other, &one).observe().await.unwrap();
    let told = seen.answers.values().next().unwrap();
    let Answer::Silent(told) = told else {
        panic!("{told:?}");
    };
    assert!(told.contains("does not let __system in"), "{told}");
}

#[tokio::test]
#[ignore = "systems tier"]
async fn another_certificate_is_loaded_without_a_restart() {
    let mut mongo = start(3).await;
    let mut three = wanted(&mongo, 3, 3);
    settle(&mongo, &three).await;
    // Of another authority even: clients trust both for a while. Certificates are told apart by the second of their end.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let former = mongo.authority.certificate.clone();
    let next = Authority::make("next", Timestamp::now()).unwrap();
    three.certificate_ends_ms = Some(mongo.renew(next));
    let both = format!("{}{former}", mongo.authority.certificate);
    let login = Login::of_members(KEYFILE, &both);
    let remote = RemoteMongo::new(&login, &three);
    assert!(converge(&remote).await.unwrap().observed.stale.is_empty());
    assert_eq!(remote.outcome().0.len(), 3);
    // By the new authority alone.
    assert_eq!(run(&mongo, &three).await.made, [""; 0]);
    assert_eq!(lets_in(&mongo, "jobs", "first").await, Ok(()));
}
