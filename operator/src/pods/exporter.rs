//! Numbers of Java systems that have no endpoint of their own: the JMX exporter of Prometheus as an agent in their process.
//!
//! One list of a component's metrics makes the agent's configuration, the page and what tests compare the scrape with.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use millrace_contract::metric::{Metric, MetricKind};

/// The agent's file among the jars of an image.
pub const JAR: &str = "jmx_prometheus_javaagent-1.0.1.jar";
/// The port it answers on.
pub const PORT: i32 = 9404;
/// The name of its configuration among a component's files.
pub const FILE: &str = "metrics.yaml";

/// A metric that the agent makes of an attribute of managed beans.
#[derive(Clone, Copy, Debug)]
pub struct Exported {
    /// What it becomes.
    pub metric: Metric,
    /// The beans, with `*` for a part that may be anything. A part is a label where the metric has one of its name.
    pub beans: &'static [&'static str],
    /// Their attribute.
    pub attribute: &'static str,
    /// What the attribute is multiplied by.
    pub factor: Option<f64>,
    /// What is told instead of the attribute, where it is the bean that tells something by being there.
    pub value: Option<f64>,
}

impl Exported {
    /// A plain number.
    #[must_use]
    pub const fn new(
        name: &'static str,
        kind: MetricKind,
        meaning: &'static str,
        beans: &'static [&'static str],
        attribute: &'static str,
    ) -> Self {
        Self {
            metric: Metric {
                name,
                kind,
                unit: "",
                labels: &[],
                meaning,
            },
            beans,
            attribute,
            factor: None,
            value: None,
        }
    }

    /// In this unit.
    #[must_use]
    pub const fn unit(mut self, unit: &'static str) -> Self {
        self.metric.unit = unit;
        self
    }

    /// With these labels, which are parts of the beans' names.
    #[must_use]
    pub const fn labels(mut self, labels: &'static [&'static str]) -> Self {
        self.metric.labels = labels;
        self
    }

    /// Multiplied.
    #[must_use]
    pub const fn times(mut self, factor: f64) -> Self {
        self.factor = Some(factor);
        self
    }

    /// This number, while such a bean is there.
    #[must_use]
    pub const fn telling(mut self, value: f64) -> Self {
        self.value = Some(value);
        self
    }
}

/// The configuration of the agent. Beans that are not named are not even looked at: a scrape of all of Kafka's takes a
/// hundred times as long.
#[must_use]
pub fn config(metrics: &[Exported]) -> String {
    let mut text = String::from(
        "# Two threads are enough for one Prometheus and a person.
httpServer:
  threads: {minimum: 1, maximum: 2, keepAliveTime: 120}
includeObjectNames:
",
    );
    let beans: BTreeSet<&str> = metrics
        .iter()
        .flat_map(|one| one.beans.iter().copied())
        .collect();
    // Writing into a String cannot fail.
    for bean in beans {
        let _ = writeln!(text, "  - \"{bean}\"");
    }
    text.push_str("rules:\n");
    for one in metrics {
        for bean in one.beans {
            rule(&mut text, one, bean);
        }
    }
    text
}

fn rule(text: &mut String, one: &Exported, bean: &str) {
    let (pattern, labels) = pattern(bean, one.metric.labels);
    let metric = one.metric;
    let (end, kind) = match metric.kind {
        MetricKind::Counter => ("_total", "COUNTER"),
        MetricKind::Gauge | MetricKind::Histogram => ("", "GAUGE"),
    };
    let _ = write!(
        text,
        "  - pattern: \"{pattern}<>{}:\"\n    name: {}{end}\n    type: {kind}\n    help: \"{}\"\n",
        one.attribute, metric.name, metric.meaning
    );
    if !labels.is_empty() {
        let labels: Vec<String> = labels
            .iter()
            .enumerate()
            .map(|(index, label)| format!("{label}: \"${}\"", index + 1))
            .collect();
        let _ = writeln!(text, "    labels: {{{}}}", labels.join(", "));
    }
    if let Some(factor) = one.factor {
        let _ = writeln!(text, "    valueFactor: {factor}");
    }
    if let Some(value) = one.value {
        let _ = writeln!(text, "    value: {value}");
    }
}

/// What the agent calls an attribute of such beans, as a regular expression, and the labels in the order of its groups.
fn pattern<'a>(bean: &'a str, labels: &[&str]) -> (String, Vec<&'a str>) {
    let (domain, properties) = bean.split_once(':').unwrap_or((bean, ""));
    let mut found = Vec::new();
    let parts: Vec<String> = properties
        .split(',')
        .map(|part| match part.split_once('=') {
            Some((key, value)) => {
                let value = if value == "*" { "[^,]+" } else { value };
                if labels.contains(&key) {
                    found.push(key);
                    format!("{key}=({value})")
                } else {
                    format!("{key}={value}")
                }
            }
            None => part.to_owned(),
        })
        .collect();
    let domain = domain.replace('.', "[.]");
    (format!("^{domain}<{}>", parts.join(", ")), found)
}

/// The metrics of a list, each once: several beans may tell one.
pub fn metrics(exported: &[Exported]) -> impl Iterator<Item = Metric> + '_ {
    let mut told = BTreeSet::new();
    let metrics = exported.iter().map(|one| one.metric);
    metrics.filter(move |metric| told.insert(metric.name))
}

/// Lines of a start script that set `agent` to what Java is given for it, or to nothing where the image has no agent: a
/// system without numbers is better than none.
#[must_use]
pub fn script(libs: &str, files: &str) -> String {
    format!(
        r#"agent=
if [ -e {libs}/{JAR} ]; then
  agent=-javaagent:{libs}/{JAR}={PORT}:{files}/{FILE}
else
  echo "no metrics: this image has no {libs}/{JAR}" >&2
fi
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beans_become_patterns_and_their_parts_labels() {
        let time = Exported::new(
            "a_seconds",
            MetricKind::Gauge,
            "Time",
            &["a.b:type=T,name=*,request=*", "a.b:type=T,request=Produce"],
            "99thPercentile",
        );
        let there = Exported::new("a_there", MetricKind::Gauge, "There", &["a.b:type=T"], "X");
        let count = Exported::new(
            "a_bytes",
            MetricKind::Counter,
            "B",
            &["a.b:type=T"],
            "Count",
        );
        insta::assert_snapshot!(config(&[
            time.unit("seconds").labels(&["request"]).times(0.001),
            there.telling(1.0),
            count,
        ]));
    }

    #[test]
    fn images_have_the_agent_that_is_started() {
        let version = JAR
            .trim_start_matches("jmx_prometheus_javaagent-")
            .trim_end_matches(".jar");
        for image in ["kafka", "zookeeper", "druid"] {
            let pom = concat!(env!("CARGO_MANIFEST_DIR"), "/../images/");
            let pom = std::fs::read_to_string(format!("{pom}{image}/pom.xml")).unwrap();
            assert!(pom.contains(&format!("<exporter.version>{version}</exporter.version>")));
        }
    }
}
