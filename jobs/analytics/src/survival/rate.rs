//! Rates of events with exact limits: how often in so much time or distance.

use millrace_contract::Invalid;

use super::special::{beta_quantile, gamma_quantile};

/// How sure limits are: they hold in 95 of 100 cases.
pub const CONFIDENCE: f64 = 0.95;

/// Events per unit of exposure, with exact two-sided limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// How many events.
    pub events: u64,
    /// In so much exposure: hours, months, thousands of kilometres.
    pub exposure: f64,
    /// Events per unit of exposure.
    pub rate: f64,
    /// Lower limit, at [`CONFIDENCE`].
    pub low: f64,
    /// Upper limit, at [`CONFIDENCE`].
    pub high: f64,
}

impl Rate {
    /// The rate of `events` in `exposure`.
    ///
    /// Events are taken as a Poisson process. With α = 1 - [`CONFIDENCE`] the limits are χ²(α/2; 2n)/2T and
    /// χ²(1-α/2; 2n+2)/2T (Garwood 1936, Biometrika 28): exact, so they hold for no event, too, where the lower one
    /// is 0.
    ///
    /// # Errors
    /// The exposure is not above 0.
    pub fn of(events: u64, exposure: f64) -> Result<Self, Invalid> {
        if !(exposure > 0.0 && exposure.is_finite()) {
            return Err(Invalid::new(
                "exposure",
                exposure.to_string(),
                "not above 0: nothing was observed, so there is no rate",
                "leave out what was not observed",
            ));
        }
        let n = events as f64;
        let low = match events {
            0 => 0.0,
            _ => gamma_quantile(n, (1.0 - CONFIDENCE) / 2.0),
        };
        let high = gamma_quantile(n + 1.0, (1.0 + CONFIDENCE) / 2.0);
        Ok(Self {
            events,
            exposure,
            rate: n / exposure,
            low: low / exposure,
            high: high / exposure,
        })
    }
}

/// Mean time or distance between events, with exact two-sided limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanBetween {
    /// How many events.
    pub events: u64,
    /// All that was observed, of all units.
    pub exposure: f64,
    /// Exposure per event.
    pub mean: f64,
    /// Lower limit, at [`CONFIDENCE`].
    pub low: f64,
    /// Upper limit, at [`CONFIDENCE`].
    pub high: f64,
}

impl MeanBetween {
    /// All exposure, whether it ended with an event or not, by the number of events: what a constant rate makes of
    /// censored observations (MIL-HDBK-338B, 8.3.2.5). It needs one event; limits as [`Rate::of`].
    ///
    /// # Errors
    /// Nothing was observed, or no event: then the error tells what the mean is above, with [`CONFIDENCE`].
    pub fn of(events: u64, exposure: f64) -> Result<Self, Invalid> {
        let rate = Rate::of(events, exposure)?;
        if events == 0 {
            // One-sided: -ln α.
            let least = exposure / -(1.0 - CONFIDENCE).ln();
            return Err(Invalid::new(
                "events",
                "0",
                format!(
                    "no event in {exposure}: the mean is above {least:.6} with {:.0} % confidence, and that is all that can be told",
                    CONFIDENCE * 100.0
                ),
                "observe longer, or more units",
            ));
        }
        Ok(Self {
            events,
            exposure,
            mean: 1.0 / rate.rate,
            low: 1.0 / rate.high,
            high: 1.0 / rate.low,
        })
    }
}

/// How much larger one rate is than another, with exact two-sided limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateRatio {
    /// The first rate by the second one.
    pub ratio: f64,
    /// Lower limit, at [`CONFIDENCE`].
    pub low: f64,
    /// Upper limit, at [`CONFIDENCE`]; infinite when the second had no event.
    pub high: f64,
}

impl RateRatio {
    /// Compares `of` with `with`.
    ///
    /// Given all n events, those of the first are binomial with p = rT₁/(rT₁+T₂): the limits are those of Clopper and
    /// Pearson for p, solved for r (Lehmann and Romano, Testing Statistical Hypotheses, 4.5). Where 1 lies outside of them
    /// the rates differ.
    ///
    /// # Errors
    /// Neither had an event.
    pub fn of(of: &Rate, with: &Rate) -> Result<Self, Invalid> {
        if of.events + with.events == 0 {
            return Err(Invalid::new(
                "events",
                "0",
                "neither had an event, so nothing can be compared",
                "observe longer, or more units",
            ));
        }
        let (a, b) = (of.events as f64, with.events as f64);
        let scale = with.exposure / of.exposure;
        let odds = |p: f64| p / (1.0 - p) * scale;
        let low = match of.events {
            0 => 0.0,
            _ => odds(beta_quantile(a, b + 1.0, (1.0 - CONFIDENCE) / 2.0)),
        };
        let high = match with.events {
            0 => f64::INFINITY,
            _ => odds(beta_quantile(a + 1.0, b, (1.0 + CONFIDENCE) / 2.0)),
        };
        Ok(Self {
            ratio: of.rate / with.rate,
            low,
            high,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(a: f64, b: f64, within: f64) {
        assert!((a - b).abs() <= within, "{a} is not {b}");
    }

    #[test]
    fn limits_are_those_of_the_tables() {
        // Exact 95 % limits of a Poisson count, as printed in tables: 0: 0 to 3.689; 1: 0.0253 to 5.572; 10: 4.795 to
        // 18.390.
        for (events, low, high) in [(0, 0.0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.390)] {
            let rate = Rate::of(events, 1.0).unwrap();
            near(rate.low, low, 5e-4);
            near(rate.high, high, 5e-4);
        }
    }

    #[test]
    fn no_event_is_said_and_not_infinity() {
        let e = MeanBetween::of(0, 1000.0).unwrap_err();
        assert_eq!((e.field.as_str(), e.value.as_str()), ("events", "0"));
        assert!(e.problem.contains("above 333.8"), "{e}");
        assert_eq!(Rate::of(3, 0.0).unwrap_err().field, "exposure");
        assert!(Rate::of(3, f64::NAN).is_err());
        let none = Rate::of(0, 5.0).unwrap();
        assert!(RateRatio::of(&none, &none).is_err());
    }

    #[test]
    fn equal_rates_do_not_differ_and_unequal_ones_do() {
        let of = |n, t| Rate::of(n, t).unwrap();
        let same = RateRatio::of(&of(10, 5.0), &of(20, 10.0)).unwrap();
        near(same.ratio, 1.0, 1e-12);
        assert!(same.low < 1.0 && same.high > 1.0);
        let more = RateRatio::of(&of(60, 5.0), &of(20, 10.0)).unwrap();
        assert!(more.low > 1.0 && more.high.is_finite(), "{more:?}");
        let once = RateRatio::of(&of(5, 5.0), &of(0, 5.0)).unwrap();
        assert!(once.high.is_infinite() && once.low > 0.0);
    }

    proptest! {
        #[test]
        fn limits_enclose_and_scale(events in 0..2000_u64, exposure in 0.01..1e6_f64, scale in 0.1..100.0_f64) {
            let rate = Rate::of(events, exposure).unwrap();
            prop_assert!(rate.low <= rate.rate && rate.rate < rate.high);
            let scaled = Rate::of(events, exposure * scale).unwrap();
            prop_assert!((scaled.high * scale - rate.high).abs() < 1e-9 * rate.high);
            if events > 0 {
                let mean = MeanBetween::of(events, exposure).unwrap();
                prop_assert!(mean.low < mean.mean && mean.mean < mean.high);
            }
        }
    }
}
