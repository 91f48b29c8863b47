//! Settings as XML.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Settings: name and value, in order.
pub(super) type Settings = Vec<(String, String)>;

/// A settings file. What was asked for is put in the place of what was computed.
pub(super) fn site(computed: &Settings, asked: &BTreeMap<String, String>) -> String {
    let computed = computed
        .iter()
        .filter(|(name, _)| !asked.contains_key(name))
        .map(|(name, value)| (name, value));
    let mut text = String::from("<?xml version=\"1.0\"?>\n<configuration>\n");
    for (name, value) in computed.chain(asked) {
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "<property><name>{}</name><value>{}</value></property>",
            escaped(name),
            escaped(value)
        );
    }
    text.push_str("</configuration>\n");
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_wins_and_is_escaped() {
        let computed = vec![
            ("a".to_owned(), "1".to_owned()),
            ("b".to_owned(), "2".to_owned()),
        ];
        let text = site(&computed, &[("a".to_owned(), "<&>".to_owned())].into());
        assert_eq!(
            text,
            "<?xml version=\"1.0\"?>\n<configuration>\n\
             <property><name>b</name><value>2</value></property>\n\
             <property><name>a</name><value>&lt;&amp;&gt;</value></property>\n</configuration>\n"
        );
    }
}
