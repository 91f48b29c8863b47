//! What actions look up and write down in MongoDB.

mod access;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use millrace_contract::driver::{
    DRIVERS, HIRES, OFFER_RULES, OFFERS, OPEN_OFFERS, Offer, OfferRule, Profile, RULE_MANAGER,
};
use mongodb::bson::{DateTime, Document, deserialize_from_document, doc, serialize_to_document};
use mongodb::error::{ErrorKind, WriteFailure};
use mongodb::sync::{Collection, Database};

use crate::error::ActionError;
use crate::secret::Scrubber;

pub use access::DocumentsParams;

/// A unique index has the key already.
const DUPLICATE_KEY: i32 = 11000;
/// Whoever claims for the same driver at the same time is another activation: few attempts are enough.
const ATTEMPTS: usize = 5;

/// Whose the open offer of a driver is.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// This one's, as it is written down.
    Ours(Box<Offer>),
    /// Another one's.
    Open,
}

/// The databases.
#[derive(Clone)]
pub struct Documents {
    documents: Database,
    identity: Database,
}

/// The databases by the client of this process, and what they were made of: activations come one after the other, with the
/// same parameters.
static OPEN: Mutex<Option<(DocumentsParams, Documents)>> = Mutex::new(None);

impl Documents {
    /// The databases, by the client that this process has, if it is of the same parameters.
    ///
    /// # Errors
    /// [`ActionError::Input`] naming the parameter.
    pub fn open(params: &DocumentsParams, scrubber: &mut Scrubber) -> Result<Self, ActionError> {
        for secret in [&params.mongodb_uri, &params.mongodb_password] {
            scrubber.hide(secret.expose().trim());
        }
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, documents)) = &*open
            && of == params
        {
            return Ok(documents.clone());
        }
        let (documents, identity) = access::databases(params)?;
        let made = Self {
            documents,
            identity,
        };
        *open = Some((params.clone(), made.clone()));
        Ok(made)
    }

    fn persons(&self, collection: &str) -> Collection<Document> {
        self.identity.collection(collection)
    }

    /// The key of the driver who hides behind a pseudonym.
    ///
    /// # Errors
    /// MongoDB is away.
    pub fn driver_of(&self, hire: &str) -> Result<Option<String>, ActionError> {
        let found = self.persons(HIRES).find_one(doc! {"_id": hire}).run();
        let found = found.map_err(away)?;
        Ok(found.and_then(|hire| hire.get_str("driver").ok().map(str::to_owned)))
    }

    /// What is known of a driver.
    ///
    /// # Errors
    /// MongoDB is away.
    pub fn profile(&self, driver: &str) -> Result<Option<Profile>, ActionError> {
        let found = self.persons(DRIVERS).find_one(doc! {"_id": driver}).run();
        let Some(mut found) = found.map_err(away)? else {
            return Ok(None);
        };
        for own in ["_id", "at", "revision"] {
            found.remove(own);
        }
        deserialize_from_document(found)
            .map(Some)
            .map_err(unreadable)
    }

    /// All rules of offers. One that cannot be read is told in the log and does not count.
    ///
    /// # Errors
    /// MongoDB is away.
    pub fn rules(&self) -> Result<BTreeMap<String, OfferRule>, ActionError> {
        let collection: Collection<Document> = self.documents.collection(OFFER_RULES);
        let mut rules = BTreeMap::new();
        for found in collection.find(doc! {}).run().map_err(away)? {
            let mut found = found.map_err(away)?;
            let name = found.get_str("_id").unwrap_or_default().to_owned();
            for own in ["_id", RULE_MANAGER] {
                found.remove(own);
            }
            let read = deserialize_from_document::<OfferRule>(found).map_err(|e| e.to_string());
            let checked = read.and_then(|rule| match rule.validate() {
                Ok(()) => Ok(rule),
                Err(invalid) => Err(invalid.to_string()),
            });
            match checked {
                Ok(rule) => {
                    rules.insert(name, rule);
                }
                Err(problem) => eprintln!("{OFFER_RULES} {name}: {problem}; it does not count"),
            }
        }
        Ok(rules)
    }

    /// An offer that is written down, and whether it was told.
    ///
    /// # Errors
    /// MongoDB is away.
    pub fn offer(&self, id: &str) -> Result<Option<(Offer, bool)>, ActionError> {
        let found = self.persons(OFFERS).find_one(doc! {"_id": id}).run();
        let Some(mut found) = found.map_err(away)? else {
            return Ok(None);
        };
        let is_told = found.contains_key("told_at");
        for own in ["_id", "told_at", "delivered", "made", "expires"] {
            found.remove(own);
        }
        let offer = deserialize_from_document(found).map_err(unreadable)?;
        Ok(Some((offer, is_told)))
    }

    /// Makes this offer the driver's open one, unless they have another, and writes it down.
    ///
    /// # Errors
    /// MongoDB is away.
    pub fn claim(&self, offer: &Offer, now: Timestamp) -> Result<Claim, ActionError> {
        for _ in 0..ATTEMPTS {
            if self.hold(offer, now)? {
                return self
                    .write_down(offer)
                    .map(|offer| Claim::Ours(Box::new(offer)));
            }
            let open = self
                .persons(OPEN_OFFERS)
                .find_one(doc! {"_id": &offer.driver})
                .run();
            let open = open.map_err(away)?;
            let is_over = open.is_none_or(|open| {
                open.get_datetime("until")
                    .is_ok_and(|until| *until < date(now))
            });
            if !is_over {
                return Ok(Claim::Open);
            }
        }
        Err(ActionError::Documents(
            "others claim for the same driver at each attempt; it is to be asked again".to_owned(),
        ))
    }

    // Whether the driver's open offer is this one now.
    fn hold(&self, offer: &Offer, now: Timestamp) -> Result<bool, ActionError> {
        let open = self.persons(OPEN_OFFERS);
        let found = open
            .find_one(doc! {"_id": &offer.driver})
            .run()
            .map_err(away)?;
        let until = date(offer.expires_at);
        let Some(found) = found else {
            let document = doc! {"_id": &offer.driver, "offer": &offer.id, "until": until};
            return match open.insert_one(document).run() {
                Ok(_) => Ok(true),
                Err(error) if is_duplicate(&error) => Ok(false),
                Err(error) => Err(away(error)),
            };
        };
        let held = found.get_str("offer").unwrap_or_default();
        if held == offer.id {
            return Ok(true);
        }
        if found
            .get_datetime("until")
            .is_ok_and(|until| *until >= date(now))
        {
            return Ok(false);
        }
        // Whoever was faster has put another one there.
        let former = doc! {"_id": &offer.driver, "offer": held};
        let change = doc! {"$set": {"offer": &offer.id, "until": until}};
        let result = open.update_one(former, change).run().map_err(away)?;
        Ok(result.matched_count == 1)
    }

    // Gives it as it is written down: another activation may have been faster.
    fn write_down(&self, offer: &Offer) -> Result<Offer, ActionError> {
        let mut document = serialize_to_document(offer).map_err(unreadable)?;
        document.insert("_id", &offer.id);
        // For people and indexes; the texts are what is read again.
        document.insert("made", date(offer.made_at));
        document.insert("expires", date(offer.expires_at));
        match self.persons(OFFERS).insert_one(document).run() {
            Ok(_) => Ok(offer.clone()),
            Err(error) if is_duplicate(&error) => {
                let found = self.offer(&offer.id)?;
                Ok(found.map_or_else(|| offer.clone(), |(offer, _)| offer))
            }
            Err(error) => Err(away(error)),
        }
    }

    /// Writes down that an offer was told.
    ///
    /// # Errors
    /// MongoDB is away; then it is told once more.
    pub fn told(&self, id: &str, delivered: &[String], at: Timestamp) -> Result<(), ActionError> {
        let change = doc! {"$set": {"told_at": date(at), "delivered": delivered}};
        let offers = self.persons(OFFERS);
        let updated = offers.update_one(doc! {"_id": id}, change).run();
        updated.map(drop).map_err(away)
    }
}

fn date(time: Timestamp) -> DateTime {
    DateTime::from_millis(time.as_millisecond())
}

fn is_duplicate(error: &mongodb::error::Error) -> bool {
    matches!(&*error.kind, ErrorKind::Write(WriteFailure::WriteError(e)) if e.code == DUPLICATE_KEY)
}

// What the driver says names servers and no content.
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn away(error: mongodb::error::Error) -> ActionError {
    ActionError::Documents(error.to_string())
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn unreadable(error: mongodb::bson::error::Error) -> ActionError {
    ActionError::Documents(format!("a document is not what was expected: {error}"))
}
