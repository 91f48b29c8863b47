//! Words that can be spoken: numbers, times, distances, and text inside speech markup.

use crate::language::{Language, Plural};

/// Values of this size and above are told without decimals; smaller ones keep one.
const WHOLE_FROM: f64 = 20.0;

/// Beyond this many seconds a time is told in minutes.
const MINUTES_FROM: f64 = 90.0;

/// Beyond this many seconds a time is told in hours.
const HOURS_FROM: f64 = 7200.0;

/// From this distance on kilometres are told, in metres.
const KILOMETRES_FROM: f64 = 1000.0;

/// Words from outside are cut to this many characters: the whole must stay below what a gateway takes.
const LONGEST_TEXT: usize = 1000;

/// A piece of a message, for the eye and for the voice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Words {
    /// Plain text.
    pub text: String,
    /// The same as the content of an XML element.
    pub ssml: String,
}

impl Words {
    /// Words that are spoken as they are written.
    pub(crate) fn plain(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            ssml: escape(text),
        }
    }

    /// Words from outside: control characters become blanks, what is too long is cut.
    pub(crate) fn outside(text: &str) -> Self {
        let clean: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let clean = clean.trim();
        match clean.char_indices().nth(LONGEST_TEXT) {
            Some((end, _)) => Self::plain(&format!("{}…", &clean[..end])),
            None => Self::plain(clean),
        }
    }

    /// A code, spoken letter by letter.
    pub(crate) fn letters(code: &str) -> Self {
        let Self { text, ssml } = Self::outside(code);
        Self {
            text,
            ssml: format!("<say-as interpret-as=\"characters\">{ssml}</say-as>"),
        }
    }

    /// Several, separated by commas.
    pub(crate) fn list(parts: &[Self]) -> Self {
        let join =
            |piece: fn(&Self) -> &str| parts.iter().map(piece).collect::<Vec<_>>().join(", ");
        Self {
            text: join(|w| &w.text),
            ssml: join(|w| &w.ssml),
        }
    }

    /// Whether there is nothing to say.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

/// Fills the placeholders of a template in one pass, so that braces in a value stay what they are.
pub(crate) fn fill(template: &str, values: &[(&str, Words)]) -> Words {
    let mut out = Words::default();
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        push(&mut out, &Words::plain(&rest[..start]));
        let tail = &rest[start + 1..];
        let Some(end) = tail.find('}') else {
            rest = &rest[start..];
            break;
        };
        match values.iter().find(|(name, _)| *name == &tail[..end]) {
            Some((_, words)) => push(&mut out, words),
            None => push(&mut out, &Words::plain(&rest[start..start + end + 2])),
        }
        rest = &tail[end + 1..];
    }
    push(&mut out, &Words::plain(rest));
    out
}

/// Appends; where a value is empty, the blanks around it become one.
fn push(out: &mut Words, words: &Words) {
    let (text, ssml) = if out.text.ends_with(' ') || out.text.is_empty() {
        (words.text.trim_start(), words.ssml.trim_start())
    } else {
        (words.text.as_str(), words.ssml.as_str())
    };
    out.text += text;
    out.ssml += ssml;
}

/// Puts a value and its unit into words: `118 degrees`, `12.4 volts`. Unknown units stay as they are.
pub fn quantity(language: &Language, value: f64, unit: &str) -> String {
    let (number, whole) = number(language, value);
    match language.units.get(unit) {
        Some(plural) => {
            // A fraction takes the general form: "1.5 degrees".
            let form = whole.map_or(plural.other.as_str(), |whole| {
                plural.form(language.counting, whole)
            });
            form.replace("{n}", &number)
        }
        // UCUM's unity.
        None if unit.is_empty() || unit == "1" => number,
        None => format!("{number} {unit}"),
    }
}

/// A time ahead, in what a driver can use: tens of seconds, then whole minutes, then hours. It is rounded down, so
/// that a warning never promises more time than there is.
pub fn duration(language: &Language, seconds: f64) -> String {
    if seconds < MINUTES_FROM {
        let tens = (round((seconds / 10.0).floor()) * 10).max(10);
        counted(language, &language.seconds, tens)
    } else if seconds < HOURS_FROM {
        counted(
            language,
            &language.minutes,
            round((seconds / 60.0).floor()).max(1),
        )
    } else {
        counted(
            language,
            &language.hours,
            round((seconds / 3600.0).floor()).max(1),
        )
    }
}

/// How long something still lasts. Rounded to the nearest, for it may as well end later.
pub fn lasting(language: &Language, seconds: f64) -> String {
    if seconds < HOURS_FROM {
        counted(language, &language.minutes, round(seconds / 60.0).max(1))
    } else {
        counted(language, &language.hours, round(seconds / 3600.0))
    }
}

