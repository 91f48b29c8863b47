//! Telemetry as the gateway writes it, read in one pass: JSON without white space, the contract's names once each, texts
//! without escapes. Anything else is left to the general reader ([`super::json`]), so that both always say the same.

use std::borrow::Cow;

use millrace_contract::{FIELDS, Kind};

use super::json::{COMMON, Parsed, name, parse};
use super::mark::Mark;
use super::time::micros;

const KEYS: usize = COMMON.len() + FIELDS.len();
// A bit and a byte for each, and one byte for what comes before the first.
const _: () = assert!(KEYS < 128);

/// Tens that a double holds exactly.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];
/// Every whole number up to this is a double, too.
const EXACT: u64 = 1 << 53;
/// So many digits are never more than a u64 holds.
const DIGITS: usize = 19;

/// Reads records' values one after the other, and expects names in the order of the record before.
#[derive(Debug)]
pub struct Values {
    after: [u8; KEYS + 1],
    // Each name as it stands before its value.
    marks: Vec<Mark>,
}

impl Default for Values {
    fn default() -> Self {
        let names = (0..KEYS).filter_map(name);
        let mut after = [0; KEYS + 1];
        for (next, key) in (1_u8..).zip(&mut after[..KEYS]) {
            *key = next;
        }
        let marks = names.map(Mark::of).collect();
        Self { after, marks }
    }
}

impl Values {
    /// Reads a record's value.
    pub fn read<'a>(&mut self, value: Option<&'a [u8]>, parsed: &mut Parsed<'a>) {
        parsed.clear();
        let quickly = value.and_then(|value| self.quickly(value, parsed));
        if quickly.is_none() {
            *parsed = parse(value);
        }
    }

    // None when the general reader is to be asked.
    fn quickly<'a>(&mut self, value: &'a [u8], parsed: &mut Parsed<'a>) -> Option<()> {
        let mut rest = Rest(std::str::from_utf8(value).ok()?);
        rest.take(b'{')?;
        let (mut seen, mut last) = (0_u128, KEYS);
        loop {
            let key = self.key(&mut rest, last)?;
            let bit = 1 << key;
            if seen & bit != 0 {
                return None;
            }
            seen |= bit;
            last = key;
            set(parsed, key, &mut rest)?;
            match rest.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        // Vehicle, sequence and time make it an event.
        (rest.0.is_empty() && seen & 0b111 == 0b111).then_some(())
    }

    // A name with its quotes and the colon behind it.
    fn key(&mut self, rest: &mut Rest<'_>, last: usize) -> Option<usize> {
        let guess = usize::from(self.after[last]);
        let mark = self.marks.get(guess);
        if let Some(after) = mark.and_then(|mark| mark.strip(rest.0)) {
            rest.0 = after;
            return Some(guess);
        }
        let text = rest.quoted()?;
        rest.take(b':')?;
        let key = (0..KEYS).find(|key| name(*key) == Some(text))?;
        self.after[last] = u8::try_from(key).ok()?;
        Some(key)
    }
}

// Puts a value where it belongs.
fn set<'a>(parsed: &mut Parsed<'a>, key: usize, rest: &mut Rest<'a>) -> Option<()> {
    let Some(field) = key.checked_sub(COMMON.len()) else {
        match (key, rest.peek()?) {
            (1, _) => match rest.number()? {
                Number::Whole(n) if n >= 0 => parsed.sequence = Some(n),
                _ => return None,
            },
            (2, b'"') => parsed.time = Some(micros(rest.quoted()?)?),
            (0, b'"') => parsed.vehicle = Some(Cow::Borrowed(rest.quoted()?)),
            (3, b'"') => parsed.hire = Some(Cow::Borrowed(rest.quoted()?)),
            (4, b'"') => parsed.model = Some(Cow::Borrowed(rest.quoted()?)),
            _ => return None,
        }
        return Some(());
    };
    match FIELDS.get(field)?.kind {
        Kind::Number => parsed.set_number(
            field,
            match rest.number()? {
                // Of so few digits that a double holds it.
                #[allow(clippy::cast_precision_loss)]
                Number::Whole(n) => n.unsigned_abs().le(&EXACT).then_some(n as f64)?,
                Number::Fraction(n) => n,
            },
        ),
        Kind::Flag => parsed.set_flag(field, rest.flag()?),
        Kind::Codes => parsed.set_codes(field, rest.texts()?),
    }
    Some(())
}

