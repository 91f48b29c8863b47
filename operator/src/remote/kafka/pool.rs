//! One client per cluster, shared by all reconcilers.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

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

/// The clients by cluster.
#[derive(Debug, Default)]
pub struct KafkaClients {
    limits: Timeouts,
    clients: Mutex<BTreeMap<ClusterKey, (Access, Arc<KafkaAdmin>)>>,
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

    /// The client of a cluster without certificates; a new one when its address changed.
    ///
    /// # Errors
    /// [`KafkaError::Address`].
    pub fn client(&self, key: &ClusterKey, bootstrap: &str) -> Result<Arc<KafkaAdmin>, KafkaError> {
        self.connect(key, &Access::plain(bootstrap))
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
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, client)) = clients.get(key)
            && known == access
        {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(KafkaAdmin::connect(access, self.limits)?);
        clients.insert(key.clone(), (access.clone(), Arc::clone(&client)));
        Ok(client)
    }

    /// Closes the connections to a cluster that is gone.
    pub fn forget(&self, key: &ClusterKey) {
        self.clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_kept_until_the_address_changes() {
        let clients = KafkaClients::default();
        let key = ClusterKey {
            namespace: "dev".to_owned(),
            name: "kafka".to_owned(),
        };
        let first = clients.client(&key, "a:9092").unwrap();
        assert!(Arc::ptr_eq(
            &first,
            &clients.client(&key, "a:9092").unwrap()
        ));
        let second = clients.client(&key, "b:9092").unwrap();
        assert!(!Arc::ptr_eq(&first, &second));
        clients.forget(&key);
        assert!(!Arc::ptr_eq(
            &second,
            &clients.client(&key, "b:9092").unwrap()
        ));
        assert!(clients.client(&key, "b").is_err());
    }
}
