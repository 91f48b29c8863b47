//! Highways against village roads: breakdowns by what was driven on roads of each kind.

use millrace_contract::Invalid;

use super::{Rate, RateRatio};

/// Kinds of roads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Road {
    /// `motorway`, `trunk` and their links.
    Highway,
    /// `primary`, `secondary` and their links: neither.
    Main,
    /// `tertiary` and its links, `unclassified`, `residential`, `living_street`, `service`, `track`.
    Village,
    /// Any other, or not known.
    Unknown,
}

impl Road {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Highway, Self::Main, Self::Village, Self::Unknown];

    /// The kind of a road with this value of OpenStreetMap's key `highway`, in any case.
    ///
    /// By the OpenStreetMap wiki (Key:highway) motorways and trunk roads are the most important roads, tertiary ones link
    /// smaller towns and villages, unclassified ones villages and hamlets, and residential ones lead to homes.
    #[must_use]
    pub fn of_osm(highway: &str) -> Self {
        let lower = highway.to_ascii_lowercase();
        match lower.strip_suffix("_link").unwrap_or(&lower) {
            "motorway" | "trunk" => Self::Highway,
            "primary" | "secondary" => Self::Main,
            "tertiary" | "unclassified" | "residential" | "living_street" | "service" | "track" => {
                Self::Village
            }
            _ => Self::Unknown,
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Highway => 0,
            Self::Main => 1,
            Self::Village => 2,
            Self::Unknown => 3,
        }
    }
}

/// What was driven on roads of each kind, in km.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Driven([f64; 4]);

/// So far the shares of a stretch may be from 1 in all.
const ROUNDING: f64 = 0.01;

impl Driven {
    /// Adds a stretch of so many metres, of which the given shares lie on roads of these kinds. Each kind gets its share of
    /// the length; what no share is given of is on unknown roads.
    ///
    /// # Errors
    /// The length or a share is no number from 0 on, or the shares are more than 1 in all.
    pub fn add(
        &mut self,
        metres: f64,
        shares: impl IntoIterator<Item = (Road, f64)>,
    ) -> Result<(), Invalid> {
        let number = |field: &str, value: f64| {
            if value >= 0.0 && value.is_finite() {
                return Ok(());
            }
            Err(Invalid::new(
                field,
                value.to_string(),
                "not a finite number from 0 on",
                "leave the stretch out",
            ))
        };
        number("metres", metres)?;
        let mut of = [0.0; 4];
        let mut all = 0.0;
        for (road, share) in shares {
            number("share", share)?;
            of[road.index()] += share;
            all += share;
        }
        if all > 1.0 + ROUNDING {
            return Err(Invalid::new(
                "share",
                all.to_string(),
                "more than 1 in all",
                "give shares of the stretch, which are 1 together",
            ));
        }
        of[Road::Unknown.index()] += (1.0 - all).max(0.0);
        // What rounding made too much is taken from all alike.
        let scale = metres / 1000.0 / all.max(1.0);
        for (sum, share) in self.0.iter_mut().zip(of) {
            *sum += share * scale;
        }
        Ok(())
    }

    /// Kilometres on roads of this kind.
    #[must_use]
    pub fn km(&self, road: Road) -> f64 {
        self.0[road.index()]
    }
}

/// Breakdowns on roads of one kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OnRoad {
    /// The kind.
    pub road: Road,
    /// How many breakdowns.
    pub breakdowns: u64,
    /// Kilometres driven.
    pub km: f64,
    /// Breakdowns per 1000 km; none where nothing was driven.
    pub per_1000_km: Option<Rate>,
}

/// Breakdowns per 1000 km by the kind of road. A breakdown is of the road on which the vehicle stood; where that lies on
/// several, of the one with the largest share.
///
/// # Errors
/// A breakdown on roads of a kind on which nothing was driven.
pub fn rates(
    driven: &Driven,
    breakdowns: impl IntoIterator<Item = Road>,
) -> Result<[OnRoad; 4], Invalid> {
    let mut counts = [0; 4];
    for road in breakdowns {
        counts[road.index()] += 1;
    }
    let of = |road: Road| {
        let (breakdowns, km) = (counts[road.index()], driven.km(road));
        let per_1000_km = match breakdowns {
            0 if km <= 0.0 => None,
            _ => Some(Rate::of(breakdowns, km / 1000.0)?),
        };
        Ok::<_, Invalid>(OnRoad {
            road,
            breakdowns,
            km,
            per_1000_km,
        })
    };
    Ok([
        of(Road::Highway)?,
        of(Road::Main)?,
        of(Road::Village)?,
        of(Road::Unknown)?,
    ])
}

/// How much more often vehicles break down on highways than on village roads.
///
/// # Errors
/// On one of them nothing was driven, or there was no breakdown on either.
pub fn highway_against_village(rates: &[OnRoad; 4]) -> Result<RateRatio, Invalid> {
    let rate = |road: Road| {
        let found = rates[road.index()];
        found.per_1000_km.ok_or_else(|| {
            Invalid::new(
                "km",
                found.km.to_string(),
                format!("nothing was driven on roads of kind {road:?}"),
                "take a longer time or more vehicles",
            )
        })
    };
    RateRatio::of(&rate(Road::Highway)?, &rate(Road::Village)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_the_map() {
        for (class, road) in [
            ("Motorway_link", Road::Highway),
            ("trunk", Road::Highway),
            ("Primary", Road::Main),
            ("secondary_link", Road::Main),
            ("Unclassified", Road::Village),
            ("Residential", Road::Village),
            ("ferry", Road::Unknown),
            ("", Road::Unknown),
        ] {
            assert_eq!(Road::of_osm(class), road, "{class}");
        }
    }

    #[test]
    fn exposure_is_split_by_shares() {
        let mut driven = Driven::default();
        driven
            .add(4000.0, [(Road::Highway, 0.75), (Road::Village, 0.25)])
            .unwrap();
        driven.add(1000.0, [(Road::Village, 0.5)]).unwrap();
        driven.add(0.0, []).unwrap();
        let km = Road::ALL.map(|road| driven.km(road));
        assert_eq!(km, [3.0, 0.0, 1.5, 0.5]);
        assert_eq!(driven.add(-1.0, []).unwrap_err().field, "metres");
        let much = [(Road::Main, 0.7), (Road::Village, 0.7)];
        assert_eq!(driven.add(1.0, much).unwrap_err().field, "share");
        assert_eq!(
            driven.add(1.0, [(Road::Main, f64::NAN)]).unwrap_err().field,
            "share"
        );
    }

    #[test]
    fn highway_and_village() {
        let mut driven = Driven::default();
        driven.add(400e6, [(Road::Highway, 1.0)]).unwrap();
        driven.add(100e6, [(Road::Village, 1.0)]).unwrap();
        let broken = [vec![Road::Highway; 8], vec![Road::Village; 10]].concat();
        let rates = rates(&driven, broken).unwrap();
        let per = |road: Road| rates[road.index()].per_1000_km.unwrap().rate;
        assert!((per(Road::Highway) - 0.02).abs() < 1e-12);
        assert!((per(Road::Village) - 0.1).abs() < 1e-12);
        assert_eq!(rates[Road::Main.index()].per_1000_km, None);
        let ratio = highway_against_village(&rates).unwrap();
        assert!(
            (ratio.ratio - 0.2).abs() < 1e-12 && ratio.high < 1.0,
            "{ratio:?}"
        );
        assert!(super::rates(&driven, [Road::Main]).is_err());
        let nothing = super::rates(&Driven::default(), []).unwrap();
        assert_eq!(highway_against_village(&nothing).unwrap_err().field, "km");
    }
}
