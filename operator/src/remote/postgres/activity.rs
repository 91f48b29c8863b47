//! What a server does, in numbers.

use super::client::Session;
use super::error::PostgresError;

/// What a server does. Counters begin anew when its statistics are reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Sessions of clients that are open.
    pub connections: i64,
    /// How many there may be.
    pub connections_limit: i64,
    /// Sessions that wait for a lock.
    pub waiting: i64,
    /// How long the oldest transaction is open, in seconds.
    pub longest_transaction: i64,
    /// Transactions committed.
    pub commits: i64,
    /// Transactions taken back.
    pub rollbacks: i64,
    /// Transactions ended because each waited for the other.
    pub deadlocks: i64,
    /// Blocks read from the volume.
    pub blocks_read: i64,
    /// Blocks found in memory.
    pub blocks_hit: i64,
}

const ACTIVITY: &str = "
SELECT count(*) FILTER (WHERE backend_type = 'client backend'),
       current_setting('max_connections')::int8,
       count(*) FILTER (WHERE wait_event_type = 'Lock'),
       coalesce(extract(epoch FROM clock_timestamp() - min(xact_start) FILTER (
         WHERE backend_type = 'client backend' AND pid <> pg_backend_pid())), 0)::int8
FROM pg_stat_activity";

const DATABASES: &str = "
SELECT coalesce(sum(xact_commit), 0)::int8, coalesce(sum(xact_rollback), 0)::int8, coalesce(sum(deadlocks), 0)::int8,
       coalesce(sum(blks_read), 0)::int8, coalesce(sum(blks_hit), 0)::int8
FROM pg_stat_database";

pub(super) async fn observe(admin: &Session) -> Result<Activity, PostgresError> {
    let failed = || PostgresError::doing("see what the server does");
    let now = admin.query_one(ACTIVITY, &[]).await.map_err(failed())?;
    let all = admin.query_one(DATABASES, &[]).await.map_err(failed())?;
    Ok(Activity {
        connections: now.get(0),
        connections_limit: now.get(1),
        waiting: now.get(2),
        longest_transaction: now.get(3),
        commits: all.get(0),
        rollbacks: all.get(1),
        deadlocks: all.get(2),
        blocks_read: all.get(3),
        blocks_hit: all.get(4),
    })
}
