//! A driver out of MongoDB.

use std::collections::BTreeSet;

use millrace_contract::driver::{DRIVERS, HIRES, OFFERS, OPEN_OFFERS};
use mongodb::Database;
use mongodb::bson::{Document, doc};

use super::Removed;

/// Collections of documents that name hires.
const NAMING: [&str; 2] = ["vehicles", "alerts"];

/// Documents stay and name no hire; what is known of the driver goes.
pub(super) async fn erase(
    database: &Database,
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
            place: format!("mongodb: {name}"),
            count: result.modified_count,
            how: "documents stay and name no hire",
        });
    }
    let identity = database
        .client()
        .database(&format!("{}-identity", database.name()));
    for (name, query) in [
        (OFFERS, doc! {"driver": driver}),
        (OPEN_OFFERS, doc! {"_id": driver}),
        (DRIVERS, doc! {"_id": driver}),
        (HIRES, doc! {"driver": driver}),
    ] {
        let collection = identity.collection::<Document>(name);
        let result = collection.delete_many(query).await?;
        removed.push(Removed {
            place: format!("mongodb: {name}"),
            count: result.deleted_count,
            how: "documents removed",
        });
    }
    Ok(removed)
}
