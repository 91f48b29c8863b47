//! Who drives, as far as it is known behind the gateway: by a key that only the gateway can make.
//!
//! Telemetry names hires by pseudonyms. Which driver hides behind one is told in the topic `hires` alone, and a driver is
//! a key there, not a name. What a driver has agreed to and how to reach them is in the topic `drivers`. Whoever may read
//! neither knows nobody.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::Invalid;

/// The collection of rules by which offers are made, in the database of documents.
pub const OFFER_RULES: &str = "offer_rules";
/// The field of a rule's document that says on whose behalf `materialize` put it there. Rules without it are somebody
/// else's.
pub const RULE_MANAGER: &str = "managedBy";
/// The collection of drivers by pseudonym, in the database of what leads to persons.
pub const HIRES: &str = "hires";
/// The collection of profiles, in the same.
pub const DRIVERS: &str = "drivers";
/// The collection of offers, in the same.
pub const OFFERS: &str = "offers";
/// The collection of who has an open offer, in the same: one document a driver.
pub const OPEN_OFFERS: &str = "open_offers";

/// Longest language tag, in bytes (BCP 47 asks for 35).
const LONGEST_LANGUAGE: usize = 35;
/// Longest mail address, in bytes (RFC 5321).
const LONGEST_MAIL: usize = 254;

/// Which driver a pseudonym stands for: a record of the topic `hires`, keyed by the pseudonym.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hire {
    /// The driver's key, see [`crate::pseudonym::PseudonymKey::driver`].
    pub driver: String,
    /// The vehicle that told of it first.
    pub vehicle: String,
    /// When the gateway heard of it.
    pub seen_at: Timestamp,
}

/// What is known of a driver: a record of the topic `drivers`, keyed by the driver's key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// The language to speak to them in, BCP 47.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Their time zone, by its IANA name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Where offers may be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail: Option<String>,
    /// Whether they have agreed to be made offers by how they drive.
    pub offers: bool,
}

impl Profile {
    /// Looks for what cannot be used.
    ///
    /// # Errors
    /// The first field that is not acceptable; a mail address is not shown.
    pub fn validate(&self) -> Result<(), Invalid> {
        let is_tag = |tag: &String| {
            !tag.is_empty()
                && tag.len() <= LONGEST_LANGUAGE
                && tag.split('-').all(|part| {
                    (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
                })
        };
        if let Some(tag) = self.language.as_ref().filter(|tag| !is_tag(tag)) {
            let cure = "write a BCP 47 tag such as de or pt-BR";
            return Err(Invalid::new("language", tag, "is no language tag", cure));
        }
        if let Some(zone) = self
            .time_zone
            .as_ref()
            .filter(|zone| TimeZone::get(zone).is_err())
        {
            let cure = "write an IANA name such as Europe/Vienna";
            return Err(Invalid::new("time_zone", zone, "is no time zone", cure));
        }
        if let Some(mail) = &self.mail {
            let parts = mail.rsplit_once('@');
            let fits = parts.is_some_and(|(local, domain)| {
                let clean = |c: char| !c.is_whitespace() && !c.is_control() && !",;<>".contains(c);
                !local.is_empty() && domain.contains('.') && mail.chars().all(clean)
            });
            if !fits || mail.len() > LONGEST_MAIL {
                let cure = "write one address such as name@example.com";
                return Err(Invalid::new(
                    "mail",
                    "(not shown)",
                    "is no mail address",
                    cure,
                ));
            }
        }
        if self.offers && self.mail.is_none() {
            let cure = "give mail, or leave offers out";
            return Err(Invalid::new(
                "offers",
                "true",
                "there is no address to send them to",
                cure,
            ));
        }
        Ok(())
    }
}

/// How a hire was driven: a record of the topic `hire-scores`, keyed by the pseudonym.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HireScore {
    /// The pseudonym of the hire.
    pub hire: String,
    /// 0 to 100.
    pub score: f64,
    /// What was driven, in kilometres.
    pub distance_km: f64,
    /// How many trips.
    pub trips: u32,
    /// The first day of them, ISO 8601.
    pub first_day: jiff::civil::Date,
    /// The last day of them.
    pub last_day: jiff::civil::Date,
    /// When it was computed.
    pub scored_at: Timestamp,
}

