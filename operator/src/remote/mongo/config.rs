//! The configuration of a replica set, as `replSetGetConfig` gives it and `replSetReconfig` takes it. Pure.
//!
//! What is not of ours in it (settings, tags, priorities that somebody has set) is kept.

use mongodb::bson::{Bson, Document, doc};

/// The configuration of a new set of one member.
#[must_use]
pub(super) fn of_one(set: &str, host: &str) -> Document {
    doc! {"_id": set, "members": [{"_id": 0, "host": host}]}
}

/// The members' addresses, in the order of the configuration.
#[must_use]
pub(super) fn hosts(config: &Document) -> Vec<String> {
    let members = members(config);
    members
        .filter_map(|m| m.get_str("host").ok().map(str::to_owned))
        .collect()
}

/// The version.
#[must_use]
pub(super) fn version(config: &Document) -> i64 {
    config.get("version").and_then(number).unwrap_or_default()
}

/// With one member more, which votes once it has caught up (MongoDB 5.0 and later wait for that themselves).
#[must_use]
pub(super) fn with(config: &Document, host: &str) -> Document {
    // Ids are never given twice: a member that was removed may still believe in its former one.
    let ids = members(config).filter_map(|member| member.get("_id").and_then(number));
    let id = ids.max().map_or(0, |last| last + 1);
    let mut all: Vec<Bson> = members(config).cloned().map(Bson::Document).collect();
    let id = i32::try_from(id).unwrap_or(i32::MAX);
    all.push(Bson::Document(doc! {"_id": id, "host": host}));
    next(config, all)
}

/// Without a member.
#[must_use]
pub(super) fn without(config: &Document, host: &str) -> Document {
    let stays = members(config).filter(|member| member.get_str("host").ok() != Some(host));
    let all = stays.cloned().map(Bson::Document).collect();
    next(config, all)
}

fn next(config: &Document, members: Vec<Bson>) -> Document {
    let mut next = config.clone();
    let version = i32::try_from(version(config) + 1).unwrap_or(i32::MAX);
    next.insert("version", version);
    next.insert("members", members);
    next
}

fn members(config: &Document) -> impl Iterator<Item = &Document> {
    let all = config.get_array("members").map_or(&[][..], Vec::as_slice);
    all.iter().filter_map(Bson::as_document)
}

/// A number, however it is kept.
pub(super) fn number(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        Bson::Double(number) => Some(*number as i64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_and_go_and_the_rest_is_kept() {
        let config = doc! {"_id": "m", "version": 3, "term": 2_i64, "settings": {"x": 1},
        "members": [{"_id": 0, "host": "a:1", "priority": 2.0}, {"_id": 4, "host": "b:1"}]};
        let more = with(&config, "c:1");
        assert_eq!(hosts(&more), ["a:1", "b:1", "c:1"]);
        assert_eq!(version(&more), 4);
        let last = more.get_array("members").unwrap()[2].as_document().unwrap();
        assert_eq!(last.get_i32("_id").unwrap(), 5);
        let fewer = without(&more, "b:1");
        assert_eq!(hosts(&fewer), ["a:1", "c:1"]);
        assert_eq!(version(&fewer), 5);
        assert_eq!(fewer.get("settings"), config.get("settings"));
        let first = fewer.get_array("members").unwrap()[0]
            .as_document()
            .unwrap();
        assert_eq!(first.get("priority"), Some(&Bson::Double(2.0)));
        assert_eq!(hosts(&of_one("m", "a:1")), ["a:1"]);
    }
}
