//! Areas on the globe: what is inside, how near the boundary is, where a path crosses it.
//!
//! As GeoJSON has it (RFC 7946), an edge is a straight line in longitude and latitude. Edges are sorted into bands
//! of latitude, so that a question looks at a few of them, however many the area has.

/// Mean radius of the earth, in metres.
const EARTH: f64 = 6_371_008.8;
/// Metres in a degree of latitude.
const DEGREE: f64 = EARTH * std::f64::consts::PI / 180.0;
/// A path is bent after so many metres, to follow the great circle.
const STEP: f64 = 4_000.0;
/// Most bands of one part.
const BANDS: usize = 4096;

/// A place: longitude and latitude in degrees. Longitudes may leave ±180 where that keeps things together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Place {
    pub x: f64,
    pub y: f64,
}

/// West, south, east and north end, in degrees.
pub(crate) type Bounds = [f64; 4];

/// How much shorter a degree of longitude is than one of latitude; never 0.
fn shrink(latitude: f64) -> f64 {
    latitude.to_radians().cos().max(1e-6)
}

/// Metres to the east and to the north from `a` to `b`, the short way round.
pub(crate) fn offset(a: Place, b: Place) -> (f64, f64) {
    let dx = (b.x - a.x + 540.0).rem_euclid(360.0) - 180.0;
    (
        dx * DEGREE * shrink((a.y + b.y) / 2.0),
        (b.y - a.y) * DEGREE,
    )
}

/// Metres between two places that are near each other.
pub(crate) fn distance(a: Place, b: Place) -> f64 {
    let (x, y) = offset(a, b);
    x.hypot(y)
}

/// A straight way over the ground: the great circle from a place in a direction.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    /// Bends, with the metres gone until there.
    points: Vec<(f64, Place)>,
}

impl Path {
    /// From a place, `degrees` clockwise from north, `metres` far. None where directions mean nothing: within
    /// half a degree of a pole, or when something is not finite.
    pub fn new(from: Place, degrees: f64, metres: f64) -> Option<Self> {
        if !(from.y.abs() < 89.5 && from.x.is_finite() && degrees.is_finite() && metres > 0.0) {
            return None;
        }
        let steps = (metres / STEP).ceil().clamp(1.0, 64.0);
        let (sin_d, cos_d) = degrees.to_radians().sin_cos();
        let (sin_y, cos_y) = from.y.to_radians().sin_cos();
        let mut points = vec![(0.0, from)];
        for i in 1..=steps as usize {
            let gone = metres * i as f64 / steps;
            let (sin_r, cos_r) = (gone / EARTH).sin_cos();
            let sin = (sin_y * cos_r + cos_y * sin_r * cos_d).clamp(-1.0, 1.0);
            let turn = (sin_d * sin_r * cos_y).atan2(cos_r - sin_y * sin);
            let place = Place {
                x: from.x + turn.to_degrees(),
                y: sin.asin().to_degrees(),
            };
            points.push((gone, place));
        }
        Some(Self { points })
    }

    pub fn length(&self) -> f64 {
        self.points.last().map_or(0.0, |p| p.0)
    }

    /// The place after so many metres.
    fn at(&self, metres: f64) -> Place {
        let i = self
            .points
            .partition_point(|p| p.0 < metres)
            .clamp(1, self.points.len() - 1);
        let ((d0, a), (d1, b)) = (self.points[i - 1], self.points[i]);
        let share = (metres - d0) / (d1 - d0);
        Place {
            x: a.x + (b.x - a.x) * share,
            y: a.y + (b.y - a.y) * share,
        }
    }

    pub fn bounds(&self) -> Bounds {
        self.points.iter().fold(
            [f64::MAX, f64::MAX, f64::MIN, f64::MIN],
            |[w, s, e, n], (_, p)| [w.min(p.x), s.min(p.y), e.max(p.x), n.max(p.y)],
        )
    }
}

/// The bounds of a circle of so many metres.
pub(crate) fn around(place: Place, metres: f64) -> Bounds {
    let dy = metres / DEGREE;
    let dx = (dy / shrink(place.y)).min(180.0);
    [place.x - dx, place.y - dy, place.x + dx, place.y + dy]
}

#[derive(Debug, Clone, Copy)]
struct Edge {
    a: Place,
    b: Place,
}

