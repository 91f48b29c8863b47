use proptest::prelude::*;

use super::*;

fn load(vehicles: u64, hz: f64, retention_hours: u64) -> Load {
    Load {
        vehicles,
        hz,
        retention_hours,
        event_bytes: 430,
        replication: 1,
        peak_factor: 2.0,
        archive_days: 0,
    }
}

#[test]
fn figures_of_known_loads() {
    // vehicles, Hz, hours → partitions, GiB a broker, brokers, gateways, detects, dispatches. No gateways: refused.
    let table = [
        ((100, 1.0, 24), (3, 11, 1, 1, 1, 1)),
        ((10_000, 1.0, 168), (8, 7_041, 1, 7, 1, 1)),
        ((50_000, 0.1, 24), (4, 503, 1, 4, 1, 1)),
        ((100_000, 1.0, 24), (80, 3_353, 3, 0, 10, 2)),
    ];
    for ((vehicles, hz, hours), expected) in table {
        let size = match size(&load(vehicles, hz, hours)) {
            Ok(size) => size,
            Err(refused) => {
                assert_eq!(expected.3, 0, "{refused}");
                continue;
            }
        };
        assert_eq!(
            (
                size.partitions,
                size.disk_bytes_per_broker / GIBIBYTE,
                size.brokers.count,
                size.gateway.count,
                size.detect.count,
                size.dispatch.count
            ),
            expected,
            "{vehicles} vehicles at {hz} Hz, {hours} h"
        );
    }
}

#[test]
fn what_cannot_be_is_refused_with_field_value_and_cure() {
    let told = |change: fn(&mut Load)| {
        let mut load = load(100, 1.0, 24);
        change(&mut load);
        size(&load).unwrap_err().to_string()
    };
    for (text, field) in [
        (told(|l| l.vehicles = 0), "--vehicles: 0: "),
        (told(|l| l.hz = f64::NAN), "--hz: NaN: "),
        (told(|l| l.retention_hours = 0), "--retention-hours: 0: "),
        (told(|l| l.replication = 2), "--replication: 2: "),
        (told(|l| l.peak_factor = 0.5), "--peak-factor: 0.5: "),
        (told(|l| l.vehicles = 10_000_000), "--vehicles: 10000000: "),
    ] {
        assert!(text.starts_with(field) && text.contains("; "), "{text}");
    }
}

#[test]
fn three_copies_take_three_times_the_disk_and_two_pods_of_what_can_have_them() {
    let one = size(&load(1_000, 1.0, 24)).unwrap();
    let three = size(&Load {
        replication: 3,
        ..load(1_000, 1.0, 24)
    })
    .unwrap();
    assert_eq!(three.stored_bytes, 3 * one.stored_bytes);
    assert_eq!(three.brokers.count, 3);
    for pods in [three.gateway, three.detect, three.dispatch] {
        assert!(pods.count >= 2);
    }
}

// Whether the second is in nothing smaller.
fn grows(less: &Size, more: &Size) -> bool {
    let pods = less
        .pods()
        .into_iter()
        .zip(more.pods())
        .all(|((_, a), (_, b))| a.count <= b.count && a.cpu_millis <= b.cpu_millis);
    let memory = [
        (less.gateway, more.gateway),
        (less.detect, more.detect),
        (less.dispatch, more.dispatch),
    ];
    pods && less.partitions <= more.partitions
        && less.stored_bytes <= more.stored_bytes
        && memory.iter().all(|(a, b)| a.memory_bytes <= b.memory_bytes)
}

proptest! {
    #[test]
    fn more_of_anything_never_needs_less(
        vehicles in 1_u64..40_000, more_vehicles in 0_u64..20_000,
        hz in 0.01_f64..2.0, more_hz in 0.0_f64..1.0,
        hours in 1_u64..84, more_hours in 0_u64..84,
    ) {
        let base = load(vehicles, hz, hours);
        let larger = [
            load(vehicles + more_vehicles, hz, hours),
            load(vehicles, hz + more_hz, hours),
            load(vehicles, hz, hours + more_hours),
        ];
        if let Ok(less) = size(&base) {
            for load in larger {
                if let Ok(more) = size(&load) {
                    prop_assert!(grows(&less, &more), "{base:?} {load:?}");
                    if less.brokers.count == more.brokers.count {
                        prop_assert!(less.disk_bytes_per_broker <= more.disk_bytes_per_broker);
                    }
                }
            }
        }
    }

    #[test]
    fn volumes_hold_what_is_kept_and_pods_have_partitions(
        vehicles in 1_u64..50_000, hz in 0.01_f64..2.0, hours in 1_u64..168,
    ) {
        if let Ok(size) = size(&load(vehicles, hz, hours)) {
            let disks = float(size.disk_bytes_per_broker * size.brokers.count);
            prop_assert!(disks * TELEMETRY_SHARE * FULL_SHARE + 1.0 >= float(size.stored_bytes));
            prop_assert!(size.detect.count <= size.partitions);
            prop_assert!(size.dispatch.count <= size.partitions);
        }
    }
}