impl HireScore {
    /// Looks for what cannot be.
    ///
    /// # Errors
    /// The first field that is not acceptable.
    pub fn validate(&self) -> Result<(), Invalid> {
        if self.hire.is_empty() || self.hire.len() > 64 {
            let cure = "send the pseudonym of the hire";
            return Err(Invalid::new("hire", &self.hire, "is no pseudonym", cure));
        }
        for (field, value, most) in [
            ("score", self.score, 100.0),
            ("distance_km", self.distance_km, f64::MAX),
        ] {
            if !(0.0..=most).contains(&value) {
                let cure = "send what was computed";
                return Err(Invalid::new(
                    field,
                    value.to_string(),
                    "is out of range",
                    cure,
                ));
            }
        }
        Ok(())
    }
}

/// By which rule offers are made. Of those that a hire fulfils the one that asks for the highest score counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct OfferRule {
    /// The least score, 0 to 100.
    pub least_score: f64,
    /// The least distance that was driven, in kilometres: a short trip says little.
    #[serde(default = "some_kilometres")]
    pub least_distance_km: f64,
    /// What is offered, for whoever takes the offer: any JSON object.
    pub reward: serde_json::Map<String, serde_json::Value>,
    /// So many days it can be taken; a driver has one open offer at a time.
    #[serde(default = "a_month")]
    pub valid_days: u16,
    /// What the driver is told, by language (BCP 47), `en` among them. `{score}` and `{until}` are filled in.
    pub text: std::collections::BTreeMap<String, String>,
    /// Whether it counts.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn some_kilometres() -> f64 {
    20.0
}

fn a_month() -> u16 {
    30
}

fn yes() -> bool {
    true
}

impl OfferRule {
    /// Looks for what cannot work.
    ///
    /// # Errors
    /// The first field that is not acceptable.
    pub fn validate(&self) -> Result<(), Invalid> {
        let number = |field: &str, value: f64, most: f64, cure: &str| {
            if (0.0..=most).contains(&value) {
                return Ok(());
            }
            Err(Invalid::new(
                field,
                value.to_string(),
                "is out of range",
                cure,
            ))
        };
        number("leastScore", self.least_score, 100.0, "give 0 to 100")?;
        number(
            "leastDistanceKm",
            self.least_distance_km,
            1e6,
            "give kilometres",
        )?;
        if !(1..=366).contains(&self.valid_days) {
            let days = self.valid_days.to_string();
            return Err(Invalid::new(
                "validDays",
                days,
                "is out of range",
                "give 1 to 366",
            ));
        }
        if !self.text.contains_key("en") {
            let cure = "add text.en, which is told where no other fits";
            return Err(Invalid::new("text", "", "has no English", cure));
        }
        Ok(())
    }
}

/// An offer to a driver: a record of the topic `offers`, keyed by the driver's key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// Names the offer for good: the driver's key, the rule and the hire.
    pub id: String,
    /// The driver's key.
    pub driver: String,
    /// The hire whose driving earned it.
    pub hire: String,
    /// The rule that it is made by.
    pub rule: String,
    /// The score that earned it.
    pub score: f64,
    /// What is offered, as the rule says.
    pub reward: serde_json::Value,
    /// BCP 47 tag of the language of `text`.
    pub language: String,
    /// What the driver is told.
    pub text: String,
    /// When it was made.
    pub made_at: Timestamp,
    /// Until when it can be taken.
    pub expires_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_named_and_addresses_are_not_shown() {
        let profile =
            |json: serde_json::Value| -> Profile { serde_json::from_value(json).unwrap() };
        for (json, field) in [
            (serde_json::json!({"language": "german!"}), "language"),
            (serde_json::json!({"time_zone": "Vienna"}), "time_zone"),
            (serde_json::json!({"mail": "Ann <ann@example.com>"}), "mail"),
            (serde_json::json!({"offers": true}), "offers"),
        ] {
            let invalid = profile(json).validate().unwrap_err();
            assert_eq!(invalid.field, field);
            assert!(!invalid.to_string().contains("ann@"), "{invalid}");
        }
        let good = serde_json::json!({"language": "pt-BR", "time_zone": "Europe/Lisbon",
            "mail": "ann@example.com", "offers": true});
        profile(good).validate().unwrap();
        assert!(serde_json::from_value::<Profile>(serde_json::json!({"phone": "1"})).is_err());
    }
}