/// A distance ahead: tens of metres, fifties, hundreds, then kilometres; rounded down for the same reason as times.
pub fn distance(language: &Language, metres: f64) -> String {
    if metres >= KILOMETRES_FROM {
        let kilometres = if metres < 10.0 * KILOMETRES_FROM {
            (metres / 100.0).floor() / 10.0
        } else {
            (metres / KILOMETRES_FROM).floor()
        };
        let (number, whole) = number(language, kilometres);
        let form = whole.map_or(language.kilometres.other.as_str(), |whole| {
            language.kilometres.form(language.counting, whole)
        });
        return form.replace("{n}", &number);
    }
    let step = match metres {
        m if m < 100.0 => 10.0,
        m if m < 500.0 => 50.0,
        _ => 100.0,
    };
    let whole = round((metres / step).floor() * step).max(10);
    counted(language, &language.metres, whole)
}

fn counted(language: &Language, plural: &Plural, number: i64) -> String {
    plural
        .form(language.counting, number)
        .replace("{n}", &number.to_string())
}

/// The number as text, and as a whole number when it is one after rounding.
fn number(language: &Language, value: f64) -> (String, Option<i64>) {
    let tenths = round(value * 10.0);
    if value.abs() >= WHOLE_FROM || tenths % 10 == 0 {
        let whole = round(value);
        return (whole.to_string(), Some(whole));
    }
    let sign = if tenths < 0 { "-" } else { "" };
    let tenths = tenths.abs();
    (
        format!("{sign}{}{}{}", tenths / 10, language.decimal, tenths % 10),
        None,
    )
}

/// Rounds half away from zero; what no whole number can hold becomes the nearest that one can.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a float cast saturates, which is what a spoken number needs"
)]
fn round(value: f64) -> i64 {
    value.round() as i64
}

/// Escapes text for XML content and attributes; characters that XML forbids become spaces.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' | '\n' | '\r' => out.push(' '),
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::find;

    #[test]
    fn numbers_are_spoken_sensibly() {
        let en = find("en").unwrap();
        let de = find("de").unwrap();
        assert_eq!(quantity(en, 117.6, "Cel"), "118 degrees");
        assert_eq!(quantity(en, 1.0, "Cel"), "1 degree");
        assert_eq!(quantity(en, -0.5, "Cel"), "-0.5 degrees");
        assert_eq!(quantity(de, 12.36, "V"), "12,4 Volt");
        assert_eq!(quantity(en, 6000.0, "{rpm}"), "6000 revolutions per minute");
        assert_eq!(quantity(en, 3.0, "furlong"), "3 furlong");
        assert_eq!(quantity(en, 3.0, ""), "3");
        assert_eq!(quantity(en, 3.0, "1"), "3");
        assert_eq!(quantity(en, 1e300, "V"), format!("{} volts", i64::MAX));
    }

    #[test]
    fn times_are_rounded_to_what_helps() {
        let en = find("en").unwrap();
        assert_eq!(duration(en, 3.0), "10 seconds");
        assert_eq!(duration(en, 49.0), "40 seconds");
        assert_eq!(duration(en, 92.0), "1 minute");
        assert_eq!(duration(en, 179.0), "2 minutes");
        assert_eq!(duration(en, 3.9 * 3600.0), "3 hours");
        assert_eq!(duration(find("ar").unwrap(), 120.0), "دقيقتين");
        assert_eq!(lasting(en, 20.0), "1 minute");
        assert_eq!(lasting(en, 3.6 * 3600.0), "4 hours");
    }

    #[test]
    fn distances_are_rounded_to_what_helps() {
        let en = find("en").unwrap();
        for (metres, expected) in [
            (3.0, "10 metres"),
            (99.0, "90 metres"),
            (449.0, "400 metres"),
            (999.0, "900 metres"),
            (1000.0, "1 kilometre"),
            (1590.0, "1.5 kilometres"),
            (19_900.0, "19 kilometres"),
        ] {
            assert_eq!(distance(en, metres), expected);
        }
        assert_eq!(distance(find("de").unwrap(), 1590.0), "1,5 Kilometern");
    }

    #[test]
    fn markup_in_text_is_escaped() {
        assert_eq!(escape("a<b>&\"c'\n\u{1}"), "a&lt;b&gt;&amp;&quot;c&apos;  ");
    }

    #[test]
    fn values_cannot_be_placeholders() {
        let filled = fill(
            "The {a} is {b}{c}.",
            &[("a", Words::plain("{b}")), ("b", Words::letters("P<1"))],
        );
        assert_eq!(filled.text, "The {b} is P<1{c}.");
        assert_eq!(
            filled.ssml,
            "The {b} is <say-as interpret-as=\"characters\">P&lt;1</say-as>{c}."
        );
        assert_eq!(
            fill("The {a} tyre {", &[("a", Words::default())]).text,
            "The tyre {"
        );
    }

    #[test]
    fn words_from_outside_are_bounded() {
        let long = Words::outside(&"'".repeat(5000));
        assert_eq!(long.text.chars().count(), LONGEST_TEXT + 1);
        assert!(long.ssml.len() < 8 * 1024 - 1024);
        assert_eq!(Words::outside(" a\nb\u{7f} ").text, "a b");
    }
}
