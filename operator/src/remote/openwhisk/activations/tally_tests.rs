use super::*;
use serde_json::json;

/// 2026-01-01T00:00:00Z in milliseconds.
const NEW_YEAR: i64 = 1_767_225_600_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millisecond(NEW_YEAR + seconds * 1000).unwrap()
}

/// Runs, the newest first, one a second; those that failed are marked.
fn runs(marks: &str) -> Vec<Run> {
    let newest = i64::try_from(marks.len()).unwrap();
    marks
        .chars()
        .zip((0..newest).rev())
        .map(|(mark, second)| Run {
            id: format!("id{second}"),
            start: NEW_YEAR + second * 1000,
            outcome: match mark {
                'x' => Outcome::Failed,
                _ => Outcome::Well,
            },
        })
        .collect()
}

fn counted(marks: &str, before: Option<&Activations>, seconds: i64) -> Activations {
    count(&runs(marks), before, at(seconds)).unwrap()
}

/// As [`counted`], once what the last error said has been asked for.
fn told(marks: &str, before: Option<&Activations>, seconds: i64, said: &str) -> Activations {
    let mut told = counted(marks, before, seconds);
    told.last_error.as_mut().unwrap().message = said.to_owned();
    told
}

fn fire(id: &str, start: i64, lines: &[Value]) -> Fire {
    Fire {
        id: id.to_owned(),
        start,
        duration: None,
        logs: lines.iter().map(Value::to_string).collect(),
    }
}

#[test]
fn runs_are_counted_and_the_newest_failure_is_told() {
    assert_eq!(count(&[], None, at(0)), None);
    let seen = counted(".x.x", None, 60);
    assert_eq!(
        (seen.count, seen.failed, seen.error_rate_percent),
        (4, 2, 50)
    );
    assert_eq!(seen.observed, "2026-01-01T00:01:00Z");
    assert_eq!(seen.since, "2026-01-01T00:00:00Z");
    let error = seen.last_error.unwrap();
    assert_eq!(
        (error.activation.as_str(), error.at.as_str()),
        ("id2", "2026-01-01T00:00:02Z")
    );
    assert_eq!(error.message, "", "its words have to be asked for");
    assert_eq!(counted("....", None, 0).last_error, None);
}

#[test]
fn what_an_error_said_is_asked_for_once_and_kept() {
    let before = told(".x", None, 60, "no fuel");
    let again = counted(".x", Some(&before), 120);
    assert_eq!(again.last_error, before.last_error);
    // It has gone by since.
    let later = counted("...", Some(&before), 180);
    assert_eq!((later.failed, &later.last_error), (0, &before.last_error));
    // Another one has its own words.
    let other = counted("x.x.", Some(&before), 240);
    assert_eq!(other.last_error.unwrap().message, "");
}

#[test]
fn what_has_not_changed_is_never_written() {
    let before = told(".x", None, 0, "no fuel");
    for later in [60, 100_000] {
        assert!(is_as_before(&before, &counted(".x", Some(&before), later)));
    }
}

#[test]
fn the_first_failure_is_written_at_once_and_small_changes_later() {
    let well = counted("....", None, 0);
    assert!(!is_as_before(&well, &counted("x....", Some(&well), 60)));
    // One success more.
    assert!(is_as_before(&well, &counted(".....", Some(&well), 60)));
    assert!(!is_as_before(&well, &counted(".....", Some(&well), 300)));

    let few = told("x.........", None, 0, "no fuel");
    assert!(is_as_before(&few, &counted("x........x", Some(&few), 60)));
    assert!(!is_as_before(&few, &counted("x........x", Some(&few), 300)));
    assert!(!is_as_before(&few, &counted("xxx.......", Some(&few), 60)));
    // What gets better can wait.
    assert!(is_as_before(&few, &counted("..........", Some(&few), 60)));
    let mut unreadable = few.clone();
    unreadable.observed = String::new();
    let now = counted("..........", Some(&few), 60);
    assert!(!is_as_before(&unreadable, &now));
}

