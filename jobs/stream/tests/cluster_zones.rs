//! U3 on real nodes: recorded drives towards zones that are laid onto their road, and away from them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod cluster_support;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cluster_support::{Drives, platform_and_trips, told_once};
use millrace_analytics::{Detector, Rules, Zones};
use millrace_contract::{Severity, Telemetry};
use millrace_testkit::Platform;
use serde_json::{Value, json};

const START: &str = "2026-03-02T20:00:00Z";
const LEAD: f64 = 15.0;
/// The receiver of these drives repeats a fix for up to 12 s, so a crossing is not known more exactly.
const FIX_HELD: f64 = 12.0;
/// Metres of one degree of latitude.
const DEGREE: f64 = 111_195.0;
/// Half the width of a zone, in metres.
const HALF: f64 = 60.0;

type Place = (f64, f64);

/// Where a recorded drive meets a zone: the sample at which it crosses, and the zone's square.
struct Meeting {
    crossing: usize,
    square: [Place; 4],
}

fn place(sample: &Telemetry) -> Option<Place> {
    Some((sample.longitude?, sample.latitude?))
}

/// Metres east and north from one place to another.
fn metres(from: Place, to: Place) -> Place {
    let shrink = from.1.to_radians().cos();
    ((to.0 - from.0) * DEGREE * shrink, (to.1 - from.1) * DEGREE)
}

fn moved(from: Place, east: f64, north: f64) -> Place {
    let shrink = from.1.to_radians().cos();
    (from.0 + east / DEGREE / shrink, from.1 + north / DEGREE)
}

fn inside(square: &[Place; 4], at: Place) -> bool {
    // To the left of all four sides of a ring that runs counter-clockwise.
    (0..4).all(|i| {
        let (a, b) = (square[i], square[(i + 1) % 4]);
        let (side, there) = (metres(a, b), metres(a, at));
        side.0 * there.1 - side.1 * there.0 >= 0.0
    })
}

/// A square whose near side lies across the road at sample `k`, `aside` metres to the right of it.
fn square(track: &[Telemetry], k: usize, aside: f64) -> Option<[Place; 4]> {
    let (before, at) = (place(&track[k.checked_sub(8)?])?, place(&track[k])?);
    let way = metres(before, at);
    let length = way.0.hypot(way.1);
    if length < 20.0 {
        return None;
    }
    let (ahead, right) = (
        (way.0 / length, way.1 / length),
        (way.1 / length, -way.0 / length),
    );
    let corner = |forward: f64, sideways: f64| {
        let sideways = sideways + aside;
        moved(
            at,
            ahead.0 * forward + right.0 * sideways,
            ahead.1 * forward + right.1 * sideways,
        )
    };
    Some([
        corner(0.0, HALF),
        corner(2.0 * HALF, HALF),
        corner(2.0 * HALF, -HALF),
        corner(0.0, -HALF),
    ])
}

/// The first place of a drive where it went straight on, well above walking pace, into a square never touched before.
fn meeting(track: &[Telemetry]) -> Option<Meeting> {
    (120..track.len()).find_map(|k| {
        let run = &track[k - 40..k];
        if run.iter().any(|s| s.speed.is_none_or(|v| v < 20.0)) {
            return None;
        }
        let square = square(track, k, 0.0)?;
        let first = track
            .iter()
            .position(|s| place(s).is_some_and(|p| inside(&square, p)))?;
        // Straight: seen from 25 s before, the near side lies ahead within 12°.
        let (far, near) = (place(&track[k - 25])?, place(&track[k - 8])?);
        let (a, b) = (metres(far, near), metres(near, place(&track[k])?));
        let turn = (a.0 * b.1 - a.1 * b.0)
            .atan2(a.0 * b.0 + a.1 * b.1)
            .to_degrees();
        (first.abs_diff(k) <= 2 && turn.abs() < 12.0).then_some(Meeting {
            crossing: first,
            square,
        })
    })
}

fn feature(id: &str, square: &[Place; 4], properties: Value) -> Value {
    let mut ring: Vec<Value> = square.iter().map(|p| json!([p.0, p.1])).collect();
    ring.push(ring[0].clone());
    let mut all = json!({"id": id, "name": format!("zone {id}"), "lead_seconds": LEAD});
    if let (Some(all), Some(more)) = (all.as_object_mut(), properties.as_object()) {
        all.extend(more.clone());
    }
    json!({"type": "Feature", "properties": all, "geometry": {"type": "Polygon", "coordinates": [ring]}})
}

/// The hour of the recorded crossing is 20:xx to 21:xx UTC: one window holds it, the other does not.
fn curfew(from: &str, to: &str) -> Value {
    json!({"kind": "curfew", "curfew": {"from": from, "to": to, "time_zone": "Africa/Casablanca"}})
}

