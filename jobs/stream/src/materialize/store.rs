//! Documents in MongoDB: read, merged, and written back where nobody else has changed them meanwhile.

use std::collections::{BTreeMap, HashMap};

use futures::TryStreamExt as _;
use jiff::Timestamp;
use millrace_contract::driver::{OFFER_RULES, OfferRule, RULE_MANAGER};
use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::{Collection, Database, IndexModel};

use super::document::{ALERTS, DELIVERIES, HIRES, REVISION, Said, VEHICLES};

/// So many documents are read and written at once. A server takes 100,000 in one command.
const CHUNK: usize = 1000;
/// Whoever changes a document at the same time is one that takes a partition over: a few attempts are enough.
const ATTEMPTS: usize = 8;
/// A unique index has the key already.
const DUPLICATE_KEY: i32 = 11000;

/// What one record says of one document.
#[derive(Debug, Clone)]
pub struct Update<R> {
    /// The document's id.
    pub id: String,
    /// What it says.
    pub said: Said,
    /// Where the record lies.
    pub record: R,
}

/// A record that MongoDB will never take.
#[derive(Debug, PartialEq)]
pub struct Refused<R> {
    /// Where it lies.
    pub record: R,
    /// Why.
    pub problem: String,
}

/// What became of updates.
#[derive(Debug)]
pub struct Written<R> {
    /// Documents that were made or changed.
    pub documents: usize,
    /// Records that never will be.
    pub refused: Vec<Refused<R>>,
}

/// Why nothing is known to be written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The server is away, or refuses everything.
    #[error("mongodb: {0}")]
    Mongo(#[from] mongodb::error::Error),
    /// Others change the same documents all the time.
    #[error(
        "collection {collection}: {documents} documents were changed by somebody else at each attempt"
    )]
    Contended {
        /// The collection.
        collection: &'static str,
        /// How many.
        documents: usize,
    },
}

/// Writes what updates say, each document at most once.
///
/// # Errors
/// The server is away or refuses everything; some documents may be written, and writing them again does no harm.
pub async fn merge<R: Clone>(
    database: &Database,
    collection: &'static str,
    updates: &[Update<R>],
) -> Result<Written<R>, StoreError> {
    let mut by_id: HashMap<&str, Vec<&Update<R>>> = HashMap::new();
    for update in updates {
        by_id.entry(&update.id).or_default().push(update);
    }
    let ids: Vec<&str> = by_id.keys().copied().collect();
    let mut written = Written {
        documents: 0,
        refused: Vec::new(),
    };
    for chunk in ids.chunks(CHUNK) {
        merge_chunk(database, collection, chunk, &by_id, &mut written).await?;
    }
    Ok(written)
}

async fn merge_chunk<R: Clone>(
    database: &Database,
    collection: &'static str,
    ids: &[&str],
    by_id: &HashMap<&str, Vec<&Update<R>>>,
    written: &mut Written<R>,
) -> Result<(), StoreError> {
    let mut ids: Vec<&str> = ids.to_vec();
    for _ in 0..ATTEMPTS {
        let mut known = read(&database.collection(collection), &ids).await?;
        let mut statements = Vec::new();
        let mut removed = Vec::new();
        for id in &ids {
            let updates = by_id.get(id).map_or(&[][..], Vec::as_slice);
            let before = known.remove(*id);
            match statement(id, before, updates) {
                Ok(Next::Write(statement)) => statements.push((*id, statement)),
                Ok(Next::Remove) => removed.push(*id),
                Ok(Next::Keep) => {}
                Err(error) => refuse(updates, &error.to_string(), written),
            }
        }
        if !removed.is_empty() {
            let collection: Collection<Document> = database.collection(collection);
            let result = collection
                .delete_many(doc! {"_id": {"$in": removed}})
                .await?;
            written.documents += usize::try_from(result.deleted_count).unwrap_or_default();
        }
        if statements.is_empty() {
            return Ok(());
        }
        let asked = statements.len();
        let (changed, failed) = write(database, collection, statements).await?;
        written.documents += changed;
        let mut contended = Vec::new();
        let refused = failed
            .iter()
            .filter(|failure| failure.code != DUPLICATE_KEY);
        for failure in refused.clone() {
            let updates = by_id.get(failure.id).map_or(&[][..], Vec::as_slice);
            refuse(updates, &failure.problem, written);
        }
        let refused = refused.count();
        if changed + refused == asked {
            return Ok(());
        }
        // Which they are is not told of all: those that were written are found unchanged by the next attempt.
        contended.extend(ids.iter().copied().filter(|id| {
            !failed
                .iter()
                .any(|failure| failure.id == *id && failure.code != DUPLICATE_KEY)
        }));
        ids = contended;
    }
    Err(StoreError::Contended {
        collection,
        documents: ids.len(),
    })
}

