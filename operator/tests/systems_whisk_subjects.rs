//! The keys of an Apache OpenWhisk in a real server of MongoDB's wire protocol: as OpenWhisk looks for them, and what it does with
//! documents besides.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by a panic"
)]

use millrace_operator::remote::mongo::{MongoError, Store};
use millrace_operator::remote::openwhisk::subjects::{
    COLLECTION, RemoteSubject, SubjectChange, WantedSubject,
};
use millrace_operator::remote::pipeline::{converge, plan};
use millrace_testkit::DocumentStore;
use mongodb::bson::{Document, doc};

async fn store(server: &DocumentStore) -> Store {
    let uri = format!("{}/?directConnection=true", server.uri());
    Store::open(&uri, "openwhisk", None).await.unwrap()
}

/// As OpenWhisk asks whose a key is.
async fn owner(store: &Store, uuid: &str, key: &str) -> Option<String> {
    let asked = doc! {"$and": [{"blocked": {"$ne": true}}, {"$or": [
    {"$and": [{"uuid": uuid}, {"key": key}]},
    {"$and": [{"namespaces.uuid": uuid}, {"namespaces.key": key}]}]}]};
    let found = store.collection(COLLECTION).find_one(asked).await.unwrap();
    found.map(|subject| subject.get_str("subject").unwrap().to_owned())
}

async fn bring(store: &Store, auth: &str) -> Vec<SubjectChange> {
    let wanted = WantedSubject::of("millrace", auth);
    let remote = RemoteSubject::new(store, &wanted);
    converge(&remote).await.unwrap().made
}

#[tokio::test]
#[ignore = "systems tier"]
async fn a_key_is_where_openwhisk_looks_for_it() {
    let Some(mut server) = DocumentStore::start().unwrap() else {
        return;
    };
    let store = store(&server).await;
    assert_eq!(owner(&store, "id", "first").await, None);
    assert_eq!(bring(&store, "id:first").await, [SubjectChange::Create]);
    assert_eq!(
        owner(&store, "id", "first").await.as_deref(),
        Some("millrace")
    );
    assert_eq!(owner(&store, "id", "other").await, None);
    assert!(bring(&store, "id:first").await.is_empty());

    // Another key takes its place; what others have written stays.
    let subjects = store.collection(COLLECTION);
    let limits = doc! {"$set": {"blocked": true, "note": "theirs"}};
    let us = doc! {"_id": "millrace"};
    subjects.update_one(us.clone(), limits).await.unwrap();
    assert_eq!(owner(&store, "id", "first").await, None, "blocked");
    let made = bring(&store, "id:second").await;
    assert_eq!(made, [SubjectChange::SetKey, SubjectChange::Unblock]);
    assert_eq!(owner(&store, "id", "first").await, None);
    assert!(owner(&store, "id", "second").await.is_some());
    let subject = subjects.find_one(us).await.unwrap().unwrap();
    assert_eq!(subject.get_str("note").unwrap(), "theirs");
    assert_eq!(
        subjects.count_documents(doc! {}).await.unwrap(),
        1,
        "one subject"
    );

    // A server that is away is told as that, without the address's login, and what was written is there when it is back.
    server.kill();
    let wanted = WantedSubject::of("millrace", "id:second");
    let gone = plan(&RemoteSubject::new(&store, &wanted))
        .await
        .unwrap_err();
    assert!(matches!(gone, MongoError::Unreachable { .. }), "{gone}");
    server.start_again().unwrap();
    let again = self::store(&server).await;
    assert!(bring(&again, "id:second").await.is_empty());
}

#[tokio::test]
#[ignore = "systems tier"]
async fn entities_are_written_as_openwhisk_does() {
    let Some(server) = DocumentStore::start().unwrap() else {
        return;
    };
    let store = store(&server).await;
    let whisks = store.collection("whiskentity");
    let write = async |rev: &str, former: Option<&str>| {
        let filter = match former {
            None => doc! {"$and": [{"_id": "millrace/a"}, {"_rev": {"$not": {"$exists": true}}}]},
            Some(former) => doc! {"$and": [{"_id": "millrace/a"}, {"_rev": former}]},
        };
        let document = doc! {"_id": "millrace/a", "_rev": rev, "entityType": "action", "namespace": "millrace",
        "updated": 1_i64, "_computed": {"rootns": "millrace"}};
        whisks
            .find_one_and_replace(filter, document)
            .upsert(true)
            .await
    };
    write("1-a", None).await.unwrap();
    // Who comes second, or has an older one in hand, is told of a conflict.
    for (rev, former) in [("1-b", None), ("3-c", Some("2-b"))] {
        let conflict = write(rev, former).await.unwrap_err();
        assert!(conflict.to_string().contains("E11000"), "{conflict}");
    }
    write("2-b", Some("1-a")).await.unwrap();
    let listed = doc! {"$or": [{"$and": [{"entityType": "action"}, {"namespace": "millrace"}]},
    {"$and": [{"entityType": "action"}, {"_computed.rootns": "millrace"}]}]};
    let found: Document = whisks.find_one(listed).await.unwrap().unwrap();
    assert_eq!(found.get_str("_rev").unwrap(), "2-b");
    let deleted = whisks
        .delete_one(doc! {"$and": [{"_id": "millrace/a"}, {"_rev": "2-b"}]})
        .await
        .unwrap();
    assert_eq!(deleted.deleted_count, 1);
}
