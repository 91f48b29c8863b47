use proptest::prelude::*;

use super::*;

fn near(a: f64, b: f64, within: f64) {
    assert!((a - b).abs() <= within, "{a} is not {b}");
}

/// Distances to failure of 38 shock absorbers in km; `true`: failed (O'Connor, Practical Reliability Engineering; Meeker
/// and Escobar).
const SHOCK_ABSORBERS: [(f64, bool); 38] = [
    (6700.0, true),
    (6950.0, false),
    (7820.0, false),
    (8790.0, false),
    (9120.0, true),
    (9660.0, false),
    (9820.0, false),
    (11_310.0, false),
    (11_690.0, false),
    (11_850.0, false),
    (11_880.0, false),
    (12_140.0, false),
    (12_200.0, true),
    (12_870.0, false),
    (13_150.0, true),
    (13_330.0, false),
    (13_470.0, false),
    (14_040.0, false),
    (14_300.0, true),
    (17_520.0, true),
    (17_540.0, false),
    (17_890.0, false),
    (18_450.0, false),
    (18_960.0, false),
    (18_980.0, false),
    (19_410.0, false),
    (20_100.0, true),
    (20_100.0, false),
    (20_150.0, false),
    (20_320.0, false),
    (20_900.0, true),
    (22_700.0, true),
    (23_490.0, false),
    (26_510.0, true),
    (27_410.0, false),
    (27_490.0, true),
    (27_890.0, false),
    (28_100.0, false),
];

fn lifetimes(of: &[(f64, bool)]) -> Vec<Lifetime> {
    of.iter()
        .map(|&(length, failed)| {
            if failed {
                Lifetime::failed(length)
            } else {
                Lifetime::censored(length)
            }
        })
        .collect()
}

#[test]
fn the_weibull_fit_of_the_shock_absorbers_is_the_published_one() {
    let fit = Weibull::fit(&lifetimes(&SHOCK_ABSORBERS)).unwrap();
    assert_eq!((fit.units, fit.failures), (38, 11));
    near(fit.mu.value, 10.230, 5e-4);
    near(fit.sigma.value, 0.3164, 5e-5);
    near(fit.mean.value, 24_812.0, 0.5);
    near(fit.shape(), 3.1605, 5e-4);
    near(fit.scale(), 27_718.7, 0.5);
    near(fit.survival(fit.scale()), (-1.0_f64).exp(), 1e-12);
    // As the second differences of the log-likelihood give them.
    near(fit.mu.error, 0.1099, 5e-4);
    near(fit.sigma.error, 0.0732, 5e-4);
    let (low, high) = fit.mean.limits();
    assert!(
        low < 24_812.0 && 24_812.0 < high && low > 17_335.0,
        "{low} {high}"
    );
    // What comes out when the censored ones are left out.
    let failed: Vec<f64> = SHOCK_ABSORBERS
        .iter()
        .filter(|(_, failed)| *failed)
        .map(|(length, _)| *length)
        .collect();
    near(failed.iter().sum::<f64>() / 11.0, 17_335.0, 0.5);
}

#[test]
fn kaplan_and_meier_of_the_shock_absorbers() {
    let curve = KaplanMeier::of(&lifetimes(&SHOCK_ABSORBERS)).unwrap();
    assert_eq!(curve.steps().len(), 11);
    // Three were censored between the first two failures.
    let first = curve.steps()[0];
    assert_eq!((first.at_risk, first.failed), (38, 1));
    near(first.survival, 37.0 / 38.0, 1e-12);
    near(first.variance, 37.0 / 38.0_f64.powi(3), 1e-12);
    assert_eq!(curve.steps()[1].at_risk, 34);
    near(
        curve.survival(9120.0).value,
        37.0 / 38.0 * 33.0 / 34.0,
        1e-12,
    );
    near(curve.survival(9119.9).value, 37.0 / 38.0, 1e-12);
    assert_eq!(
        curve.survival(0.0),
        Estimate {
            value: 1.0,
            error: 0.0
        }
    );
    // At 20,100 one failed and one was censored: both were at risk.
    let tie = curve.steps().iter().find(|s| s.length == 20_100.0).unwrap();
    assert_eq!((tie.at_risk, tie.failed), (12, 1));
    // The mean is not known; that of the first 28,100 km is.
    let mean = curve.restricted_mean(curve.longest()).unwrap();
    assert!(mean.value > 17_335.0 && mean.value < 28_100.0, "{mean:?}");
    assert!(mean.error > 0.0);
    let e = curve.restricted_mean(30_000.0).unwrap_err();
    assert!(e.field == "until" && e.problem.contains("28100"), "{e}");
    assert!(curve.restricted_mean(0.0).is_err());
}

