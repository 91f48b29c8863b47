//! The parts of a platform beside each other: what each needs, and whether its own settings hold. Pure.

use millrace_analytics::Rules;
use millrace_contract::Invalid;
use millrace_contract::driver::OfferRule;
use serde_json::Value;

use crate::batch;
use crate::job::documents;
use crate::platform::crd::{
    GatewayTls, OfferChannel, PlatformDruid, PlatformOffers, PlatformOpenWhisk, PlatformSpec,
    PlatformWarnings, PlatformWhiskMode,
};
use crate::reconcile::Error;
use crate::types::FreeForm;

/// Where a part is asked for, and whether it is.
type Part<'a> = (&'a str, bool);

/// Checks that each part has beside it what it works on.
///
/// # Errors
/// Names the part and what has to be added.
pub(super) fn each_has_what_it_needs(spec: &PlatformSpec) -> Result<(), Invalid> {
    let kafka = ("spec.kafka", spec.kafka.is_some());
    let hdfs = ("spec.hdfs", spec.hdfs.is_some());
    let postgres = ("spec.postgres", spec.postgres.is_some());
    let mongo = ("spec.mongo", spec.mongo.is_some());
    let openwhisk = ("spec.openwhisk", spec.openwhisk.is_some());
    let gateway = ("spec.gateway", spec.gateway.is_some());
    let detect = ("spec.detect", spec.detect.is_some());
    let materialize = ("spec.materialize", spec.materialize.is_some());
    let parts: [(Part<'_>, &[Part<'_>]); 9] = [
        (gateway, &[kafka]),
        (detect, &[gateway]),
        (
            ("spec.warnings", spec.warnings.is_some()),
            &[detect, openwhisk],
        ),
        (("spec.archive", spec.archive.is_some()), &[kafka, hdfs]),
        (("spec.score", spec.score.is_some()), &[hdfs, postgres]),
        (
            ("spec.analysts", spec.analysts.is_some()),
            &[hdfs, postgres],
        ),
        (("spec.druid", spec.druid.is_some()), &[kafka]),
        (materialize, &[kafka, gateway, mongo]),
        (
            ("spec.offers", spec.offers.is_some()),
            &[materialize, openwhisk],
        ),
    ];
    for ((part, wanted), needed) in parts {
        let missing = needed.iter().find(|(_, given)| wanted && !given);
        if let Some((other, _)) = missing {
            return Err(Invalid::new(
                part,
                "given",
                format!("works only together with {other}"),
                format!("add {other}, or remove {part}"),
            ));
        }
    }
    if let Some(openwhisk) = &spec.openwhisk {
        runs_can_be_told(openwhisk, spec.gateway.is_some())?;
    }
    match &spec.druid {
        Some(druid) => segments_are_kept(druid, spec.hdfs.is_some()),
        None => Ok(()),
    }
}

/// Checks what is given to the parts, as they will themselves.
///
/// # Errors
/// Names the field, its value and the cure.
pub(super) fn each_can_be_configured(spec: &PlatformSpec) -> Result<(), Error> {
    if let Some(detect) = &spec.detect {
        rules(&detect.rules)?;
    }
    if let Some(score) = &spec.score {
        batch::check_score(&score.config, "spec.score.config")?;
    }
    if let Some(analysts) = &spec.analysts {
        batch::check_analyse(&analysts.config, "spec.analysts.config")?;
    }
    if let Some(materialize) = &spec.materialize {
        documents(&materialize.config, "spec.materialize.config")?;
    }
    if let Some(wanted) = &spec.offers {
        offers(wanted, spec.warnings.as_ref())?;
    }
    let gateway = spec.gateway.as_ref();
    if let Some(tls) = gateway.and_then(|gateway| gateway.tls.as_ref()) {
        certificate(tls)?;
    }
    Ok(())
}

/// An audit trail that is asked for and lacks what it is about would be missed when it is too late.
fn runs_can_be_told(openwhisk: &PlatformOpenWhisk, gateway: bool) -> Result<(), Invalid> {
    if !openwhisk.audit_runs {
        return Ok(());
    }
    let other = openwhisk.mode.unwrap_or_default() != PlatformWhiskMode::Embedded;
    let (problem, cure) = if other || openwhisk.external.is_some() {
        (
            "only an OpenWhisk of mode embedded tells which actions ran",
            "remove auditRuns, or take mode embedded without external",
        )
    } else if gateway {
        return Ok(());
    } else {
        (
            "the gateway writes the records, and there is none",
            "add spec.gateway, or remove auditRuns",
        )
    };
    Err(Invalid::new(
        "spec.openwhisk.auditRuns",
        "true",
        problem,
        cure,
    ))
}

fn segments_are_kept(druid: &PlatformDruid, hdfs: bool) -> Result<(), Invalid> {
    if druid.external.is_some() || druid.segments.is_some() || hdfs {
        return Ok(());
    }
    Err(Invalid::new(
        "spec.druid.segments",
        "missing",
        "segments are kept nowhere",
        "give a volume in spec.druid.segments, or add spec.hdfs",
    ))
}

