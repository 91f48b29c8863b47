//! The columns of a data source, out of the data contract. Pure.
//!
//! Rows are rolled up: events of the same minute with the same dimensions are one row. What a driver could be found by is
//! no column: neither the pseudonym of a hire nor where a vehicle was. So nothing in Druid has to be erased with a driver. Audit
//! records name who changed a resource (`user`), who is one of those that run the platform.

use millrace_contract::{FIELDS, Field, Invalid, Kind, Privacy};
use serde_json::{Value, json};

/// What the records of a topic are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Samples of vehicles.
    Telemetry,
    /// Findings of `detect`.
    Alert,
    /// Who did what.
    Audit,
}

/// Numbers of an alert, beside how many there are.
const ALERT_NUMBERS: &[&str] = &["value", "threshold"];
/// Texts of an alert.
const ALERT_TEXTS: &[&str] = &[
    "vehicle", "model", "rule", "severity", "signal", "unit", "wheel",
];
/// Texts of an audit record. Which driver it is about is not among them.
const AUDIT_TEXTS: &[&str] = &[
    "role",
    "action",
    "vehicle",
    "dead_letter",
    "resource",
    "namespace",
    "name",
    "operation",
    "user",
    "manager",
    "audit_id",
    "subject",
    "action_name",
    "activation",
    "status",
    "trace",
];
/// What is found deeper in an alert: column, path.
const ALERT_PATHS: &[(&str, &str)] = &[("zone_id", "$.zone.id"), ("zone_kind", "$.zone.kind")];

/// The column with the time of the newest event of a row, in milliseconds of the epoch.
pub const NEWEST: &str = "newest";

/// A larger sketch is more exact: with this one a quantile is off by 1.7 % in rank.
const QUANTILES_K: u32 = 128;

