use jiff::Timestamp;
use millrace_contract::{Severity, Telemetry};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::Finding;

const DEGREE: f64 = 111_195.0;
const LAT: f64 = 48.0;

fn start() -> Timestamp {
    "2026-07-01T12:00:00Z".parse().unwrap()
}

/// Degrees of a place so many metres east and north of 48° N, 9° E.
fn place(x: f64, y: f64) -> (f64, f64) {
    let shrink = (LAT + y / DEGREE / 2.0).to_radians().cos();
    (9.0 + x / DEGREE / shrink, LAT + y / DEGREE)
}

/// A square zone by its corners in metres.
fn zone(
    id: &str,
    kind: &str,
    [w, s, e, n]: [f64; 4],
    more: serde_json::Value,
) -> serde_json::Value {
    let ring: Vec<[f64; 2]> = [(w, s), (e, s), (e, n), (w, n), (w, s)]
        .iter()
        .map(|(x, y)| place(*x, *y).into())
        .collect();
    let mut properties = json!({"kind": kind, "name": format!("Zone {id}")});
    for (name, value) in more.as_object().unwrap() {
        properties[name] = value.clone();
    }
    json!({"type": "Feature", "id": id, "properties": properties,
        "geometry": {"type": "Polygon", "coordinates": [ring]}})
}

fn zones(features: &[serde_json::Value]) -> Zones {
    let text = json!({"type": "FeatureCollection", "features": features}).to_string();
    Zones::from_geojson(&[("test.geojson", &text)]).unwrap()
}

/// A drive: one event a second.
struct Drive {
    events: Vec<Telemetry>,
    at: (f64, f64),
    noise: u64,
}

impl Drive {
    fn new(x: f64, y: f64) -> Self {
        Self {
            events: Vec::new(),
            at: (x, y),
            noise: 0,
        }
    }

    /// Goes on for so many seconds at so many m/s in a direction.
    fn go(mut self, seconds: usize, speed: f64, course: f64) -> Self {
        for _ in 0..seconds {
            let (sin, cos) = course.to_radians().sin_cos();
            self.at = (self.at.0 + speed * sin, self.at.1 + speed * cos);
            self.emit(speed);
        }
        self
    }

    fn noisy(mut self) -> Self {
        self.noise = 1;
        self
    }

    fn emit(&mut self, speed: f64) {
        let n = self.events.len();
        let mut event = Telemetry::new("car-1", n as u64, start());
        event.time = super::curfew::after(start(), n as f64);
        let mut jitter = || {
            if self.noise == 0 {
                return 0.0;
            }
            self.noise = self
                .noise
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            ((self.noise >> 40) as f64 / (1u64 << 24) as f64 - 0.5) * 6.0
        };
        let (x, y) = (self.at.0 + jitter(), self.at.1 + jitter());
        let (longitude, latitude) = place(x, y);
        event.longitude = Some(longitude);
        event.latitude = Some(latitude);
        event.speed = Some(speed * 3.6);
        self.events.push(event);
    }
}

fn run(zones: &Zones, events: &[Telemetry]) -> Vec<Finding> {
    run_with(&ZoneRules::default(), zones, events)
}

fn run_with(rules: &ZoneRules, zones: &Zones, events: &[Telemetry]) -> Vec<Finding> {
    let mut state = State::default();
    let mut found = Vec::new();
    for event in events {
        found.extend(observe(rules, zones, &mut state, event));
        // A state that is written and read again goes on as it was.
        let text = serde_json::to_string(&state).unwrap();
        assert!(text.len() < 8192, "{}", text.len());
        state = serde_json::from_str(&text).unwrap();
    }
    found
}

fn second(finding: &Finding) -> f64 {
    finding.event_time.duration_since(start()).as_secs_f64()
}

const AHEAD: [f64; 4] = [-500.0, 1000.0, 500.0, 2000.0];

