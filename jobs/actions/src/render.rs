//! The words of a warning: text for a display, SSML for a voice, in the driver's language.

use millrace_contract::{Alert, Severity};
use serde::{Deserialize, Serialize};

use crate::assess::Assessment;
use crate::language::{self, FALLBACK, Language};
use crate::sentences;
use crate::speech::{Words, escape};

/// A warning in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendered {
    /// Language of the words.
    pub language: String,
    /// The language that was asked for, when there are no words in it and another stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_language: Option<String>,
    /// Plain text.
    pub text: String,
    /// The same as SSML 1.1, a complete document without an XML declaration.
    pub ssml: String,
}

/// The parts of a message in the order in which they are told.
struct Message {
    lead: Words,
    what: Vec<Words>,
    advice: Words,
}

/// Words an assessment in `language` (a BCP 47 range). Pure: equal input gives equal words.
///
/// A message is in one language. Where there are no words in the language asked for, a user's rule is told in English
/// if its texts have it, everything else always is; the answer says so.
pub fn render(assessment: &Assessment, language: &str) -> Rendered {
    let alert = &assessment.alert;
    if let Some((tag, text)) = own_text(alert, language) {
        return render_own(assessment, language, tag, text);
    }
    let found = language::find(language);
    let requested_language = found.is_none().then(|| language.to_owned());
    let Some(words) = found.or_else(|| language::find(FALLBACK)) else {
        // Reached only if the files within the binary were unreadable, which a test rules out.
        let message = Message {
            lead: Words::default(),
            what: vec![Words::outside(&alert.text)],
            advice: Words::default(),
        };
        return rendered(
            FALLBACK,
            requested_language,
            FALLBACK,
            alert.severity,
            &message,
        );
    };
    let message = Message {
        lead: lead(words, alert.severity),
        what: sentences::what(words, assessment),
        advice: advice(words, assessment),
    };
    rendered(
        &words.language,
        requested_language,
        &words.speech,
        alert.severity,
        &message,
    )
}

/// The text of a user's rule that fits the language best, with its tag.
fn own_text<'a>(alert: &'a Alert, language: &str) -> Option<(&'a str, &'a str)> {
    let texts = &alert.details.texts;
    let tags = || texts.iter().filter(|(_, text)| !text.trim().is_empty());
    let tag = language::lookup(language, tags().map(|(tag, _)| tag.as_str()))
        .or_else(|| language::lookup(FALLBACK, tags().map(|(tag, _)| tag.as_str())))?;
    texts.get(tag).map(|text| (tag, text.as_str()))
}

/// Words a user's rule in the language `tag`. A language that has no words here is told without a first word: better
/// that than two languages in one breath.
fn render_own(assessment: &Assessment, asked: &str, tag: &str, text: &str) -> Rendered {
    let alert = &assessment.alert;
    let words = language::find(tag);
    let message = Message {
        lead: words.map_or_else(Words::default, |w| lead(w, alert.severity)),
        what: vec![Words::outside(text)],
        advice: words.map_or_else(Words::default, |w| advice(w, assessment)),
    };
    let requested = language::lookup(asked, [tag].into_iter())
        .is_none()
        .then(|| asked.to_owned());
    // A tag with a region names the voice better than ours does.
    let speech = match words {
        Some(words) if !tag.contains(['-', '_']) => words.speech.clone(),
        _ => tag.replace('_', "-"),
    };
    rendered(tag, requested, &speech, alert.severity, &message)
}

fn lead(words: &Language, severity: Severity) -> Words {
    words
        .lead
        .get(severity.as_str())
        .map_or_else(Words::default, |text| Words::plain(text))
}

fn advice(words: &Language, assessment: &Assessment) -> Words {
    words
        .advice
        .get(assessment.advice.key())
        .map_or_else(Words::default, |text| Words::plain(text))
}

fn rendered(
    language: &str,
    requested_language: Option<String>,
    speech: &str,
    severity: Severity,
    message: &Message,
) -> Rendered {
    let Message { lead, what, advice } = message;
    let text: Vec<&str> = [lead]
        .into_iter()
        .chain(what)
        .chain([advice])
        .filter(|part| !part.is_empty())
        .map(|part| part.text.as_str())
        .collect();
    Rendered {
        language: language.to_owned(),
        requested_language,
        text: text.join(" "),
        ssml: ssml(speech, severity, message),
    }
}

/// A critical warning is spoken with emphasis and a pause after the first word; others plainly.
fn ssml(speech: &str, severity: Severity, message: &Message) -> String {
    let sentence = |words: &Words, (before, after): (&str, &str)| {
        if words.is_empty() {
            String::new()
        } else {
            format!("<s>{before}{}{after}</s>", words.ssml)
        }
    };
    let plain = ("", "");
    let (opening, closing) = match severity {
        Severity::Critical => (
            ("<emphasis level=\"strong\">", "</emphasis>"),
            ("<prosody rate=\"slow\">", "</prosody>"),
        ),
        Severity::Warning => (("<emphasis level=\"moderate\">", "</emphasis>"), plain),
        Severity::Info => (plain, plain),
    };
    let mut body = sentence(&message.lead, opening);
    if severity == Severity::Critical && !body.is_empty() {
        body += "<break time=\"300ms\"/>";
    }
    for words in &message.what {
        body += &sentence(words, plain);
    }
    body += &sentence(&message.advice, closing);
    format!(
        "<speak version=\"1.1\" xmlns=\"http://www.w3.org/2001/10/synthesis\" xml:lang=\"{}\"><p>{body}</p></speak>",
        escape(speech),
    )
}

#[cfg(test)]
pub(crate) mod tests;
