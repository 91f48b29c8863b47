//! Where a topic lives: in a KafkaCluster, or in a Kafka that somebody else runs.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use millrace_contract::Invalid;

use super::factor::Mover;
use crate::context::Context;
use crate::kafka::crd::KafkaCluster;
use crate::kafka::reach::{ReachError, reach};
use crate::remote::kafka::{KafkaAdmin, outside};
use crate::remote::release::Lives;
use crate::remote::resident::KubernetesError;
use crate::topic::crd::KafkaTopic;

/// The Kafka of a topic, as far as it is there.
#[derive(Debug)]
pub enum Home {
    /// A KafkaCluster of this name.
    Cluster(String, Option<Box<KafkaCluster>>),
    /// A Kafka that the Secret of this name describes.
    Outside(String, Option<Box<Secret>>),
}

impl Home {
    /// Reads it.
    ///
    /// # Errors
    /// Kubernetes could not be asked.
    pub async fn of(context: &Context, topic: &KafkaTopic) -> Result<Self, KubernetesError> {
        let namespace = topic.namespace().unwrap_or_default();
        if let Some(name) = &topic.spec.kafka {
            let clusters = context.namespaced::<KafkaCluster>(&namespace);
            let cluster = clusters
                .get_opt(name)
                .await
                .map_err(KubernetesError::doing("read the KafkaCluster"))?;
            return Ok(Self::Cluster(name.clone(), cluster.map(Box::new)));
        }
        let name = topic.spec.binding.clone().unwrap_or_default();
        let secrets = context.namespaced::<Secret>(&namespace);
        let secret = secrets
            .get_opt(&name)
            .await
            .map_err(KubernetesError::doing("read the binding of the Kafka"))?;
        Ok(Self::Outside(name, secret.map(Box::new)))
    }

    /// Whether it goes on. Of what somebody else runs it is only known that it is not gone.
    #[must_use]
    pub fn lives(&self) -> Lives {
        match self {
            Self::Cluster(_, cluster) => Lives::of(cluster.as_deref()),
            Self::Outside(_, None) => Lives::Gone,
            Self::Outside(_, Some(_)) => Lives::Present,
        }
    }

    /// Who makes and removes copies of partitions there.
    #[must_use]
    pub fn mover(&self) -> Mover {
        match self {
            Self::Cluster(..) => Mover::Cluster,
            Self::Outside(..) => Mover::Topic,
        }
    }

    /// A client of it, or why there is none yet.
    ///
    /// # Errors
    /// The cluster's own Secret could not be read, or says something wrong.
    pub async fn reach(
        &self,
        context: &Context,
        namespace: &str,
    ) -> Result<Result<Arc<KafkaAdmin>, Invalid>, ReachError> {
        match self {
            Self::Cluster(name, cluster) => {
                reach(context, namespace, name, cluster.as_deref()).await
            }
            Self::Outside(name, secret) => {
                let field = "spec.binding";
                Ok(outside::admin(namespace, name, secret.as_deref(), field))
            }
        }
    }
}
