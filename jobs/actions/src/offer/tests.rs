use serde_json::json;

use super::*;

fn rules() -> BTreeMap<String, OfferRule> {
    let rule = |score: f64, enabled: bool| {
        let rule = json!({"leastScore": score, "reward": {"percent": 10}, "enabled": enabled,
            "text": {"en": "{score} points: 10 % off until {until}", "de": "{score} Punkte bis {until}"}});
        serde_json::from_value(rule).unwrap()
    };
    BTreeMap::from([
        ("bronze".to_owned(), rule(70.0, true)),
        ("gold".to_owned(), rule(90.0, true)),
        ("platinum".to_owned(), rule(95.0, false)),
    ])
}

fn score(score: f64, distance_km: f64) -> HireScore {
    HireScore {
        hire: "h".into(),
        score,
        distance_km,
        trips: 3,
        first_day: "2026-11-01".parse().unwrap(),
        last_day: "2026-11-03".parse().unwrap(),
        scored_at: "2026-11-04T02:00:00Z".parse().unwrap(),
    }
}

#[test]
fn the_rule_that_asks_for_the_most_counts() {
    let rules = rules();
    let name = |points, distance| best(&score(points, distance), &rules).map(|(name, _)| name);
    assert_eq!(name(99.0, 100.0), Some("gold"), "platinum does not count");
    assert_eq!(name(90.0, 20.0), Some("gold"));
    assert_eq!(name(89.9, 20.0), Some("bronze"));
    assert_eq!(name(69.9, 500.0), None);
    assert_eq!(name(99.0, 19.9), None, "so short a drive says little");
}

#[test]
fn it_is_worded_in_the_drivers_language_and_ends_with_their_day() {
    let rules = rules();
    let score = score(92.7, 50.0);
    let rule = best(&score, &rules).unwrap();
    let of = |language: Option<&str>, default: Option<&str>| {
        let profile = Profile {
            language: language.map(str::to_owned),
            time_zone: Some("Europe/Vienna".into()),
            ..Profile::default()
        };
        let now = "2026-11-04T02:00:00Z".parse().unwrap();
        offer(&score, rule, ("d", &profile), default, now)
    };
    let german = of(Some("de-AT"), None);
    assert_eq!(
        (german.language.as_str(), german.text.as_str()),
        ("de", "92 Punkte bis 2026-12-04")
    );
    assert_eq!(german.expires_at.to_string(), "2026-12-04T22:59:59Z");
    assert_eq!(german.id, "d/h");
    assert_eq!(of(None, Some("de")).language, "de");
    assert_eq!(
        of(Some("hu"), None).text,
        "92 points: 10 % off until 2026-12-04"
    );
}

#[test]
fn what_may_pass_is_tried_again_and_what_will_not_does_not_hold_it_up() {
    let told = |channel| {
        let outcome = Outcome::Told {
            duplicate: false,
            refused: None,
        };
        (channel, outcome)
    };
    let refused = ("smtp", Outcome::Final("no such mailbox".into()));
    let away = ("webhook", Outcome::Passing("away".into()));
    let taken = delivered(vec![told(OFFERS.name), refused.clone()]).unwrap();
    assert_eq!(taken, [OFFERS.name]);
    assert!(delivered(vec![told(OFFERS.name), away]).is_err());
    let not_written = (OFFERS.name, Outcome::Final("token".into()));
    assert!(delivered(vec![not_written, told("smtp")]).is_err());
}

#[test]
fn an_offer_is_told_once_and_not_after_its_last_day() {
    let rules = rules();
    let score = score(92.7, 50.0);
    let rule = best(&score, &rules).unwrap();
    let now = "2026-11-04T02:00:00Z".parse().unwrap();
    let offer = offer(&score, rule, ("d", &Profile::default()), None, now);
    let end = offer.expires_at;
    assert_eq!(skip_reason(&offer, false, now), None);
    assert_eq!(skip_reason(&offer, false, end), None);
    assert_eq!(skip_reason(&offer, true, now), Some("it was told before"));
    let later = end + jiff::SignedDuration::from_secs(1);
    assert_eq!(
        skip_reason(&offer, false, later),
        Some("it has expired before it was told")
    );
}
