//! The parts of a fleet are the fleet: no vehicle is missing, and none is in two.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

#[path = "../../batch/tests/fleet/mod.rs"]
mod fleet;
#[path = "../../batch/tests/fleet/made.rs"]
mod made;

use jiff::civil::date;
use jiff::{SignedDuration, Timestamp};
use millrace_ballista::trips;
use millrace_batch::read::Part;
use millrace_batch::score::day::Day;
use millrace_contract::Telemetry;
use millrace_contract::score::ScoreConfig;
use millrace_lake::layout::Layout;
use millrace_lake::reader::Records;
use millrace_lake::storage::Local;
use proptest::prelude::*;

proptest! {
    #[test]
    fn each_vehicle_is_in_one_part(vehicle in ".{0,40}", of in 1..200_u32) {
        let parts = (0..of).filter(|index| Part::new(*index, of).unwrap().has(&vehicle));
        prop_assert_eq!(parts.count(), 1);
        prop_assert!(Part::new(of, of).is_none());
        prop_assert!(Part::WHOLE.has(&vehicle));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parts_of_a_day_together_are_the_day() {
    let folder = tempfile::tempdir().unwrap();
    let start: Timestamp = "2026-11-10T00:00:00Z".parse().unwrap();
    let mut events: Vec<Telemetry> = Vec::new();
    for seed in 0..12 {
        let at = start + SignedDuration::from_mins(i64::try_from(seed).unwrap() * 100);
        events.extend(made::wild(&format!("made-{seed}"), seed, at, 3000));
    }
    // Many vehicles in each file, and each vehicle in several.
    let events = made::disordered(events, 7);
    fleet::archive(folder.path(), &events).await;
    let (storage, config) = (Local::new(folder.path()), ScoreConfig::default());
    let layout = Layout::new(&config.dataset).unwrap();
    let live = Records::read(&storage, &layout).await.unwrap().live();
    let zone = config.time_zone().unwrap();
    let day = Day::of(date(2026, 11, 10), &zone, &live).unwrap();
    let of_part = |part| day.trips(&storage, &layout, &config, &zone, part);
    let whole = of_part(Part::WHOLE).await.unwrap();
    assert!(whole.len() > 12, "{} trips", whole.len());
    for parts in [1, 2, 5, 40] {
        let mut batches = Vec::new();
        for index in 0..parts {
            let some = of_part(Part::new(index, parts).unwrap()).await.unwrap();
            assert!(parts == 1 || some.len() < whole.len());
            batches.extend(trips::batches(index, &some).unwrap());
        }
        let mut all = trips::collect(parts, &batches).unwrap();
        // The number of a hire is the part's own; its name is told.
        for (one, other) in all.iter_mut().zip(&whole) {
            one.trip.hire = other.trip.hire;
        }
        assert_eq!(all, whole, "{parts} parts");
    }
}
