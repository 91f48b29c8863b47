//! Numbers that can be spoken, and text inside speech markup.

use crate::language::{Language, Plural};

/// Values of this size and above are told without decimals; smaller ones keep one.
const WHOLE_FROM: f64 = 20.0;

/// Beyond this many seconds a time is told in minutes.
const MINUTES_FROM: f64 = 90.0;

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
        None if unit.is_empty() => number,
        None => format!("{number} {unit}"),
    }
}

/// A time ahead, in what a driver can use: tens of seconds, then whole minutes. It is rounded down, so that a
/// warning never promises more time than there is.
pub fn duration(language: &Language, seconds: f64) -> String {
    let (plural, number): (&Plural, i64) = if seconds < MINUTES_FROM {
        (
            &language.seconds,
            (round((seconds / 10.0).floor()) * 10).max(10),
        )
    } else {
        (&language.minutes, round((seconds / 60.0).floor()).max(1))
    };
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
        assert_eq!(quantity(en, 3.0, "furlong"), "3 furlong");
        assert_eq!(quantity(en, 3.0, ""), "3");
        assert_eq!(quantity(en, 1e300, "V"), format!("{} volts", i64::MAX));
    }

    #[test]
    fn times_are_rounded_to_what_helps() {
        let en = find("en").unwrap();
        assert_eq!(duration(en, 3.0), "10 seconds");
        assert_eq!(duration(en, 49.0), "40 seconds");
        assert_eq!(duration(en, 92.0), "1 minute");
        assert_eq!(duration(en, 179.0), "2 minutes");
        assert_eq!(duration(find("ar").unwrap(), 120.0), "دقيقتين");
    }

    #[test]
    fn markup_in_text_is_escaped() {
        assert_eq!(escape("a<b>&\"c'\n\u{1}"), "a&lt;b&gt;&amp;&quot;c&apos;  ");
    }
}
