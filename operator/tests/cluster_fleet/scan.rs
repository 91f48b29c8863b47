//! Every store of a platform, looked through for words that lead to a person.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use futures::TryStreamExt as _;
use millrace_contract::topics;
use millrace_testkit::repository_root;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};

use super::kafka::live;
use super::{PLATFORM, Scene};
use crate::duckdb;

/// Where words were found.
#[derive(Debug, Default, PartialEq)]
pub struct Found {
    /// Files of HDFS: as they lie, or in the rows of a Parquet file.
    pub files: BTreeSet<String>,
    /// Tables of PostgreSQL.
    pub tables: BTreeSet<String>,
    /// Collections of MongoDB.
    pub collections: BTreeSet<String>,
    /// Topics of Kafka, with records that wait for compaction.
    pub topics: BTreeSet<String>,
    /// Compacted topics, by what counts of them.
    pub live: BTreeSet<String>,
    /// Whether OpenWhisk's records of activations hold one.
    pub activations: bool,
}

/// Words, any of which is looked for, and where they were found.
struct Search<'a> {
    words: &'a [String],
    found: Found,
}

/// Notes which searches have a word in a text.
fn note(searches: &mut [Search<'_>], text: &str, add: impl Fn(&mut Found)) {
    for search in searches {
        if search.words.iter().any(|word| text.contains(word)) {
            add(&mut search.found);
        }
    }
}

/// What the script that reads Parquet files prints.
pub fn rows(python: &Path, settings: &Value) -> Vec<Value> {
    let script = repository_root().join("operator/tests/cluster_fleet/rows.py");
    duckdb::lines(python, &script, settings)
}

impl Scene {
    /// Looks everything through for each of these lists of words.
    pub async fn scan<const N: usize>(&self, words: [&[String]; N]) -> [Found; N] {
        let mut searches = words.map(|words| Search {
            words,
            found: Found::default(),
        });
        self.scan_files(&mut searches).await;
        self.scan_tables(&mut searches);
        for (name, text) in self.documents().await {
            note(&mut searches, &text, |found| {
                found.collections.insert(name.clone());
            });
        }
        self.scan_topics(&mut searches).await;
        for text in self.activations().await {
            note(&mut searches, &text, |found| found.activations = true);
        }
        searches.map(|search| search.found)
    }

    async fn scan_files(&self, searches: &mut [Search<'_>]) {
        let folder = tempfile::tempdir().unwrap();
        let mut copies = BTreeMap::new();
        for (number, path) in self.hdfs.files().await.into_iter().enumerate() {
            let content = self.hdfs.read(&path).await;
            note(searches, &String::from_utf8_lossy(&content), |found| {
                found.files.insert(path.clone());
            });
            if path.ends_with(".parquet") {
                let copy = folder.path().join(format!("{number}.parquet"));
                std::fs::write(&copy, content).unwrap();
                copies.insert(copy.display().to_string(), path);
            }
        }
        let files: Vec<&String> = copies.keys().collect();
        let needles: Vec<&[String]> = searches.iter().map(|search| search.words).collect();
        let settings = json!({"files": files, "needles": needles});
        for line in rows(&self.python, &settings) {
            let (file, search) = (line[0].as_str().unwrap(), line[1].as_u64().unwrap());
            let search = &mut searches[usize::try_from(search).unwrap()];
            search.found.files.insert(copies[file].clone());
        }
    }

    fn scan_tables(&self, searches: &mut [Search<'_>]) {
        let tables = "SELECT schemaname || '.' || quote_ident(tablename) FROM pg_tables
            WHERE schemaname NOT IN ('pg_catalog', 'information_schema')";
        let tables = self.sql("score", tables).unwrap();
        for search in searches {
            let pattern = search.words.join("|");
            let of = |table: &str| {
                let row = format!("SELECT 1 FROM {table} AS t WHERE t::text ~ '({pattern})'");
                format!("SELECT '{table}' WHERE EXISTS ({row})")
            };
            let all: Vec<String> = tables.lines().map(of).collect();
            let named = self.sql("score", &all.join(" UNION ALL ")).unwrap();
            search.found.tables = named.lines().map(str::to_owned).collect();
        }
    }

    /// All collections of all databases of MongoDB, as text.
    async fn documents(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for database in self.mongo.list_database_names().await.unwrap() {
            let names = self.mongo.database(&database);
            for collection in names.list_collection_names().await.unwrap() {
                let documents = self.documents_of(&database, &collection).await;
                all.insert(format!("{database}.{collection}"), format!("{documents:?}"));
            }
        }
        all
    }

    /// The documents of a collection.
    pub async fn documents_of(&self, database: &str, collection: &str) -> Vec<Document> {
        let database = self.mongo.database(database);
        let documents = database.collection::<Document>(collection);
        let all = documents.find(doc! {}).await.unwrap();
        all.try_collect().await.unwrap()
    }

    async fn scan_topics(&self, searches: &mut [Search<'_>]) {
        let compacted: BTreeMap<&str, bool> = topics::ALL.iter().copied().collect();
        let mut broker = self.broker().await;
        for topic in broker.topics().await {
            let records = broker.records(&topic).await;
            for record in &records {
                let text = format!("{} {:?}", record.key, record.value);
                note(searches, &text, |found| {
                    found.topics.insert(topic.name.clone());
                });
            }
            // Of the others each record counts.
            if compacted.get(topic.name.as_str()) == Some(&true) {
                for (key, value) in live(records) {
                    note(searches, &format!("{key} {value}"), |found| {
                        found.live.insert(topic.name.clone());
                    });
                }
            }
        }
    }

    /// OpenWhisk's records of activations, as text.
    async fn activations(&self) -> Vec<String> {
        let secret = format!("{PLATFORM}-whisk-auth");
        let auth = self.platform.secret(&secret, "auth").unwrap();
        let (user, key) = auth.trim().split_once(':').unwrap();
        let path = "api/v1/namespaces/_/activations?docs=true&limit=200";
        let url = format!("http://{}/{path}", self.whisk);
        let asked = reqwest::Client::new().get(url).basic_auth(user, Some(key));
        let answer = asked.send().await.unwrap();
        let listed: Vec<Value> = answer.json().await.unwrap();
        listed.iter().map(Value::to_string).collect()
    }
}
