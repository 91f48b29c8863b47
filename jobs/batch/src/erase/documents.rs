//! A driver out of MongoDB.

use std::collections::BTreeSet;

use millrace_contract::driver::{DRIVERS, HIRES, OFFERS, OPEN_OFFERS};
use millrace_contract::materialize::{check_database, identity_database};
use mongodb::Database;
use mongodb::bson::{Document, doc};

use super::Removed;

/// Collections of documents that name hires.
const NAMING: [&str; 2] = ["vehicles", "alerts"];

/// The names of two databases that belong together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// That of documents; the binding's when absent.
    pub documents: Option<String>,
    /// That of what leads to persons; the former with `-identity` when absent.
    pub identity: Option<String>,
}

impl Names {
    /// Reads `NAME[=IDENTITY]`; a name that is empty counts as absent.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (documents, identity) = text.split_once('=').unwrap_or((text, ""));
        let named = |name: &str| -> Result<Option<String>, String> {
            if name.is_empty() {
                return Ok(None);
            }
            check_database("database", name).map_err(|invalid| invalid.to_string())?;
            Ok(Some(name.to_owned()))
        };
        Ok(Self {
            documents: named(documents)?,
            identity: named(identity)?,
        })
    }

    /// What a collection is told by: with its database only where that was asked for by name.
    fn place(&self, database: &Database, collection: &str) -> String {
        if *self == Self::default() {
            format!("mongodb: {collection}")
        } else {
            format!("mongodb: {}.{collection}", database.name())
        }
    }
}

/// Documents stay and name no hire; what is known of the driver goes. `names` are those that led to `database`.
pub(super) async fn erase(
    database: &Database,
    names: &Names,
    driver: &str,
    hires: &BTreeSet<String>,
) -> anyhow::Result<Vec<Removed>> {
    let hires: Vec<&str> = hires.iter().map(String::as_str).collect();
    let mut removed = Vec::new();
    for name in NAMING {
        let collection = database.collection::<Document>(name);
        let change = doc! {"$unset": {"hire": ""}, "$inc": {"revision": 1_i64}};
        let result = collection
            .update_many(doc! {"hire": {"$in": &hires}}, change)
            .await?;
        removed.push(Removed {
            place: names.place(database, name),
            count: result.modified_count,
            how: "documents stay and name no hire",
        });
    }
    let identity = identity_database(names.identity.as_deref(), database.name());
    let identity = database.client().database(&identity);
    for (name, query) in [
        (OFFERS, doc! {"driver": driver}),
        (OPEN_OFFERS, doc! {"_id": driver}),
        (DRIVERS, doc! {"_id": driver}),
        (HIRES, doc! {"driver": driver}),
    ] {
        let collection = identity.collection::<Document>(name);
        let result = collection.delete_many(query).await?;
        removed.push(Removed {
            place: names.place(&identity, name),
            count: result.deleted_count,
            how: "documents removed",
        });
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_named_together_or_left_to_the_binding() {
        let parsed = |text: &str| {
            let names = Names::parse(text).unwrap();
            (
                names.documents.unwrap_or_default(),
                names.identity.unwrap_or_default(),
            )
        };
        let expected =
            |documents: &str, identity: &str| (documents.to_owned(), identity.to_owned());
        assert_eq!(parsed("fleet=persons"), expected("fleet", "persons"));
        assert_eq!(parsed("fleet"), expected("fleet", ""));
        assert_eq!(parsed("=persons"), expected("", "persons"));
        assert_eq!(Names::parse("").unwrap(), Names::default());
        let refused = Names::parse("fleet=admin").unwrap_err();
        assert!(refused.starts_with("database: admin: "), "{refused}");
    }
}
