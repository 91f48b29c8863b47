//! The words of each language, from the files under `templates/`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// The language that every alert can be told in.
pub const FALLBACK: &str = "en";

/// The files, part of the binary: an action has no file system of its own.
const FILES: [&str; 6] = [
    include_str!("../templates/en.json"),
    include_str!("../templates/de.json"),
    include_str!("../templates/fr.json"),
    include_str!("../templates/es.json"),
    include_str!("../templates/pt.json"),
    include_str!("../templates/ar.json"),
];

static LANGUAGES: LazyLock<Vec<Language>> = LazyLock::new(|| {
    FILES
        .iter()
        .filter_map(|file| serde_json::from_str(file).ok())
        .collect()
});

/// Words for one and for many, by the categories of the Unicode plural rules.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plural {
    /// Exactly one (in French and Portuguese also zero).
    pub one: String,
    /// Exactly two, where the language tells it apart.
    pub two: Option<String>,
    /// 3–10 in Arabic.
    pub few: Option<String>,
    /// 11–99 in Arabic.
    pub many: Option<String>,
    /// Everything else.
    pub other: String,
}

/// How a language counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counting {
    /// One is one; everything else is many.
    OneOther,
    /// Zero and one are one.
    ZeroOneOther,
    /// The six forms of Arabic.
    Arabic,
}

impl Plural {
    /// The form for a whole number; `{n}` in it is still to be filled in.
    pub fn form(&self, counting: Counting, number: i64) -> &str {
        let two_digits = number.rem_euclid(100);
        let special = match counting {
            Counting::OneOther => (number == 1).then_some(&self.one),
            Counting::ZeroOneOther => (number == 0 || number == 1).then_some(&self.one),
            Counting::Arabic => match number {
                1 => Some(&self.one),
                2 => self.two.as_ref(),
                _ if (3..=10).contains(&two_digits) => self.few.as_ref(),
                _ if two_digits >= 11 => self.many.as_ref(),
                _ => None,
            },
        };
        special.unwrap_or(&self.other)
    }
}

/// The sentence about one rule: by level, and by trend where there is one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sentences {
    /// The value has passed its threshold.
    pub level: String,
    /// The value will pass its threshold; `{time}` tells when.
    pub trend: Option<String>,
}

/// One file under `templates/`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Language {
    /// BCP 47 language subtag.
    pub language: String,
    /// Tag for the speech synthesiser, with a region, because some voices need one.
    pub speech: String,
    /// How the language counts.
    pub counting: Counting,
    /// Decimal separator.
    pub decimal: String,
    /// First words by severity.
    pub lead: BTreeMap<String, String>,
    /// Sentences by rule; `default` serves the rules that have none.
    pub rules: BTreeMap<String, Sentences>,
    /// What to do, by advice.
    pub advice: BTreeMap<String, String>,
    /// Names of signals.
    pub signals: BTreeMap<String, String>,
    /// Units, with the number in them.
    pub units: BTreeMap<String, Plural>,
    /// A duration in seconds.
    pub seconds: Plural,
    /// A duration in minutes.
    pub minutes: Plural,
}

impl Language {
    /// The sentences of a rule, or the general ones.
    pub fn sentences(&self, rule: &str) -> Option<&Sentences> {
        self.rules.get(rule).or_else(|| self.rules.get("default"))
    }
}

/// Finds a language by BCP 47 tag: case and region do not matter (`de-CH` is `de`).
pub fn find(tag: &str) -> Option<&'static Language> {
    let primary = tag.trim().split(['-', '_']).next().unwrap_or_default();
    LANGUAGES
        .iter()
        .find(|language| language.language.eq_ignore_ascii_case(primary))
}

/// The tags of all languages, for messages.
pub fn known() -> Vec<&'static str> {
    LANGUAGES
        .iter()
        .map(|language| language.language.as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assess::Advice;

    #[test]
    fn every_file_parses_and_says_everything() {
        for file in FILES {
            let language: Language = serde_json::from_str(file).unwrap();
            let name = &language.language;
            for severity in ["info", "warning", "critical"] {
                assert!(
                    language.lead.contains_key(severity),
                    "{name}: lead {severity}"
                );
            }
            for rule in ["overheating", "default"] {
                assert!(language.rules.contains_key(rule), "{name}: rule {rule}");
            }
            for advice in Advice::ALL {
                assert!(
                    language.advice.contains_key(advice.key()),
                    "{name}: advice {}",
                    advice.key()
                );
            }
            assert!(language.units.contains_key("Cel"), "{name}: degrees");
            assert!(
                language.speech.starts_with(name.as_str()),
                "{name}: {}",
                language.speech
            );
        }
        assert_eq!(known(), ["en", "de", "fr", "es", "pt", "ar"]);
    }

    #[test]
    fn tags_match_without_case_and_region() {
        for tag in ["de", "DE", "de-CH", "de_AT", " de "] {
            assert_eq!(find(tag).map(|l| l.language.as_str()), Some("de"), "{tag}");
        }
        assert!(find("xx").is_none());
        assert!(find("").is_none());
    }

    #[test]
    fn arabic_counts_in_its_own_way() {
        let degrees = &find("ar").unwrap().units["Cel"];
        let form = |n| degrees.form(Counting::Arabic, n);
        assert_eq!(form(1), degrees.one);
        assert_eq!(form(2), degrees.two.as_deref().unwrap());
        assert_eq!(form(105), degrees.few.as_deref().unwrap());
        assert_eq!(form(118), degrees.many.as_deref().unwrap());
        assert_eq!(form(100), degrees.other);
    }
}
