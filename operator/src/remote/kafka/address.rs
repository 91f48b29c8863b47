//! Addresses of brokers: `host:port`.

use std::collections::BTreeSet;

use super::error::KafkaError;

/// The addresses in a `bootstrap.servers` text.
///
/// # Errors
/// [`KafkaError::Address`] naming the part that is not `host:port`.
pub fn parse_bootstrap(text: &str) -> Result<Vec<String>, KafkaError> {
    let wrong = |value: &str| KafkaError::Address {
        value: value.to_owned(),
    };
    let mut seen = BTreeSet::new();
    let mut addresses = Vec::new();
    for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let (host, port) = part.rsplit_once(':').ok_or_else(|| wrong(part))?;
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(wrong(part));
        }
        if seen.insert(part) {
            addresses.push(part.to_owned());
        }
    }
    if addresses.is_empty() {
        return Err(wrong(text));
    }
    Ok(addresses)
}

/// Host and port as one text; IPv6 in brackets.
pub(super) fn join_address(host: &str, port: i32) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bootstrap_addresses_are_split_and_wrong_ones_named() {
        assert_eq!(
            parse_bootstrap(" a:9092, b:9093,a:9092 ").unwrap(),
            vec!["a:9092", "b:9093"]
        );
        assert_eq!(parse_bootstrap("[::1]:9092").unwrap(), vec!["[::1]:9092"]);
        for (wrong, named) in [
            ("", "\"\""),
            ("a", "\"a\""),
            ("a:9092,b:x", "\"b:x\""),
            (":1", "\":1\""),
        ] {
            let error = parse_bootstrap(wrong).unwrap_err().to_string();
            assert!(error.starts_with(named), "{error}");
        }
    }
}
