//! The action `notify-driver`: words a warning in the driver's language and tells it over every channel named.
//!
//! It keeps no state, and any number of processes may tell the same alert: the gateway takes each alert id once, a
//! webhook knows it by its `webhook-id`, a mailbox by its Message-ID.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use jiff::{SignedDuration, Timestamp};
use millrace_contract::{Notification, Severity};
use millrace_harness::Context;
use serde::{Deserialize, Deserializer, Serialize};

use crate::assess::{Assessment, check, check_time_zone};
use crate::channels::gateway::{Gateway, VEHICLE};
use crate::channels::smtp::{self, Mail};
use crate::channels::webhook::{self, Event, Webhook};
use crate::channels::{Channel, Outcome, tell};
use crate::documents::{Documents, DocumentsParams};
use crate::error::ActionError;
use crate::language::FALLBACK;
use crate::render::{Rendered, render};
use crate::secret::Scrubber;

pub use crate::secret::Secret;

/// The channels in the order in which they are told first: the driver before everybody else.
const CHANNELS: [&str; 3] = [VEHICLE.name, webhook::NAME, smtp::NAME];

/// A warning older than this is of no use to a driver any more.
const DEFAULT_TTL_SECONDS: u64 = 900;

/// The longest life of a notification: a day.
const LONGEST_TTL_SECONDS: u64 = 86_400;

/// How long to try when the server names no deadline.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(20);

/// So long profiles are not asked for after MongoDB was away: no warning after the first waits for it.
const AWAY: Duration = Duration::from_secs(15);
static AWAY_SINCE: Mutex<Option<Instant>> = Mutex::new(None);

/// Kept back from the deadline for writing the answer.
const RESERVE: Duration = Duration::from_millis(500);

/// The input of the action `notify-driver`: an assessment, and the action's own parameters.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct NotifyInput {
    /// What `assess-vehicle` or `warn-geofence` answered.
    #[serde(flatten)]
    pub assessment: Assessment,
    /// Where profiles of drivers are; without it every driver is spoken to alike.
    #[serde(flatten)]
    pub documents: DocumentsParams,
    /// Where to tell: `vehicle`, `webhook`, `smtp`.
    #[serde(default = "vehicle_only")]
    pub channels: Vec<String>,
    /// Where the gateway listens, like `http://platform-gateway:8080`. For `vehicle`.
    #[serde(default)]
    pub gateway_url: String,
    /// The token that lets an action hand over notifications. For `vehicle`.
    #[serde(default)]
    pub notify_token: Secret,
    /// Seconds after which an undelivered warning is dropped.
    #[serde(default = "default_ttl")]
    pub ttl_seconds: u64,
    /// Whether information is spoken too; else it is only shown.
    #[serde(default)]
    pub speak_info: bool,
    /// Address of the webhook, `https://…` or `http://…`.
    #[serde(default)]
    pub webhook_url: Secret,
    /// The signing secret, `whsec_…`; two, separated by a blank, while it is being replaced.
    #[serde(default)]
    pub webhook_secret: Secret,
    /// Certificates (PEM) of the authorities to trust for the webhook, in place of Mozilla's.
    #[serde(default)]
    pub webhook_ca: Option<String>,
    /// The mail server: `smtps://user:password@host:port` or `smtp://…`.
    #[serde(default)]
    pub smtp_url: Secret,
    /// Who the mail is from.
    #[serde(default)]
    pub smtp_from: String,
    /// Who it is to: a list, or one text with commas.
    #[serde(default, deserialize_with = "addresses")]
    pub smtp_to: Vec<String>,
    /// Certificates (PEM) of the authorities to trust for the mail server, in place of Mozilla's.
    #[serde(default)]
    pub smtp_ca: Option<String>,
}

fn vehicle_only() -> Vec<String> {
    vec![VEHICLE.name.to_owned()]
}

fn default_ttl() -> u64 {
    DEFAULT_TTL_SECONDS
}

/// A list of addresses, or one text that names them with commas in between.
fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Addresses {
        One(String),
        Many(Vec<String>),
    }
    let list = match Addresses::deserialize(deserializer) {
        Ok(Addresses::One(text)) => text.split(',').map(str::to_owned).collect(),
        Ok(Addresses::Many(list)) => list,
        Err(_) => {
            return Err(serde::de::Error::custom(
                "smtp_to is no list of mail addresses",
            ));
        }
    };
    Ok(list
        .into_iter()
        .map(|address| address.trim().to_owned())
        .filter(|address| !address.is_empty())
        .collect())
}

/// A channel that did not take the warning and will not, or not for all its receivers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// The channel.
    pub channel: String,
    /// Who refused, why, and what to do about it.
    pub reason: String,
}

