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
    /// In place of `level` when the severity is critical.
    pub critical: Option<String>,
}

/// The sentences about one kind of zone; `{way}` tells how far it is, `{zone}` its name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneSentences {
    /// The vehicle is about to enter.
    pub ahead: String,
    /// It has entered.
    pub inside: String,
    /// It is about to leave.
    pub leaving: String,
    /// It has left.
    pub left: String,
}

/// How far it is to a boundary.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Way {
    /// `{distance}` and `{time}`.
    pub both: String,
    /// `{distance}` alone, for a vehicle that stands.
    pub distance: String,
}

/// When a curfew ends.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Until {
    /// `{clock}`: the time of day in the local time of the zone.
    pub clock: String,
    /// `{time}`: how long it lasts from the alert on.
    pub time: String,
}

/// Labels in a mail.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailLabels {
    /// Before the vehicle's id.
    pub vehicle: String,
    /// Before the time of the measurement.
    pub time: String,
    /// Before the alert's id.
    pub warning: String,
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
    /// Sentences by rule; `default` serves alerts without any words of their own.
    pub rules: BTreeMap<String, Sentences>,
    /// Sentences by kind of zone; `default` serves unknown kinds.
    pub zones: BTreeMap<String, ZoneSentences>,
    /// How far it is to a zone.
    pub way: Way,
    /// When a curfew ends.
    pub until: Until,
    /// Trouble codes; `{list}` holds them.
    pub codes: Plural,
    /// How many codes there are besides.
    pub more_codes: Plural,
    /// How far the fuel lasts; `{range}`.
    pub range: String,
    /// Wheels, as they stand in the sentences about tyres.
    pub wheels: BTreeMap<String, String>,
    /// What to do, by advice.
    pub advice: BTreeMap<String, String>,
    /// Names of signals.
    pub signals: BTreeMap<String, String>,
    /// Units by UCUM code, with the number in them.
    pub units: BTreeMap<String, Plural>,
    /// A duration in seconds.
    pub seconds: Plural,
    /// A duration in minutes.
    pub minutes: Plural,
    /// A duration in hours.
    pub hours: Plural,
    /// A distance ahead in metres.
    pub metres: Plural,
    /// A distance ahead in kilometres.
    pub kilometres: Plural,
    /// Labels in a mail.
    pub mail: MailLabels,
}

impl Language {
    /// The sentences of a rule that comes with the platform.
    pub fn sentences(&self, rule: &str) -> Option<&Sentences> {
        self.rules.get(rule).filter(|_| rule != DEFAULT)
    }

    /// The sentences for alerts that come without words.
    pub fn default_sentences(&self) -> Option<&Sentences> {
        self.rules.get(DEFAULT)
    }

    /// The sentences of a kind of zone, or the general ones.
    pub fn zone(&self, kind: &str) -> Option<&ZoneSentences> {
        self.zones.get(kind).or_else(|| self.zones.get(DEFAULT))
    }
}

/// The key of what serves where nothing more special is there.
const DEFAULT: &str = "default";

/// Finds a language by BCP 47 range: case does not matter, and what is too special is cut off from the end
/// (`de-CH-1996`, `de-CH`, `de`), as in the lookup of RFC 4647.
pub fn find(range: &str) -> Option<&'static Language> {
    lookup(range, LANGUAGES.iter().map(|l| l.language.as_str()))
        .and_then(|found| LANGUAGES.iter().find(|l| l.language == found))
}

/// The best of `tags` for a language range: the lookup of RFC 4647, and failing that any tag of the same language
/// (`pt-BR` for `pt`), because a neighbour's variety is understood better than English.
pub fn lookup<'a>(range: &str, tags: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let wanted = normal(range);
    let mut prefix = wanted.as_str();
    while !prefix.is_empty() {
        if let Some(tag) = tags.clone().find(|tag| normal(tag) == prefix) {
            return Some(tag);
        }
        prefix = prefix.rsplit_once('-').map_or("", |(shorter, _)| shorter);
    }
    let primary = wanted.split('-').next().filter(|p| !p.is_empty())?;
    tags.clone()
        .find(|tag| normal(tag).split('-').next() == Some(primary))
}

/// Lower case, hyphens only, no blanks around.
fn normal(tag: &str) -> String {
    tag.trim().replace('_', "-").to_ascii_lowercase()
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
            let english: Language = serde_json::from_str(FILES[0]).unwrap();
            let keys = |l: &Language| {
                [
                    l.rules.keys().cloned().collect::<Vec<_>>(),
                    l.zones.keys().cloned().collect(),
                    l.wheels.keys().cloned().collect(),
                    l.advice.keys().cloned().collect(),
                    l.signals.keys().cloned().collect(),
                    l.units.keys().cloned().collect(),
                ]
            };
            assert_eq!(keys(&language), keys(&english), "{name}");
            for (rule, sentences) in &english.rules {
                let other = &language.rules[rule];
                assert_eq!(
                    (sentences.trend.is_some(), sentences.critical.is_some()),
                    (other.trend.is_some(), other.critical.is_some()),
                    "{name}: {rule}"
                );
            }
            for advice in Advice::ALL {
                // What a user's rule asks for is in its own text.
                assert_eq!(
                    language.advice.contains_key(advice.key()),
                    advice != Advice::AsTold,
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
        for tag in ["de", "DE", "de-CH", "de_AT", " de ", "de-Latn-AT"] {
            assert_eq!(find(tag).map(|l| l.language.as_str()), Some("de"), "{tag}");
        }
        assert!(find("xx").is_none());
        assert!(find("").is_none());
    }

    #[test]
    fn the_closest_tag_is_found() {
        let best = |range| lookup(range, ["en", "de-CH", "de", "pt-BR"].into_iter());
        assert_eq!(best("de-ch-1996"), Some("de-CH"));
        assert_eq!(best("de-AT"), Some("de"));
        assert_eq!(best("pt"), Some("pt-BR"));
        assert_eq!(best("pt-PT"), Some("pt-BR"));
        assert_eq!(best("it"), None);
        assert_eq!(best(""), None);
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