fn lay(platform: &Platform, geojson: &str) {
    let indented = geojson.replace('\n', " ");
    platform
        .apply(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: zones-of-the-test}}\ndata:\n  zones.geojson: |\n    {indented}\n"
        ))
        .unwrap();
    let name = format!("platform/{}", platform.name);
    platform
        .kubectl(&[
            "patch",
            &name,
            "--type=merge",
            "-p",
            // Several zones lie on one road here: told one every 20 s, they would take as long as the drive.
            r#"{"spec":{"gateway":{"config":{"quietSeconds":0}},"detect":{"zones":[{"configMap":"zones-of-the-test"}]}}}"#,
        ])
        .unwrap();
    let detect = format!("deployment/{}-detect", platform.name);
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        let volumes = platform
            .kubectl(&[
                "get",
                &detect,
                "-o",
                "jsonpath={.spec.template.spec.volumes}",
            ])
            .unwrap();
        if volumes.contains("zones-of-the-test") {
            break;
        }
        assert!(Instant::now() < end, "no zones in {volumes}");
        std::thread::sleep(Duration::from_millis(500));
    }
    let gateway = format!("deployment/{}-gateway", platform.name);
    for deployment in [&detect, &gateway] {
        platform
            .kubectl(&["rollout", "status", deployment, "--timeout=120s"])
            .unwrap();
    }
}

#[test]
#[ignore = "cluster tier"]
fn drivers_are_warned_before_a_zone_and_only_then() {
    let Some((platform, files)) = platform_and_trips("rsk_twizy", ".csv.gz") else {
        return;
    };
    let reading = Drives::new("zones", "rsk_twizy", START, Vec::new());
    let tracks: BTreeMap<PathBuf, Vec<Telemetry>> = files
        .iter()
        .map(|f| (f.clone(), reading.trip(f).samples))
        .collect();
    // A zone is laid across each drive, and one beside it that no drive comes near.
    let mut features = Vec::new();
    let mut met = BTreeMap::new();
    for (number, (file, track)) in tracks.iter().enumerate() {
        let Some(meeting) = meeting(track) else {
            continue;
        };
        let kinds = [
            ("closed", json!({"kind": "closed"})),
            ("border", json!({"kind": "border"})),
            ("curfew-in", curfew("18:00", "02:00")),
            ("curfew-out", curfew("05:00", "06:00")),
        ];
        for (kind, properties) in kinds {
            features.push(feature(
                &format!("{kind}-{number}"),
                &meeting.square,
                properties,
            ));
        }
        let k = meeting.crossing;
        if let Some(aside) = square(track, k, 3000.0)
            && tracks.values().flatten().filter_map(place).all(|p| {
                let d = metres(aside[0], p);
                d.0.hypot(d.1) > 700.0
            })
        {
            features.push(feature(
                &format!("away-{number}"),
                &aside,
                json!({"kind": "closed"}),
            ));
        }
        met.insert(file.clone(), (number, meeting));
    }
    assert!(
        met.len() >= 3,
        "only {} drives go straight on somewhere",
        met.len()
    );
    let geojson = json!({"type": "FeatureCollection", "features": features}).to_string();
    let zones = Zones::from_geojson(&[("zones.geojson", &geojson)]).unwrap();
    let detector = Detector::new(Rules::default(), zones).unwrap();
    lay(&platform, &geojson);

    let drives = Drives::new("zones", "rsk_twizy", START, met.keys().cloned().collect());
    let lines = drives.drive(&platform);
    assert_eq!(told_once(&lines), drives.expected(&detector));
    for (file, (number, meeting)) in &met {
        let alerts = drives.alerts(file, &detector);
        let track = &tracks[file];
        for kind in ["closed", "border", "curfew-in"] {
            let id = format!("{kind}-{number}");
            let first = alerts
                .iter()
                .find(|a| a.details.zone.as_ref().is_some_and(|z| z.id == id))
                .unwrap_or_else(|| panic!("{}: not warned of {id}", file.display()));
            assert_eq!(first.severity, Severity::Warning, "{first:?}");
            let crossing = track[meeting.crossing].time;
            let ahead = crossing.duration_since(first.event_time).as_secs_f64();
            assert!(
                ahead >= LEAD - FIX_HELD,
                "{}: warned of {id} only {ahead:.0} s ahead",
                file.display()
            );
        }
        let silent: Vec<_> = alerts
            .iter()
            .filter_map(|a| a.details.zone.as_ref())
            .filter(|z| z.id.starts_with("away-") || z.id.starts_with("curfew-out-"))
            .collect();
        assert!(silent.is_empty(), "{silent:?}");
    }
    eprintln!("{} drives met a zone", met.len());
    let name = format!("platform/{}", platform.name);
    platform
        .kubectl(&[
            "patch",
            &name,
            "--type=merge",
            "-p",
            r#"{"spec":{"gateway":{"config":null},"detect":{"zones":null}}}"#,
        ])
        .unwrap();
}
