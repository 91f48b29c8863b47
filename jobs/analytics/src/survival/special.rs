//! Special functions that confidence limits need: gamma and beta, to about twelve digits.

/// ln Γ(x) for x > 0 (Lanczos, g = 7, nine terms).
pub(super) fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    if x < 0.5 {
        // Reflection.
        let pi = std::f64::consts::PI;
        return (pi / (pi * x).sin()).ln() - ln_gamma(1.0 - x);
    }
    let x = x - 1.0;
    let series = TERMS
        .iter()
        .zip(1_u8..)
        .fold(0.999_999_999_999_809_9, |sum, (term, n)| {
            sum + term / (x + f64::from(n))
        });
    let t = x + 7.5;
    0.5 * std::f64::consts::TAU.ln() + (x + 0.5) * t.ln() - t + series.ln()
}

/// ψ(x), the derivative of [`ln_gamma`], for x > 0.
pub(super) fn digamma(mut x: f64) -> f64 {
    let mut shift = 0.0;
    while x < 10.0 {
        shift -= 1.0 / x;
        x += 1.0;
    }
    let s = 1.0 / (x * x);
    let tail = s * (1.0 / 12.0 - s * (1.0 / 120.0 - s * (1.0 / 252.0 - s / 240.0)));
    shift + x.ln() - 0.5 / x - tail
}

/// More terms than these are never needed for the counts and lengths that occur.
const MOST_TERMS: u32 = 1_000_000;
const ENOUGH: f64 = 1e-15;
const TINY: f64 = 1e-300;

/// P(a, x), the regularised lower incomplete gamma function: the share of a gamma distribution of shape `a` below `x`.
pub(super) fn gamma_p(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let front = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum, mut n) = (1.0 / a, 1.0 / a, a);
        for _ in 0..MOST_TERMS {
            n += 1.0;
            term *= x / n;
            sum += term;
            if term < sum * ENOUGH {
                break;
            }
        }
        return (front * sum).min(1.0);
    }
    // The continued fraction of Q = 1 - P, by Lentz's method.
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / TINY;
    let mut d = 1.0 / b;
    let mut h = d;
    for n in 1..MOST_TERMS {
        let n = f64::from(n);
        let an = -n * (n - a);
        b += 2.0;
        d = 1.0 / not_zero(an * d + b);
        c = not_zero(b + an / c);
        let step = c * d;
        h *= step;
        if (step - 1.0).abs() < ENOUGH {
            break;
        }
    }
    (1.0 - front * h).clamp(0.0, 1.0)
}

/// I_x(a, b), the regularised incomplete beta function: the share of a beta distribution below `x`.
pub(super) fn beta_i(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    // The fraction converges fast on this side only.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta_i(b, a, 1.0 - x);
    }
    let front =
        (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp() / a;
    let mut c = 1.0;
    let mut d = 1.0 / not_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    for n in 1..MOST_TERMS {
        let n = f64::from(n);
        let even = n * (b - n) * x / ((a + 2.0 * n - 1.0) * (a + 2.0 * n));
        d = 1.0 / not_zero(1.0 + even * d);
        c = not_zero(1.0 + even / c);
        h *= c * d;
        let odd = -(a + n) * (a + b + n) * x / ((a + 2.0 * n) * (a + 2.0 * n + 1.0));
        d = 1.0 / not_zero(1.0 + odd * d);
        c = not_zero(1.0 + odd / c);
        let step = c * d;
        h *= step;
        if (step - 1.0).abs() < ENOUGH {
            break;
        }
    }
    (front * h).clamp(0.0, 1.0)
}

fn not_zero(x: f64) -> f64 {
    if x.abs() < TINY { TINY } else { x }
}

/// Where an increasing function reaches `wanted` between `low` and `high`.
pub(super) fn reach(wanted: f64, mut low: f64, mut high: f64, of: impl Fn(f64) -> f64) -> f64 {
    // Halving a range of doubles ends after so many steps at the latest.
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if of(middle) < wanted {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// The `p` quantile of a gamma distribution of shape `a` and scale 1; half of that of χ² with 2`a` degrees of freedom.
pub(super) fn gamma_quantile(a: f64, p: f64) -> f64 {
    let mut high = a + 10.0;
    while gamma_p(a, high) < p {
        high *= 2.0;
    }
    reach(p, 0.0, high, |x| gamma_p(a, x))
}

/// The `p` quantile of a beta distribution.
pub(super) fn beta_quantile(a: f64, b: f64, p: f64) -> f64 {
    reach(p, 0.0, 1.0, |x| beta_i(a, b, x))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-9 * b.abs().max(1.0), "{a} is not {b}");
    }

    #[test]
    fn known_values() {
        near(ln_gamma(1.0), 0.0);
        near(ln_gamma(0.5), std::f64::consts::PI.sqrt().ln());
        near(ln_gamma(11.0), 3_628_800_f64.ln());
        near(digamma(1.0), -0.577_215_664_901_532_9);
        near(digamma(10.5), 2.303_001_034_297_649);
        // Of shape 1 the gamma distribution is the exponential one; of whole shapes the Poisson sum.
        near(gamma_p(1.0, 2.0), 1.0 - (-2.0_f64).exp());
        near(gamma_p(3.0, 5.0), 1.0 - (-5.0_f64).exp() * 18.5);
        near(gamma_p(3.0, 0.5), 1.0 - (-0.5_f64).exp() * 1.625);
        // The binomial tail: P(X >= 2) of 3 tosses.
        near(beta_i(2.0, 2.0, 0.5), 0.5);
        near(beta_i(2.0, 2.0, 0.2), 0.104);
        near(beta_i(1.0, 5.0, 0.1), 1.0 - 0.9_f64.powi(5));
    }

    #[test]
    fn quantiles_turn_back() {
        // Tables of χ² with 2 and 10 degrees of freedom, 97.5 %.
        assert!((2.0 * gamma_quantile(1.0, 0.975) - 7.377_758_908).abs() < 1e-6);
        assert!((2.0 * gamma_quantile(5.0, 0.975) - 20.483_177).abs() < 1e-5);
        for a in [0.5, 1.0, 7.0, 300.0, 50_000.0] {
            for p in [0.025, 0.5, 0.975] {
                near(gamma_p(a, gamma_quantile(a, p)), p);
                near(beta_i(a, 3.0, beta_quantile(a, 3.0, p)), p);
            }
        }
    }
}
