//! All zones, indexed by where they are.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use millrace_contract::Invalid;
use rstar::primitives::{GeomWithData, Rectangle};
use rstar::{AABB, RTree};

use super::read::{Zone, read};
use super::shape::Bounds;

/// Most zones.
pub const MOST: usize = 100_000;

type Entry = GeomWithData<Rectangle<[f64; 2]>, u32>;

/// All zones that vehicles are warned of. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Zones(Arc<Index>);

#[derive(Debug, Default)]
struct Index {
    zones: Vec<Zone>,
    classes: Vec<Class>,
    by_id: HashMap<String, u32>,
    /// Whether a zone reaches over ±180 degrees of longitude.
    beyond: bool,
}

/// Zones with leads of about the same length: one that asks for an hour shall not make all others be looked at as
/// far ahead.
#[derive(Debug)]
struct Class {
    /// The longest lead of its zones; none when these have no lead of their own.
    lead: Option<f64>,
    tree: RTree<Entry>,
}

/// Which class a lead belongs to: within one they differ by less than a factor of two.
fn class_of(lead: Option<f64>) -> Option<i32> {
    lead.map(|seconds| seconds.max(1.0).log2().floor() as i32)
}

impl Zones {
    /// Reads zones from GeoJSON texts, each with the name of its file.
    ///
    /// # Errors
    /// Names the file, the field, its value and the cure; also when two zones have one id.
    pub fn from_geojson(files: &[(&str, &str)]) -> Result<Self, Invalid> {
        let mut index = Index::default();
        let mut classes: BTreeMap<Option<i32>, (Option<f64>, Vec<Entry>)> = BTreeMap::new();
        for (file, text) in files {
            for zone in read(file, text)? {
                let number = index.zones.len();
                if number >= MOST {
                    return Err(Invalid::new(
                        *file,
                        number.to_string(),
                        format!("more than {MOST} zones in all"),
                        "give those that vehicles can reach",
                    ));
                }
                if index.by_id.insert(zone.id.clone(), number as u32).is_some() {
                    return Err(Invalid::new(
                        format!("{file}: id"),
                        &zone.id,
                        "the id of two zones",
                        "give every zone an id of its own, over all files",
                    ));
                }
                let (longest, entries) = classes.entry(class_of(zone.lead)).or_default();
                *longest = match (*longest, zone.lead) {
                    (Some(longest), Some(lead)) => Some(longest.max(lead)),
                    (longest, lead) => longest.or(lead),
                };
                for part in &zone.shape.0 {
                    let [w, s, e, n] = part.bounds;
                    index.beyond |= w < -180.0 || e > 180.0;
                    let rectangle = Rectangle::from_corners([w, s], [e, n]);
                    entries.push(Entry::new(rectangle, number as u32));
                }
                index.zones.push(zone);
            }
        }
        let classes = classes.into_values().map(|(lead, entries)| Class {
            lead,
            tree: RTree::bulk_load(entries),
        });
        index.classes = classes.collect();
        Ok(Self(Arc::new(index)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.zones.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.zones.is_empty()
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Zone> {
        self.0.zones.get(number as usize)
    }

    pub(crate) fn number(&self, id: &str) -> Option<u32> {
        self.0.by_id.get(id).copied()
    }

    /// Adds the numbers of the zones that may touch the bounds, which may reach over ±180 degrees.
    pub(crate) fn near(&self, bounds: Bounds, found: &mut Vec<u32>) {
        for class in &self.0.classes {
            self.touching(class, bounds, found);
        }
    }

    /// The same, where the bounds depend on the lead of the zones; `lead` is that of zones that have none of
    /// their own.
    pub(crate) fn ahead(
        &self,
        lead: f64,
        found: &mut Vec<u32>,
        bounds: impl Fn(f64) -> Option<Bounds>,
    ) {
        for class in &self.0.classes {
            if let Some(bounds) = bounds(class.lead.unwrap_or(lead)) {
                self.touching(class, bounds, found);
            }
        }
    }

    fn touching(&self, class: &Class, [w, s, e, n]: Bounds, found: &mut Vec<u32>) {
        let all: &[f64] = if self.0.beyond || w < -180.0 || e > 180.0 {
            &[0.0, 360.0, -360.0]
        } else {
            &[0.0]
        };
        for turn in all {
            let bounds = AABB::from_corners([w + turn, s], [e + turn, n]);
            let touching = class.tree.locate_in_envelope_intersecting(&bounds);
            found.extend(touching.map(|entry| entry.data));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_long_lead_of_one_zone_does_not_reach_for_others() {
        let zone = |id: usize, x: f64, lead: Option<f64>| {
            json!({"type": "Feature", "id": format!("z{id}"), "properties": {"kind": "closed", "lead_seconds": lead},
                "geometry": {"type": "Polygon", "coordinates": [[[x, 0.0], [x + 0.1, 0.0], [x + 0.1, 0.1], [x, 0.0]]]}})
        };
        let leads = [None, Some(3600.0), Some(60.0), None, Some(100.0), Some(5.0)];
        let features: Vec<_> = leads
            .iter()
            .enumerate()
            .map(|(i, lead)| zone(i, i as f64, *lead))
            .collect();
        let text = json!({"type": "FeatureCollection", "features": features}).to_string();
        let zones = Zones::from_geojson(&[("f.geojson", &text)]).unwrap();
        // A degree eastwards takes a minute.
        let asked = |rules: f64| {
            let mut found = Vec::new();
            zones.ahead(rules, &mut found, |lead| {
                Some([-1.0, 0.0, lead / 60.0 - 1.0, 0.05])
            });
            found.sort_unstable();
            found
        };
        assert_eq!(asked(30.0), [1]);
        assert_eq!(asked(300.0), [0, 1, 3]);
        let mut all = Vec::new();
        zones.near([-1.0, 0.0, 9.0, 1.0], &mut all);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4, 5]);
    }
}
