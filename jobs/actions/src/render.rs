//! The words of a warning: text for a display, SSML for a voice, in the driver's language.

use millrace_contract::{Alert, Severity};
use serde::{Deserialize, Serialize};

use crate::assess::Assessment;
use crate::language::{self, FALLBACK, Language};
use crate::speech::{duration, escape, quantity};

/// A warning in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendered {
    /// Language of the words.
    pub language: String,
    /// The language that was asked for, when it is not among the known ones and English stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_language: Option<String>,
    /// Plain text.
    pub text: String,
    /// The same as SSML 1.1, a complete document without an XML declaration.
    pub ssml: String,
}

/// Words an assessment in `language` (a BCP 47 tag). Pure: equal input gives equal words.
///
/// A language that is not known falls back to English, and the answer says so.
pub fn render(assessment: &Assessment, language: &str) -> Rendered {
    let found = language::find(language);
    let requested_language = found.is_none().then(|| language.to_owned());
    let Some(words) = found.or_else(|| language::find(FALLBACK)) else {
        return bare(&assessment.alert, requested_language);
    };
    let alert = &assessment.alert;
    let severity = severity_key(alert.severity);
    let lead = words.lead.get(severity).map_or("", String::as_str);
    let what = what(words, alert);
    let advice = words
        .advice
        .get(assessment.advice.key())
        .map_or("", String::as_str);
    let parts: Vec<&str> = [lead, &what, advice]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect();
    Rendered {
        language: words.language.clone(),
        requested_language,
        text: parts.join(" "),
        ssml: ssml(&words.speech, alert.severity, lead, &what, advice),
    }
}

/// The sentence about what was measured. The trend is told while the limit is still ahead.
fn what(words: &Language, alert: &Alert) -> String {
    let Some(sentences) = words.sentences(&alert.rule) else {
        return alert.text.clone();
    };
    let ahead = alert
        .seconds_to_limit
        .filter(|seconds| seconds.is_finite() && *seconds > 0.0);
    let sentence = match (&sentences.trend, ahead) {
        (Some(trend), Some(seconds)) => trend.replace("{time}", &duration(words, seconds)),
        _ => sentences.level.clone(),
    };
    let signal = words
        .signals
        .get(&alert.signal)
        .cloned()
        .unwrap_or_else(|| alert.signal.replace('_', " "));
    // The signal goes in last: it is the only part that comes from outside and could hold a brace.
    sentence
        .replace("{value}", &quantity(words, alert.value, &alert.unit))
        .replace(
            "{threshold}",
            &quantity(words, alert.threshold, &alert.unit),
        )
        .replace("{signal}", &signal)
}

/// A critical warning is spoken with emphasis and a pause after the first word; others plainly.
fn ssml(speech: &str, severity: Severity, lead: &str, what: &str, advice: &str) -> String {
    let lead = escape(lead);
    let opening = match severity {
        Severity::Critical => {
            format!("<s><emphasis level=\"strong\">{lead}</emphasis></s><break time=\"300ms\"/>")
        }
        Severity::Warning => format!("<s><emphasis level=\"moderate\">{lead}</emphasis></s>"),
        Severity::Info => format!("<s>{lead}</s>"),
    };
    let advice = escape(advice);
    let advice = match severity {
        Severity::Critical => format!("<s><prosody rate=\"slow\">{advice}</prosody></s>"),
        Severity::Warning | Severity::Info => format!("<s>{advice}</s>"),
    };
    format!(
        "<speak version=\"1.1\" xmlns=\"http://www.w3.org/2001/10/synthesis\" xml:lang=\"{}\"><p>{opening}<s>{}</s>{advice}</p></speak>",
        escape(speech),
        escape(what),
    )
}

/// What is left when no language file can be used: the alert's own English summary.
fn bare(alert: &Alert, requested_language: Option<String>) -> Rendered {
    Rendered {
        language: FALLBACK.to_owned(),
        requested_language,
        text: alert.text.clone(),
        ssml: ssml(FALLBACK, alert.severity, "", &alert.text, ""),
    }
}