fn refuse<R: Clone>(updates: &[&Update<R>], problem: &str, written: &mut Written<R>) {
    written.refused.extend(updates.iter().map(|update| Refused {
        record: update.record.clone(),
        problem: problem.to_owned(),
    }));
}

/// What has to happen to a document.
enum Next {
    /// Nothing.
    Keep,
    /// A statement of an `update` command.
    Write(Document),
    /// It goes.
    Remove,
}

/// What makes a document say what updates say.
fn statement<R>(
    id: &str,
    before: Option<Document>,
    updates: &[&Update<R>],
) -> Result<Next, mongodb::bson::error::Error> {
    let is_new = before.is_none();
    // What was said before its removal says nothing any more.
    let last_removal = updates
        .iter()
        .rposition(|update| update.said == Said::Removed);
    let later = last_removal.map_or(updates, |index| &updates[index + 1..]);
    if later.is_empty() && last_removal.is_some() {
        return Ok(if is_new { Next::Keep } else { Next::Remove });
    }
    let mut document = before.unwrap_or_else(|| doc! {"_id": id});
    let revision = match document.get(REVISION) {
        Some(Bson::Int64(revision)) => *revision,
        Some(Bson::Int32(revision)) => i64::from(*revision),
        _ => 0,
    };
    let mut changed = false;
    if last_removal.is_some() && !is_new {
        document = doc! {"_id": id};
        changed = true;
    }
    for update in later {
        changed |= update.said.merge(&mut document)?;
    }
    if !changed {
        return Ok(Next::Keep);
    }
    document.insert(REVISION, revision + 1);
    // Whoever was faster has left another revision, or the id itself.
    let query = if is_new {
        doc! {"_id": id, REVISION: 0_i64}
    } else {
        doc! {"_id": id, REVISION: revision}
    };
    Ok(Next::Write(
        doc! {"q": query, "u": document, "upsert": is_new, "multi": false},
    ))
}

async fn read(
    collection: &Collection<Document>,
    ids: &[&str],
) -> Result<HashMap<String, Document>, mongodb::error::Error> {
    let mut found = collection.find(doc! {"_id": {"$in": ids}}).await?;
    let mut documents = HashMap::with_capacity(ids.len());
    while let Some(document) = found.try_next().await? {
        if let Ok(id) = document.get_str("_id") {
            documents.insert(id.to_owned(), document);
        }
    }
    Ok(documents)
}

/// A statement that failed.
struct Failure<'a> {
    id: &'a str,
    code: i32,
    problem: String,
}