/// The output of the action `notify-driver`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// The channels that took it.
    pub delivered: Vec<String>,
    /// The channels that will not take it, however often they are asked; also one that took it for some receivers only.
    pub failed: Vec<Failed>,
    /// The alert's id.
    pub id: String,
    /// Whether the gateway had it already.
    pub duplicate: bool,
    /// Language of the words.
    pub language: String,
    /// The language asked for, when another had to stand in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_language: Option<String>,
    /// The words, so that the activation's record tells what the driver was told.
    pub text: String,
}

/// The action: words the warning and tells it over every channel.
///
/// It fails when a channel did not take the warning and may do so later, and when none took it: then it is to be asked
/// again. Where some took it and the others never will, it succeeds and names both.
///
/// # Errors
/// [`ActionError::Input`] for wrong parameters, before anything is told; [`ActionError::Undelivered`].
pub fn action(input: NotifyInput, context: &Context) -> Result<Delivery, ActionError> {
    check(&input.assessment.alert)?;
    check_time_zone(input.assessment.time_zone.as_deref())?;
    let now = Timestamp::now();
    let patience = context
        .remaining(SystemTime::now())
        .map_or(DEFAULT_PATIENCE, |left| left.saturating_sub(RESERVE));
    let mut scrubber = Scrubber::default();
    let mut input = input;
    of_the_driver(&mut input, &mut scrubber)?;
    if let Some(trace) = &input.assessment.traceparent {
        eprintln!("alert {}: traceparent {trace}", input.assessment.alert.id);
    }
    let rendered = words(&input.assessment);
    let channels = channels(&input, &rendered, now, patience, &mut scrubber)?;
    let outcomes = tell(&channels, patience, &scrubber);
    deliver(input.assessment.alert.id, rendered, outcomes)
}

/// Puts the language and the time zone of the driver who hires in the place of those that are for everybody. A warning is
/// not held up for that: where MongoDB does not say who it is, the others are used.
fn of_the_driver(input: &mut NotifyInput, scrubber: &mut Scrubber) -> Result<(), ActionError> {
    let Some(hire) = &input.assessment.alert.hire else {
        return Ok(());
    };
    let mut away_since = AWAY_SINCE.lock().unwrap_or_else(PoisonError::into_inner);
    let is_away = away_since.is_some_and(|since| since.elapsed() < AWAY);
    if is_away || !input.documents.is_given() {
        return Ok(());
    }
    let documents = Documents::open(&input.documents, scrubber)?;
    let known = documents.driver_of(hire).and_then(|driver| match driver {
        Some(driver) => documents.profile(&driver),
        None => Ok(None),
    });
    match known {
        Ok(Some(profile)) => {
            let assessment = &mut input.assessment;
            assessment.language = profile.language.or(assessment.language.take());
            assessment.time_zone = profile.time_zone.or(assessment.time_zone.take());
        }
        Ok(None) => {}
        Err(error) => {
            *away_since = Some(Instant::now());
            let problem = scrubber.clean(&error.to_string());
            eprintln!("{problem}; told as to everybody");
        }
    }
    Ok(())
}

