use proptest::prelude::*;

use super::*;

const LATE: i64 = 10_000_000;

fn at(second: f64) -> Timestamp {
    Timestamp::from_microsecond(1_767_225_600_000_000 + (second * 1e6) as i64).unwrap()
}

fn event(number: u64, second: f64) -> Telemetry {
    Telemetry::new("car-1", number, at(second))
}

/// Collects numbers; a clock set back is told by an exclamation mark.
fn run(order: &mut Order, events: &[(u64, f64)]) -> Vec<String> {
    let mut passed = Vec::new();
    for &(number, second) in events {
        let event = event(number, second);
        order.admit(&event, at(second), LATE, &mut |e, how| {
            passed.push(shown(e, how))
        });
    }
    passed
}

fn shown(event: &Telemetry, how: Passage) -> String {
    let mark = if how == Passage::ClockSetBack {
        "!"
    } else {
        ""
    };
    format!("{}{mark}", event.sequence)
}

fn passed(events: &[(u64, f64)]) -> Vec<String> {
    run(&mut Order::default(), events)
}

#[test]
fn in_order_nothing_waits() {
    assert_eq!(passed(&[(0, 0.0), (1, 1.0), (2, 2.0)]), ["0", "1", "2"]);
}

#[test]
fn a_gap_is_waited_for_and_filled_or_given_up() {
    assert_eq!(
        passed(&[(0, 0.0), (2, 2.0), (3, 3.0), (1, 1.0), (1, 1.0), (2, 2.0)]),
        ["0", "1", "2", "3"]
    );
    // 10 s after event 2 event 1 may still come, later it may not.
    assert_eq!(passed(&[(0, 0.0), (2, 2.0), (3, 12.0)]), ["0"]);
    assert_eq!(
        passed(&[(0, 0.0), (2, 2.0), (3, 12.1), (1, 1.0)]),
        ["0", "2", "3"]
    );
}

#[test]
fn two_gaps_are_given_up_one_by_one() {
    assert_eq!(
        passed(&[(0, 0.0), (2, 2.0), (4, 8.0), (5, 12.5), (3, 3.0)]),
        ["0", "2", "3", "4", "5"]
    );
}

#[test]
fn a_start_in_the_middle_waits_for_what_may_lie_before() {
    assert_eq!(passed(&[(7, 7.0), (8, 8.0)]), [""; 0]);
    assert_eq!(
        passed(&[(7, 7.0), (8, 8.0), (6, 6.0), (9, 16.5), (5, 5.0)]),
        ["6", "7", "8", "9"]
    );
    assert_eq!(passed(&[(2, 2.0), (1, 1.0), (0, 0.0)]), ["0", "1", "2"]);
}

#[test]
fn the_wall_clock_ends_the_wait() {
    let mut order = Order::default();
    assert_eq!(run(&mut order, &[(0, 0.0), (2, 2.0), (3, 3.0)]), ["0"]);
    let until = order.waits_until(LATE).unwrap();
    assert_eq!(until, at(12.0).as_microsecond());
    let mut passed = Vec::new();
    order.release(at(11.9), LATE, &mut |e, how| passed.push(shown(e, how)));
    assert!(passed.is_empty());
    order.release(at(12.0), LATE, &mut |e, how| passed.push(shown(e, how)));
    assert_eq!(passed, ["2", "3"]);
    assert_eq!(order.waits_until(LATE), None);
}

#[test]
fn a_device_that_counts_again_is_heard_and_stragglers_are_not() {
    let mut order = Order::default();
    let first: Vec<(u64, f64)> = (0..100).map(|i| (i, i as f64)).collect();
    assert_eq!(run(&mut order, &first).len(), 100);
    assert_eq!(
        run(
            &mut order,
            &[
                (0, 105.0),
                (99, 99.0),
                (100, 98.5),
                (1, 106.0),
                (1, 106.0),
                (2, 107.0)
            ]
        ),
        ["0", "1", "2"]
    );
    let later: Vec<(u64, f64)> = (3..200).map(|i| (i, 105.0 + i as f64)).collect();
    assert_eq!(run(&mut order, &later).len(), 197);
}

/// A drive of `length` events, one a second, from number and second on.
fn seconds(number: u64, second: f64, length: u64) -> Vec<(u64, f64)> {
    (0..length)
        .map(|i| (number + i, second + i as f64))
        .collect()
}

