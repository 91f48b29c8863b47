use mongodb::bson::doc;

use super::super::observe::{ObservedMember, ObservedUser, State};
use super::*;

fn right(role: &str, database: &str) -> Right {
    (role.into(), database.into())
}

fn wanted(members: &[&str]) -> Wanted {
    Wanted {
        set: "m".into(),
        members: members.iter().map(|host| (*host).to_owned()).collect(),
        users: vec![WantedUser {
            name: "jobs".into(),
            password: "hidden".into(),
            rights: [right("readWrite", "millrace")].into(),
        }],
        may_found: true,
        ..Wanted::default()
    }
}

fn observed(members: &[(&str, State, i64)]) -> Observed {
    let mut set = ObservedSet {
        config: doc! {},
        ..ObservedSet::default()
    };
    let mut observed = Observed::default();
    for (host, state, applied_ms) in members {
        let member = ObservedMember {
            state: *state,
            healthy: *state != State::Other(8),
            applied_ms: *applied_ms,
        };
        set.hosts.push((*host).to_owned());
        set.members.insert((*host).to_owned(), member);
        if *state == State::Primary {
            set.primary = Some((*host).to_owned());
        }
        observed.answers.insert((*host).to_owned(), Answer::Member);
    }
    let user = ObservedUser {
        rights: [right("readWrite", "millrace")].into(),
        password_fits: true,
    };
    observed.users.insert("jobs".into(), user);
    observed.set = Some(set);
    observed
}

fn answering(mut observed: Observed, host: &str, answer: Answer) -> Observed {
    observed.answers.insert(host.into(), answer);
    observed
}

const DOWN: State = State::Other(8);
const STARTING: State = State::Other(5);

/// The plan, and what is waited for.
fn told(wanted: &Wanted, observed: &Observed) -> String {
    let waits = waits(wanted, observed);
    format!(
        "{}\n  waits: {}\n",
        diff(wanted, observed),
        waits.as_deref().unwrap_or("-")
    )
}

#[test]
fn a_set_is_founded_once_and_only_where_nobody_has_one() {
    let mut three = wanted(&["a:1", "b:1", "c:1"]);
    let empty = |silent: Option<&str>| {
        let mut observed = Observed::default();
        for host in ["a:1", "b:1", "c:1"] {
            let answer = if silent == Some(host) {
                Answer::Silent(format!("{host}: cannot be reached: no"))
            } else {
                Answer::Empty
            };
            observed = answering(observed, host, answer);
        }
        observed
    };
    let mut all = told(&three, &empty(None));
    all += &told(&three, &empty(Some("c:1")));
    all += &told(&three, &answering(empty(None), "b:1", Answer::Outside));
    three.may_found = false;
    all += &told(&three, &empty(None));
    insta::assert_snapshot!(all);
}

#[test]
fn members_come_one_by_one_when_all_others_serve() {
    let three = wanted(&["a:1", "b:1", "c:1"]);
    let one = observed(&[("a:1", State::Primary, 0)]);
    let there = |observed| {
        answering(
            answering(observed, "b:1", Answer::Empty),
            "c:1",
            Answer::Empty,
        )
    };
    let mut all = told(&three, &there(one.clone()));
    let silent = Answer::Silent("b:1: cannot be reached: no".into());
    all += &told(&three, &answering(one, "b:1", silent));
    let two = |state| observed(&[("a:1", State::Primary, 0), ("b:1", state, 0)]);
    for state in [STARTING, DOWN, State::Secondary] {
        all += &told(&three, &answering(two(state), "c:1", Answer::Empty));
    }
    // Nobody takes a change without a primary.
    let headless = observed(&[("a:1", State::Secondary, 0), ("b:1", DOWN, 0)]);
    all += &told(&three, &headless);
    let whole = |state| {
        let second = State::Secondary;
        observed(&[
            ("a:1", second, 0),
            ("b:1", State::Primary, 0),
            ("c:1", state, 0),
        ])
    };
    all += &told(&three, &whole(State::Secondary));
    all += &told(&three, &whole(DOWN));
    insta::assert_snapshot!(all);
}

#[test]
fn members_go_one_by_one_and_the_primary_hands_over() {
    let mut one = wanted(&["a:1"]);
    one.leaving = vec!["b:1".into(), "c:1".into()];
    let (first, second) = (State::Primary, State::Secondary);
    let mut all = String::new();
    for members in [
        &[("a:1", first, 0), ("b:1", second, 0), ("c:1", second, 0)][..],
        // One that is down is no loss; with two of three down there is no majority to take it.
        &[("a:1", first, 0), ("b:1", second, 0), ("c:1", DOWN, 0)],
        &[("a:1", second, 0), ("b:1", second, 0), ("c:1", first, 0)],
        &[("a:1", second, 0), ("c:1", first, 0)],
        // It would lose what it has not copied yet.
        &[("a:1", second, 0), ("c:1", first, 60_000)],
        &[("a:1", STARTING, 0), ("c:1", first, 0)],
    ] {
        all += &told(&one, &observed(members));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn users_are_kept_as_asked() {
    let mut wanted = wanted(&["a:1"]);
    wanted.users.push(WantedUser {
        name: "analyst".into(),
        password: "hidden".into(),
        rights: [right("read", "millrace")].into(),
    });
    wanted.former_users = ["old".to_owned(), "gone".to_owned()].into();
    let mut seen = observed(&[("a:1", State::Primary, 0)]);
    let jobs = seen.users.get_mut("jobs").unwrap();
    jobs.rights.insert(right("root", "admin"));
    jobs.password_fits = false;
    seen.users.insert("old".into(), ObservedUser::default());
    seen.users
        .insert("somebody".into(), ObservedUser::default());
    seen.stale.insert("a:1".into());
    insta::assert_snapshot!(told(&wanted, &seen));
    assert!(!format!("{wanted:?}").contains("hidden"));
}