impl Source {
    /// The field with the time of a record.
    #[must_use]
    pub fn time(self) -> &'static str {
        match self {
            Self::Telemetry | Self::Audit => "time",
            Self::Alert => "event_time",
        }
    }

    /// How values of records are read.
    #[must_use]
    pub fn input_format(self) -> Value {
        let paths: &[(&str, &str)] = match self {
            Self::Telemetry | Self::Audit => &[],
            Self::Alert => ALERT_PATHS,
        };
        if paths.is_empty() {
            return json!({"type": "json"});
        }
        let paths: Vec<Value> = paths
            .iter()
            .map(|(name, path)| json!({"type": "path", "name": name, "expr": path}))
            .collect();
        json!({"type": "json", "flattenSpec": {"useFieldDiscovery": true, "fields": paths}})
    }

    /// Columns that rows are told apart by.
    #[must_use]
    pub fn dimensions(self) -> Vec<Value> {
        let text = |name: &str| json!({"type": "string", "name": name});
        // Codes are a set: the same ones in another order are the same row.
        let list = |name: &str| json!({"type": "string", "name": name, "multiValueHandling": "SORTED_SET"});
        match self {
            Self::Telemetry => {
                let lists = FIELDS.iter().filter(|field| field.kind == Kind::Codes);
                ["vehicle", "model"]
                    .into_iter()
                    .map(text)
                    .chain(lists.map(|field| list(field.name)))
                    .collect()
            }
            Self::Audit => AUDIT_TEXTS.iter().map(|name| text(name)).collect(),
            Self::Alert => {
                let mut all: Vec<Value> = ALERT_TEXTS.iter().map(|name| text(name)).collect();
                all.extend(ALERT_PATHS.iter().map(|(name, _)| text(name)));
                all.push(list("codes"));
                all
            }
        }
    }

    /// Names of the fields that can be aggregated.
    pub fn numbers(self) -> impl Iterator<Item = &'static str> {
        let telemetry = numbers().map(|field| field.name);
        let telemetry = telemetry.filter(move |_| self == Self::Telemetry);
        let alerts = ALERT_NUMBERS.iter().copied();
        telemetry.chain(alerts.filter(move |_| self == Self::Alert))
    }

    /// What is aggregated: how many events there are and of how many vehicles, and of each number its sum, count, least and
    /// largest. `signals` are the numbers to take, all when empty; of those in `quantiles` there is a sketch too.
    ///
    /// # Errors
    /// A name is none of the contract, or none that may be taken.
    pub fn metrics(self, signals: &[String], quantiles: &[String]) -> Result<Vec<Value>, Invalid> {
        self.check("spec.signals", signals)?;
        self.check("spec.quantiles", quantiles)?;
        let mut all = vec![json!({"type": "count", "name": "events"})];
        if self != Self::Audit {
            all.push(json!({"type": "HLLSketchBuild", "name": "vehicles", "fieldName": "vehicle"}));
        }
        all.push(
            // Of rows that are rolled up `__time` is cut to the granularity; this is the time of the last event, in ms.
            json!({"type": "longMax", "name": NEWEST, "fieldName": "__time"}),
        );
        let taken = |name: &str| signals.is_empty() || signals.iter().any(|signal| signal == name);
        for name in self.numbers().filter(|name| taken(name)) {
            for (type_, suffix) in [
                ("doubleSum", "sum"),
                ("doubleMin", "min"),
                ("doubleMax", "max"),
            ] {
                let column = format!("{name}_{suffix}");
                all.push(json!({"type": type_, "name": column, "fieldName": name}));
            }
            // An average is the sum by this: not every event has every number.
            let there = json!({"type": "not", "field": {"type": "null", "column": name}});
            all.push(count(&format!("{name}_count"), &there));
        }
        if self == Self::Telemetry {
            for field in FIELDS.iter().filter(|field| field.kind == Kind::Flag) {
                let name = field.name;
                let lit = json!({"type": "equals", "column": name, "matchValueType": "STRING", "matchValue": "true"});
                all.push(count(&format!("{name}_count"), &lit));
            }
        }
        for name in quantiles {
            all.push(
                json!({"type": "quantilesDoublesSketch", "name": format!("{name}_quantiles"),
                "fieldName": name, "k": QUANTILES_K}),
            );
        }
        Ok(all)
    }

    fn check(self, field: &str, names: &[String]) -> Result<(), Invalid> {
        let Some(unknown) = names
            .iter()
            .find(|name| !self.numbers().any(|known| known == name.as_str()))
        else {
            return Ok(());
        };
        let problem = match millrace_contract::telemetry::field(unknown) {
            Some(known) if self == Self::Telemetry && known.privacy == Privacy::Location => {
                "tells where a vehicle was, and Druid keeps nothing of the kind".to_owned()
            }
            Some(_) if self == Self::Telemetry => "is no number".to_owned(),
            _ => "is no number of these records".to_owned(),
        };
        let known: Vec<&str> = self.numbers().collect();
        let cure = if known.is_empty() {
            "leave it out: these records have no numbers".to_owned()
        } else {
            format!("give one of {}", known.join(", "))
        };
        Err(Invalid::new(field, unknown, problem, cure))
    }
}

fn count(column: &str, filter: &Value) -> Value {
    json!({"type": "filtered", "name": column, "filter": filter,
        "aggregator": {"type": "count", "name": column}})
}