#[test]
fn a_closed_zone_is_told_ahead_and_again_inside() {
    let zones = zones(&[zone("a", "closed", AHEAD, json!({}))]);
    for drive in [Drive::new(0.0, 0.0), Drive::new(0.0, 0.0).noisy()] {
        let found = run(&zones, &drive.go(100, 15.0, 0.0).events);
        assert_eq!(found.len(), 2, "{found:#?}");
        let (ahead, inside) = (&found[0], &found[1]);
        assert_eq!(
            (&*ahead.rule, ahead.severity),
            (CLOSED_ZONE, Severity::Warning)
        );
        assert_eq!(
            (inside.severity, &inside.episode),
            (Severity::Critical, &ahead.episode)
        );
        // The boundary is reached after 66.7 s.
        let lead = 66.7 - second(ahead);
        assert!((30.0..40.0).contains(&lead), "{lead}");
        assert!(
            (ahead.value - lead).abs() < 2.0 && ahead.threshold == 30.0 && ahead.unit == Some("s")
        );
        let detail = ahead.details.zone.as_ref().unwrap();
        assert_eq!((detail.id.as_str(), detail.name.as_str()), ("a", "Zone a"));
        assert_eq!((detail.kind.as_str(), detail.leaving), ("closed", false));
        assert!((detail.distance_m - lead * 15.0).abs() < 20.0);
        assert!((66.0..70.0).contains(&second(inside)));
        assert_eq!(inside.details.zone.as_ref().unwrap().distance_m, 0.0);
    }
}

#[test]
fn the_lead_is_the_zones_own() {
    let zones = zones(&[zone(
        "a",
        "closed",
        [-500.0, 2000.0, 500.0, 3000.0],
        json!({"lead_seconds": 90}),
    )]);
    let found = run(&zones, &Drive::new(0.0, 0.0).go(130, 15.0, 0.0).events);
    let lead = 2000.0 / 15.0 - second(&found[0]);
    assert!((90.0..105.0).contains(&lead), "{lead}");
    assert_eq!(found[0].threshold, 90.0);
}

#[test]
fn who_passes_by_is_not_warned() {
    let zones = zones(&[zone(
        "a",
        "closed",
        [20.0, 0.0, 1000.0, 5000.0],
        json!({"lead_seconds": 60}),
    )]);
    // Along the boundary, 20 m beside it, with noise of 3 m.
    let found = run(
        &zones,
        &Drive::new(0.0, -500.0).noisy().go(300, 15.0, 0.0).events,
    );
    assert_eq!(found, []);
    // Away from it.
    let found = run(
        &zones,
        &Drive::new(-100.0, 100.0).go(200, 15.0, 270.0).events,
    );
    assert_eq!(found, []);
}

#[test]
fn a_bend_on_the_way_is_no_heading() {
    // Two quick turns; in the first the course sweeps over the zone.
    let zones = zones(&[zone("a", "closed", [250.0, 200.0, 350.0, 300.0], json!({}))]);
    let mut drive = Drive::new(0.0, -300.0).go(20, 12.0, 0.0);
    for i in 1..=6 {
        drive = drive.go(1, 8.0, f64::from(i) * 15.0);
    }
    let found = run(&zones, &drive.go(60, 12.0, 90.0).events);
    assert_eq!(found, []);
}

#[test]
fn a_road_that_bends_towards_it_is_told_as_soon_as_it_points_there() {
    let zones = zones(&[zone(
        "a",
        "closed",
        [-2000.0, 1000.0, 2000.0, 2000.0],
        json!({}),
    )]);
    let mut drive = Drive::new(-1200.0, 300.0).go(60, 14.0, 90.0);
    for i in 1..=30 {
        drive = drive.go(1, 14.0, 90.0 - f64::from(i) * 3.0);
    }
    let events = drive.go(60, 14.0, 0.0).events;
    let found = run(&zones, &events);
    let lead = second(&found[1]) - second(&found[0]);
    assert!(lead >= 28.0, "{lead}");
}

#[test]
fn parked_cars_are_not_warned_ahead() {
    let zones = zones(&[zone("a", "closed", [10.0, -50.0, 1000.0, 50.0], json!({}))]);
    // It came from the west and stands 20 m before the boundary, with noise.
    let drive = Drive::new(-900.0, 400.0).noisy().go(3, 0.0, 0.0);
    let mut parked = Drive::new(-15.0, 0.0).noisy();
    parked = parked.go(600, 0.0, 90.0);
    assert_eq!(run(&zones, &parked.events), []);
    assert_eq!(run(&zones, &drive.events), []);
}

