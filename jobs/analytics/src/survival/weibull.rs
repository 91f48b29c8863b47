//! Lifetimes that follow a Weibull distribution.

use millrace_contract::Invalid;

use super::special::{digamma, ln_gamma, reach};
use super::{Estimate, Lifetime, check, no_failures};

/// A Weibull distribution, fitted by maximum likelihood to lifetimes of which some are censored.
///
/// S(t) = exp(-(t/η)^β). As the field writes it for log-lifetimes: μ = ln η, σ = 1/β (Meeker and Escobar, Statistical
/// Methods for Reliability Data, 8). The mean is η Γ(1 + 1/β). β > 1: it wears out; β < 1: it fails early; β = 1: at a
/// constant rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weibull {
    /// μ = ln η, with its standard error.
    pub mu: Estimate,
    /// σ = 1/β, with its standard error.
    pub sigma: Estimate,
    /// Mean life, with its standard error.
    pub mean: Estimate,
    /// How many lifetimes.
    pub units: usize,
    /// How many of them failed.
    pub failures: usize,
}

impl Weibull {
    /// Fits. β solves Σxᵢ^β ln xᵢ / Σxᵢ^β - 1/β = (1/r) Σ_failed ln xᵢ over all lengths xᵢ, r of them failed, and
    /// η^β = Σxᵢ^β / r. Standard errors are from the observed information; that of the mean by the delta method.
    /// Censored lifetimes of length 0 say nothing and are passed over.
    ///
    /// # Errors
    /// Fewer than two have failed, one failed at length 0, all failed ones are the longest of all (the likelihood has no
    /// maximum then), or the mean is too large for a number.
    pub fn fit(lifetimes: &[Lifetime]) -> Result<Self, Invalid> {
        check(lifetimes)?;
        let failed = || lifetimes.iter().filter(|l| l.has_failed());
        let failures = failed().count();
        match failures {
            0 => return Err(no_failures(lifetimes)),
            1 => {
                return Err(Invalid::new(
                    "lifetimes",
                    format!("{} censored, 1 failed", lifetimes.len() - 1),
                    "of one failure no shape can be told",
                    "observe longer or more units; MeanBetween takes a constant rate and needs one failure",
                ));
            }
            _ => {}
        }
        if let Some(at) = lifetimes
            .iter()
            .position(|l| l.has_failed() && l.length <= 0.0)
        {
            return Err(Invalid::new(
                format!("lifetimes[{at}].length"),
                "0",
                "failed at length 0, which no Weibull distribution does",
                "leave it out, or give the length that it lived",
            ));
        }
        // Lengths by the longest one, so that no power overflows.
        let longest = lifetimes
            .iter()
            .fold(0.0, |most: f64, l| most.max(l.length));
        let logs: Vec<f64> = lifetimes
            .iter()
            .filter(|l| l.length > 0.0)
            .map(|l| (l.length / longest).ln())
            .collect();
        let r = failures as f64;
        let mean_log = failed().map(|l| (l.length / longest).ln()).sum::<f64>() / r;
        let sums = |beta: f64| {
            logs.iter().fold((0.0, 0.0), |(plain, weighted), log| {
                let power = (beta * log).exp();
                (plain + power, weighted + power * log)
            })
        };
        // Increasing in β, from -∞ to -mean_log.
        let score = |beta: f64| {
            let (plain, weighted) = sums(beta);
            weighted / plain - 1.0 / beta - mean_log
        };
        let mut high = 1.0;
        while score(high) < 0.0 {
            high *= 2.0;
            if high > STEEPEST {
                return Err(Invalid::new(
                    "lifetimes",
                    format!("{failures} failed, at or near {longest}"),
                    "all that failed did so at the greatest length, so no spread can be told",
                    "observe more units, and longer",
                ));
            }
        }
        let beta = reach(0.0, 0.0, high, score);
        let (plain, _) = sums(beta);
        let (mu, sigma) = ((plain / r).ln() / beta + longest.ln(), 1.0 / beta);
        let (mu_error, sigma_error, covariance) = errors(lifetimes, mu, sigma, r);
        let mean = (mu + ln_gamma(1.0 + sigma)).exp();
        if !mean.is_finite() {
            return Err(Invalid::new(
                "lifetimes",
                format!("shape {beta:.3}"),
                "the lengths are so unlike that the mean is too large for a number",
                "look for wrong lengths; the restricted mean of KaplanMeier can be told",
            ));
        }
        // The derivatives of ln mean by μ and by σ are 1 and ψ(1 + σ).
        let slope = digamma(1.0 + sigma);
        let variance =
            mu_error.powi(2) + 2.0 * slope * covariance + slope * slope * sigma_error.powi(2);
        Ok(Self {
            mu: Estimate {
                value: mu,
                error: mu_error,
            },
            sigma: Estimate {
                value: sigma,
                error: sigma_error,
            },
            mean: Estimate {
                value: mean,
                error: mean * variance.max(0.0).sqrt(),
            },
            units: lifetimes.len(),
            failures,
        })
    }

    /// β, the shape.
    #[must_use]
    pub fn shape(&self) -> f64 {
        1.0 / self.sigma.value
    }

    /// η, the length that 63.2 % do not outlive.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.mu.value.exp()
    }

    /// The share that lives longer than `length`.
    #[must_use]
    pub fn survival(&self, length: f64) -> f64 {
        (-(length.max(0.0) / self.scale()).powf(self.shape())).exp()
    }
}

/// A shape above this is no spread at all.
const STEEPEST: f64 = 1e6;

/// Standard errors of μ and σ and their covariance, from the inverse of the observed information. With
/// z = (ln x - μ)/σ, at the maximum that is σ⁻² · [Σe^z, Σze^z; Σze^z, r + Σz²e^z].
fn errors(lifetimes: &[Lifetime], mu: f64, sigma: f64, r: f64) -> (f64, f64, f64) {
    let (mut a, mut b, mut c) = (0.0, 0.0, r);
    for l in lifetimes.iter().filter(|l| l.length > 0.0) {
        let z = (l.length.ln() - mu) / sigma;
        let e = z.exp();
        a += e;
        b += z * e;
        c += z * z * e;
    }
    let determinant = a * c - b * b;
    let s = sigma * sigma;
    (
        (s * c / determinant).sqrt(),
        (s * a / determinant).sqrt(),
        -s * b / determinant,
    )
}
