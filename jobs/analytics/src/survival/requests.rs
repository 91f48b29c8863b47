//! Which group of vehicles asks for the fewest checks, repairs and maintenance.

use std::collections::BTreeMap;

use jiff::Timestamp;
use millrace_contract::{EventKind, Invalid, VehicleEvent};

use super::Rate;
use super::distances::once;

/// Hours of a month: a year of 365.25 days by 12.
pub const MONTH_HOURS: f64 = 730.5;

/// One vehicle while it was observed.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// What it is counted under: its model, for instance.
    pub group: &'a str,
    /// Its events, of any kind and in any order.
    pub events: &'a [VehicleEvent],
    /// From when on it was observed.
    pub from: Timestamp,
    /// Until when, the end not included.
    pub until: Timestamp,
    /// What it drove meanwhile, in km; see [`super::distances::driven`].
    pub km: f64,
}

/// The requests of one group of vehicles.
#[derive(Debug, Clone, PartialEq)]
pub struct Requests {
    /// Its name.
    pub group: String,
    /// How many vehicles.
    pub vehicles: usize,
    /// How many checks.
    pub checks: u64,
    /// How many repairs.
    pub repairs: u64,
    /// How often maintained.
    pub maintenance: u64,
    /// All of them by vehicle-months.
    pub per_month: Rate,
    /// All of them by thousands of kilometres; none when the group did not drive.
    pub per_1000_km: Option<Rate>,
}

/// Requests of each group, the fewest per 1000 km first; groups that did not drive are last, by vehicle-months.
///
/// A request is an event of kind check, repair or maintenance at a time from `from` to before `until`; repeated ones (by
/// `id`) count once. Vehicle-months are the sum of `until` - `from` over the group by [`MONTH_HOURS`]: a vehicle without
/// any request counts in full, else groups with few requests would look worse than they are.
///
/// # Errors
/// A vehicle was observed for no time, or drove no number of kilometres from 0 on.
pub fn by_group<'a>(
    vehicles: impl IntoIterator<Item = Observed<'a>>,
) -> Result<Vec<Requests>, Invalid> {
    #[derive(Default)]
    struct Sum {
        vehicles: usize,
        kinds: [u64; 3],
        months: f64,
        km: f64,
    }
    let mut groups: BTreeMap<&str, Sum> = BTreeMap::new();
    for vehicle in vehicles {
        check(&vehicle)?;
        let sum = groups.entry(vehicle.group).or_default();
        sum.vehicles += 1;
        sum.km += vehicle.km;
        sum.months +=
            vehicle.until.duration_since(vehicle.from).as_secs_f64() / 3600.0 / MONTH_HOURS;
        for event in once(vehicle.events) {
            let observed = vehicle.from <= event.time && event.time < vehicle.until;
            let kind = match event.kind {
                EventKind::Check => 0,
                EventKind::Repair => 1,
                EventKind::Maintenance => 2,
                EventKind::Breakdown | EventKind::HireStarted | EventKind::HireEnded => continue,
            };
            sum.kinds[kind] += u64::from(observed);
        }
    }
    let mut found = groups
        .into_iter()
        .map(|(group, sum)| {
            let all = sum.kinds.iter().sum();
            let [checks, repairs, maintenance] = sum.kinds;
            let driven = sum.km > 0.0;
            Ok(Requests {
                group: group.to_owned(),
                vehicles: sum.vehicles,
                checks,
                repairs,
                maintenance,
                per_month: Rate::of(all, sum.months)?,
                per_1000_km: driven.then(|| Rate::of(all, sum.km / 1000.0)).transpose()?,
            })
        })
        .collect::<Result<Vec<_>, Invalid>>()?;
    found.sort_by(|a, b| {
        let by_km = |r: &Requests| r.per_1000_km.map_or(f64::INFINITY, |rate| rate.rate);
        let months = a.per_month.rate.total_cmp(&b.per_month.rate);
        by_km(a).total_cmp(&by_km(b)).then(months)
    });
    Ok(found)
}

fn check(vehicle: &Observed<'_>) -> Result<(), Invalid> {
    if vehicle.until <= vehicle.from {
        return Err(Invalid::new(
            "until",
            vehicle.until.to_string(),
            format!("not after {}, from when on it was observed", vehicle.from),
            "leave out vehicles that were observed for no time",
        ));
    }
    if !(vehicle.km >= 0.0 && vehicle.km.is_finite()) {
        return Err(Invalid::new(
            "km",
            vehicle.km.to_string(),
            "not a finite number from 0 on",
            "give what the vehicle drove while it was observed",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survival::testing::{event, time};

    #[test]
    fn the_fewest_requests_by_what_was_driven() {
        let month = 731;
        let requests = |vehicle: &str, n: i64| -> Vec<VehicleEvent> {
            let kinds = [
                EventKind::Check,
                EventKind::Repair,
                EventKind::Maintenance,
                EventKind::Breakdown,
            ];
            (0..n)
                .map(|i| {
                    let kind = kinds[usize::try_from(i).unwrap() % 4];
                    event(vehicle, &format!("e{i}"), kind, i)
                })
                .collect()
        };
        let (a, b, c) = (requests("a", 8), requests("b", 4), requests("c", 0));
        let twice = [b.clone(), b.clone()].concat();
        let of = |group, events, km| Observed {
            group,
            events,
            from: time(0),
            until: time(2 * month),
            km,
        };
        let found = by_group([
            of("Van", &a, 12_000.0),
            of("Van", &c, 12_000.0),
            of("Compact", &twice, 3000.0),
            of("Trailer", &c, 0.0),
        ])
        .unwrap();
        let names: Vec<&str> = found.iter().map(|r| r.group.as_str()).collect();
        assert_eq!(names, ["Van", "Compact", "Trailer"]);
        let van = &found[0];
        assert_eq!(
            (van.vehicles, van.checks, van.repairs, van.maintenance),
            (2, 2, 2, 2)
        );
        assert!((van.per_1000_km.unwrap().rate - 0.25).abs() < 1e-12);
        assert!((van.per_month.rate - 6.0 / (4.0 * 731.0 / 730.5)).abs() < 1e-12);
        assert!((found[1].per_1000_km.unwrap().rate - 1.0).abs() < 1e-12);
        assert_eq!(found[2].per_1000_km, None);
        assert!(found[2].per_month.high > 0.0);
    }

    #[test]
    fn only_what_was_observed_counts() {
        let events = [
            event("a", "1", EventKind::Repair, -1),
            event("a", "2", EventKind::Repair, 0),
            event("a", "3", EventKind::Repair, 10),
        ];
        let of = |from, until, km| Observed {
            group: "g",
            events: &events,
            from: time(from),
            until: time(until),
            km,
        };
        assert_eq!(by_group([of(0, 10, 1.0)]).unwrap()[0].repairs, 1);
        assert_eq!(by_group([of(10, 10, 1.0)]).unwrap_err().field, "until");
        assert_eq!(by_group([of(0, 10, f64::NAN)]).unwrap_err().field, "km");
        assert_eq!(by_group([]).unwrap(), []);
    }
}
