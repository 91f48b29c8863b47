//! What a server tells Prometheus of itself: metrics that Druid emits, kept as managed beans by a module in the image
//! (`images/druid/src`), and told by the JMX exporter beside what Java tells. One list makes the settings of both.

use std::collections::BTreeMap;

use millrace_contract::metric::MetricKind::{Counter, Gauge};

use crate::pods::exporter::Exported;

/// The module of the image, beside Druid's own jars. What Druid emits is kept by it where `druid.emitter` names it.
pub const JAR: &str = "millrace-druid-metrics.jar";
/// Its name among emitters.
pub const EMITTER: &str = "beans";
/// How often Druid measures itself.
pub const PERIOD: &str = "PT15S";

const QUERY: &[&str] = &["millrace.druid:metric=query/time,success=*"];
const SQL: &[&str] = &["millrace.druid:metric=sqlQuery/time,success=*"];
const PROCESSED: &[&str] = &["millrace.druid:metric=ingest/events/processed,dataSource=*"];
const UNPARSEABLE: &[&str] = &["millrace.druid:metric=ingest/events/unparseable,dataSource=*"];
const THROWN_AWAY: &[&str] = &["millrace.druid:metric=ingest/events/thrownAway,dataSource=*"];
const LAG: &[&str] = &["millrace.druid:metric=ingest/kafka/lag,dataSource=*"];
const TASKS: &[&str] = &["millrace.druid:metric=task/run/time,dataSource=*,taskStatus=*"];
const UNAVAILABLE: &[&str] = &["millrace.druid:metric=segment/unavailable/count,dataSource=*"];
const USED: &[&str] = &["millrace.druid:metric=segment/used,dataSource=*"];
const MOST: &[&str] = &["millrace.druid:metric=segment/max"];

/// The metrics of a server. Each has those of its role alone.
#[rustfmt::skip]
pub const METRICS: &[Exported] = &[
    Exported::new("druid_queries", Counter, "Questions answered, or a part of them", QUERY, "Count").labels(&["success"]),
    Exported::new("druid_query_seconds", Counter, "Time that these took together", QUERY, "Total").unit("seconds").labels(&["success"]).times(0.001),
    Exported::new("druid_sql_queries", Counter, "Questions in SQL that a broker answered", SQL, "Count").labels(&["success"]),
    Exported::new("druid_sql_query_seconds", Counter, "Time that questions in SQL took together", SQL, "Total").unit("seconds").labels(&["success"]).times(0.001),
    Exported::new("druid_ingest_events_processed", Counter, "Records that tasks of an indexer have taken in", PROCESSED, "Total").labels(&["dataSource"]),
    Exported::new("druid_ingest_events_unparseable", Counter, "Records that they could not read", UNPARSEABLE, "Total").labels(&["dataSource"]),
    Exported::new("druid_ingest_events_thrown_away", Counter, "Records that they left out, for they are too old or filtered", THROWN_AWAY, "Total").labels(&["dataSource"]),
    Exported::new("druid_ingest_lag_records", Gauge, "Records of Kafka that a supervisor has not read", LAG, "Last").unit("records").labels(&["dataSource"]),
    Exported::new("druid_tasks", Counter, "Tasks that have ended", TASKS, "Count").labels(&["dataSource", "taskStatus"]),
    Exported::new("druid_segments_unavailable", Gauge, "Segments that are to be answered for and that no server has loaded", UNAVAILABLE, "Last").labels(&["dataSource"]),
    Exported::new("druid_segments_used_bytes", Gauge, "What a historical has loaded", USED, "Last").unit("bytes").labels(&["dataSource"]),
    Exported::new("druid_segments_limit_bytes", Gauge, "What a historical may load", MOST, "Last").unit("bytes"),
];

/// The settings of the module: each metric that Druid is to keep, and the dimensions by which it is told apart.
pub fn settings() -> impl Iterator<Item = (String, String)> {
    let beans = METRICS.iter().flat_map(|one| one.beans);
    let kept: BTreeMap<String, String> = beans.filter_map(|bean| setting(bean)).collect();
    kept.into_iter()
}

/// Of a pattern of beans, `DOMAIN:metric=NAME,DIMENSION=*,…`.
fn setting(bean: &str) -> Option<(String, String)> {
    let (_, properties) = bean.split_once(":metric=")?;
    let mut parts = properties.split(',');
    let name = parts.next()?;
    let dimensions: Vec<&str> = parts.filter_map(|part| part.strip_suffix("=*")).collect();
    Some((format!("millrace.metric.{name}"), dimensions.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exported_is_what_is_kept() {
        let kept: BTreeMap<String, String> = settings().collect();
        assert_eq!(kept["millrace.metric.query/time"], "success");
        assert_eq!(
            kept["millrace.metric.task/run/time"],
            "dataSource,taskStatus"
        );
        assert_eq!(kept["millrace.metric.segment/max"], "");
        for one in METRICS {
            assert!(one.metric.name.starts_with("druid_"), "{}", one.metric.name);
            for bean in one.beans {
                let (name, dimensions) = setting(bean).unwrap();
                assert_eq!(kept[&name], dimensions);
                assert_eq!(one.metric.labels.join(","), dimensions, "{bean}");
            }
        }
    }

    #[test]
    fn the_module_is_the_one_that_the_image_has() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../images/druid/");
        let read = |path: &str| std::fs::read_to_string(format!("{root}{path}")).unwrap();
        let pom = read("pom.xml");
        let (first, last) = JAR.trim_end_matches(".jar").rsplit_once('-').unwrap();
        assert!(pom.contains(&format!("<finalName>{first}</finalName>")));
        assert!(pom.contains(&format!("<classifier>{last}</classifier>")));
        let module = read("src/dev/millrace/druid/metrics/BeanMetrics.java");
        assert!(module.contains(&format!("TYPE = \"{EMITTER}\"")));
        assert!(module.contains("PREFIX = \"millrace.metric.\""));
    }
}