#[test]
fn stragglers_of_the_numbering_before_change_nothing_however_late() {
    let mut order = Order::default();
    run(&mut order, &seconds(0, 0.0, 1000));
    let mut passed = run(&mut order, &seconds(0, 1100.0, 60));
    // One alone, one whose number comes next, some in a row, and one that had not come.
    passed.extend(run(&mut order, &[(500, 500.0), (60, 60.0)]));
    passed.extend(run(&mut order, &seconds(40, 40.0, 200)));
    passed.extend(run(&mut order, &[(1001, 1001.0)]));
    passed.extend(run(&mut order, &seconds(60, 1160.0, 1000)));
    order.release(at(1e9), LATE, &mut |e, how| passed.push(shown(e, how)));
    let expected: Vec<String> = (0..1060).map(|n| n.to_string()).collect();
    assert_eq!(passed, expected);
    // Nor do repetitions of this one.
    assert_eq!(run(&mut order, &seconds(0, 1100.0, 1060)), [""; 0]);
}

#[test]
fn a_single_event_of_another_time_changes_nothing() {
    let mut order = Order::default();
    run(&mut order, &seconds(0, 10_000.0, 100));
    // Neither number nor time was there.
    let mut passed = run(&mut order, &[(500, 500.0), (7, 507.0)]);
    order.release(at(1e9), LATE, &mut |e, how| passed.push(shown(e, how)));
    assert_eq!(passed, [""; 0]);
    let on = run(&mut order, &seconds(100, 10_100.0, 600));
    assert_eq!(on.len(), 600, "{on:?}");
    assert!(on.iter().all(|n| !n.contains('!')), "{on:?}");
    assert!(order.aside.is_empty() && order.held.is_empty());
}

#[test]
fn an_older_drive_from_zero_is_heard_whole_and_once() {
    let mut order = Order::default();
    run(&mut order, &seconds(0, 10_000.0, 100));
    let older = seconds(0, 500.0, 300);
    let heard = run(&mut order, &older);
    assert_eq!((heard.len(), heard[0].as_str()), (300, "0!"));
    assert!(heard.iter().skip(1).all(|n| !n.contains('!')));
    assert_eq!(run(&mut order, &older), [""; 0]);
    // And the present goes on.
    let on = run(&mut order, &seconds(300, 10_100.0, 50));
    assert_eq!(on.len(), 50, "{on:?}");
    assert!(run(&mut order, &seconds(0, 10_000.0, 100)).is_empty());
}

#[test]
fn an_older_drive_that_reaches_into_a_time_that_was_heard_of_is_heard_whole() {
    let mut order = Order::default();
    run(&mut order, &seconds(0, 10_000.0, 2000));
    let mut older = seconds(0, 9_000.0, 3500);
    older.remove(1500);
    let heard = run(&mut order, &older);
    assert_eq!((heard.len(), heard[0].as_str()), (3499, "0!"));
    // What is of neither changes nothing.
    assert_eq!(run(&mut order, &seconds(1000, 11_000.0, 500)), [""; 0]);
}

#[test]
fn a_restart_with_the_clock_set_back_is_heard_in_any_order() {
    let mut order = Order::default();
    run(&mut order, &seconds(0, 10_000.0, 100));
    let mut shuffled = seconds(0, 9_000.0, 300);
    for chunk in shuffled.chunks_mut(7) {
        chunk.reverse();
    }
    let mut heard = run(&mut order, &shuffled);
    order.release(at(1e9), LATE, &mut |e, how| heard.push(shown(e, how)));
    let mut expected: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    expected[0] = "0!".to_owned();
    assert_eq!(heard, expected);
}

#[test]
fn a_clock_set_back_behind_a_lost_event_is_heard() {
    let mut order = Order::default();
    run(&mut order, &seconds(0, 10_000.0, 100));
    // Also where the new time lies within that of before.
    let heard = run(&mut order, &seconds(101, 10_050.0, 100));
    assert_eq!((heard.len(), heard[0].as_str()), (100, "101!"));
    // And once a minute.
    let minutes: Vec<(u64, f64)> = (0..5).map(|i| (300 + i, 60.0 * i as f64)).collect();
    assert_eq!(
        run(&mut order, &minutes),
        ["300!", "301", "302", "303", "304"]
    );
}

#[test]
fn a_clock_set_back_is_told_in_any_order() {
    let mut events = seconds(0, 10_000.0, 100);
    events.extend(seconds(100, 500.0, 100));
    let expected = passed(&events);
    assert_eq!(expected.iter().filter(|n| n.contains('!')).count(), 1);
    for size in [2, 3, 7] {
        let mut shuffled = events.clone();
        for chunk in shuffled[1..].chunks_mut(size) {
            chunk.reverse();
        }
        assert_eq!(passed(&shuffled), expected, "{size}");
    }
}

#[test]
fn an_order_of_the_older_form_goes_on() {
    let old = r#"{"next":7,"newest":1767225606000000,"before":1767225000000000,"held":[{"since":0,"size":90,"event":EVENT}]}"#;
    let event = serde_json::to_string(&event(8, 8.0)).unwrap();
    let mut order: Order = serde_json::from_str(&old.replace("EVENT", &event)).unwrap();
    assert_eq!(
        run(&mut order, &[(3, 3.0), (7, 7.0), (9, 9.0)]),
        ["7", "8", "9"]
    );
}

