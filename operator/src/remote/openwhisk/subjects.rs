//! The subjects of an Apache OpenWhisk: who has which key in which namespace. There is no REST for them; they are documents of
//! its database, in a collection that it reads whenever somebody comes with a key that it has not seen lately.

use std::fmt;

use mongodb::Collection;
use mongodb::bson::{Bson, Document, doc};

use crate::remote::mongo::{MongoError, Store};
use crate::remote::pipeline::{Plan, Remote};

/// The collection, as OpenWhisk calls it.
pub const COLLECTION: &str = "whiskauth";

/// A namespace with its key.
#[derive(Clone, PartialEq, Eq)]
pub struct WantedSubject {
    /// The namespace, and the subject of the same name.
    pub namespace: String,
    /// The first part of the key.
    pub uuid: String,
    /// The second part of the key.
    pub key: String,
}

impl fmt::Debug for WantedSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A key is never shown.
        f.debug_struct("WantedSubject")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl WantedSubject {
    /// Out of credentials in the form `uuid:key`.
    #[must_use]
    pub fn of(namespace: &str, auth: &str) -> Self {
        let (uuid, key) = auth.split_once(':').unwrap_or((auth, ""));
        Self {
            namespace: namespace.to_owned(),
            uuid: uuid.to_owned(),
            key: key.to_owned(),
        }
    }

    fn entry(&self) -> Document {
        doc! {"name": &self.namespace, "uuid": &self.uuid, "key": &self.key}
    }
}

/// One change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectChange {
    /// There is no such subject yet.
    Create,
    /// It has another key, or lacks its namespace.
    SetKey,
    /// Somebody has blocked it: nobody could come in.
    Unblock,
}

impl SubjectChange {
    /// One word in the form of `KeySet`, for events.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Create => "SubjectCreated",
            Self::SetKey => "KeySet",
            Self::Unblock => "SubjectUnblocked",
        }
    }
}

impl fmt::Display for SubjectChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "subject of the namespace: create it with the key of its Secret",
            Self::SetKey => "subject of the namespace: set the key of its Secret",
            Self::Unblock => "subject of the namespace: take the block away",
        })
    }
}

/// What differs. Pure.
#[must_use]
pub fn diff(wanted: &WantedSubject, observed: Option<&Document>) -> Plan<SubjectChange> {
    let mut plan = Plan::default();
    let Some(observed) = observed else {
        plan.changes.push(SubjectChange::Create);
        return plan;
    };
    let subject = observed.get_str("subject").ok();
    if subject != Some(wanted.namespace.as_str())
        || entry_of(wanted, observed) != Some(wanted.entry())
    {
        plan.changes.push(SubjectChange::SetKey);
    }
    if observed.get_bool("blocked").unwrap_or(false) {
        plan.changes.push(SubjectChange::Unblock);
    }
    plan
}

/// What the document says of the namespace, as far as it matters.
fn entry_of(wanted: &WantedSubject, document: &Document) -> Option<Document> {
    let entry = namespaces(document).find(|entry| is_of(entry, &wanted.namespace))?;
    let text = |key: &str| entry.get_str(key).unwrap_or_default().to_owned();
    Some(doc! {"name": text("name"), "uuid": text("uuid"), "key": text("key")})
}

fn namespaces(document: &Document) -> impl Iterator<Item = &Document> {
    let all = document.get_array("namespaces").ok();
    all.into_iter().flatten().filter_map(Bson::as_document)
}

fn is_of(entry: &Document, namespace: &str) -> bool {
    entry.get_str("name").ok() == Some(namespace)
}

/// The document as it is to be: what others have put into it stays.
#[must_use]
pub fn changed(wanted: &WantedSubject, observed: Option<&Document>) -> Document {
    let mut document = observed.cloned().unwrap_or_default();
    let mut entries: Vec<Bson> = namespaces(&document)
        .filter(|entry| !is_of(entry, &wanted.namespace))
        .cloned()
        .map(Bson::Document)
        .collect();
    entries.insert(0, Bson::Document(wanted.entry()));
    document.insert("_id", &wanted.namespace);
    document.insert("subject", &wanted.namespace);
    document.insert("namespaces", entries);
    document.remove("blocked");
    document
}

/// A subject together with the database.
#[derive(Debug)]
pub struct RemoteSubject<'a> {
    store: &'a Store,
    wanted: &'a WantedSubject,
}

impl<'a> RemoteSubject<'a> {
    /// `store` is the database of the OpenWhisk.
    #[must_use]
    pub fn new(store: &'a Store, wanted: &'a WantedSubject) -> Self {
        Self { store, wanted }
    }

    fn collection(&self) -> Collection<Document> {
        self.store.collection(COLLECTION)
    }
}

impl Remote for RemoteSubject<'_> {
    type Observed = Option<Document>;
    type Change = SubjectChange;
    type Error = MongoError;

    async fn observe(&self) -> Result<Self::Observed, MongoError> {
        let collection = self.collection();
        let found = collection.find_one(doc! {"_id": &self.wanted.namespace});
        self.store
            .answer("read the subject of OpenWhisk", found.into_future())
            .await
    }

    fn diff(&self, observed: &Self::Observed) -> Plan<SubjectChange> {
        diff(self.wanted, observed.as_ref())
    }

    async fn act(&self, observed: &Self::Observed, _: &[SubjectChange]) -> Result<(), MongoError> {
        let document = changed(self.wanted, observed.as_ref());
        let collection = self.collection();
        let written = collection
            .replace_one(doc! {"_id": &self.wanted.namespace}, document)
            .upsert(true);
        self.store
            .answer("write the subject of OpenWhisk", written.into_future())
            .await
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> WantedSubject {
        WantedSubject::of("millrace", "id:key")
    }

    #[test]
    fn a_subject_is_made_in_the_form_that_openwhisk_reads() {
        assert_eq!(diff(&wanted(), None).changes, [SubjectChange::Create]);
        let made = changed(&wanted(), None);
        assert_eq!(
            made,
            doc! {"_id": "millrace", "subject": "millrace",
            "namespaces": [{"name": "millrace", "uuid": "id", "key": "key"}]}
        );
        assert!(diff(&wanted(), Some(&made)).is_settled());
        assert!(!format!("{:?}", wanted()).contains("key\""));
    }

    #[test]
    fn another_key_and_a_block_are_put_right_and_the_rest_stays() {
        let there = doc! {"_id": "millrace", "subject": "millrace", "blocked": true, "_rev": "3-a",
        "namespaces": [{"name": "other", "uuid": "a", "key": "b"}, {"name": "millrace", "uuid": "id", "key": "old"}]};
        let plan = diff(&wanted(), Some(&there));
        assert_eq!(
            plan.changes,
            [SubjectChange::SetKey, SubjectChange::Unblock]
        );
        let made = changed(&wanted(), Some(&there));
        assert_eq!(
            made,
            doc! {"_id": "millrace", "subject": "millrace", "_rev": "3-a",
            "namespaces": [{"name": "millrace", "uuid": "id", "key": "key"}, {"name": "other", "uuid": "a", "key": "b"}]}
        );
        assert!(diff(&wanted(), Some(&made)).is_settled());
    }
}