fn numbers() -> impl Iterator<Item = &'static Field> {
    FIELDS
        .iter()
        .filter(|field| field.kind == Kind::Number && field.privacy != Privacy::Location)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_contract::audit::{Action, Change, Entry, Run};
    use millrace_contract::{Alert, AlertDetails, Severity, ZoneAhead};

    fn names(columns: &[Value]) -> Vec<String> {
        let name = |column: &Value| column["name"].as_str().unwrap().to_owned();
        columns.iter().map(name).collect()
    }

    #[test]
    fn nothing_that_leads_to_a_person_becomes_a_column() {
        let metrics = Source::Telemetry.metrics(&[], &[]).unwrap();
        let columns = [names(&metrics), names(&Source::Telemetry.dimensions())].concat();
        assert!(columns.contains(&"coolant_temperature_max".to_owned()));
        assert!(columns.contains(&"mil_on_count".to_owned()));
        assert!(columns.contains(&"dtc_list".to_owned()));
        for field in FIELDS.iter().filter(|f| f.privacy == Privacy::Location) {
            let leaks = |column: &&String| column.starts_with(&format!("{}_", field.name));
            assert_eq!(columns.iter().find(leaks), None);
        }
        assert!(!columns.iter().any(|column| column.contains("hire")));
        let asked = |name: &str| {
            Source::Telemetry
                .metrics(&[name.to_owned()], &[])
                .unwrap_err()
        };
        assert!(asked("latitude").to_string().starts_with(
            "spec.signals: latitude: tells where a vehicle was, and Druid keeps nothing of the kind; give one of speed, "
        ));
        assert!(asked("mil_on").problem.contains("no number"));
        assert!(
            asked("spede")
                .problem
                .contains("no number of these records")
        );
    }

    #[test]
    fn signals_are_those_asked_for() {
        let speed = ["speed".to_owned()];
        let metrics = names(&Source::Telemetry.metrics(&speed, &speed).unwrap());
        assert_eq!(
            metrics,
            [
                "events",
                "vehicles",
                "newest",
                "speed_sum",
                "speed_min",
                "speed_max",
                "speed_count",
                "mil_on_count",
                "speed_quantiles"
            ]
        );
    }

    #[test]
    fn every_column_of_audit_records_is_a_field_and_none_is_a_driver() {
        let mut entry = Entry::now("operations", Action::ChangeResource);
        (entry.vehicle, entry.dead_letter) = (Some("v".into()), Some("0-1".into()));
        entry.driver = Some("d".into());
        entry.change = Some(Change {
            resource: "kafkatopics".into(),
            namespace: "m".into(),
            name: Some("t".into()),
            operation: "patch".into(),
            user: Some("ada".into()),
            manager: Some("kubectl".into()),
            generation: Some(2),
            audit_id: Some("a".into()),
        });
        entry.run = Some(Run {
            subject: "m".into(),
            action_name: "m/a".into(),
            activation: "i".into(),
            status: "success".into(),
            trace: Some("t".into()),
        });
        let json = serde_json::to_value(&entry).unwrap();
        let columns = names(&Source::Audit.dimensions());
        for field in columns
            .iter()
            .map(String::as_str)
            .chain([Source::Audit.time()])
        {
            assert!(json.get(field).is_some(), "{field}");
        }
        assert!(!columns.contains(&"driver".to_owned()));
        let metrics = names(&Source::Audit.metrics(&[], &[]).unwrap());
        assert_eq!(metrics, ["events", "newest"]);
        let speed = ["speed".to_owned()];
        assert!(Source::Audit.metrics(&speed, &[]).is_err());
    }

    /// Alerts are no part of schema.yaml: this holds their columns to the type that is written to Kafka.
    #[test]
    fn every_column_of_alerts_is_a_field_of_an_alert() {
        let alert = Alert {
            id: "i".into(),
            vehicle: "v".into(),
            hire: Some("h".into()),
            model: Some("m".into()),
            rule: "tyre".into(),
            severity: Severity::Critical,
            episode: "e".into(),
            event_time: jiff::Timestamp::UNIX_EPOCH,
            detected_at: jiff::Timestamp::UNIX_EPOCH,
            signal: "speed".into(),
            value: 1.0,
            unit: "km/h".into(),
            threshold: 2.0,
            trend_per_minute: None,
            seconds_to_limit: None,
            text: "t".into(),
            details: AlertDetails {
                wheel: Some("front_left".into()),
                codes: vec!["P0217".into()],
                zone: Some(ZoneAhead {
                    id: "z".into(),
                    name: "n".into(),
                    kind: "border".into(),
                    leaving: false,
                    distance_m: 1.0,
                    seconds: 1.0,
                    until: None,
                }),
                ..AlertDetails::default()
            },
        };
        let json = serde_json::to_value(&alert).unwrap();
        let fields = ALERT_TEXTS.iter().chain(ALERT_NUMBERS).chain(&["codes"]);
        for field in fields.chain(&[Source::Alert.time()]) {
            assert!(json.get(field).is_some(), "{field}");
        }
        for (_, path) in ALERT_PATHS {
            let pointer = path.trim_start_matches('$').replace('.', "/");
            assert!(json.pointer(&pointer).is_some(), "{path}");
        }
    }
}