#[test]
fn a_steady_load_with_some_errors_is_written_every_five_minutes_at_most() {
    let patterns = ["x.........", "..........", "....xx....", "...x......"];
    let mut shown = counted(patterns[0], None, 0);
    let mut writes = 0;
    for minute in 1..=60 {
        let pattern = patterns[minute % patterns.len()];
        let seconds = i64::try_from(minute).unwrap() * 60;
        let now = counted(pattern, Some(&shown), seconds);
        if !is_as_before(&shown, &now) {
            (shown, writes) = (now, writes + 1);
        }
    }
    // Each five minutes one, and one more when failures come back after none.
    assert!((1..=24).contains(&writes), "{writes}");
}

#[test]
fn fires_of_a_trigger_of_the_same_name_are_no_runs_of_an_action() {
    let listed: Vec<ListedActivation> = serde_json::from_value(json!([
        {"activationId": "a", "start": 1, "end": 2, "duration": 1, "statusCode": 2, "name": "n"},
        {"activationId": "t", "start": 1, "statusCode": 0, "name": "n", "annotations": []},
    ]))
    .unwrap();
    let runs = action_runs(&listed);
    assert_eq!(runs.len(), 1);
    assert!(runs[0].failed() && runs[0].id == "a");
    let action = Fire {
        duration: Some(1),
        ..fire("a", 1, &[])
    };
    assert_eq!(trigger_runs(&[action, fire("t", 1, &[])]).len(), 1);
}

/// Lines as the real server writes them.
#[test]
fn a_fire_tells_of_its_rules() {
    let started = |id: &str| json!({"statusCode": 0, "success": true, "activationId": id, "rule": "guest/r", "action": "guest/echo"});
    let inactive = json!({"statusCode": 1, "success": false, "rule": "guest/r", "action": "guest/echo",
        "error": "Rule 'guest/r' is inactive, action 'guest/echo' was not activated."});
    let missing = json!({"statusCode": 1, "success": false, "rule": "guest/rt", "action": "guest/tmp",
        "error": "The requested resource does not exist."});
    let fires = [
        fire("f4", 4000, &[started("on")]),
        fire("f3", 3000, &[started("bad"), missing.clone()]),
        fire("f2", 2000, &[started("good")]),
        fire("f1", 1000, std::slice::from_ref(&inactive)),
    ];

    let seen = count(&trigger_runs(&fires), None, at(0)).unwrap();
    assert_eq!(
        (seen.count, seen.failed, seen.error_rate_percent),
        (4, 1, 25)
    );
    let error = seen.last_error.unwrap();
    assert_eq!(error.activation, "f3");
    assert_eq!(
        error.message,
        "rule guest/rt: The requested resource does not exist."
    );

    let failed = HashMap::from([("bad".to_owned(), true), ("good".to_owned(), false)]);
    let seen = count(&rule_runs(&fires, "r", &failed), None, at(0)).unwrap();
    assert_eq!((seen.count, seen.failed), (3, 1));
    assert_eq!(seen.last_error.unwrap().activation, "bad");
    let seen = count(&rule_runs(&fires, "rt", &failed), None, at(0)).unwrap();
    assert_eq!((seen.count, seen.failed), (1, 1));
    assert_eq!(seen.last_error.unwrap().activation, "f3");
    assert!(starts(&fires, "r") && !starts(&fires, "rt") && !starts(&fires[3..], "r"));
    assert_eq!(rule_runs(&fires, "other", &failed), []);
}

#[test]
fn an_error_is_told_in_its_own_words() {
    let response = |result: Value| ActivationResponse {
        status: "application error".to_owned(),
        success: false,
        result,
    };
    let said = |result: Value| words(Some(&response(result)));
    assert_eq!(said(json!({"error": " no fuel\n"})), "no fuel");
    assert_eq!(said(json!({"error": {"code": 7}})), r#"{"code":7}"#);
    assert_eq!(said(json!({"error": ""})), "application error");
    assert_eq!(said(json!(["x"])), "application error");
    assert_eq!(
        said(json!({"error": "ä".repeat(1000)})).chars().count(),
        512
    );
    assert_eq!(words(None), "its record is gone");
}