#[test]
fn inside_from_the_start() {
    let closed = zones(&[zone(
        "a",
        "closed",
        [-500.0, -500.0, 500.0, 500.0],
        json!({}),
    )]);
    let found = run(&closed, &Drive::new(0.0, 0.0).go(20, 5.0, 0.0).events);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].severity, second(&found[0])),
        (Severity::Critical, 0.0)
    );
    let border = zones(&[zone(
        "a",
        "border",
        [-500.0, -500.0, 500.0, 500.0],
        json!({}),
    )]);
    assert_eq!(
        run(&border, &Drive::new(0.0, 0.0).go(20, 5.0, 0.0).events),
        []
    );
}

#[test]
fn borders_count_in_both_directions() {
    let zones = zones(&[zone(
        "de",
        "border",
        [-5000.0, 1000.0, 5000.0, 9000.0],
        json!({}),
    )]);
    let drive = Drive::new(0.0, 0.0)
        .go(120, 15.0, 0.0)
        .go(3, 3.0, 90.0)
        .go(100, 15.0, 180.0);
    let found = run(&zones, &drive.events);
    assert_eq!(found.len(), 2, "{found:#?}");
    for (finding, leaving) in found.iter().zip([false, true]) {
        assert_eq!(
            (&*finding.rule, finding.severity),
            (BORDER, Severity::Warning)
        );
        assert_eq!(finding.details.zone.as_ref().unwrap().leaving, leaving);
        assert!(finding.value >= 28.0, "{}", finding.value);
    }
    assert_ne!(found[0].episode, found[1].episode);
}

#[test]
fn a_border_crossed_without_warning_is_told() {
    // Stop and go up to the line, below the speed at which anything is foreseen.
    let zones = zones(&[zone(
        "de",
        "border",
        [-5000.0, 30.0, 5000.0, 9000.0],
        json!({}),
    )]);
    let found = run(&zones, &Drive::new(0.0, 0.0).go(60, 1.0, 0.0).events);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].value, 0.0);
    assert!(found[0].text.contains("was entered"));
}

fn curfew_at(from: &str, to: &str) -> Zones {
    let curfew = json!({"curfew": {"from": from, "to": to, "time_zone": "Europe/Berlin"}});
    zones(&[zone("night", "curfew", AHEAD, curfew)])
}

#[test]
fn curfews_count_in_their_window_only() {
    // The drive begins at 14:00 in Berlin.
    let drive = Drive::new(0.0, 0.0).go(110, 15.0, 0.0).events;
    assert_eq!(run(&curfew_at("22:00", "06:00"), &drive), []);
    assert_eq!(run(&curfew_at("06:00", "14:00"), &drive), []);
    let found = run(&curfew_at("13:00", "15:30"), &drive);
    assert_eq!(found.len(), 2);
    assert_eq!(
        (&*found[0].rule, found[0].severity),
        (CURFEW, Severity::Warning)
    );
    assert_eq!(
        (found[1].severity, &found[1].episode),
        (Severity::Critical, &found[0].episode)
    );
    let until = found[0].details.zone.as_ref().unwrap().until.unwrap();
    assert_eq!(until.to_string(), "2026-07-01T13:30:00Z");
    assert!(
        found[0].text.ends_with("curfew until 15:30"),
        "{}",
        found[0].text
    );
}

#[test]
fn a_curfew_that_begins_while_inside_is_told_ahead() {
    // Driving about in the zone from 14:00 on; the curfew begins at 14:05.
    let mut drive = Drive::new(0.0, 1200.0);
    for _ in 0..10 {
        drive = drive.go(25, 10.0, 0.0).go(25, 10.0, 180.0);
    }
    let found = run(&curfew_at("14:05", "15:00"), &drive.events);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(
        (second(&found[0]), found[0].severity),
        (270.0, Severity::Warning)
    );
    assert_eq!((found[0].value, second(&found[1])), (30.0, 300.0));
    assert_eq!(found[1].severity, Severity::Critical);
    // Parked in it, nothing is told.
    let parked = Drive::new(0.0, 1200.0).go(900, 0.0, 0.0);
    assert_eq!(run(&curfew_at("14:05", "15:00"), &parked.events), []);
}

