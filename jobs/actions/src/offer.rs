//! The action `make-offer`: an offer to a driver whose hire was driven well enough, once.
//!
//! Which driver it was, and whether they have agreed to offers, is looked up in MongoDB, where the rules are too. An offer
//! is written down before anybody hears of it, under an id that follows from driver and hire; a driver has one open offer at
//! a time. So an activation may be repeated at any point: it goes on with what was written down.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use millrace_contract::driver::{HireScore, OFFER_RULES, Offer, OfferRule, Profile};
use millrace_harness::Context;
use serde::{Deserialize, Serialize};

use crate::channels::gateway::{Gateway, OFFERS};
use crate::channels::smtp::{self, Mail};
use crate::channels::webhook::{self, Event, Webhook};
use crate::channels::{Channel, Letter, Outcome, tell};
use crate::documents::{Claim, Documents, DocumentsParams};
use crate::error::ActionError;
use crate::language::{FALLBACK, lookup};
use crate::secret::{Scrubber, Secret};

/// How long to try when the server names no deadline.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(20);
/// Kept back from the deadline for writing down what became of it.
const RESERVE: Duration = Duration::from_secs(1);

/// The input of the action `make-offer`: a score, and the action's own parameters.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct OfferInput {
    /// How a hire was driven.
    pub event: HireScore,
    /// Where MongoDB is.
    #[serde(flatten)]
    pub documents: DocumentsParams,
    /// Where the gateway listens.
    pub gateway_url: String,
    /// The token that lets an action hand over offers.
    pub notify_token: Secret,
    /// Where drivers are told: `smtp` at the address of their profile, `webhook` by whoever has a way of their own to them.
    #[serde(default)]
    pub channels: Vec<String>,
    /// The language where a profile names none.
    #[serde(default)]
    pub language: Option<String>,
    /// Address of the webhook.
    #[serde(default)]
    pub webhook_url: Secret,
    /// The signing secret.
    #[serde(default)]
    pub webhook_secret: Secret,
    /// Certificates (PEM) of the authorities to trust for the webhook.
    #[serde(default)]
    pub webhook_ca: Option<String>,
    /// The mail server.
    #[serde(default)]
    pub smtp_url: Secret,
    /// Who the mail is from.
    #[serde(default)]
    pub smtp_from: String,
    /// Certificates (PEM) of the authorities to trust for the mail server.
    #[serde(default)]
    pub smtp_ca: Option<String>,
}

/// The output of the action `make-offer`. No address is in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Made {
    /// The offer's id; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer: Option<String>,
    /// The rule that it was made by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The channels that took it.
    pub delivered: Vec<String>,
    /// Why there is none, or why it is told nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Made {
    fn none(reason: &str) -> Self {
        Self {
            offer: None,
            rule: None,
            delivered: Vec::new(),
            reason: Some(reason.to_owned()),
        }
    }
}

/// The rule that a hire fulfils and that asks for the most, if there is one. Pure.
#[must_use]
pub fn best<'a>(
    score: &HireScore,
    rules: &'a BTreeMap<String, OfferRule>,
) -> Option<(&'a str, &'a OfferRule)> {
    let fulfilled = rules.iter().filter(|(_, rule)| {
        rule.enabled
            && score.score >= rule.least_score
            && score.distance_km >= rule.least_distance_km
    });
    // Of two that ask for the same, the first by name: the same each time.
    fulfilled
        .rev()
        .max_by(|(_, a), (_, b)| {
            let by_score = a.least_score.total_cmp(&b.least_score);
            by_score.then(a.least_distance_km.total_cmp(&b.least_distance_km))
        })
        .map(|(name, rule)| (name.as_str(), rule))
}

/// The offer that a rule makes to a driver, in their language. Pure.
#[must_use]
pub fn offer(
    score: &HireScore,
    (name, rule): (&str, &OfferRule),
    (driver, profile): (&str, &Profile),
    default_language: Option<&str>,
    now: Timestamp,
) -> Offer {
    let asked = profile.language.as_deref().or(default_language);
    let tags = rule.text.keys().map(String::as_str);
    let language = asked
        .and_then(|asked| lookup(asked, tags))
        .unwrap_or(FALLBACK);
    let zone = profile.time_zone.as_deref();
    let zone = zone
        .and_then(|zone| TimeZone::get(zone).ok())
        .unwrap_or(TimeZone::UTC);
    // Until the end of a day, which is how people count.
    let last_day = now
        .to_zoned(zone.clone())
        .date()
        .saturating_add(i32::from(rule.valid_days).days());
    let end = last_day.at(23, 59, 59, 0).to_zoned(zone);
    let expires_at = end.map_or(now, |end| end.timestamp());
    let text = rule.text.get(language).map_or("", String::as_str);
    let text = text
        .replace("{score}", &format!("{:.0}", score.score.floor()))
        .replace("{until}", &last_day.to_string());
    Offer {
        id: id(driver, &score.hire),
        driver: driver.to_owned(),
        hire: score.hire.clone(),
        rule: name.to_owned(),
        score: score.score,
        reward: serde_json::Value::Object(rule.reward.clone()),
        language: language.to_owned(),
        text,
        made_at: now,
        expires_at,
    }
}

fn id(driver: &str, hire: &str) -> String {
    format!("{driver}/{hire}")
}

/// Why an offer that is written down is told nobody any more, if it is not. Pure. A score may be sent again long after its
/// offer was made and told nobody.
fn skip_reason(offer: &Offer, is_told: bool, now: Timestamp) -> Option<&'static str> {
    if is_told {
        return Some("it was told before");
    }
    (offer.expires_at < now).then_some("it has expired before it was told")
}

