use millrace_contract::Severity;

use super::*;
use crate::assess::{AssessParams, assess};
use crate::render::tests::alert;

fn assessment(severity: Severity) -> Assessment {
    assess(&alert(severity), &AssessParams::default())
}

#[test]
fn information_is_shown_and_not_spoken() {
    let now = Timestamp::now();
    let of = |severity, speak_info| {
        let assessment = assessment(severity);
        notification(&assessment, &words(&assessment), now, 60, speak_info)
    };
    let silent = of(Severity::Info, false);
    assert!(silent.ssml.is_empty() && !silent.text.is_empty());
    assert!(of(Severity::Info, true).ssml.starts_with("<speak"));
    assert!(of(Severity::Warning, false).ssml.starts_with("<speak"));
}

#[test]
fn a_notification_lives_until_its_alert_is_too_old() {
    let assessment = assessment(Severity::Warning);
    let detected = assessment.alert.detected_at;
    let seconds = SignedDuration::from_secs;
    let end = |age: i64| {
        let now = detected + seconds(age);
        let notification = notification(&assessment, &words(&assessment), now, 60, false);
        notification.expires_at
    };
    assert_eq!(end(0), detected + seconds(60));
    assert_eq!(end(59), detected + seconds(60));
    // Sent again on purpose.
    assert_eq!(end(4000), detected + seconds(4060));
}

#[test]
fn a_mail_is_held_back_in_retries_only() {
    let assessment = assessment(Severity::Warning);
    let detected = assessment.alert.detected_at;
    let held = |age: i64| {
        mail_goes_last(
            &assessment,
            detected + SignedDuration::from_secs(age),
            Duration::from_secs(30),
            900,
        )
    };
    // A clock that is behind, the first activation, retries, and when nobody waits any more.
    assert_eq!(
        [-5, 0, 29, 31, 899, 900, 5000].map(held),
        [false, false, false, true, true, false, false]
    );
}

#[test]
fn what_may_pass_fails_the_action_and_what_will_not_does_not() {
    let told = || {
        let outcome = Outcome::Told {
            duplicate: true,
            refused: None,
        };
        ("vehicle", outcome)
    };
    let away = || ("webhook", Outcome::Passing("w is away".to_owned()));
    let refused = || ("smtp", Outcome::Final("s refuses".to_owned()));
    let run = |outcomes| {
        deliver(
            "id".to_owned(),
            words(&assessment(Severity::Warning)),
            outcomes,
        )
    };
    let delivery = run(vec![told(), refused()]).unwrap();
    assert_eq!(
        (delivery.delivered.as_slice(), delivery.duplicate),
        (&["vehicle".to_owned()][..], true)
    );
    assert_eq!(delivery.failed[0].reason, "s refuses");
    assert_eq!(
        run(vec![told(), away(), refused()])
            .unwrap_err()
            .to_string(),
        "w is away; s refuses (delivered over vehicle)"
    );
    assert_eq!(run(vec![refused()]).unwrap_err().to_string(), "s refuses");
}

#[test]
fn addresses_come_as_list_or_text() {
    #[derive(Deserialize)]
    struct To(#[serde(deserialize_with = "addresses")] Vec<String>);
    let read = |json: &str| serde_json::from_str::<To>(json).map(|to| to.0);
    assert_eq!(read("\"a@b.c, d@e.f,\"").unwrap(), ["a@b.c", "d@e.f"]);
    assert_eq!(read("[\"a@b.c\"]").unwrap(), ["a@b.c"]);
    assert!(read("7").unwrap_err().to_string().contains("smtp_to"));
}
