//! All zones, indexed by where they are.

use std::collections::HashMap;
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
    tree: RTree<Entry>,
    by_id: HashMap<String, u32>,
    longest_lead: f64,
    /// Whether a zone reaches over ±180 degrees of longitude.
    beyond: bool,
}

impl Zones {
    /// Reads zones from GeoJSON texts, each with the name of its file.
    ///
    /// # Errors
    /// Names the file, the field, its value and the cure; also when two zones have one id.
    pub fn from_geojson(files: &[(&str, &str)]) -> Result<Self, Invalid> {
        let mut index = Index::default();
        let mut entries = Vec::new();
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
                for part in &zone.shape.0 {
                    let [w, s, e, n] = part.bounds;
                    index.beyond |= w < -180.0 || e > 180.0;
                    let rectangle = Rectangle::from_corners([w, s], [e, n]);
                    entries.push(Entry::new(rectangle, number as u32));
                }
                index.longest_lead = index.longest_lead.max(zone.lead.unwrap_or(0.0));
                index.zones.push(zone);
            }
        }
        index.tree = RTree::bulk_load(entries);
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

    /// The longest `lead_seconds` that a zone asks for itself; 0 when none does.
    pub(crate) fn longest_lead(&self) -> f64 {
        self.0.longest_lead
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Zone> {
        self.0.zones.get(number as usize)
    }

    pub(crate) fn number(&self, id: &str) -> Option<u32> {
        self.0.by_id.get(id).copied()
    }

    /// Adds the numbers of the zones that may touch the bounds, which may reach over ±180 degrees.
    pub(crate) fn near(&self, [w, s, e, n]: Bounds, found: &mut Vec<u32>) {
        let all: &[f64] = if self.0.beyond || w < -180.0 || e > 180.0 {
            &[0.0, 360.0, -360.0]
        } else {
            &[0.0]
        };
        for turn in all {
            let bounds = AABB::from_corners([w + turn, s], [e + turn, n]);
            let touching = self.0.tree.locate_in_envelope_intersecting(&bounds);
            found.extend(touching.map(|entry| entry.data));
        }
    }
}
