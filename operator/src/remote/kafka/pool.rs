//! One client per cluster, shared by all reconcilers.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::access::Access;
use super::admin::KafkaAdmin;
use super::connection::Timeouts;
use super::error::KafkaError;

/// A KafkaCluster resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterKey {
    /// Namespace of the resource.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The clients of this process. Reconcilers share connections; what they wait is short, because others wait behind.
pub fn shared_clients() -> &'static KafkaClients {
    static CLIENTS: LazyLock<KafkaClients> = LazyLock::new(|| {
        KafkaClients::new(Timeouts {
            connect: Duration::from_secs(3),
            request: Duration::from_secs(10),
            call: Duration::from_secs(12),
        })
    });
    &CLIENTS
}

/// A client that nobody asked for in this time belongs to a cluster that is gone: whoever has to do with a cluster looks
/// at it every few minutes.
const KEEP: Duration = Duration::from_secs(30 * 60);

/// A client, and how it was made.
#[derive(Debug)]
struct Kept {
    access: Access,
    client: Arc<KafkaAdmin>,
    asked_for: Instant,
}

/// The clients by cluster. Those of clusters that are gone are closed after a while.
#[derive(Debug, Default)]
pub struct KafkaClients {
    limits: Timeouts,
    clients: Mutex<BTreeMap<ClusterKey, Kept>>,
}

impl KafkaClients {
    /// An empty set whose clients wait as long as `limits` say.
    #[must_use]
    pub fn new(limits: Timeouts) -> Self {
        KafkaClients {
            limits,
            clients: Mutex::default(),
        }
    }

    /// The client of a cluster; a new one when the way to it changed.
    ///
    /// # Errors
    /// [`KafkaError::Address`], [`KafkaError::Access`].
    pub fn connect(
        &self,
        key: &ClusterKey,
        access: &Access,
    ) -> Result<Arc<KafkaAdmin>, KafkaError> {
        self.connect_at(key, access, Instant::now())
    }

    fn connect_at(
        &self,
        key: &ClusterKey,
        access: &Access,
        now: Instant,
    ) -> Result<Arc<KafkaAdmin>, KafkaError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|_, kept| now.saturating_duration_since(kept.asked_for) < KEEP);
        if let Some(kept) = clients.get_mut(key)
            && kept.access == *access
        {
            kept.asked_for = now;
            return Ok(Arc::clone(&kept.client));
        }
        let client = Arc::new(KafkaAdmin::connect(access, self.limits)?);
        let kept = Kept {
            access: access.clone(),
            client: Arc::clone(&client),
            asked_for: now,
        };
        clients.insert(key.clone(), kept);
        Ok(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ClusterKey {
        ClusterKey {
            namespace: "dev".to_owned(),
            name: name.to_owned(),
        }
    }

    impl KafkaClients {
        fn known(&self, key: &ClusterKey) -> Option<Arc<KafkaAdmin>> {
            let clients = self.clients.lock().unwrap();
            clients.get(key).map(|kept| Arc::clone(&kept.client))
        }
    }

    #[test]
    fn a_client_is_kept_until_the_way_changes() {
        let clients = KafkaClients::default();
        let connect = |bootstrap: &str| clients.connect(&key("kafka"), &Access::plain(bootstrap));
        assert!(clients.known(&key("kafka")).is_none());
        let first = connect("a:9092").unwrap();
        assert!(Arc::ptr_eq(&first, &connect("a:9092").unwrap()));
        let second = connect("b:9092").unwrap();
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &clients.known(&key("kafka")).unwrap()));
        assert!(connect("b").is_err());
    }

    #[test]
    fn the_client_of_a_cluster_that_nobody_asks_for_is_closed() {
        let clients = KafkaClients::default();
        let access = Access::plain("a:9092");
        let begin = Instant::now();
        clients.connect_at(&key("gone"), &access, begin).unwrap();
        clients
            .connect_at(&key("used"), &access, begin + KEEP / 2)
            .unwrap();
        assert!(clients.known(&key("gone")).is_some());
        clients
            .connect_at(&key("other"), &access, begin + KEEP)
            .unwrap();
        assert!(clients.known(&key("gone")).is_none());
        assert!(clients.known(&key("used")).is_some());
    }
}