fn certificate(tls: &GatewayTls) -> Result<(), Invalid> {
    let given = match (&tls.secret_name, &tls.cert_manager) {
        (Some(_), Some(_)) => "secretName and certManager",
        (None, None) => "empty",
        _ => return Ok(()),
    };
    Err(Invalid::new(
        "spec.gateway.tls",
        given,
        "the certificate comes from one place",
        "set either tls.secretName or tls.certManager",
    ))
}

/// Checks the rules as the action will, and that there is a way for each channel.
fn offers(wanted: &PlatformOffers, warnings: Option<&PlatformWarnings>) -> Result<(), Invalid> {
    for (name, rule) in &wanted.rules {
        let field = format!("spec.offers.rules.{name}");
        let rule = serde_json::from_value::<OfferRule>(rule.clone()).map_err(|error| {
            let cure = "see docs/offers.md for the keys and their values";
            Invalid::new(&field, name, error.to_string(), cure)
        })?;
        rule.validate().map_err(|invalid| invalid.within(&field))?;
    }
    for channel in &wanted.channels {
        let (name, given) = match channel {
            OfferChannel::Webhook => ("webhook", warnings.is_some_and(|w| w.webhook.is_some())),
            OfferChannel::Smtp => ("smtp", warnings.is_some_and(|w| w.smtp.is_some())),
        };
        if !given {
            let problem = format!("spec.warnings.{name} is not given, which says how");
            let cure = format!("give it and add the channel there, or take {name} out");
            return Err(Invalid::new("spec.offers.channels", name, problem, cure));
        }
    }
    Ok(())
}

/// Checks the rules as detect will.
fn rules(rules: &FreeForm) -> Result<(), Invalid> {
    match Rules::from_value(Value::Object(rules.clone())) {
        Ok(_) => Ok(()),
        Err(invalid) => Err(Invalid {
            field: format!("spec.detect.{}", invalid.field),
            ..invalid
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{live, platform};
    use super::super::validate;
    use super::*;

    #[test]
    fn parts_that_need_each_other_are_named() {
        for (spec, field) in [
            (json!({"gateway": {}}), "spec.gateway"),
            (json!({"kafka": {}, "detect": {}}), "spec.detect"),
            (
                json!({"kafka": {}, "gateway": {}, "detect": {}, "warnings": {}}),
                "spec.warnings",
            ),
            (json!({"kafka": {}, "archive": {}}), "spec.archive"),
            (
                json!({"kafka": {}, "gateway": {}, "materialize": {}}),
                "spec.materialize",
            ),
            (
                json!({"kafka": {}, "gateway": {}, "mongo": {}, "materialize": {"config": {"keep": "0s"}}}),
                "spec.materialize.config.keep",
            ),
            (
                json!({"druid": {"segments": {"size": "1Gi"}}}),
                "spec.druid",
            ),
            (json!({"kafka": {}, "druid": {}}), "spec.druid.segments"),
            (
                json!({"openwhisk": {"auditRuns": true}}),
                "spec.openwhisk.auditRuns",
            ),
            (
                json!({"kafka": {}, "gateway": {}, "mongo": {}, "openwhisk": {"mode": "lean", "auditRuns": true}}),
                "spec.openwhisk.auditRuns",
            ),
            (
                json!({"kafka": {}, "gateway": {}, "openwhisk": {"external": {"bindingSecret": "s"}, "auditRuns": true}}),
                "spec.openwhisk.auditRuns",
            ),
            (json!({"hdfs": {}, "score": {}}), "spec.score"),
            (json!({"hdfs": {}, "analysts": {}}), "spec.analysts"),
            (
                json!({"hdfs": {}, "postgres": {}, "analysts": {"config": {"goneAfter": "0s"}}}),
                "spec.analysts.config.goneAfter",
            ),
            (
                json!({"hdfs": {}, "postgres": {}, "score": {"config": {"braking": 0}}}),
                "spec.score.config.braking",
            ),
            (
                json!({"kafka": {}, "hdfs": {}, "archive": {"config": {"rollHours": 0}}}),
                "spec.archive.config.rollHours",
            ),
        ] {
            match validate(&platform(spec), live(None)) {
                Err(Error::Invalid(invalid)) => assert_eq!(invalid.field, field),
                other => panic!("{field}: {other:?}"),
            }
        }
    }

    #[test]
    fn rules_are_checked_as_detect_does_it() {
        let with = |rules: Value| {
            let spec = json!({"kafka": {}, "gateway": {}, "detect": {"rules": rules}});
            validate(&platform(spec), live(None)).map(drop)
        };
        assert!(with(json!({"overheating": {"warningAt": 109.0}})).is_ok());
        for (rules, field, says) in [
            (json!({"overheting": {}}), "spec.detect.rules", "overheting"),
            (
                json!({"overheating": {"warningAt": 500.0}}),
                "spec.detect.rules.overheating",
                "500",
            ),
            (
                json!({"models": {"Van": {"overheating": {"warningAt": "hot"}}}}),
                "spec.detect.rules.models.Van",
                "hot",
            ),
        ] {
            let text = with(rules).unwrap_err().to_string();
            assert!(text.starts_with(field) && text.contains(says), "{text}");
        }
    }
}