/// Whether an edge is met on the way eastwards from a place.
fn is_east(a: Place, b: Place, p: Place) -> bool {
    (a.y > p.y) != (b.y > p.y) && p.x < (b.x - a.x) * (p.y - a.y) / (b.y - a.y) + a.x
}

/// Whether something of a ring, by its places and the middles of its edges, lies within another.
pub(crate) fn reaches_into(ring: &[Place], outer: &[Place]) -> bool {
    let within = |p: Place| {
        let met = outer.windows(2).filter(|w| is_east(w[0], w[1], p));
        met.count() % 2 == 1
    };
    let middle = |w: &[Place]| Place {
        x: (w[0].x + w[1].x) / 2.0,
        y: (w[0].y + w[1].y) / 2.0,
    };
    ring.iter().any(|p| within(*p)) || ring.windows(2).any(|w| within(middle(w)))
}

/// West, south, east and north end of places.
pub(crate) fn bounds(places: &[Place]) -> Bounds {
    places.iter().fold(
        [f64::MAX, f64::MAX, f64::MIN, f64::MIN],
        |[w, s, e, n], p| [w.min(p.x), s.min(p.y), e.max(p.x), n.max(p.y)],
    )
}

/// A polygon with its holes.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub bounds: Bounds,
    edges: Vec<Edge>,
    /// The first edge of a hole; those before are of the outer ring.
    holes: usize,
    /// Where the edges of each band begin in `listed`, and at last the end.
    starts: Vec<u32>,
    listed: Vec<u32>,
}

impl Part {
    /// From closed rings, of which all but the first are holes. None without any edge.
    pub fn new(rings: &[Vec<Place>]) -> Option<Self> {
        let edges_of = |rings: &[Vec<Place>]| -> Vec<Edge> {
            rings
                .iter()
                .flat_map(|r| r.windows(2).map(|w| Edge { a: w[0], b: w[1] }))
                .filter(|e| e.a != e.b)
                .collect()
        };
        let (outer, inner) = rings.split_at_checked(1)?;
        let mut edges = edges_of(outer);
        let holes = edges.len();
        edges.extend(edges_of(inner));
        if edges.is_empty() {
            return None;
        }
        let bounds = edges.iter().fold(
            [f64::MAX, f64::MAX, f64::MIN, f64::MIN],
            |[w, s, e, n], edge| {
                [
                    w.min(edge.a.x),
                    s.min(edge.a.y),
                    e.max(edge.a.x),
                    n.max(edge.a.y),
                ]
            },
        );
        let mut part = Self {
            bounds,
            edges,
            holes,
            starts: Vec::new(),
            listed: Vec::new(),
        };
        // Fewer bands where long edges would be listed too often.
        let mut bands = (part.edges.len() / 4).clamp(1, BANDS);
        loop {
            let entries: usize = part
                .edges
                .iter()
                .map(|e| part.span(e, bands))
                .map(|(first, last)| last - first + 1)
                .sum();
            if bands == 1 || entries <= part.edges.len() * 8 {
                break;
            }
            bands /= 2;
        }
        let mut lists = vec![Vec::new(); bands];
        for (i, edge) in part.edges.iter().enumerate() {
            let (first, last) = part.span(edge, bands);
            for list in &mut lists[first..=last] {
                list.push(i as u32);
            }
        }
        part.starts.push(0);
        for list in lists {
            part.listed.extend(list);
            part.starts.push(part.listed.len() as u32);
        }
        Some(part)
    }

    fn span(&self, edge: &Edge, bands: usize) -> (usize, usize) {
        let (a, b) = (edge.a.y, edge.b.y);
        (self.band(a.min(b), bands), self.band(a.max(b), bands))
    }

    fn band(&self, y: f64, bands: usize) -> usize {
        let [_, south, _, north] = self.bounds;
        let height = (north - south).max(f64::MIN_POSITIVE);
        // `as` brings what is out of range to the first or last band.
        (((y - south) / height * bands as f64) as usize).min(bands - 1)
    }

    /// Edges that may touch latitudes from `south` to `north`; long ones come more than once.
    fn edges(&self, south: f64, north: f64) -> impl Iterator<Item = &Edge> {
        self.numbered_edges(south, north).map(|(_, edge)| edge)
    }

    fn numbered_edges(&self, south: f64, north: f64) -> impl Iterator<Item = (usize, &Edge)> {
        let bands = self.starts.len() - 1;
        let from = self.starts[self.band(south, bands)] as usize;
        let to = self.starts[self.band(north, bands) + 1] as usize;
        self.listed[from..to]
            .iter()
            .map(|i| (*i as usize, &self.edges[*i as usize]))
    }