/// Sums up what became of the channels.
fn deliver(
    id: String,
    rendered: Rendered,
    outcomes: Vec<(&'static str, Outcome)>,
) -> Result<Delivery, ActionError> {
    let mut delivered = Vec::new();
    let mut failed = Vec::new();
    let (mut again, mut known) = (false, false);
    for (channel, outcome) in outcomes {
        let reason = match outcome {
            Outcome::Told { duplicate, refused } => {
                delivered.push(channel.to_owned());
                known |= duplicate;
                let Some(reason) = refused else { continue };
                eprintln!("{channel}: {reason}");
                reason
            }
            Outcome::Passing(reason) => {
                again = true;
                reason
            }
            Outcome::Final(reason) => {
                eprintln!("{channel}: {reason}");
                reason
            }
        };
        failed.push(Failed {
            channel: channel.to_owned(),
            reason,
        });
    }
    if again || delivered.is_empty() {
        let reasons: Vec<String> = failed.into_iter().map(|failed| failed.reason).collect();
        return Err(ActionError::Undelivered {
            failed: reasons.join("; "),
            delivered,
        });
    }
    Ok(Delivery {
        delivered,
        failed,
        id,
        duplicate: known,
        language: rendered.language,
        requested_language: rendered.requested_language,
        text: rendered.text,
    })
}

/// The assessment in the language it names, English when it names none.
pub fn words(assessment: &Assessment) -> Rendered {
    render(
        assessment,
        assessment.language.as_deref().unwrap_or(FALLBACK),
    )
}

/// Builds the notification that the gateway takes. Pure. Information has nothing to be spoken unless `speak_info`: it
/// is not worth a driver's attention.
///
/// It lives until its alert is `ttl_seconds` old. An older alert is here because somebody sent it again: it has a whole
/// life. What is too old to be told at all is for the event source to say (`maximumAgeSeconds`).
pub fn notification(
    assessment: &Assessment,
    rendered: &Rendered,
    now: Timestamp,
    ttl_seconds: u64,
    speak_info: bool,
) -> Notification {
    let alert = &assessment.alert;
    let life = SignedDuration::from_secs(i64::try_from(ttl_seconds).unwrap_or(i64::MAX));
    let spoken = alert.severity > Severity::Info || speak_info;
    let end = |from: Timestamp| from.checked_add(life).unwrap_or(Timestamp::MAX);
    let expires_at = Some(end(alert.detected_at)).filter(|end| *end > now);
    Notification {
        id: alert.id.clone(),
        vehicle: alert.vehicle.clone(),
        rule: alert.rule.clone(),
        severity: alert.severity,
        episode: alert.episode.clone(),
        event_time: alert.event_time,
        detected_at: alert.detected_at,
        language: rendered.language.clone(),
        text: rendered.text.clone(),
        ssml: if spoken {
            rendered.ssml.clone()
        } else {
            String::new()
        },
        expires_at: expires_at.unwrap_or_else(|| end(now)),
    }
}

/// Checks the parameters and readies the channels named, each once.
fn channels(
    input: &NotifyInput,
    rendered: &Rendered,
    now: Timestamp,
    patience: Duration,
    scrubber: &mut Scrubber,
) -> Result<Vec<Box<dyn Channel>>, ActionError> {
    if !(1..=LONGEST_TTL_SECONDS).contains(&input.ttl_seconds) {
        return Err(ActionError::input(
            "ttl_seconds",
            input.ttl_seconds,
            "is out of range",
            format!("give 1 to {LONGEST_TTL_SECONDS} seconds"),
        ));
    }
    let known = "use some of vehicle, webhook and smtp";
    if input.channels.is_empty() {
        return Err(ActionError::input(
            "channels",
            "[]",
            "names no channel",
            known,
        ));
    }
    if let Some(unknown) = input
        .channels
        .iter()
        .find(|channel| !CHANNELS.contains(&channel.as_str()))
    {
        return Err(ActionError::input(
            "channels",
            unknown,
            "is no channel",
            known,
        ));
    }
    scrubber.hide(input.notify_token.expose());
    let assessment = &input.assessment;
    let mut channels: Vec<Box<dyn Channel>> = Vec::new();
    let named = |name: &str| input.channels.iter().any(|channel| channel == name);
    if named(VEHICLE.name) {
        let notification = notification(
            assessment,
            rendered,
            now,
            input.ttl_seconds,
            input.speak_info,
        );
        let gateway = Gateway::new(
            &input.gateway_url,
            &input.notify_token,
            VEHICLE,
            &notification,
        )?;
        let traceparent = assessment.traceparent.as_deref();
        channels.push(Box::new(gateway.traced(traceparent)));
    }
    if named(webhook::NAME) {
        let params = webhook::Params {
            url: &input.webhook_url,
            secret: &input.webhook_secret,
            ca: input.webhook_ca.as_deref(),
        };
        let event = Event::warning(assessment, rendered)?;
        channels.push(Box::new(Webhook::new(&params, event, scrubber)?));
    }
    if named(smtp::NAME) {
        let params = smtp::Params {
            url: &input.smtp_url,
            from: &input.smtp_from,
            to: &input.smtp_to,
            ca: input.smtp_ca.as_deref(),
            last: mail_goes_last(assessment, now, patience, input.ttl_seconds),
        };
        let letter = smtp::warning(assessment, rendered);
        channels.push(Box::new(Mail::new(&params, &letter, scrubber)?));
    }
    Ok(channels)
}

/// Whether a mail is held back until the other channels are told.
///
/// A mail server does not say whether it had a mail already, so each retry for another channel's sake would send it
/// once more. An activation that fails for something passing lasts until its deadline: so the first one, which sends
/// the mail at once, is over when the alert is older than an activation lasts. Later ones send it when they are through,
/// or when the warning is so old that nobody waits for the others any more.
fn mail_goes_last(
    assessment: &Assessment,
    now: Timestamp,
    patience: Duration,
    ttl_seconds: u64,
) -> bool {
    let age = now.duration_since(assessment.alert.detected_at);
    let age = Duration::try_from(age).unwrap_or_default();
    age > patience && age < Duration::from_secs(ttl_seconds)
}

#[cfg(test)]
mod tests;
