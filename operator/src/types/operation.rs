//! How a resource is run over time: when its pods may restart, whether it is stopped, what becomes of its volumes, and
//! what its user overrides in its pods. The same fields and the same helpers for every kind that has pods.

use std::fmt;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use k8s_openapi::api::apps::v1::StatefulSetPersistentVolumeClaimRetentionPolicy;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::KubeSchema;
use millrace_contract::Invalid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FreeForm;
use super::overrides::override_pods;
use crate::status::{AVAILABLE, Condition, PROGRESSING, STOPPED, set_condition};

/// What becomes of data when its resource is deleted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum DeletionPolicy {
    /// It stays.
    #[default]
    Retain,
    /// It is deleted too.
    Delete,
}

impl DeletionPolicy {
    /// The default of what holds no data of its own.
    #[must_use]
    pub fn of_what_holds_no_data() -> Self {
        Self::Delete
    }

    /// Whether it is the default of what holds data.
    #[must_use]
    pub fn is_retain(&self) -> bool {
        *self == Self::Retain
    }

    /// What a StatefulSet does with its claims when it is deleted. Volumes of fewer replicas always stay: nobody asked
    /// for less data. Kubernetes does it by owner references, so that no finalizer of ours can hold a deletion up.
    #[must_use]
    pub fn of_claims(self) -> StatefulSetPersistentVolumeClaimRetentionPolicy {
        StatefulSetPersistentVolumeClaimRetentionPolicy {
            when_deleted: Some(match self {
                Self::Retain => "Retain".into(),
                Self::Delete => "Delete".into(),
            }),
            when_scaled: Some("Retain".into()),
        }
    }
}

/// A day of the week.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
#[allow(missing_docs, reason = "a day of the week")]
pub enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Day {
    fn weekday(self) -> Weekday {
        match self {
            Self::Monday => Weekday::Monday,
            Self::Tuesday => Weekday::Tuesday,
            Self::Wednesday => Weekday::Wednesday,
            Self::Thursday => Weekday::Thursday,
            Self::Friday => Weekday::Friday,
            Self::Saturday => Weekday::Saturday,
            Self::Sunday => Weekday::Sunday,
        }
    }
}

/// A time in which restarts that wait for approval may happen without it.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MaintenanceWindow {
    /// Days of the week on which it starts; every day when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7), extend("x-kubernetes-list-type" = "set"))]
    pub days: Vec<Day>,
    /// When it starts, in local time, in the form of `02:30`.
    #[schemars(length(max = 5), regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub start: String,
    /// How long it lasts, in minutes (15 to 1440).
    #[schemars(range(min = 15, max = 1440))]
    pub duration_minutes: i32,
    /// The time zone of `start`, by its IANA name, for example `Europe/Vienna`.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
}

fn utc() -> String {
    "UTC".into()
}

/// How a resource that has pods is run: the fields that all such kinds share.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Take all pods away; volumes and settings are kept, and all comes back when this is taken back.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub stopped: bool,
    /// Times in which restarts that wait for approval happen without it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub maintenance_windows: Vec<MaintenanceWindow>,
    /// What is to be different in the pods, in the form of a pod template (`metadata` and `spec`), merged into what the
    /// operator builds: for example `spec.priorityClassName`, `spec.tolerations`, or `env` of a container by its name.
    #[serde(default, skip_serializing_if = "FreeForm::is_empty")]
    #[schemars(schema_with = "super::free_form")]
    pub pod_overrides: FreeForm,
}

impl Operation {
    /// The windows, checked.
    ///
    /// # Errors
    /// Names the field, its value and the cure.
    pub fn windows(&self) -> Result<Windows, Invalid> {
        Windows::check(&self.maintenance_windows, "spec.maintenanceWindows")
    }

    /// How many pods there are to be, where so many are asked for.
    #[must_use]
    pub fn replicas(&self, asked: i32) -> i32 {
        if self.stopped { 0 } else { asked }
    }

    /// Merges the overrides into a pod template.
    ///
    /// # Errors
    /// Names the field, its value and the cure.
    pub fn override_pods(&self, template: &mut PodTemplateSpec) -> Result<(), Invalid> {
        override_pods(template, &self.pod_overrides, "spec.podOverrides")
    }
}

