//! The action `warn-geofence`: says what a zone ahead asks of the driver.

use crate::ActionError;
use crate::assess::{AssessInput, Assessment, check, check_time_zone};

/// The action: takes an alert about a zone, gives what `notify-driver` takes.
///
/// # Errors
/// [`ActionError::Input`] when the alert has no zone, or one with a distance or a time that is no number of 0 or more;
/// besides for what `assess-vehicle` refuses.
pub fn action(input: AssessInput) -> Result<Assessment, ActionError> {
    check(&input.alert)?;
    check_time_zone(input.params.time_zone.as_deref())?;
    let Some(zone) = &input.alert.details.zone else {
        return Err(ActionError::input(
            "alert.zone",
            "null",
            "is missing",
            "send alerts about zones only (filter `zone IS NOT NULL`); assess-vehicle takes the others",
        ));
    };
    for (field, value) in [
        ("alert.zone.distance_m", zone.distance_m),
        ("alert.zone.seconds", zone.seconds),
    ] {
        if !(value.is_finite() && value >= 0.0) {
            return Err(ActionError::input(
                field,
                value,
                "is no number of 0 or more",
                "send the alert as detection published it",
            ));
        }
    }
    Ok(input.assessment())
}

#[cfg(test)]
mod tests {
    use millrace_contract::Severity;

    use super::*;
    use crate::assess::{Advice, AssessParams, Urgency};
    use crate::render::tests::{alert, zone_alert};

    fn run(alert: millrace_contract::Alert) -> Result<Assessment, ActionError> {
        action(AssessInput {
            alert,
            params: AssessParams::default(),
            cloudevent: serde_json::Value::Null,
        })
    }

    #[test]
    fn a_zone_becomes_an_assessment() {
        let alert = zone_alert("closed", false, 420.0, 30.0);
        let assessment = run(alert.clone()).unwrap();
        assert_eq!(assessment.alert, alert);
        assert_eq!(
            (assessment.urgency, assessment.advice),
            (Urgency::Now, Advice::AvoidZone)
        );
    }

    #[test]
    fn alerts_without_a_zone_and_odd_numbers_are_refused() {
        let error = run(alert(Severity::Warning)).unwrap_err().to_string();
        assert!(
            error.starts_with("alert.zone: null: is missing; "),
            "{error}"
        );
        let error = run(zone_alert("closed", false, -1.0, 3.0))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("alert.zone.distance_m: -1: "), "{error}");
    }
}
