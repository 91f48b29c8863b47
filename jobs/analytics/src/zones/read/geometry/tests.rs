use serde_json::{Value, json};

use super::*;

fn polygon_of(rings: Value) -> Result<Shape, Invalid> {
    let text = json!({"type": "Polygon", "coordinates": rings}).to_string();
    geometry(
        &At("file: ".to_owned()),
        &serde_json::from_str(&text).unwrap(),
    )
}

fn square(x: f64, y: f64, half: f64) -> Value {
    json!([
        [x - half, y - half],
        [x + half, y - half],
        [x + half, y + half],
        [x - half, y + half],
        [x - half, y - half]
    ])
}

fn inside(shape: &Shape, x: f64, y: f64) -> bool {
    shape.contains(Place { x, y })
}

#[test]
fn a_hole_anywhere_in_a_ring_wider_than_half_the_earth() {
    let world = json!([
        [-180, -90],
        [0, -90],
        [180, -90],
        [180, 90],
        [0, 90],
        [-180, 90],
        [-180, -90]
    ]);
    for x in [-170.0, -10.0, 0.0, 10.0, 90.0, 175.0] {
        let shape = polygon_of(json!([world, square(x, 50.0, 2.0)])).unwrap();
        assert!(!inside(&shape, x + 1.0, 50.0), "{x}");
        assert!(
            inside(&shape, x + 3.0, 50.0) && inside(&shape, x, 40.0),
            "{x}"
        );
    }
    // Unrolled over the antimeridian the hole may be written either way.
    for x in [-179.0, 181.0] {
        let shape = polygon_of(json!([square(180.0, 0.0, 4.0), square(x, 0.0, 1.0)])).unwrap();
        assert!(
            !inside(&shape, -179.5, 0.1) && inside(&shape, 178.5, 0.1),
            "{x}"
        );
    }
}

#[test]
fn a_hole_never_adds_to_its_polygon() {
    // An L, whose notch is in the north-east.
    let l = json!([[0, 0], [4, 0], [4, 2], [2, 2], [2, 4], [0, 4], [0, 0]]);
    let crossing = polygon_of(json!([l, square(2.0, 2.0, 1.0)])).unwrap();
    assert!(!inside(&crossing, 2.5, 2.5), "the notch stays outside");
    assert!(!inside(&crossing, 1.5, 1.5), "the hole is a hole");
    assert!(inside(&crossing, 0.5, 0.5) && inside(&crossing, 3.5, 1.5));
    for (hole, word) in [
        (square(3.0, 3.0, 0.5), "outside its polygon"),
        (square(4.0, 1.0, 0.5), "leaves its polygon"),
    ] {
        let e = polygon_of(json!([l, hole])).unwrap_err().to_string();
        assert!(
            e.contains("coordinates[1]") && e.contains(word) && e.contains("MultiPolygon"),
            "{e}"
        );
    }
    // One that touches the ring with its corners only is in it.
    let touching = json!([[2, 0], [4, 2], [2, 4], [0, 2], [2, 0]]);
    let shape = polygon_of(json!([square(2.0, 2.0, 2.0), touching])).unwrap();
    assert!(!inside(&shape, 2.0, 2.1) && inside(&shape, 0.2, 0.3));
}

#[test]
fn what_is_no_position_is_named_where_it_is() {
    for (rings, parts) in [
        (json!(7), ["coordinates: 7", "not a list"]),
        (json!([7]), ["coordinates: a list of 1", "not a list"]),
        (
            json!([[1, 2], [3, 4]]),
            ["coordinates[0][0]: 1", "not a position"],
        ),
        (
            json!([["a", 2], [3, 4]]),
            ["coordinates[0][0]: a", "not a position"],
        ),
        (
            json!([[[1]]]),
            ["coordinates[0][0]: a list of 1", "not a position"],
        ),
        (
            json!([[[1, "b"]]]),
            ["coordinates[0][0][1]: b", "not a number"],
        ),
        (
            json!([[["a", 2, 3]]]),
            ["coordinates[0][0][0]: a", "not a number"],
        ),
        (
            json!([[[[1, 2], [3, 4]]]]),
            ["coordinates[0][0][0]: a list of 2", "not a number"],
        ),
        (
            json!([[{"x": 1}]]),
            ["coordinates[0][0]: an object", "not a position"],
        ),
        (
            json!([null]),
            ["coordinates[0]: null", "not a list of positions"],
        ),
        (
            json!([[[1, 91]]]),
            ["coordinates[0][0]: [1, 91]", "exchanged"],
        ),
    ] {
        let e = polygon_of(rings.clone()).unwrap_err().to_string();
        for part in parts {
            assert!(e.contains(part), "{rings}: {e}");
        }
    }
    // Heights are passed over.
    let high = json!([[0, 0, 5], [1, 0, 5], [1, 1, null], [0, 0, 5]]);
    assert!(inside(&polygon_of(json!([high])).unwrap(), 0.9, 0.5));
}