/// Maintenance windows that were checked. Knows no clock: the time is given.
#[derive(Clone, Debug, Default)]
pub struct Windows(Vec<Checked>);

#[derive(Clone, Debug)]
struct Checked {
    days: Vec<Weekday>,
    start: Time,
    lasts: SignedDuration,
    zone: TimeZone,
}

impl Windows {
    /// Checks windows; `field` is where they stand, for example `spec.maintenanceWindows`.
    ///
    /// # Errors
    /// Names the field, its value and the cure.
    pub fn check(windows: &[MaintenanceWindow], field: &str) -> Result<Self, Invalid> {
        windows
            .iter()
            .enumerate()
            .map(|(index, window)| Checked::of(window, &format!("{field}[{index}]")))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether one of them is open at this moment.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.0.iter().any(|window| {
            window
                .starts(now)
                .any(|start| start <= now && now < start + window.lasts)
        })
    }

    /// When the next one opens; `None` when there are none.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        self.0
            .iter()
            .flat_map(|window| window.starts(now))
            .filter(|start| *start > now)
            .min()
    }
}

impl Checked {
    fn of(window: &MaintenanceWindow, field: &str) -> Result<Self, Invalid> {
        let start = window
            .start
            .split_once(':')
            .and_then(|(hour, minute)| {
                Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
            })
            .ok_or_else(|| {
                Invalid::new(
                    format!("{field}.start"),
                    &window.start,
                    "is not a time of the day",
                    "write it like 02:30",
                )
            })?;
        if !(15..=1440).contains(&window.duration_minutes) {
            return Err(Invalid::new(
                format!("{field}.durationMinutes"),
                window.duration_minutes.to_string(),
                "is out of bounds",
                "give 15 to 1440",
            ));
        }
        let zone = TimeZone::get(&window.time_zone).map_err(|_| {
            Invalid::new(
                format!("{field}.timeZone"),
                &window.time_zone,
                "is no time zone of the IANA database",
                "write it like Europe/Vienna, or leave it out for UTC",
            )
        })?;
        Ok(Self {
            days: window.days.iter().map(|day| day.weekday()).collect(),
            start,
            lasts: SignedDuration::from_mins(window.duration_minutes.into()),
            zone,
        })
    }

    /// All starts from yesterday, for a window may span midnight, to this day next week.
    fn starts(&self, now: Timestamp) -> impl Iterator<Item = Timestamp> {
        let today = now.to_zoned(self.zone.clone()).date();
        (-1..=8_i64).filter_map(move |days| {
            let date = today.checked_add(Span::new().days(days)).ok()?;
            if !self.days.is_empty() && !self.days.contains(&date.weekday()) {
                return None;
            }
            // A time that the change of the clocks leaves out is taken an hour later.
            let start = date.to_datetime(self.start).to_zoned(self.zone.clone());
            start.ok().map(|start| start.timestamp())
        })
    }
}

/// How a moment is written in a status.
#[must_use]
pub fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Says that a resource was stopped by `spec.stopped`, whatever was said of it before; or that it was and is no longer.
/// Nothing is said of one that never was.
pub fn tell_stopped(
    conditions: &mut Vec<Condition>,
    stopped: bool,
    pods_left: i32,
    generation: Option<i64>,
) {
    if stopped {
        let told = if pods_left > 0 {
            format!("spec.stopped is true: {pods_left} pods are on their way out")
        } else {
            "spec.stopped is true: there are no pods; volumes and settings are kept".to_owned()
        };
        let done = pods_left == 0;
        let reason = if done { "Stopped" } else { "Stopping" };
        set_condition(conditions, STOPPED, done, reason, &told, generation);
        set_condition(conditions, AVAILABLE, false, reason, &told, generation);
        set_condition(conditions, PROGRESSING, !done, reason, &told, generation);
    } else if conditions.iter().any(|c| c.type_ == STOPPED) {
        set_condition(conditions, STOPPED, false, "NotStopped", "", generation);
    }
}

impl fmt::Display for DeletionPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retain => "Retain",
            Self::Delete => "Delete",
        })
    }
}

#[cfg(test)]
#[path = "operation_tests.rs"]
mod tests;