#[test]
fn jumps_of_the_receiver_are_dropped() {
    let zones = zones(&[zone(
        "a",
        "closed",
        [5000.0, 5000.0, 6000.0, 6000.0],
        json!({}),
    )]);
    let mut drive = Drive::new(0.0, 0.0).go(60, 10.0, 90.0);
    let (longitude, latitude) = place(5500.0, 5500.0);
    drive.events[30].longitude = Some(longitude);
    drive.events[30].latitude = Some(latitude);
    assert_eq!(run(&zones, &drive.events), []);
    // Two in a row are believed: it was moved.
    let moved = Drive::new(5500.0, 5500.0).go(3, 10.0, 90.0);
    for (event, moved) in drive.events[40..].iter_mut().zip(&moved.events) {
        event.longitude = moved.longitude;
        event.latitude = moved.latitude;
    }
    assert_eq!(run(&zones, &drive.events)[0].severity, Severity::Critical);
}

#[test]
fn an_episode_outlasts_a_turn_and_has_a_pause() {
    let zones = zones(&[zone("a", "closed", AHEAD, json!({}))]);
    // Towards it, aside for half a minute, towards it again: one episode. Then away for good, and back at once.
    let drive = Drive::new(0.0, 500.0)
        .go(15, 12.0, 0.0)
        .go(20, 12.0, 90.0)
        .go(10, 12.0, 0.0);
    assert_eq!(run(&zones, &drive.events).len(), 1);
    let back = drive.go(70, 12.0, 180.0).go(50, 12.0, 0.0);
    assert_eq!(run(&zones, &back.events).len(), 1, "the pause holds");
    let entered = back.go(60, 12.0, 0.0);
    let found = run(&zones, &entered.events);
    assert_eq!(
        found.last().unwrap().severity,
        Severity::Critical,
        "entering is told in spite of it"
    );
}

#[test]
fn heading_is_used_and_a_stuck_one_is_not() {
    let zones = zones(&[zone("a", "closed", AHEAD, json!({}))]);
    let mut right = Drive::new(0.0, 0.0).go(100, 15.0, 0.0).events;
    for event in &mut right {
        event.heading = Some(1.0);
    }
    assert_eq!(run(&zones, &right).len(), 2);
    for event in &mut right {
        event.heading = Some(90.0);
    }
    assert_eq!(
        run(&zones, &right).len(),
        2,
        "the ground covered says north"
    );
    let mut aside = Drive::new(0.0, 0.0).go(100, 15.0, 90.0).events;
    for event in &mut aside {
        event.heading = Some(0.0);
    }
    assert_eq!(run(&zones, &aside).len(), 0);
}

#[test]
fn ten_thousand_zones_one_of_them_ahead() {
    let mut features: Vec<serde_json::Value> = (0..10_000)
        .map(|i| {
            let (x, y) = (
                f64::from(i % 100) * 2000.0 + 3000.0,
                f64::from(i / 100) * 2000.0,
            );
            zone(
                &format!("far-{i}"),
                "closed",
                [x, y, x + 500.0, y + 500.0],
                json!({}),
            )
        })
        .collect();
    features.push(zone("near", "closed", AHEAD, json!({})));
    let zones = zones(&features);
    assert_eq!(zones.len(), 10_001);
    let found = run(&zones, &Drive::new(0.0, 0.0).go(100, 15.0, 0.0).events);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].details.zone.as_ref().unwrap().id, "near");
}

#[test]
fn many_zones_at_once_stay_bounded() {
    let features: Vec<serde_json::Value> = (0..60)
        .map(|i| {
            zone(
                &format!("z{i}"),
                "closed",
                AHEAD,
                json!({"name": "x".repeat(120)}),
            )
        })
        .collect();
    let found = run(
        &zones(&features),
        &Drive::new(0.0, 0.0).go(100, 15.0, 0.0).events,
    );
    assert_eq!(found.len(), 2 * super::observe::FOLLOWED);
}

fn refused(text: &str) -> String {
    Zones::from_geojson(&[("z.geojson", text)])
        .unwrap_err()
        .to_string()
}