    fn touches(&self, [w, s, e, n]: Bounds) -> bool {
        let [west, south, east, north] = self.bounds;
        w <= east && e >= west && s <= north && n >= south
    }

    /// In the outer ring and in no hole, each by the even-odd rule. What of a hole lies outside the outer ring is
    /// outside all the same.
    fn contains(&self, p: Place) -> bool {
        if !self.touches([p.x, p.y, p.x, p.y]) {
            return false;
        }
        let (mut outer, mut hole) = (false, false);
        for (i, e) in self.numbered_edges(p.y, p.y) {
            if is_east(e.a, e.b, p) {
                let ring = if i < self.holes {
                    &mut outer
                } else {
                    &mut hole
                };
                *ring = !*ring;
            }
        }
        outer && !hole
    }

    fn boundary_within(&self, p: Place, metres: f64) -> bool {
        let bounds = around(p, metres);
        if !self.touches(bounds) {
            return false;
        }
        let scale = shrink(p.y);
        let local = |q: Place| ((q.x - p.x) * scale * DEGREE, (q.y - p.y) * DEGREE);
        self.edges(bounds[1], bounds[3]).any(|e| {
            let ((ax, ay), (bx, by)) = (local(e.a), local(e.b));
            let (dx, dy) = (bx - ax, by - ay);
            let along = (-(ax * dx + ay * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0);
            (ax + along * dx).hypot(ay + along * dy) < metres
        })
    }

    fn crossings(&self, path: &Path, shift: f64, found: &mut Vec<f64>) {
        for pair in path.points.windows(2) {
            let ((d0, a), (d1, b)) = (pair[0], pair[1]);
            let (a, b) = (
                Place {
                    x: a.x + shift,
                    ..a
                },
                Place {
                    x: b.x + shift,
                    ..b
                },
            );
            let bounds = [a.x.min(b.x), a.y.min(b.y), a.x.max(b.x), a.y.max(b.y)];
            if !self.touches(bounds) {
                continue;
            }
            let (px, py) = (b.x - a.x, b.y - a.y);
            for e in self.edges(bounds[1], bounds[3]) {
                let (ex, ey) = (e.b.x - e.a.x, e.b.y - e.a.y);
                let cross = px * ey - py * ex;
                if cross == 0.0 {
                    continue;
                }
                let (ox, oy) = (e.a.x - a.x, e.a.y - a.y);
                let (t, u) = ((ox * ey - oy * ex) / cross, (ox * py - oy * px) / cross);
                if (0.0..=1.0).contains(&t) && (0.0..=1.0).contains(&u) {
                    found.push(d0 + (d1 - d0) * t);
                }
            }
        }
    }
}

/// All parts of an area.
#[derive(Debug, Clone)]
pub(crate) struct Shape(pub Vec<Part>);

/// Longitudes a full turn apart are one.
pub(crate) const TURNS: [f64; 3] = [0.0, 360.0, -360.0];

impl Shape {
    fn any(&self, place: Place, asks: impl Fn(&Part, Place) -> bool) -> bool {
        TURNS.iter().any(|turn| {
            let place = Place {
                x: place.x + turn,
                ..place
            };
            self.0.iter().any(|part| asks(part, place))
        })
    }

    pub fn contains(&self, place: Place) -> bool {
        self.any(place, Part::contains)
    }

    /// Whether the boundary is nearer than so many metres.
    pub fn boundary_within(&self, place: Place, metres: f64) -> bool {
        self.any(place, |part, p| part.boundary_within(p, metres))
    }

    /// Metres along the path until it is inside (or, with `inside` false, outside) for more than a metre: seams
    /// between parts do not count.
    pub fn first(&self, path: &Path, inside: bool) -> Option<f64> {
        let mut at = vec![0.0, path.length()];
        for part in &self.0 {
            for turn in TURNS {
                part.crossings(path, turn, &mut at);
            }
        }
        at.sort_unstable_by(f64::total_cmp);
        at.windows(2)
            .filter(|w| w[1] - w[0] > 1.0)
            .find(|w| self.contains(path.at((w[0] + w[1]) / 2.0)) == inside)
            .map(|w| w[0])
    }
}

#[cfg(test)]
mod tests;
