use super::*;
use crate::remote::postgres::ObservedDatabase;

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn read(role: &str, schema: &str) -> Read {
    Read {
        role: role.into(),
        database: "scores".into(),
        schema: schema.into(),
    }
}

fn role(name: &str, login: bool, member_of: &[&str]) -> WantedRole {
    WantedRole {
        name: name.into(),
        login,
        replication: false,
        connection_limit: -1,
        password: login.then(|| "hidden".into()),
        member_of: set(member_of),
    }
}

pub(in crate::remote::postgres) fn wanted() -> Wanted {
    Wanted {
        databases: vec![WantedDatabase {
            name: "scores".into(),
            owner: "score".into(),
            extensions: set(&["pg_trgm"]),
        }],
        roles: vec![
            role("score", true, &[]),
            role("analysts", false, &[]),
            role("ann", true, &["analysts"]),
        ],
        reads: BTreeSet::from([read("analysts", "public"), read("analysts", "later")]),
        ..Wanted::default()
    }
}

fn empty() -> Observed {
    Observed {
        available_extensions: set(&["pg_trgm"]),
        roles: [("postgres".to_owned(), ObservedRole::default())].into(),
        ..Observed::default()
    }
}

fn settled() -> Observed {
    let seen = |login, member_of: &[&str]| ObservedRole {
        login,
        replication: false,
        connection_limit: -1,
        is_privileged: false,
        password_fits: login,
        member_of: set(member_of),
    };
    Observed {
        roles: [
            ("score".to_owned(), seen(true, &[])),
            ("analysts".to_owned(), seen(false, &[])),
            ("ann".to_owned(), seen(true, &["analysts"])),
        ]
        .into(),
        databases: [(
            "scores".to_owned(),
            ObservedDatabase {
                owner: "score".into(),
                extensions: set(&["plpgsql", "pg_trgm"]),
                schemas: set(&["public"]),
            },
        )]
        .into(),
        reads: BTreeSet::from([read("analysts", "public")]),
        ..empty()
    }
}

fn told(wanted: &Wanted, observed: &Observed) -> Vec<String> {
    let plan = diff(wanted, observed);
    assert_eq!(plan.refused, []);
    plan.changes.iter().map(ToString::to_string).collect()
}

#[test]
fn an_empty_server_gets_rights_before_passwords() {
    assert_eq!(
        told(&wanted(), &empty()),
        [
            "role score: create",
            "role analysts: create",
            "role ann: create",
            "role ann: make a member of analysts",
            "database scores: create",
            "database scores: create extension pg_trgm",
            "role analysts: let it read scores.public",
            "role score: set the password of its Secret",
            "role ann: set the password of its Secret",
        ]
    );
}

#[test]
fn what_is_as_it_should_be_is_left_alone() {
    assert!(diff(&wanted(), &settled()).is_settled());
}

#[test]
fn drift_is_put_back() {
    let mut drifted = settled();
    drifted.certificate_is_stale = true;
    drifted.databases.get_mut("scores").unwrap().owner = "ann".into();
    drifted.reads.clear();
    let score = drifted.roles.get_mut("score").unwrap();
    score.is_privileged = true;
    score.password_fits = false;
    let ann = drifted.roles.get_mut("ann").unwrap();
    ann.member_of = set(&["pg_monitor"]);
    assert_eq!(
        told(&wanted(), &drifted),
        [
            "load the server's new certificate",
            "role score: set what it may do and its connections",
            "role ann: make a member of analysts",
            "role ann: no longer a member of pg_monitor",
            "database scores: owner ann → score",
            "role analysts: let it read scores.public",
            "role score: set the password of its Secret",
        ]
    );
}

#[test]
fn a_schema_that_comes_later_is_read_then() {
    let mut seen = settled();
    let scores = seen.databases.get_mut("scores").unwrap();
    scores.schemas.insert("later".into());
    assert_eq!(
        told(&wanted(), &seen),
        ["role analysts: let it read scores.later"]
    );
}

#[test]
fn only_what_is_to_go_goes() {
    let mut less = Wanted {
        databases: Vec::new(),
        roles: vec![role("ann", true, &["analysts"])],
        reads: BTreeSet::new(),
        former_reads: wanted().reads,
        ..Wanted::default()
    };
    // `later` is not there, so there is nothing to take.
    assert_eq!(
        told(&less, &settled()),
        ["role analysts: no longer let it read scores.public"]
    );
    less.former_databases = set(&["scores", "gone"]);
    less.former_roles = set(&["score", "gone"]);
    assert_eq!(
        told(&less, &settled()),
        ["database scores: drop", "role score: drop"]
    );
}

#[test]
fn what_the_server_does_not_have_is_refused_by_name() {
    let mut wanted = wanted();
    wanted.databases[0].extensions = set(&["postgis"]);
    wanted.roles[0].member_of = set(&["pg_nobody"]);
    let plan = diff(&wanted, &settled());
    assert!(plan.changes.is_empty());
    let fields: Vec<_> = plan.refused.iter().map(|i| i.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "spec.roles[score].memberOf",
            "spec.databases[scores].extensions"
        ]
    );
    assert!(!format!("{wanted:?}").contains("hidden"));
}