#[test]
fn geometries_and_tolerance() {
    let square = "[[[0,0],[1,0],[1,1],[0,1],[0,0]]]";
    let open = "[[[0,0],[0,1],[1,1],[1,0]]]";
    for (text, count) in [
        (
            format!(
                r#"{{"type":"Feature","properties":{{"kind":"closed"}},"geometry":{{"type":"Polygon","coordinates":{square}}}}}"#
            ),
            1,
        ),
        (
            format!(
                r#"{{"type":"MultiPolygon","coordinates":[{square},{open}],"properties":{{"kind":"No Entry"}}}}"#
            ),
            1,
        ),
        (
            format!(
                r#"{{"type":"FeatureCollection","properties":{{"kind":"border"}},"features":[{{"type":"Feature","properties":{{}},"geometry":{{"type":"Polygon","coordinates":{square}}}}},{{"type":"Feature","properties":null,"geometry":{{"type":"Polygon","coordinates":{open}}}}}]}}"#
            ),
            2,
        ),
        (
            format!(
                r#"{{"type":"Feature","properties":{{"kind":"curfew","curfew":"[{{\"from\":\"22:00\",\"to\":\"24:00\",\"time_zone\":\"UTC\",\"days\":[\"mon\",\"Sunday\"]}}]"}},"geometry":{{"type":"Polygon","coordinates":{square}}}}}"#
            ),
            1,
        ),
    ] {
        let zones = Zones::from_geojson(&[("dir/city.geojson", &text)])
            .unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(zones.len(), count);
        assert!(
            zones
                .number(if count == 1 { "city" } else { "city-1" })
                .is_some()
        );
    }
}