async fn write<'a>(
    database: &Database,
    collection: &str,
    statements: Vec<(&'a str, Document)>,
) -> Result<(usize, Vec<Failure<'a>>), mongodb::error::Error> {
    let (ids, statements): (Vec<&str>, Vec<Document>) = statements.into_iter().unzip();
    let mut command = doc! {"update": collection, "updates": statements, "ordered": false};
    if let Some(concern) = database.write_concern() {
        let concern = mongodb::bson::serialize_to_bson(concern).unwrap_or(Bson::Null);
        command.insert("writeConcern", concern);
    }
    let answer = database.run_command(command).await?;
    let number = |document: &Document, name: &str| match document.get(name) {
        Some(Bson::Int32(n)) => i64::from(*n),
        Some(Bson::Int64(n)) => *n,
        _ => 0,
    };
    if let Ok(concern) = answer.get_document("writeConcernError") {
        // It was written, and may be lost with the member that has it: so it counts as not written.
        let problem = concern.get_str("errmsg").unwrap_or("not replicated");
        return Err(mongodb::error::Error::custom(problem.to_owned()));
    }
    let changed = usize::try_from(number(&answer, "n")).unwrap_or_default();
    let failures = answer.get_array("writeErrors").into_iter().flatten();
    let failures = failures.filter_map(|failure| {
        let failure = failure.as_document()?;
        let index = usize::try_from(number(failure, "index")).ok()?;
        Some(Failure {
            id: ids.get(index)?,
            code: i32::try_from(number(failure, "code")).unwrap_or_default(),
            problem: failure.get_str("errmsg").unwrap_or("refused").to_owned(),
        })
    });
    Ok((changed, failures.collect()))
}

/// Makes the indexes by which documents are looked for; those of `identity` are what leads to persons.
///
/// # Errors
/// The server is away or refuses.
pub async fn make_indexes(
    database: &Database,
    identity: &Database,
) -> Result<(), mongodb::error::Error> {
    let keys = vec![IndexModel::builder().keys(doc! {"driver": 1}).build()];
    let hires: Collection<Document> = identity.collection(HIRES);
    hires.create_indexes(keys).await?;
    for (collection, keys) in [
        (VEHICLES, vec![doc! {"time": 1}]),
        (
            ALERTS,
            vec![
                doc! {"vehicle": 1, "event_time": -1},
                doc! {"hire": 1},
                doc! {"event_time": 1},
            ],
        ),
        (
            DELIVERIES,
            vec![doc! {"vehicle": 1}, doc! {"expires_at": 1}],
        ),
    ] {
        let models = keys
            .into_iter()
            .map(|keys| IndexModel::builder().keys(keys).build());
        let collection: Collection<Document> = database.collection(collection);
        collection.create_indexes(models).await?;
    }
    Ok(())
}

/// Puts rules of offers in the place of those of the same names, and removes those that this manager put there before and that
/// are none of them. Gives how many were removed. Rules of others stay.
///
/// # Errors
/// The server is away or refuses.
pub async fn put_rules(
    documents: &Database,
    manager: &str,
    rules: &BTreeMap<String, OfferRule>,
) -> Result<u64, mongodb::error::Error> {
    let collection: Collection<Document> = documents.collection(OFFER_RULES);
    for (name, rule) in rules {
        let mut document = doc! {"_id": name, RULE_MANAGER: manager};
        document.extend(mongodb::bson::serialize_to_document(rule)?);
        let replaced = collection.replace_one(doc! {"_id": name}, document);
        replaced.upsert(true).await?;
    }
    // After the others, so that there is no moment without rules.
    let kept: Vec<&str> = rules.keys().map(String::as_str).collect();
    let dropped = doc! {RULE_MANAGER: manager, "_id": {"$nin": kept}};
    let result = collection.delete_many(dropped).await?;
    Ok(result.deleted_count)
}

/// Removes alerts and deliveries from before this time. Gives how many.
///
/// # Errors
/// The server is away or refuses.
pub async fn forget(database: &Database, before: Timestamp) -> Result<u64, mongodb::error::Error> {
    let before = DateTime::from_millis(before.as_millisecond());
    let mut removed = 0;
    for (collection, time) in [(ALERTS, "event_time"), (DELIVERIES, "expires_at")] {
        let collection: Collection<Document> = database.collection(collection);
        let result = collection.delete_many(doc! {time: {"$lt": before}}).await?;
        removed += result.deleted_count;
    }
    Ok(removed)
}