/// The action.
///
/// # Errors
/// [`ActionError::Input`] for wrong parameters; [`ActionError::Documents`] while MongoDB is away, and
/// [`ActionError::Undelivered`] while a channel is: it is to be asked again.
pub fn action(input: OfferInput, context: &Context) -> Result<Made, ActionError> {
    input.event.validate().map_err(ActionError::Input)?;
    let now = Timestamp::now();
    let patience = context
        .remaining(SystemTime::now())
        .map_or(DEFAULT_PATIENCE, |left| left.saturating_sub(RESERVE));
    let mut scrubber = Scrubber::default();
    let documents = Documents::open(&input.documents, &mut scrubber)?;
    let score = &input.event;
    let Some(driver) = documents.driver_of(&score.hire)? else {
        return Ok(Made::none("nobody is known to hide behind the hire"));
    };
    let profile = match documents.profile(&driver)? {
        Some(profile) if profile.offers => profile,
        _ => return Ok(Made::none("the driver has not agreed to offers")),
    };
    let (offer, is_told) = match documents.offer(&id(&driver, &score.hire))? {
        Some(found) => found,
        None => {
            let rules = documents.rules()?;
            if rules.is_empty() {
                // They may come a moment later than the first hire: it is asked again.
                let problem = format!(
                    "{OFFER_RULES} holds no rule; put one there, or set spec.offers.rules of the Platform"
                );
                return Err(ActionError::Documents(problem));
            }
            let Some(rule) = best(score, &rules) else {
                return Ok(Made::none("the hire fulfils no rule"));
            };
            let made = offer(
                score,
                rule,
                (&driver, &profile),
                input.language.as_deref(),
                now,
            );
            match documents.claim(&made, now)? {
                Claim::Ours(offer) => (*offer, false),
                Claim::Open => return Ok(Made::none("the driver has an open offer")),
            }
        }
    };
    let made = |delivered| Made {
        offer: Some(offer.id.clone()),
        rule: Some(offer.rule.clone()),
        delivered,
        reason: None,
    };
    if let Some(reason) = skip_reason(&offer, is_told, now) {
        return Ok(Made {
            reason: Some(reason.to_owned()),
            ..made(Vec::new())
        });
    }
    let channels = channels(&input, &offer, &profile, &mut scrubber)?;
    let outcomes = tell(&channels, patience, &scrubber);
    let delivered = delivered(outcomes)?;
    documents.told(&offer.id, &delivered, Timestamp::now())?;
    Ok(made(delivered))
}

/// The gateway first, which puts the offer into its topic; then whoever tells the driver. A mail last, since it cannot be
/// told twice unseen.
fn channels(
    input: &OfferInput,
    offer: &Offer,
    profile: &Profile,
    scrubber: &mut Scrubber,
) -> Result<Vec<Box<dyn Channel>>, ActionError> {
    let known = [webhook::NAME, smtp::NAME];
    if let Some(unknown) = input
        .channels
        .iter()
        .find(|name| !known.contains(&name.as_str()))
    {
        let cure = "use some of webhook and smtp: in the vehicle somebody else may sit by now";
        return Err(ActionError::input(
            "channels",
            unknown,
            "is no channel of offers",
            cure,
        ));
    }
    scrubber.hide(input.notify_token.expose());
    let to_gateway = Gateway::new(&input.gateway_url, &input.notify_token, OFFERS, offer)?;
    let mut channels: Vec<Box<dyn Channel>> = vec![Box::new(to_gateway)];
    let named = |name: &str| input.channels.iter().any(|channel| channel == name);
    if named(webhook::NAME) {
        let params = webhook::Params {
            url: &input.webhook_url,
            secret: &input.webhook_secret,
            ca: input.webhook_ca.as_deref(),
        };
        let event = Event::new("driver.offer", &offer.id, offer.made_at, offer)?;
        channels.push(Box::new(Webhook::new(&params, event, scrubber)?));
    }
    if let Some(mail) = profile.mail.as_ref().filter(|_| named(smtp::NAME)) {
        scrubber.hide(mail);
        let to = [mail.clone()];
        let params = smtp::Params {
            url: &input.smtp_url,
            from: &input.smtp_from,
            to: &to,
            ca: input.smtp_ca.as_deref(),
            last: true,
        };
        let letter = Letter {
            id: offer.id.clone(),
            subject: offer.text.clone(),
            language: offer.language.clone(),
            body: format!("{}\r\n", offer.text.replace('\n', "\r\n")),
        };
        channels.push(Box::new(Mail::new(&params, &letter, scrubber)?));
    }
    Ok(channels)
}

/// The channels that took it. One that never will is left out: the offer stands, and is in its topic.
fn delivered(outcomes: Vec<(&'static str, Outcome)>) -> Result<Vec<String>, ActionError> {
    let (mut delivered, mut away) = (Vec::new(), Vec::new());
    for (channel, outcome) in outcomes {
        match outcome {
            Outcome::Told { refused, .. } => {
                delivered.push(channel.to_owned());
                if let Some(reason) = refused {
                    eprintln!("{channel}: {reason}");
                }
            }
            Outcome::Passing(reason) => away.push(reason),
            Outcome::Final(reason) if channel == OFFERS.name => away.push(reason),
            Outcome::Final(reason) => eprintln!("{channel}: {reason}"),
        }
    }
    if away.is_empty() {
        return Ok(delivered);
    }
    Err(ActionError::Undelivered {
        failed: away.join("; "),
        delivered,
    })
}

#[cfg(test)]
mod tests;