fn severity_key(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::assess::{AssessParams, assess};

    /// An overheating alert as detection would publish it.
    pub(crate) fn alert(severity: Severity) -> Alert {
        serde_json::from_value(serde_json::json!({
            "id": "car-1/overheating/e1/warning", "vehicle": "car-1", "rule": "overheating", "severity": severity,
            "episode": "e1", "event_time": "2026-11-23T10:00:00Z", "detected_at": "2026-11-23T10:00:01Z",
            "signal": "coolant_temperature", "value": 117.6, "unit": "Cel", "threshold": 115.0,
            "text": "Coolant at 117.6 °C"
        }))
        .unwrap()
    }

    fn rendered(severity: Severity, seconds_to_limit: Option<f64>, language: &str) -> Rendered {
        let mut alert = alert(severity);
        alert.seconds_to_limit = seconds_to_limit;
        render(&assess(&alert, &AssessParams::default()), language)
    }

    /// Reads markup strictly enough to see that tags nest and nothing is left raw.
    fn well_formed(xml: &str) -> bool {
        let mut open: Vec<String> = Vec::new();
        let mut rest = xml;
        while let Some(start) = rest.find('<') {
            if rest[..start].contains('>') {
                return false;
            }
            let Some(length) = rest[start..].find('>') else {
                return false;
            };
            let tag = &rest[start + 1..start + length];
            if let Some(name) = tag.strip_prefix('/') {
                if open.pop().as_deref() != Some(name) {
                    return false;
                }
            } else if !tag.ends_with('/') {
                open.push(tag.split(' ').next().unwrap_or_default().to_owned());
            }
            rest = &rest[start + length + 1..];
        }
        open.is_empty() && rest.is_empty()
    }

    #[test]
    fn a_critical_warning_says_what_to_do() {
        let rendered = rendered(Severity::Critical, None, "en");
        assert_eq!(
            rendered.text,
            "Danger! The engine is overheating: the coolant has reached 118 degrees. \
             Stop where it is safe and switch the engine off. Do not open the radiator cap."
        );
        assert!(
            rendered
                .ssml
                .contains("<emphasis level=\"strong\">Danger!</emphasis>"),
            "{}",
            rendered.ssml
        );
        assert!(rendered.ssml.contains("xml:lang=\"en-GB\""));
        assert_eq!(rendered.requested_language, None);
    }

    #[test]
    fn a_warning_differs_and_tells_the_trend() {
        let rendered = rendered(Severity::Warning, Some(150.0), "de-CH");
        assert_eq!(rendered.language, "de");
        assert!(
            rendered.text.starts_with("Achtung. Der Motor wird zu heiß"),
            "{}",
            rendered.text
        );
        assert!(
            rendered.text.contains("in etwa 2 Minuten"),
            "{}",
            rendered.text
        );
        assert!(!rendered.text.contains("Gefahr"));
    }

    #[test]
    fn an_unknown_language_falls_back_and_says_so() {
        let rendered = rendered(Severity::Warning, None, "tlh");
        assert_eq!(rendered.language, "en");
        assert_eq!(rendered.requested_language.as_deref(), Some("tlh"));
    }

    #[test]
    fn no_language_leaves_a_placeholder() {
        for language in language::known() {
            for severity in [Severity::Info, Severity::Warning, Severity::Critical] {
                for seconds in [None, Some(45.0), Some(600.0)] {
                    for rule in ["overheating", "something-new"] {
                        let mut alert = alert(severity);
                        alert.rule = rule.to_owned();
                        alert.seconds_to_limit = seconds;
                        let rendered = render(&assess(&alert, &AssessParams::default()), language);
                        assert!(
                            !rendered.text.contains(['{', '}']),
                            "{language}: {}",
                            rendered.text
                        );
                        assert!(well_formed(&rendered.ssml), "{language}: {}", rendered.ssml);
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn speech_is_well_formed_whatever_the_alert_holds(
            rule in ".{0,20}", signal in ".{0,20}", unit in ".{0,8}", value in any::<f64>(), language in "[a-z]{2}",
        ) {
            let mut alert = alert(Severity::Critical);
            alert.rule = rule;
            alert.signal = signal;
            alert.unit = unit;
            alert.value = value;
            let rendered = render(&assess(&alert, &AssessParams::default()), &language);
            prop_assert!(well_formed(&rendered.ssml), "{}", rendered.ssml);
        }
    }
}