// The first quote, backslash or control character. Looks at eight bytes at once: their high bits tell, and only the lowest one
// that is set is to be trusted, since a borrow may run on from it.
fn end_of_text(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let below = |word: u64, byte: u8| word.wrapping_sub(ONES * u64::from(byte)) & !word & HIGH;
    let equal = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let (words, rest) = bytes.as_chunks::<8>();
    for (n, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let ends = equal(word, b'"') | equal(word, b'\\') | below(word, 0x20);
        if ends != 0 {
            return Some(8 * n + ends.trailing_zeros() as usize / 8);
        }
    }
    let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    Some(bytes.len() - rest.len() + rest.iter().position(ends)?)
}

enum Number {
    Whole(i64),
    Fraction(f64),
}

// What is not read yet.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn peek(&self) -> Option<u8> {
        self.0.as_bytes().first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let next = self.peek()?;
        self.0 = self.0.get(1..)?;
        Some(next)
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    fn quoted(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        self.text()
    }

    // Up to the quote, which is passed.
    fn text(&mut self) -> Option<&'a str> {
        let bytes = self.0.as_bytes();
        let end = end_of_text(bytes)?;
        if bytes[end] != b'"' {
            return None;
        }
        let text = self.0.get(..end)?;
        self.0 = self.0.get(end + 1..)?;
        Some(text)
    }

    fn flag(&mut self) -> Option<bool> {
        let (flag, rest) = match self.0.strip_prefix("true") {
            Some(rest) => (true, rest),
            None => (false, self.0.strip_prefix("false")?),
        };
        self.0 = rest;
        Some(flag)
    }

    fn texts(&mut self) -> Option<Vec<Cow<'a, str>>> {
        self.take(b'[')?;
        let mut texts = Vec::new();
        if self.peek()? == b']' {
            self.next();
            return Some(texts);
        }
        loop {
            texts.push(Cow::Borrowed(self.quoted()?));
            match self.next()? {
                b',' => {}
                b']' => return Some(texts),
                _ => return None,
            }
        }
    }

    fn number(&mut self) -> Option<Number> {
        let bytes = self.0.as_bytes();
        let minus = usize::from(*bytes.first()? == b'-');
        let mut mantissa = 0_u64;
        let mut digits = |from: usize| {
            let mut at = from;
            while let Some(digit) = bytes.get(at).map(|b| b.wrapping_sub(b'0'))
                && digit < 10
            {
                mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
                at += 1;
            }
            at
        };
        let point = digits(minus);
        let whole = point - minus;
        // JSON has no leading zeros.
        if whole == 0 || (whole > 1 && bytes[minus] == b'0') {
            return None;
        }
        let fraction = bytes.get(point) == Some(&b'.');
        let end = if fraction { digits(point + 1) } else { point };
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            return None;
        }
        let token = self.0.get(..end)?;
        self.0 = self.0.get(end..)?;
        if !fraction {
            let n = i64::try_from(mantissa).ok().filter(|_| whole < DIGITS)?;
            return match (minus, n) {
                (0, n) => Some(Number::Whole(n)),
                // Minus zero is no whole number.
                (_, 0) => None,
                (_, n) => Some(Number::Whole(-n)),
            };
        }
        let behind = end - point - 1;
        if behind == 0 {
            return None;
        }
        if whole + behind <= DIGITS && mantissa <= EXACT {
            // Both are exact, so that the quotient is the double that is nearest.
            #[allow(clippy::cast_precision_loss)]
            let n = mantissa as f64 / TENS.get(behind)?;
            return Some(Number::Fraction(if minus == 1 { -n } else { n }));
        }
        let n: f64 = token.parse().ok()?;
        n.is_finite().then_some(Number::Fraction(n))
    }
}

#[cfg(test)]
mod tests {
    use millrace_contract::{Telemetry, codec};
    use proptest::prelude::*;

    use super::*;

