use proptest::prelude::*;

use super::*;
use Severity::{Critical, Info, Warning};
use Verdict::{Between, Clear, Wrong};

const PACE: Pace = Pace {
    clear_after: 60.0,
    cooldown: 300.0,
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + second).unwrap()
}

/// Seconds of onset and of the alert, for each alert raised.
fn run(verdicts: &[(i64, Verdict)]) -> Vec<(i64, i64)> {
    let mut episode = Episode::default();
    verdicts
        .iter()
        .filter_map(|&(second, verdict)| episode.judge(at(second), verdict, PACE))
        .map(|r| {
            let second = |t: Timestamp| t.as_second() - 1_767_225_600;
            (second(r.onset), second(r.time))
        })
        .collect()
}

#[test]
fn one_alert_a_severity_and_episode() {
    let found = run(&[
        (0, Clear),
        (1, Wrong(Info)),
        (2, Wrong(Info)),
        (3, Wrong(Warning)),
        (4, Wrong(Info)),
        (5, Wrong(Critical)),
        (6, Wrong(Warning)),
    ]);
    assert_eq!(found, [(1, 1), (1, 3), (1, 5)]);
}

#[test]
fn between_neither_opens_nor_ends() {
    assert_eq!(run(&[(0, Between), (100, Between)]), []);
    let mut verdicts = vec![(0, Wrong(Warning))];
    verdicts.extend((1..100).map(|i| (i * 30, if i % 2 == 0 { Clear } else { Between })));
    verdicts.push((3000, Wrong(Warning)));
    assert_eq!(run(&verdicts), [(0, 0)]);
}

#[test]
fn it_ends_when_clear_for_long_enough_and_the_next_waits_for_the_cool_down() {
    let found = run(&[
        (0, Wrong(Warning)),
        (30, Clear),
        (59, Clear),
        (59, Wrong(Warning)),
        (119, Clear),
        (120, Wrong(Warning)),
        (418, Wrong(Info)),
        (419, Wrong(Warning)),
    ]);
    // 119 s is 60 s after the last trouble: over. 419 s is 300 s later: a new one.
    assert_eq!(found, [(0, 0), (419, 419)]);
}

#[test]
fn what_is_graver_does_not_wait_for_the_cool_down() {
    let found = run(&[
        (0, Wrong(Info)),
        (60, Clear),
        (120, Wrong(Info)),
        (130, Wrong(Critical)),
        (140, Wrong(Warning)),
        (200, Clear),
        // Nor does it open the way for what was told already.
        (300, Wrong(Critical)),
        (499, Wrong(Warning)),
        (500, Wrong(Warning)),
    ]);
    assert_eq!(found, [(0, 0), (130, 130), (500, 500)]);
    // What was told is not known of an episode that ended before this was remembered.
    let old = r#"{"ended":"2026-01-01T00:01:00Z"}"#;
    let mut episode: Episode = serde_json::from_str(old).unwrap();
    assert_eq!(episode.judge(at(120), Wrong(Critical), PACE), None);
    assert!(episode.judge(at(360), Wrong(Info), PACE).is_some());
}

#[test]
fn silence_ends_it() {
    let silence = SILENCE as i64;
    let found = run(&[
        (0, Wrong(Warning)),
        (10, Wrong(Warning)),
        (10 + silence, Wrong(Warning)),
    ]);
    assert_eq!(found, [(0, 0), (10 + silence, 10 + silence)]);
}

#[test]
fn subjects_have_their_own_ids() {
    let raised = Raised {
        onset: at(0),
        time: at(0),
    };
    assert_eq!(raised.id("v", "r", ""), episode_id("v", "r", at(0)));
    assert_ne!(raised.id("v", "r", "a"), raised.id("v", "r", "b"));
}

proptest! {
    #[test]
    fn ids_are_unique_and_onsets_keep_the_cool_down(
        steps in proptest::collection::vec((0i64..200, 0u8..5), 1..300),
    ) {
        let (mut episode, mut second) = (Episode::default(), 0);
        let mut seen = std::collections::BTreeSet::new();
        let mut onsets: Vec<(Timestamp, Severity)> = Vec::new();
        for (pause, verdict) in steps {
            second += pause;
            let verdict = match verdict {
                0 => Wrong(Info),
                1 => Wrong(Warning),
                2 => Wrong(Critical),
                3 => Between,
                _ => Clear,
            };
            let read: Episode = serde_json::from_str(&serde_json::to_string(&episode).unwrap()).unwrap();
            prop_assert_eq!(&read, &episode);
            if let Some(raised) = episode.judge(at(second), verdict, PACE) {
                prop_assert!(raised.time >= raised.onset);
                let Wrong(severity) = verdict else { panic!("{verdict:?} raised") };
                prop_assert!(seen.insert((raised.onset, severity)));
                match onsets.last_mut() {
                    Some((onset, told)) if *onset == raised.onset => *told = severity,
                    last => {
                        if let Some((onset, told)) = last {
                            let pause = if severity > *told { 0.0 } else { PACE.cooldown };
                            prop_assert!(since(raised.onset, *onset) >= PACE.clear_after + pause);
                        }
                        onsets.push((raised.onset, severity));
                    }
                }
            }
        }
    }
}
