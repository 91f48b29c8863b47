use std::collections::BTreeSet;

use millrace_contract::metric::{METRICS, Metric};

use super::dashboards::DASHBOARDS;
use super::rules;

fn listed() -> Vec<Metric> {
    let own = METRICS.iter().copied();
    own.chain(super::of_systems()).collect()
}

/// The names in a query that are no listed series.
fn unknown(query: &str) -> Vec<String> {
    let listed: BTreeSet<String> = listed().iter().flat_map(Metric::series).collect();
    let of_lists = ["millrace_", "kafka_", "zookeeper_", "druid_"];
    query
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| of_lists.iter().any(|start| word.starts_with(start)))
        .filter(|word| !listed.contains(*word))
        .map(str::to_owned)
        .collect()
}

/// The labels that stand in braces or after `by` in a query, and that neither a metric of it nor a target has.
fn unknown_labels(query: &str) -> Vec<String> {
    let of_targets = [
        "pod",
        "namespace",
        "le",
        "app_kubernetes_io_name",
        "app_kubernetes_io_instance",
        "app_kubernetes_io_part_of",
        // Of what Java tells of itself.
        "area",
    ];
    let words: BTreeSet<&str> = query
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .collect();
    let listed = listed();
    let known: BTreeSet<&str> = listed
        .iter()
        .filter(|metric| {
            metric
                .series()
                .iter()
                .any(|one| words.contains(one.as_str()))
        })
        .flat_map(|metric| metric.labels.iter().copied())
        .chain(of_targets)
        .collect();
    let groups = query
        .split("by (")
        .skip(1)
        .map(|rest| rest.split(')').next());
    let groups = groups.flatten().flat_map(|inside| inside.split(", "));
    let matchers = query.split('{').skip(1).map(|rest| rest.split('}').next());
    let matchers = matchers
        .flatten()
        .flat_map(|inside| inside.split("\","))
        .filter_map(|one| one.split(['=', '!']).next());
    groups
        .chain(matchers)
        .filter(|label| !known.contains(label))
        .map(str::to_owned)
        .collect()
}

#[test]
fn rules_and_panels_name_what_is_exported() {
    let queries = rules::all().map(|rule| (rule.name, rule.expr)).chain(
        DASHBOARDS
            .iter()
            .flat_map(|board| board.panels)
            .map(|panel| (panel.title, panel.query)),
    );
    for (name, query) in queries {
        assert_eq!(unknown(query), Vec::<String>::new(), "{name}: {query}");
        assert_eq!(
            unknown_labels(query),
            Vec::<String>::new(),
            "{name}: {query}"
        );
    }
    assert_eq!(
        unknown("rate(millrace_gone_total[5m]) + kafka_gone").len(),
        2
    );
    assert_eq!(
        unknown_labels("sum by (colour) (millrace_operator_leader{size=\"1\"})"),
        ["colour", "size"]
    );
}

#[test]
fn series_of_tests_are_ones_that_are_exported() {
    for rule in rules::all() {
        for (series, _) in rule.fires.iter().chain(rule.silent) {
            assert_eq!(unknown(series), Vec::<String>::new(), "{}", rule.name);
            assert_eq!(
                unknown_labels(&series.replace("job=\"other\"", "pod=\"o\"")),
                Vec::<String>::new(),
                "{}",
                rule.name
            );
        }
    }
}

/// Else a status that is not written would keep an alert back.
#[test]
fn the_flow_is_told_anew_where_a_rule_about_it_begins() {
    use crate::flow::{BEHIND, LATE, SLOW};
    for (name, begins) in [
        ("MillraceLag", format!("> {BEHIND}")),
        ("MillraceCanarySlow", format!("> {SLOW}")),
        ("MillraceAnswersOld", format!("({LATE} + ")),
    ] {
        let rule = rules::all().find(|rule| rule.name == name).unwrap();
        assert!(rule.expr.contains(&begins), "{name}: {}", rule.expr);
        let only_archive_is_left_out = rule.expr.contains("{stage!=\"archived\"}");
        assert_eq!(only_archive_is_left_out, name != "MillraceAnswersOld");
    }
}

#[test]
fn names_of_rules_and_dashboards_are_used_once() {
    let rules: BTreeSet<_> = rules::all().map(|rule| rule.name).collect();
    assert_eq!(rules.len(), rules::all().count());
    let ids: BTreeSet<_> = DASHBOARDS.iter().map(|board| board.id).collect();
    assert_eq!(ids.len(), DASHBOARDS.len());
}