    // None when the general reader was asked.
    fn quickly(value: &[u8]) -> Option<Parsed<'_>> {
        let mut parsed = Parsed::default();
        Values::default()
            .quickly(value, &mut parsed)
            .map(|()| parsed)
    }

    fn event() -> Telemetry {
        let mut event = Telemetry::new("car-1", 7, "2026-11-28T13:00:00.123456Z".parse().unwrap());
        event.speed = Some(81.5);
        event.engine_speed = Some(2100.0);
        event.latitude = Some(48.137 + 0.087);
        event.longitude = Some(-11.575);
        event.mil_on = Some(true);
        event.dtc_list = Some(vec!["P0217".to_owned(), "P0301".to_owned()]);
        event.model = Some("Kleinwagen, grün".to_owned());
        event
    }

    #[test]
    fn what_the_gateway_writes_is_read_quickly() {
        let value = codec::encode(&event());
        assert_eq!(quickly(&value), Some(parse(Some(&value))));
        let empty = br#"{"vehicle":"c","sequence":1,"time":"2026-11-28T13:00:00Z","dtc_list":[]}"#;
        assert_eq!(quickly(empty), Some(parse(Some(empty))));
    }

    #[test]
    fn a_text_ends_with_the_first_byte_that_ends_one() {
        let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
        for end in [
            b'"', b'\\', 0, 0x1f, b'!', b'#', b' ', b'[', b']', 0x80, 0xff,
        ] {
            for at in 0..20 {
                let mut bytes = vec![b'a'; 20];
                bytes[at] = end;
                // What stands behind does not matter.
                for (behind, last) in [(at + 1, b'#'), (at + 2, b'"')] {
                    if let Some(byte) = bytes.get_mut(behind) {
                        *byte = last;
                    }
                }
                assert_eq!(
                    end_of_text(&bytes),
                    bytes.iter().position(ends),
                    "{bytes:?}"
                );
            }
        }
    }

    #[test]
    fn one_reader_reads_events_of_any_order() {
        let mut values = Values::default();
        let mut parsed = Parsed::default();
        for value in [
            &br#"{"vehicle":"a","sequence":1,"time":"2026-11-28T13:00:00Z","speed":1.5,"fuel_level":2}"#[..],
            br#"{"vehicle":"b","sequence":2,"time":"2026-11-28T13:00:00Z","fuel_level":2.25,"speed":-1}"#,
            br#"{"time":"2026-11-28T13:00:00Z","sequence":3,"vehicle":"c"}"#,
            b"no event",
            br#"{"vehicle":"d","sequence":4,"time":"2026-11-28T13:00:00Z","mil_on":false}"#,
        ] {
            values.read(Some(value), &mut parsed);
            assert_eq!(parsed, parse(Some(value)));
        }
        values.read(None, &mut parsed);
        assert_eq!(parsed, parse(None));
    }

    proptest! {
        #[test]
        fn both_readers_say_the_same(
            numbers in prop::collection::vec(prop_oneof![
                any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| serde_json::to_string(&n).unwrap()),
                any::<i64>().prop_map(|n| n.to_string()),
                "-?[0-9]{1,22}(\\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?",
                (0..400_000_i64, 0..6_u32).prop_map(|(n, p)| (n as f64 / 10_f64.powi(p as i32)).to_string()),
            ], 4),
            time in "20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,9})?(Z|\\+00:00)",
            vehicle in "[a-z\\\\\"é]{0,6}",
            text in any::<String>(),
        ) {
            let [sequence, speed, fuel, latitude] = numbers.as_slice() else { unreachable!() };
            let model = serde_json::to_string(&text).unwrap();
            let value = format!(
                r#"{{"vehicle":"{vehicle}","sequence":{sequence},"time":"{time}","model":{model},"speed":{speed},"fuel_level":{fuel},"latitude":{latitude}}}"#
            );
            let mut parsed = Parsed::default();
            Values::default().read(Some(value.as_bytes()), &mut parsed);
            prop_assert_eq!(parsed, parse(Some(value.as_bytes())));
        }

        #[test]
        fn and_so_of_broken_ones(cut in any::<prop::sample::Index>(), with in prop::collection::vec(any::<u8>(), 0..3)) {
            let mut value = codec::encode(&event());
            let at = cut.index(value.len());
            value.splice(at..(at + 1).min(value.len()), with);
            let mut parsed = Parsed::default();
            Values::default().read(Some(&value), &mut parsed);
            prop_assert_eq!(parsed, parse(Some(&value)));
        }
    }
}
