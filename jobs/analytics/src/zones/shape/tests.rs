use super::*;
use proptest::prelude::*;

fn p(x: f64, y: f64) -> Place {
    Place { x, y }
}

fn ring(points: &[(f64, f64)]) -> Vec<Place> {
    let mut ring: Vec<Place> = points.iter().map(|(x, y)| p(*x, *y)).collect();
    ring.push(ring[0]);
    ring
}

fn square(x: f64, y: f64, half: f64) -> Vec<Place> {
    ring(&[
        (x - half, y - half),
        (x + half, y - half),
        (x + half, y + half),
        (x - half, y + half),
    ])
}

fn shape(polygons: &[&[Vec<Place>]]) -> Shape {
    Shape(polygons.iter().filter_map(|r| Part::new(r)).collect())
}

#[test]
fn holes_and_parts() {
    let area = shape(&[
        &[square(0.0, 50.0, 1.0), square(0.0, 50.0, 0.5)],
        &[square(5.0, 50.0, 1.0)],
    ]);
    assert!(area.contains(p(0.75, 50.0)) && area.contains(p(5.0, 50.0)));
    assert!(!area.contains(p(0.0, 50.0)) && !area.contains(p(3.0, 50.0)));
    let east = Path::new(p(0.0, 50.0), 90.0, 40_000.0).unwrap();
    let entry = area.first(&east, true).unwrap();
    assert!(
        (entry - distance(p(0.0, 50.0), p(0.5, 50.0))).abs() < 60.0,
        "{entry}"
    );
    assert!(area.boundary_within(p(0.0, 50.5001), 12.0));
    assert!(!area.boundary_within(p(0.0, 50.5001), 11.0));
}

#[test]
fn across_the_antimeridian() {
    // As RFC 7946 wants it, and in one piece.
    let cut = shape(&[&[square(179.0, 0.0, 1.0)], &[square(-179.0, 0.0, 1.0)]]);
    let whole = shape(&[&[square(180.0, 0.0, 2.0)]]);
    for area in [cut, whole] {
        assert!(area.contains(p(179.5, 0.1)) && area.contains(p(-179.5, 0.1)));
        assert!(!area.contains(p(177.0, 0.1)) && !area.contains(p(0.0, 0.1)));
        let path = Path::new(p(179.99, 0.1), 90.0, 10_000.0).unwrap();
        assert_eq!(area.first(&path, false), None, "the seam is no boundary");
        let out = Path::new(p(-178.01, 0.1), 90.0, 10_000.0).unwrap();
        assert!((area.first(&out, false).unwrap() - 1112.0).abs() < 5.0);
        let back = Path::new(p(-177.99, 0.1), 270.0, 10_000.0).unwrap();
        assert!((area.first(&back, true).unwrap() - 1112.0).abs() < 5.0);
    }
}

#[test]
fn near_the_poles_there_is_no_path_and_no_panic() {
    assert!(Path::new(p(0.0, 89.9), 0.0, 1000.0).is_none());
    assert!(Path::new(p(f64::NAN, 0.0), 0.0, 1000.0).is_none());
    let cap = shape(&[&[ring(&[
        (-180.0, 80.0),
        (180.0, 80.0),
        (180.0, 90.0),
        (-180.0, 90.0),
    ])]]);
    assert!(cap.contains(p(17.0, 90.0 - 1e-9)));
    let north = Path::new(p(20.0, 79.9), 0.0, 30_000.0).unwrap();
    assert!((cap.first(&north, true).unwrap() - 11_120.0).abs() < 20.0);
}

#[test]
fn a_great_circle_is_followed() {
    let from = p(10.0, 60.0);
    let path = Path::new(from, 90.0, 16_000.0).unwrap();
    let end = path.at(path.length());
    assert!((distance(from, end) - 16_000.0).abs() < 30.0);
    assert!(end.y < 60.0, "it bends towards the equator");
}

proptest! {
    #[test]
    fn bands_change_nothing(
        points in proptest::collection::vec((-1.0..1.0f64, -1.0..1.0f64), 3..120),
        asked in proptest::collection::vec((-1.2..1.2f64, -1.2..1.2f64), 20),
    ) {
        let rings = [ring(&points)];
        let Some(part) = Part::new(&rings) else { return Ok(()) };
        for (x, y) in asked {
            let naive = rings[0].windows(2).filter(|w| {
                let (a, b) = (w[0], w[1]);
                (a.y > y) != (b.y > y) && x < (b.x - a.x) * (y - a.y) / (b.y - a.y) + a.x
            }).count() % 2 == 1;
            prop_assert_eq!(part.contains(p(x, y)), naive);
        }
    }

    #[test]
    fn an_entry_is_at_the_boundary(
        points in proptest::collection::vec((-0.1..0.1f64, -0.1..0.1f64), 3..40),
        from in (-0.2..0.2f64, -0.2..0.2f64), course in 0.0..360.0f64,
    ) {
        let Some(part) = Part::new(&[ring(&points)]) else { return Ok(()) };
        let area = Shape(vec![part]);
        let path = Path::new(p(from.0, from.1), course, 20_000.0).unwrap();
        if let Some(entry) = area.first(&path, true) {
            prop_assert!(entry == 0.0 || area.boundary_within(path.at(entry), 0.5));
            prop_assert!(area.contains(path.at(entry + 0.5)));
        }
    }
}
