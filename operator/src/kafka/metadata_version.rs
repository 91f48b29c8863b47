//! The version of Kafka's own metadata: names and levels, and when it is raised. Pure.

use std::collections::BTreeMap;

use crate::remote::kafka::FeatureLevel;

/// The versions by level, from Kafka's `MetadataVersion`. Newer ones are told by their level.
const VERSIONS: &[(i16, &str)] = &[
    (7, "3.3-IV3"),
    (8, "3.4-IV0"),
    (9, "3.5-IV0"),
    (10, "3.5-IV1"),
    (11, "3.5-IV2"),
    (12, "3.6-IV0"),
    (13, "3.6-IV1"),
    (14, "3.6-IV2"),
    (15, "3.7-IV0"),
    (16, "3.7-IV1"),
    (17, "3.7-IV2"),
    (18, "3.7-IV3"),
    (19, "3.7-IV4"),
    (20, "3.8-IV0"),
    (21, "3.9-IV0"),
    (22, "4.0-IV0"),
    (23, "4.0-IV1"),
    (24, "4.0-IV2"),
    (25, "4.0-IV3"),
    (26, "4.1-IV0"),
    (27, "4.1-IV1"),
    (28, "4.2-IV0"),
    (29, "4.2-IV1"),
    (30, "4.3-IV0"),
];

/// What is to be done about the version of the metadata.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Nothing.
    Keep,
    /// It is raised to this level.
    Raise(i16),
    /// It waits, and for what.
    Wait(String),
    /// It cannot be as it is asked for: what is wrong, with the cure.
    Refused(String),
}

/// The level of a version; a release without `-IV` means its last one.
#[must_use]
pub fn level(version: &str) -> Option<i16> {
    VERSIONS
        .iter()
        .rev()
        .find(|(_, name)| {
            *name == version || name.split('-').next().is_some_and(|name| name == version)
        })
        .map(|(level, _)| *level)
}

/// The name of a level.
#[must_use]
pub fn name(level: i16) -> String {
    let known = VERSIONS.iter().find(|(known, _)| *known == level);
    known.map_or_else(|| level.to_string(), |(_, name)| (*name).to_owned())
}

/// Decides. `asked` is `spec.metadataVersion`, `brokers` what each broker knows, `all_run` whether all nodes run what the
/// spec asks for.
#[must_use]
pub fn step(
    asked: Option<&str>,
    finalized: i16,
    brokers: &BTreeMap<i32, FeatureLevel>,
    all_run: bool,
) -> Step {
    let Some((weakest, most)) = brokers
        .iter()
        .map(|(id, level)| (*id, level.max))
        .min_by_key(|(_, max)| *max)
    else {
        return Step::Keep;
    };
    let wanted = match asked {
        None => most,
        Some(text) => match level(text) {
            Some(level) => level,
            None => {
                return Step::Refused(format!(
                    "spec.metadataVersion: {text}: is not known; the metadata is at {}, and the brokers know up to {}",
                    name(finalized),
                    name(most)
                ));
            }
        },
    };
    if let (Some(text), true) = (asked, wanted < finalized) {
        return Step::Refused(format!(
            "spec.metadataVersion: {text}: the metadata is at {} already and cannot go back without loss; write {} or remove it",
            name(finalized),
            name(finalized)
        ));
    }
    if wanted <= finalized {
        return Step::Keep;
    }
    let told = format!(
        "the metadata goes from {} to {}",
        name(finalized),
        name(wanted)
    );
    if !all_run {
        return Step::Wait(format!("{told} once all nodes run and are as asked for"));
    }
    if wanted > most {
        let who = if brokers.len() == 1 {
            "the image".to_owned()
        } else {
            format!("broker {weakest}")
        };
        return Step::Refused(format!(
            "spec.metadataVersion: {}: {who} knows up to {}; take a newer image, or write {}",
            asked.unwrap_or_default(),
            name(most),
            name(most)
        ));
    }
    Step::Raise(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brokers(maxima: &[i16]) -> BTreeMap<i32, FeatureLevel> {
        maxima
            .iter()
            .zip(0..)
            .map(|(max, id)| {
                let level = FeatureLevel {
                    finalized: None,
                    min: 7,
                    max: *max,
                };
                (id, level)
            })
            .collect()
    }

    #[test]
    fn versions_have_levels() {
        assert_eq!(level("4.0"), Some(25));
        assert_eq!(level("4.0-IV1"), Some(23));
        assert_eq!(level("9.9"), None);
        assert_eq!(name(30), "4.3-IV0");
        assert_eq!(name(99), "99");
        assert!(VERSIONS.windows(2).all(|two| two[0].0 + 1 == two[1].0));
    }

    #[test]
    fn it_follows_the_image_once_all_nodes_run_it() {
        assert_eq!(step(None, 25, &brokers(&[30, 30]), true), Step::Raise(30));
        assert_eq!(step(None, 25, &brokers(&[30, 29]), true), Step::Raise(29));
        assert!(matches!(
            step(None, 25, &brokers(&[30]), false),
            Step::Wait(_)
        ));
        assert_eq!(step(None, 30, &brokers(&[30]), true), Step::Keep);
        // An image that went back knows less than what is in force.
        assert_eq!(step(None, 30, &brokers(&[29]), true), Step::Keep);
        assert_eq!(step(None, 30, &brokers(&[]), true), Step::Keep);
    }

    #[test]
    fn it_stays_where_it_is_held_and_never_goes_back() {
        assert_eq!(step(Some("4.0"), 25, &brokers(&[30]), true), Step::Keep);
        assert_eq!(
            step(Some("4.1"), 25, &brokers(&[30]), true),
            Step::Raise(27)
        );
        for (asked, finalized, known, says) in [
            ("4.0", 30, 30, "cannot go back"),
            ("4.3", 25, 29, "the image knows up to 4.2-IV1"),
            ("5.7", 25, 29, "is not known"),
        ] {
            let step = step(Some(asked), finalized, &brokers(&[known]), true);
            assert!(
                matches!(&step, Step::Refused(told) if told.contains(says)),
                "{step:?}"
            );
        }
    }
}
