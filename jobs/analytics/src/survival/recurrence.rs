//! Events of what is repaired and goes on: how many per unit, by age.

use millrace_contract::Invalid;

use super::Estimate;

/// One unit that is repaired and goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Repaired {
    /// Its age when it was first observed; 0 when it was from the beginning.
    pub from: f64,
    /// Its ages at the events.
    pub events: Vec<f64>,
    /// Its age when it was last observed.
    pub until: f64,
}

/// An age at which there were events.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RepairStep {
    /// The age.
    pub age: f64,
    /// How many units of that age were observed.
    pub at_risk: usize,
    /// How many events they had at it.
    pub events: usize,
    /// Events per unit up to this age.
    pub mean: f64,
    /// Variance of `mean`.
    pub variance: f64,
}

/// The mean cumulative function: events per unit up to an age (Nelson, Recurrent Events Data Analysis, SIAM 2003).
///
/// At each age tᵢ with dᵢ events among the nᵢ units observed then it rises by dᵢ/nᵢ. A unit is observed at the ages above
/// its `from`, up to and with its `until`. The variance is that of Lawless and Nadeau (1995, Technometrics 37), which
/// needs no Poisson process: the sum over units j of (Σ δⱼᵢ/nᵢ · (dⱼᵢ - dᵢ/nᵢ))².
#[derive(Debug, Clone, PartialEq)]
pub struct MeanCumulative {
    steps: Vec<RepairStep>,
    longest: f64,
}

impl MeanCumulative {
    /// Estimates from units in any order. Takes time as units × ages with events.
    ///
    /// # Errors
    /// There is no unit, one was observed for no time, or has an event outside of it.
    pub fn of(units: &[Repaired]) -> Result<Self, Invalid> {
        check(units)?;
        let mut ages: Vec<f64> = units
            .iter()
            .flat_map(|u| u.events.iter().copied())
            .collect();
        ages.sort_by(f64::total_cmp);
        ages.dedup();
        // What each unit has had more than the mean of those that were observed beside it.
        let mut residuals = vec![0.0; units.len()];
        let mut mean = 0.0;
        let steps = ages
            .into_iter()
            .map(|age| {
                let observed = |u: &Repaired| u.from < age && age <= u.until;
                let at_risk = units.iter().filter(|u| observed(u)).count();
                let events_of = |u: &Repaired| u.events.iter().filter(|e| **e == age).count();
                let events: usize = units.iter().map(events_of).sum();
                let n = at_risk as f64;
                let rise = events as f64 / n;
                mean += rise;
                for (unit, residual) in units.iter().zip(&mut residuals) {
                    if observed(unit) {
                        *residual += (events_of(unit) as f64 - rise) / n;
                    }
                }
                RepairStep {
                    age,
                    at_risk,
                    events,
                    mean,
                    variance: residuals.iter().map(|r| r * r).sum(),
                }
            })
            .collect();
        let longest = units.iter().fold(0.0, |most: f64, u| most.max(u.until));
        Ok(Self { steps, longest })
    }

    /// The ages at which there were events, in order.
    #[must_use]
    pub fn steps(&self) -> &[RepairStep] {
        &self.steps
    }

    /// Events per unit up to `age`, with its standard error.
    ///
    /// # Errors
    /// No unit was observed at that age.
    pub fn at(&self, age: f64) -> Result<Estimate, Invalid> {
        if !(0.0..=self.longest).contains(&age) {
            return Err(Invalid::new(
                "age",
                age.to_string(),
                format!("not from 0 to {}, the greatest age observed", self.longest),
                "ask for an age that was observed",
            ));
        }
        let before = self.steps.partition_point(|step| step.age <= age);
        let last = before.checked_sub(1).map(|at| &self.steps[at]);
        Ok(Estimate {
            value: last.map_or(0.0, |step| step.mean),
            error: last.map_or(0.0, |step| step.variance.sqrt()),
        })
    }
}

fn check(units: &[Repaired]) -> Result<(), Invalid> {
    if units.is_empty() {
        return Err(Invalid::new(
            "units",
            "0",
            "there are none",
            "take a longer time or more vehicles",
        ));
    }
    for (n, unit) in units.iter().enumerate() {
        if !(unit.from >= 0.0 && unit.until > unit.from && unit.until.is_finite()) {
            return Err(Invalid::new(
                format!("units[{n}].until"),
                unit.until.to_string(),
                format!("not above {}, where it was first observed", unit.from),
                "leave out what was observed for no time",
            ));
        }
        let outside = |age: &&f64| !(**age > unit.from && **age <= unit.until);
        if let Some(age) = unit.events.iter().find(outside) {
            return Err(Invalid::new(
                format!("units[{n}].events"),
                age.to_string(),
                format!(
                    "not above {} and up to {}, where it was observed",
                    unit.from, unit.until
                ),
                "leave out events outside of the observation, or lengthen it",
            ));
        }
    }
    Ok(())
}