#[test]
fn a_clock_set_back_is_told() {
    assert_eq!(
        passed(&[(0, 10_000.0), (1, 500.0), (2, 501.0), (3, 495.0)]),
        ["0", "1!", "2", "3"]
    );
    assert_eq!(
        passed(&[(0, 10_000.0), (2, 501.0), (1, 500.0)]),
        ["0", "1!", "2"]
    );
}

#[test]
fn what_is_held_is_bounded_in_bytes() {
    let mut order = Order::default();
    let mut passed = 0;
    for number in 0..400u64 {
        let mut event = event(number * 2, 0.001 * number as f64);
        event.dtc_list = Some(vec!["P0217".repeat(100); 4]);
        order.admit(&event, event.time, LATE, &mut |_, _| passed += 1);
        let json = serde_json::to_vec(&order).unwrap().len();
        assert!(json < HELD_BYTES + (20 << 10), "{json}");
    }
    assert!(passed > 300, "{passed}");
}

/// Numbers and seconds of a drive with lost events, in order.
fn drive() -> impl Strategy<Value = Vec<(u64, f64)>> {
    (
        0u64..3,
        proptest::collection::vec((0.0..3.0f64, 0u8..10), 1..300),
    )
        .prop_map(|(first, steps)| {
            let (mut number, mut second) = (first, 0.0);
            let mut events = Vec::new();
            for (pause, lost) in steps {
                second += pause;
                if lost > 0 {
                    events.push((number, second));
                }
                number += 1;
            }
            events
        })
}

proptest! {
    #[test]
    fn whatever_comes_within_the_lateness_passes_once_and_in_order(
        events in drive(),
        delays in proptest::collection::vec((0.0..9.9f64, 0u8..8), 300),
        every in 1usize..40,
    ) {
        // Each event arrives up to 9.9 s late, some twice.
        let mut arrivals: Vec<(f64, u64, f64)> = Vec::new();
        for (&(number, second), &(delay, twice)) in events.iter().zip(&delays) {
            arrivals.push((second + delay, number, second));
            if twice == 0 {
                arrivals.push((second + 9.9, number, second));
            }
        }
        arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut order = Order::default();
        let mut numbers = Vec::new();
        for (i, &(arrival, number, second)) in arrivals.iter().enumerate() {
            if i % every == 0 {
                let json = serde_json::to_string(&order).unwrap();
                order = serde_json::from_str(&json).unwrap();
            }
            order.admit(&event(number, second), at(arrival), LATE, &mut |e, _| numbers.push(e.sequence));
            prop_assert!(!order.held.is_fuller_than(HELD, HELD_BYTES));
        }
        order.release(at(1e9), LATE, &mut |e, _| numbers.push(e.sequence));
        let expected: Vec<u64> = events.iter().map(|e| e.0).collect();
        prop_assert_eq!(numbers, expected);
    }

    #[test]
    fn whatever_comes_is_survived_and_bounded(
        events in proptest::collection::vec((0u64..2000, 0.0..100_000.0f64, 0usize..60), 1..300),
        dense in any::<bool>(),
    ) {
        let mut order = Order::default();
        let mut admitted = 0;
        let mut passed = 0;
        for (number, second, length) in events {
            // Runs of events, here and there in numbers and time.
            for i in 0..length {
                let step = if dense { 0.01 } else { 1.0 };
                let mut event = event(number + i as u64, second + step * i as f64);
                event.dtc_list = Some(vec!["P0217".repeat(100); 2]);
                admitted += 1;
                order.admit(&event, event.time, LATE, &mut |_, _| passed += 1);
            }
            let json = serde_json::to_vec(&order).unwrap().len();
            prop_assert!(json < HELD_BYTES + ASIDE_BYTES + (20 << 10), "{json}");
        }
        order.release(at(1e9), LATE, &mut |_, _| passed += 1);
        prop_assert!(order.held.is_empty());
        prop_assert!(passed <= admitted);
    }

    #[test]
    fn nothing_passes_twice_or_backwards_whatever_comes(
        events in proptest::collection::vec((0u64..100, 0.0..60.0f64), 1..400),
    ) {
        // Equal numbers have equal times here, as repetitions do.
        let mut order = Order::default();
        let mut times = std::collections::BTreeMap::new();
        let mut last: Option<u64> = None;
        for (number, _) in events {
            let second = *times.entry(number).or_insert(number as f64);
            let mut bad = false;
            order.admit(&event(number, second), at(second), LATE, &mut |e, _| {
                bad |= last.is_some_and(|l| e.sequence <= l);
                last = Some(e.sequence);
            });
            prop_assert!(!bad);
        }
    }
}
