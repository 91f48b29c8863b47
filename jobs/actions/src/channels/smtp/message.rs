//! The mail itself.

use jiff::tz::TimeZone;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use sha2::{Digest, Sha256};

use super::Params;
use crate::ActionError;
use crate::assess::Assessment;
use crate::channels::Letter;
use crate::language::{self, FALLBACK};
use crate::render::Rendered;

/// The most addresses of one mail.
const MOST_ADDRESSES: usize = 100;

/// Characters of the text in the subject.
const SUBJECT: usize = 120;

/// The letter of a warning: the words, and what they are about.
pub(crate) fn warning(assessment: &Assessment, rendered: &Rendered) -> Letter {
    let alert = &assessment.alert;
    Letter {
        id: alert.id.clone(),
        subject: format!("{}: {}", alert.vehicle, rendered.text),
        language: rendered.language.clone(),
        body: body(assessment, rendered),
    }
}

/// Writes the mail.
pub(super) fn message(params: &Params<'_>, letter: &Letter) -> Result<Message, ActionError> {
    let from = mailbox("smtp_from", params.from)?;
    if params.to.is_empty() || params.to.len() > MOST_ADDRESSES {
        return Err(ActionError::input(
            "smtp_to",
            format!("{} addresses", params.to.len()),
            "names nobody, or too many",
            format!("give 1 to {MOST_ADDRESSES} addresses"),
        ));
    }
    let mut builder = Message::builder()
        .message_id(Some(message_id(&letter.id, from.email.domain())))
        .subject(subject(&letter.subject))
        .date_now()
        .header(ContentType::TEXT_PLAIN);
    // A machine wrote it: nobody's holiday note shall answer (RFC 3834).
    for (name, value) in [
        ("Auto-Submitted", "auto-generated"),
        ("Content-Language", letter.language.as_str()),
    ] {
        if let Ok(name) = HeaderName::new_from_ascii(name.to_owned()) {
            builder = builder.raw_header(HeaderValue::new(name, one_line(value)));
        }
    }
    for address in params.to {
        builder = builder.to(mailbox("smtp_to", address)?);
    }
    builder
        .from(from)
        .body(letter.body.clone())
        .map_err(|error| ActionError::Encode(error.to_string()))
}

fn mailbox(field: &str, address: &str) -> Result<Mailbox, ActionError> {
    address.trim().parse().map_err(|error| {
        ActionError::input(
            field,
            address,
            &format!("is no mail address ({error})"),
            "give one like fleet@example.com or Fleet <fleet@example.com>",
        )
    })
}

/// The same for the same id: mailboxes and people recognise a mail that came twice.
fn message_id(id: &str, domain: &str) -> String {
    let digest = Sha256::digest(id.as_bytes());
    let hex: String = digest.iter().take(16).map(|b| format!("{b:02x}")).collect();
    format!("<{hex}@{domain}>")
}

fn subject(text: &str) -> String {
    let short = match text.char_indices().nth(SUBJECT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    };
    one_line(&short)
}

/// Without what would begin another header.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn body(assessment: &Assessment, rendered: &Rendered) -> String {
    let alert = &assessment.alert;
    let time_zone = assessment
        .time_zone
        .as_deref()
        .and_then(|name| TimeZone::get(name).ok())
        .unwrap_or(TimeZone::UTC);
    let time = alert
        .event_time
        .to_zoned(time_zone)
        .strftime("%Y-%m-%d %H:%M:%S %:z");
    let Some(words) = language::find(&rendered.language).or_else(|| language::find(FALLBACK))
    else {
        return rendered.text.clone();
    };
    let labels = &words.mail;
    format!(
        "{}\r\n\r\n{}: {}\r\n{}: {time}\r\n{}: {}\r\n",
        rendered.text,
        labels.vehicle,
        one_line(&alert.vehicle),
        labels.time,
        labels.warning,
        one_line(&alert.id)
    )
}

#[cfg(test)]
mod tests {
    use millrace_contract::Severity;

    use super::*;
    use crate::assess::{AssessParams, assess};
    use crate::render::render;
    use crate::render::tests::alert;
    use crate::secret::Secret;

    fn written(from: &str, to: &[&str], language: &str) -> Result<String, ActionError> {
        let assessment = assess(&alert(Severity::Warning), &AssessParams::default());
        let to: Vec<String> = to.iter().map(|a| (*a).to_owned()).collect();
        let params = Params {
            url: &Secret::default(),
            from,
            to: &to,
            ca: None,
            last: false,
        };
        let letter = warning(&assessment, &render(&assessment, language));
        let message = message(&params, &letter)?;
        Ok(String::from_utf8(message.formatted()).unwrap())
    }

    #[test]
    fn a_mail_says_what_it_is() {
        let mail = written(
            "Fleet <fleet@example.com>",
            &["a@example.org", "B <b@example.org>"],
            "en",
        )
        .unwrap();
        for line in [
            "Auto-Submitted: auto-generated\r\n",
            "Content-Language: en\r\n",
            "Content-Type: text/plain; charset=utf-8\r\n",
            "To: a@example.org, B <b@example.org>\r\n",
            "Vehicle: car-1\r\n",
            "Time: 2026-11-23 10:00:00 +00:00\r\n",
            "Warning: car-1/overheating/e1/warning\r\n",
        ] {
            assert!(mail.contains(line), "{line}{mail}");
        }
        assert!(
            mail.contains("\r\nSubject: car-1: Attention. The engine"),
            "{mail}"
        );
        assert!(mail.is_ascii());
        assert!(
            written("f@example.com", &["a@b.org"], "ar")
                .unwrap()
                .is_ascii()
        );
    }

    #[test]
    fn the_same_alert_has_the_same_message_id() {
        let id = message_id("car-1/overheating/e1/warning", "example.com");
        assert_eq!(
            id,
            message_id("car-1/overheating/e1/warning", "example.com")
        );
        assert_ne!(
            id,
            message_id("car-1/overheating/e1/critical", "example.com")
        );
        assert!(
            id.starts_with('<') && id.ends_with("@example.com>") && id.len() == 46,
            "{id}"
        );
    }

    #[test]
    fn no_header_can_be_slipped_in() {
        assert_eq!(subject("car\r\nBcc: x@y.z: a"), "car  Bcc: x@y.z: a");
        assert_eq!(subject(&"ä".repeat(500)).chars().count(), SUBJECT + 1);
    }

    #[test]
    fn bad_addresses_are_refused() {
        for (from, to, expected) in [
            (
                "nobody",
                vec!["a@b.org"],
                "smtp_from: nobody: is no mail address",
            ),
            ("a@b.org", vec!["x@"], "smtp_to: x@: is no mail address"),
            ("a@b.org", vec![], "smtp_to: 0 addresses: names nobody"),
        ] {
            let error = written(from, &to, "en").unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
