//! What the operator counts, for Prometheus.

mod objects;
mod servers;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use serde_json::Value;

use crate::remote::{mongo, postgres};
use objects::Objects;
use servers::Servers;

/// Labels of what one reconcile did.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ReconcileLabels {
    component: String,
    outcome: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ComponentLabel {
    component: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct KindLabel {
    kind: String,
}

/// The counters of the operator. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    reconciles: Family<ReconcileLabels, Counter>,
    seconds: Family<ComponentLabel, Histogram, fn() -> Histogram>,
    writes: Family<KindLabel, Counter>,
    leader: Gauge,
    objects: Objects,
    postgres: Servers<postgres::Activity>,
    mongo: Servers<mongo::Activity>,
}

fn histogram() -> Histogram {
    Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0])
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("millrace_operator");
        let reconciles = Family::default();
        let seconds: Family<ComponentLabel, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(histogram);
        let writes = Family::default();
        let leader = Gauge::default();
        registry.register(
            "reconciles",
            "Reconciles, by component and outcome (ok, or the reason of the failure)",
            Family::clone(&reconciles),
        );
        registry.register(
            "reconcile_seconds",
            "Time that one reconcile took",
            seconds.clone(),
        );
        registry.register(
            "writes",
            "Writes to Kubernetes, by kind; an idle operator writes nothing",
            Family::clone(&writes),
        );
        registry.register(
            "leader",
            "1 while this operator leads, 0 while it stands by",
            leader.clone(),
        );
        let objects = Objects::default();
        let postgres = Servers::postgres();
        let mongo = Servers::mongo();
        registry.register_collector(Box::new(objects.clone()));
        registry.register_collector(Box::new(postgres.clone()));
        registry.register_collector(Box::new(mongo.clone()));
        Self {
            registry: Arc::new(Mutex::new(registry)),
            reconciles,
            seconds,
            writes,
            leader,
            objects,
            postgres,
            mongo,
        }
    }
}

impl Metrics {
    /// Counts one reconcile.
    pub fn count_reconcile(&self, component: &str, outcome: &str, took: Duration) {
        self.reconciles
            .get_or_create(&ReconcileLabels {
                component: component.to_owned(),
                outcome: outcome.to_owned(),
            })
            .inc();
        self.seconds
            .get_or_create(&ComponentLabel {
                component: component.to_owned(),
            })
            .observe(took.as_secs_f64());
    }

    /// Counts one write to Kubernetes.
    pub fn count_write(&self, kind: &str) {
        self.writes
            .get_or_create(&KindLabel {
                kind: kind.to_owned(),
            })
            .inc();
    }

    /// Says whether this operator leads.
    pub fn set_leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// Tells what the status of a resource says.
    pub fn tell_status(&self, kind: &str, namespace: &str, name: &str, status: &Value) {
        self.objects.tell(kind, namespace, name, status);
    }

    /// Says nothing more of a resource that is gone.
    pub fn forget(&self, kind: &str, namespace: &str, name: &str) {
        self.objects.forget(kind, namespace, name);
        match kind {
            "PostgresCluster" => self.postgres.forget(namespace, name),
            "MongoCluster" => self.mongo.forget(namespace, name),
            _ => {}
        }
    }

    /// A PostgreSQL does this; nothing is known of it while it cannot be asked.
    pub fn tell_postgres(&self, namespace: &str, name: &str, activity: Option<postgres::Activity>) {
        let told = activity.map(|activity| (None, activity));
        self.postgres.tell(namespace, name, told);
    }

    /// The members of a MongoDB do this; nothing is known of those that cannot be asked.
    pub fn tell_mongo(
        &self,
        namespace: &str,
        name: &str,
        activities: impl IntoIterator<Item = (String, mongo::Activity)>,
    ) {
        let told = activities.into_iter();
        let told = told.map(|(member, activity)| (Some(member), activity));
        self.mongo.tell(namespace, name, told);
    }

    /// Writes of one kind so far.
    #[must_use]
    pub fn writes(&self, kind: &str) -> u64 {
        self.writes
            .get_or_create(&KindLabel {
                kind: kind.to_owned(),
            })
            .get()
    }

    /// Adds further metrics, for example those of an admin client.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The text that Prometheus reads.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(
            &mut text,
            &self.registry.lock().unwrap_or_else(PoisonError::into_inner),
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_show_in_the_text() {
        let metrics = Metrics::default();
        metrics.count_reconcile("kafka", "ok", Duration::from_millis(3));
        metrics.count_write("ConfigMap");
        let text = metrics.text();
        assert!(
            text.contains(
                r#"millrace_operator_reconciles_total{component="kafka",outcome="ok"} 1"#
            ),
            "{text}"
        );
        assert!(
            text.contains(r#"millrace_operator_writes_total{kind="ConfigMap"} 1"#),
            "{text}"
        );
        assert_eq!(metrics.writes("ConfigMap"), 1);
    }

    #[test]
    fn what_is_exported_is_what_is_listed() {
        let metrics = Metrics::default();
        metrics.count_reconcile("kafka", "ok", Duration::from_millis(3));
        metrics.count_write("ConfigMap");
        metrics.tell_status(
            "Platform",
            "m",
            "dev",
            &serde_json::json!({"conditions": [{"type": "Available", "status": "True"}],
                "flow": {"canary": {"everySeconds": 60}, "stages": [{"stage": "told", "lagRecords": 1, "lagSeconds": 1, "newestSeconds": 1, "canarySeconds": 1}]}}),
        );
        metrics.tell_postgres("m", "p", Some(postgres::Activity::default()));
        let known = mongo::Activity {
            lag: Some(7),
            ..mongo::Activity::default()
        };
        let unknown = mongo::Activity::default();
        metrics.tell_mongo("m", "d", [("d-0".into(), known), ("d-1".into(), unknown)]);
        let text = metrics.text();
        assert_eq!(
            millrace_contract::metric::differences("millrace_operator_", &text),
            Vec::<String>::new(),
            "{text}"
        );
        // What is not known is not told: no lag is another thing.
        let lags = text
            .lines()
            .filter(|line| line.starts_with("millrace_operator_mongo_lag_seconds{"));
        assert!(lags.map(|line| line.ends_with(" 7")).eq([true]), "{text}");
    }
}