#[test]
fn what_cannot_be_answered_says_why() {
    let none = lifetimes(&[(5.0, false), (7.0, false)]);
    let e = Weibull::fit(&none).unwrap_err();
    assert_eq!(e.value, "2 censored, 0 failed");
    assert!(e.problem.contains("none has failed"), "{e}");
    let curve = KaplanMeier::of(&none).unwrap();
    assert_eq!((curve.survival(6.0).value, curve.median()), (1.0, None));
    assert!(curve.restricted_mean(8.0).is_err());
    for (field, of) in [
        ("lifetimes", &[][..]),
        ("lifetimes", &[(5.0, true), (7.0, false)]),
        ("lifetimes", &[(5.0, true), (5.0, true), (3.0, false)]),
        (
            "lifetimes[1].length",
            &[(5.0, true), (0.0, true), (3.0, true)],
        ),
        ("lifetimes[0].length", &[(-5.0, true), (1.0, true)]),
        ("lifetimes[1].length", &[(5.0, true), (f64::NAN, true)]),
        (
            "lifetimes[0].length",
            &[(f64::INFINITY, false), (1.0, true)],
        ),
    ] {
        let e = Weibull::fit(&lifetimes(of)).unwrap_err();
        assert_eq!(e.field, field, "{e}");
        assert!(!e.problem.is_empty() && !e.cure.is_empty());
    }
    assert_eq!(MeanCumulative::of(&[]).unwrap_err().field, "units");
    let unit = |from, events: &[f64], until| Repaired {
        from,
        events: events.to_vec(),
        until,
    };
    assert_eq!(
        MeanCumulative::of(&[unit(5.0, &[], 5.0)])
            .unwrap_err()
            .field,
        "units[0].until"
    );
    let e = MeanCumulative::of(&[unit(0.0, &[6.0], 5.0)]).unwrap_err();
    assert_eq!(
        (e.field.as_str(), e.value.as_str()),
        ("units[0].events", "6")
    );
    assert!(
        MeanCumulative::of(&[unit(0.0, &[5.0], 5.0)])
            .unwrap()
            .at(6.0)
            .is_err()
    );
}

#[test]
fn a_mean_cumulative_function_by_hand() {
    let unit = |from, events: &[f64], until| Repaired {
        from,
        events: events.to_vec(),
        until,
    };
    let units = [
        unit(0.0, &[2.0, 6.0], 10.0),
        unit(0.0, &[2.0, 2.0], 4.0),
        // Seen from its age 5 on: at age 2 nobody looked.
        unit(5.0, &[], 8.0),
    ];
    let mcf = MeanCumulative::of(&units).unwrap();
    let steps: Vec<_> = mcf
        .steps()
        .iter()
        .map(|s| (s.age, s.at_risk, s.events))
        .collect();
    assert_eq!(steps, [(2.0, 2, 3), (6.0, 2, 1)]);
    near(mcf.at(9.0).unwrap().value, 1.5 + 0.5, 1e-12);
    near(mcf.at(1.0).unwrap().value, 0.0, 1e-12);
    // Residuals at 2: ∓0.25; at 6: +0.25 for the first and -0.25 for the third.
    near(mcf.at(2.0).unwrap().error.powi(2), 2.0 * 0.0625, 1e-12);
    near(
        mcf.at(6.0).unwrap().error.powi(2),
        0.0 + 0.0625 + 0.0625,
        1e-12,
    );
}

fn some() -> impl Strategy<Value = Vec<(f64, bool)>> {
    // Some equal lengths, too.
    let length = prop_oneof![1.0..1000.0_f64, (1..20_u32).prop_map(f64::from)];
    proptest::collection::vec((length, any::<bool>()), 1..60)
}

