//! How many live how long, without any assumption about the distribution.

use millrace_contract::Invalid;

use super::{Estimate, Lifetime, check};

/// A length at which something failed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The length.
    pub length: f64,
    /// How many had lived so long and were still observed.
    pub at_risk: usize,
    /// How many failed at it.
    pub failed: usize,
    /// The share that lives longer.
    pub survival: f64,
    /// Greenwood's variance of that share.
    pub variance: f64,
}

/// The estimator of Kaplan and Meier (1958, J. Am. Stat. Assoc. 53).
///
/// At each length tᵢ with a failure, of nᵢ that lived so long and were still observed dᵢ fail:
/// S(t) = Π (1 - dᵢ/nᵢ) over tᵢ ≤ t. What is censored at tᵢ itself still counts in nᵢ. The variance is Greenwood's,
/// S(t)² Σ dᵢ/(nᵢ(nᵢ-dᵢ)); where all have failed it is 0.
#[derive(Debug, Clone, PartialEq)]
pub struct KaplanMeier {
    steps: Vec<Step>,
    longest: f64,
}

impl KaplanMeier {
    /// Estimates from lifetimes in any order.
    ///
    /// # Errors
    /// There are none, or one has no proper length. Without failures the share stays 1.
    pub fn of(lifetimes: &[Lifetime]) -> Result<Self, Invalid> {
        check(lifetimes)?;
        let mut sorted = lifetimes.to_vec();
        sorted.sort_by(|a, b| a.length.total_cmp(&b.length));
        let longest = sorted.last().map_or(0.0, |l| l.length);
        let (mut survival, mut sum) = (1.0, 0.0);
        let mut at_risk = sorted.len();
        let mut steps = Vec::new();
        for equal in sorted.chunk_by(|a, b| a.length == b.length) {
            let failed = equal.iter().filter(|l| l.has_failed()).count();
            if failed > 0 {
                let (n, d) = (at_risk as f64, failed as f64);
                survival *= 1.0 - d / n;
                sum += d / (n * (n - d));
                steps.push(Step {
                    length: equal[0].length,
                    at_risk,
                    failed,
                    survival,
                    variance: if failed == at_risk {
                        0.0
                    } else {
                        survival * survival * sum
                    },
                });
            }
            at_risk -= equal.len();
        }
        Ok(Self { steps, longest })
    }

    /// The lengths at which something failed, in order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The longest length observed: nothing is known beyond it.
    #[must_use]
    pub fn longest(&self) -> f64 {
        self.longest
    }

    /// The share that lives longer than `length`, with its standard error. Beyond the longest observation it is that of
    /// the last failure.
    #[must_use]
    pub fn survival(&self, length: f64) -> Estimate {
        let before = self.steps.partition_point(|step| step.length <= length);
        let last = before.checked_sub(1).map(|at| &self.steps[at]);
        Estimate {
            value: last.map_or(1.0, |step| step.survival),
            error: last.map_or(0.0, |step| step.variance.sqrt()),
        }
    }

    /// The length that half of them live: the first at which at most half are left. None while more than half are.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        let mut steps = self.steps.iter();
        steps.find(|s| s.survival <= 0.5).map(|s| s.length)
    }

    /// The mean of what is lived of the first `until`: the area under S(t) from 0 to `until`, with the standard error of
    /// Σ Aᵢ² dᵢ/(nᵢ(nᵢ-dᵢ)), Aᵢ being the area from tᵢ to `until` (Klein and Moeschberger, Survival Analysis, 4.5).
    ///
    /// A mean over all time does not follow without a distribution, unless all have failed; this one does, and two groups
    /// can be compared by it over the same length.
    ///
    /// # Errors
    /// `until` is not above 0, or beyond the longest observation while something still lives.
    pub fn restricted_mean(&self, until: f64) -> Result<Estimate, Invalid> {
        let all_failed = self.steps.last().is_some_and(|s| s.survival <= 0.0);
        if !(until > 0.0 && until.is_finite()) || (until > self.longest && !all_failed) {
            return Err(Invalid::new(
                "until",
                until.to_string(),
                format!(
                    "not above 0 and up to {}, the longest observation",
                    self.longest
                ),
                "ask for a length that was observed",
            ));
        }
        let (mut area, mut variance) = (0.0, 0.0);
        let mut end = until;
        // From the end, so that each step knows the area behind it.
        for step in self.steps.iter().rev().filter(|s| s.length < until) {
            area += step.survival * (end - step.length);
            end = step.length;
            let (n, d) = (step.at_risk as f64, step.failed as f64);
            if step.failed < step.at_risk {
                variance += area * area * d / (n * (n - d));
            }
        }
        Ok(Estimate {
            value: area + end,
            error: variance.sqrt(),
        })
    }
}