#[test]
fn mistakes_are_named() {
    let feature = |properties: &str, geometry: &str| {
        format!(r#"{{"type":"Feature","properties":{properties},"geometry":{geometry}}}"#)
    };
    let ring = |c: &str| {
        feature(
            r#"{"kind":"closed"}"#,
            &format!(r#"{{"type":"Polygon","coordinates":[{c}]}}"#),
        )
    };
    let square = r#"{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,1],[0,0]]]}"#;
    let curfew = |c: &str| feature(&format!(r#"{{"kind":"curfew","curfew":{c}}}"#), square);
    for (text, parts) in [
        ("nonsense".to_owned(), ["z.geojson", "not JSON", "FeatureCollection"]),
        ("[]".to_owned(), ["z.geojson", "not an object", "FeatureCollection"]),
        (feature("{}", square), ["properties.kind", "missing", "border, closed or curfew"]),
        (feature(r#"{"kind":"park"}"#, square), ["properties.kind: park", "not a kind", "closed"]),
        (feature(r#"{"kind":"closed"}"#, r#"{"type":"Point","coordinates":[1,2]}"#), ["geometry.type: Point", "no area", "Polygon"]),
        (feature(r#"{"kind":"closed"}"#, "null"), ["geometry: null", "no geometry", "Polygon"]),
        (ring("[[0,0],[1,0],[0,0]]"), ["coordinates[0]", "too few", "4 positions"]),
        (ring("[[0,0],[1,1],[2,2],[0,0]]"), ["coordinates[0]", "too few", "4 positions"]),
        (ring("[[9,48],[9,148],[10,48],[9,48]]"), ["coordinates[0][1]: [9, 148]", "latitude beyond 90", "exchanged"]),
        (ring("[[500000,48],[9,48],[10,48],[9,48]]"), ["[500000, 48]", "not degrees", "EPSG:4326"]),
        (ring("[[0,0],[null,1],[1,1],[0,0]]"), ["coordinates[0][1][0]: null", "not a number", "longitude"]),
        (ring("[[-100,0],[100,0],[100,1],[-100,0]]"), ["coordinates[0][1]", "half around", "cut"]),
        (ring("[[0,0],[1,0],[1,1],[0,0]],[[5,5],[6,5],[6,6],[5,5]]"), ["coordinates[1]", "a hole", "MultiPolygon"]),
        (feature(r#"{"kind":"closed","lead_seconds":"60"}"#, square), ["lead_seconds: 60", "not a number", "60"]),
        (feature(r#"{"kind":"closed","curfew":{}}"#, square), ["properties.curfew", "kind closed", "leave curfew out"]),
        (feature(r#"{"kind":"curfew"}"#, square), ["properties.curfew", "missing", "Europe/Berlin"]),
        (curfew(r#"{"from":"22:00","to":"25:00","time_zone":"UTC"}"#), ["curfew.to: 25:00", "not a time", "22:00"]),
        (curfew(r#"{"from":"22:00","to":"22:00","time_zone":"UTC"}"#), ["curfew.to: 22:00", "same as from", "24:00"]),
        (curfew(r#"{"from":"22:00","to":"06:00"}"#), ["curfew.time_zone: null", "missing", "Europe/Berlin"]),
        (curfew(r#"[{"from":"22:00","to":"06:00","time_zone":"Mars"}]"#), ["curfew[0].time_zone: Mars", "not a time zone", "IANA"]),
        (curfew(r#"{"from":"22:00","to":"06:00","time_zone":"UTC","days":["funday"]}"#), ["days[0]: funday", "not a day", "mon"]),
        (curfew(r#"{"from":"22:00","to":"06:00","zone":"UTC"}"#), ["curfew.zone", "unknown", "time_zone"]),
        (r#"{"type":"FeatureCollection","crs":{"properties":{"name":"EPSG:3857"}},"features":[]}"#.to_owned(), ["crs: EPSG:3857", "not WGS 84", "reproject"]),
        (r#"{"type":"FeatureCollection","features":[{"type":"Polygon"}]}"#.to_owned(), ["features[0].type: Polygon", "Feature belongs", "wrap"]),
    ] {
        let error = refused(&text);
        for part in parts {
            assert!(error.contains(part), "{text}\n{error}\nlacks: {part}");
        }
    }
    let twice = format!(
        r#"{{"type":"FeatureCollection","features":[{0},{0}]}}"#,
        feature(r#"{"kind":"closed","id":"x"}"#, square)
    );
    assert!(refused(&twice).contains("two zones"));
}

#[test]
fn the_documentation_is_right() {
    let text = include_str!("../../../../docs/zones.md");
    let mut read = 0;
    for block in text.split("```geojson\n").skip(1) {
        let block = block.split("```").next().unwrap();
        Zones::from_geojson(&[("docs.geojson", block)]).unwrap_or_else(|e| panic!("{block}: {e}"));
        read += 1;
    }
    assert!(read >= 2);
    for block in text.split("```yaml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let value: serde_json::Value = serde_yaml_ng::from_str(block).unwrap();
        let rules: ZoneRules = serde_json::from_value(value["rules"]["zones"].clone()).unwrap();
        rules.validate("rules.zones").unwrap();
        assert_eq!(
            rules,
            ZoneRules::default(),
            "the example shows the defaults"
        );
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        let _ = Zones::from_geojson(&[("z", &text)]);
    }

    #[test]
    fn any_polygon_is_read_or_refused(ring in proptest::collection::vec((-400.0..400.0f64, -100.0..100.0f64), 0..12)) {
        let ring: Vec<[f64; 2]> = ring.into_iter().map(|(x, y)| [x, y]).collect();
        let text = json!({"type": "Feature", "properties": {"kind": "closed"},
            "geometry": {"type": "Polygon", "coordinates": [ring]}}).to_string();
        let _ = Zones::from_geojson(&[("z", &text)]);
    }

    #[test]
    fn any_events_are_survived(events in proptest::collection::vec(
        (proptest::option::of(-181.0..181.0f64), proptest::option::of(-91.0..91.0f64), proptest::option::of(0.0..400.0f64),
         proptest::option::of(-10.0..400.0f64), 0u32..200, proptest::option::of(0.0..200.0f64)), 1..80)) {
        let features: Vec<_> = (0..20).map(|i| zone(&format!("z{i}"), ["closed", "border"][i % 2],
            [f64::from(i as u32) * 50.0, 0.0, 2e6, 3e6], json!({}))).collect();
        let zones = zones(&features);
        let mut time = 0.0;
        let events: Vec<Telemetry> = events.into_iter().enumerate().map(|(i, (x, y, speed, heading, wait, accuracy))| {
            time += f64::from(wait);
            let mut e = Telemetry::new("car-1", i as u64, super::curfew::after(start(), time));
            (e.longitude, e.latitude, e.speed, e.heading, e.horizontal_accuracy) = (x, y, speed, heading, accuracy);
            e
        }).collect();
        let found = run(&zones, &events);
        prop_assert_eq!(&run(&zones, &events), &found);
        for f in &found {
            prop_assert!(f.value >= 0.0 && f.value.is_finite());
        }
    }
}
