//! What a member does, in numbers: as `serverStatus` tells it.

use mongodb::bson::{Bson, Document};

use super::config::number;

const MEBIBYTE: i64 = 1024 * 1024;

/// What a member does. Counters begin anew with its process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Connections that are open.
    pub connections: i64,
    /// How many there may be.
    pub connections_limit: i64,
    /// Operations that wait for a lock.
    pub waiting: i64,
    /// Memory that the process takes, in bytes.
    pub resident: i64,
    /// How far it is behind the member that is furthest ahead, in seconds, where the set knows it.
    pub lag: Option<i64>,
    /// Queries, and requests for more of their results.
    pub reads: i64,
    /// Inserts, updates and deletes of clients.
    pub writes: i64,
    /// All other commands.
    pub commands: i64,
}

/// Out of the answer to `serverStatus`; nothing where it does not tell of connections. How far it is behind, it does not know.
pub(super) fn of(server: &Document) -> Option<Activity> {
    let at = |path: [&str; 2]| -> Option<i64> {
        let part = server.get(path[0]).and_then(Bson::as_document)?;
        part.get(path[1]).and_then(number)
    };
    let connections = at(["connections", "current"])?;
    let queue = server.get("globalLock").and_then(Bson::as_document);
    let queue = queue.and_then(|lock| lock.get_document("currentQueue").ok());
    let done = |kinds: &[&'static str]| -> i64 {
        let counts = kinds.iter().filter_map(|kind| at(["opcounters", *kind]));
        counts.sum()
    };
    Some(Activity {
        connections,
        connections_limit: connections + at(["connections", "available"]).unwrap_or_default(),
        waiting: queue
            .and_then(|queue| queue.get("total"))
            .and_then(number)
            .unwrap_or_default(),
        resident: at(["mem", "resident"]).unwrap_or_default() * MEBIBYTE,
        lag: None,
        reads: done(&["query", "getmore"]),
        writes: done(&["insert", "update", "delete"]),
        commands: done(&["command"]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::doc;

    #[test]
    fn numbers_of_a_server() {
        let server = doc! {
            "connections": {"current": 5_i32, "available": 95_i32},
            "opcounters": {"insert": 1_i64, "query": 20_i64, "update": 2_i64, "delete": 3_i64, "getmore": 4_i64, "command": 50_i64},
            "globalLock": {"currentQueue": {"total": 2_i32, "readers": 1_i32, "writers": 1_i32}},
            "mem": {"resident": 100_i32},
        };
        let told = of(&server).unwrap();
        assert_eq!((told.connections, told.connections_limit), (5, 100));
        assert_eq!((told.reads, told.writes, told.commands), (24, 6, 50));
        assert_eq!((told.waiting, told.resident), (2, 100 * MEBIBYTE));
        assert_eq!(told.lag, None);
        assert_eq!(of(&doc! {"version": "7.0.28"}), None);
    }
}