proptest! {
    #[test]
    fn without_censoring_the_share_is_the_empirical_one(of in some()) {
        let all: Vec<Lifetime> = of.iter().map(|(length, _)| Lifetime::failed(*length)).collect();
        let curve = KaplanMeier::of(&all).unwrap();
        let n = all.len() as f64;
        for at in of.iter().map(|(length, _)| *length).chain([0.0, 500.5, 2000.0]) {
            let empirical = all.iter().filter(|l| l.length > at).count() as f64 / n;
            prop_assert!((curve.survival(at).value - empirical).abs() < 1e-9);
            // Greenwood's is the binomial variance then.
            let binomial = empirical * (1.0 - empirical) / n;
            prop_assert!((curve.survival(at).error.powi(2) - binomial).abs() < 1e-9);
        }
        let mean = all.iter().map(|l| l.length).sum::<f64>() / n;
        let restricted = curve.restricted_mean(curve.longest()).unwrap();
        prop_assert!((restricted.value - mean).abs() < 1e-9 * mean);
    }

    #[test]
    fn shares_fall_and_do_not_depend_on_order(mut of in some()) {
        let curve = KaplanMeier::of(&lifetimes(&of)).unwrap();
        let steps = curve.steps();
        prop_assert!(steps.windows(2).all(|s| s[0].survival > s[1].survival && s[0].length < s[1].length));
        prop_assert!(steps.iter().all(|s| (0.0..1.0).contains(&s.survival) && s.variance >= 0.0));
        of.reverse();
        prop_assert_eq!(KaplanMeier::of(&lifetimes(&of)).unwrap(), curve);
    }

    #[test]
    fn lengths_scale(of in some(), scale in 0.001..1000.0_f64) {
        let scaled: Vec<_> = of.iter().map(|(length, failed)| (length * scale, *failed)).collect();
        let (of, scaled) = (lifetimes(&of), lifetimes(&scaled));
        let until = KaplanMeier::of(&of).unwrap().longest() * 0.7;
        let mean = |of: &[Lifetime], until| KaplanMeier::of(of).unwrap().restricted_mean(until).unwrap();
        let (a, b) = (mean(&of, until), mean(&scaled, until * scale));
        prop_assert!((a.value * scale - b.value).abs() < 1e-6 * b.value);
        match (Weibull::fit(&of), Weibull::fit(&scaled)) {
            (Ok(a), Ok(b)) => {
                prop_assert!((a.sigma.value - b.sigma.value).abs() < 1e-6 * a.sigma.value);
                prop_assert!((a.mean.value * scale / b.mean.value - 1.0).abs() < 1e-6);
                prop_assert!((a.mean.error * scale / b.mean.error - 1.0).abs() < 1e-4);
            }
            (a, b) => prop_assert_eq!(a.is_err(), b.is_err()),
        }
    }

    #[test]
    fn one_more_that_has_not_failed_never_lowers_the_mean(of in some(), more in 0.0..2000.0_f64) {
        let before = lifetimes(&of);
        let mut after = before.clone();
        after.push(Lifetime::censored(more));
        let until = KaplanMeier::of(&before).unwrap().longest();
        let mean = |of: &[Lifetime]| KaplanMeier::of(of).unwrap().restricted_mean(until).unwrap().value;
        prop_assert!(mean(&after) >= mean(&before) - 1e-9 * until);
        let exposure = |of: &[Lifetime]| of.iter().map(|l| l.length).sum::<f64>();
        let failed = before.iter().filter(|l| l.has_failed()).count() as u64;
        if let (Ok(a), Ok(b)) = (MeanBetween::of(failed, exposure(&before)), MeanBetween::of(failed, exposure(&after))) {
            prop_assert!(b.mean >= a.mean);
        }
    }

    #[test]
    fn the_fit_is_the_best_one(of in some(), shape in 0.5..2.0_f64, scale in 0.5..2.0_f64) {
        let of = lifetimes(&of);
        let Ok(fit) = Weibull::fit(&of) else { return Ok(()) };
        prop_assert!(fit.mean.value > 0.0 && fit.mu.error > 0.0 && fit.sigma.error > 0.0);
        let likelihood = |shape: f64, scale: f64| of.iter().map(|l| {
            let x = l.length / scale;
            let hazard = if l.has_failed() { (shape / scale).ln() + (shape - 1.0) * x.ln() } else { 0.0 };
            hazard - x.powf(shape)
        }).sum::<f64>();
        let best = likelihood(fit.shape(), fit.scale());
        let other = likelihood(fit.shape() * shape, fit.scale() * scale);
        prop_assert!(other <= best + 1e-6 * best.abs().max(1.0), "{} above {}", other, best);
    }

    #[test]
    fn one_event_a_unit_and_none_censored_is_the_share_that_failed(lengths in proptest::collection::vec(1.0..100.0_f64, 1..40)) {
        let end = 200.0;
        let units: Vec<Repaired> = lengths.iter().map(|l| Repaired { from: 0.0, events: vec![*l], until: end }).collect();
        let mcf = MeanCumulative::of(&units).unwrap();
        let curve = KaplanMeier::of(&lengths.iter().map(|l| Lifetime::failed(*l)).collect::<Vec<_>>()).unwrap();
        for at in [10.0, 50.0, 100.0] {
            let (failed, share) = (mcf.at(at).unwrap(), curve.survival(at));
            prop_assert!((failed.value - (1.0 - share.value)).abs() < 1e-9);
            prop_assert!((failed.error - share.error).abs() < 1e-9);
        }
    }
}
