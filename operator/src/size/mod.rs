//! How large a platform has to be. Pure: what it rests on is explained in docs/sizing.md.

pub mod fit;
pub mod lake;
mod spec;

use millrace_contract::Invalid;

pub use spec::platform;

/// Events of a second that a partition takes.
pub const EVENTS_PER_PARTITION: f64 = 2_500.0;
/// Events of a second that a pod of the gateway takes: half of what single POSTs came to on two cores beside Kafka.
pub const EVENTS_PER_GATEWAY: f64 = 3_000.0;
/// Connected vehicles of a pod of the gateway.
pub const VEHICLES_PER_GATEWAY: u64 = 20_000;
/// Events of a second of a pod of detect: a fifteenth of what a backlog came to, so that it catches up after a stop.
pub const EVENTS_PER_DETECT: f64 = 20_000.0;
/// Vehicles whose state a pod of detect keeps.
pub const VEHICLES_PER_DETECT: u64 = 50_000;
/// Alerts among events.
pub const ALERTS_PER_EVENT: f64 = 0.02;
/// Alerts of a second of a pod of dispatch: a tenth of what a backlog came to.
pub const ALERTS_PER_DISPATCH: f64 = 2_000.0;
/// Bytes of a second that a broker writes, copies included.
pub const BYTES_PER_BROKER: f64 = 50e6;
/// What Kafka adds to an event: key, headers and its part of the batch.
pub const OVERHEAD_BYTES: u64 = 70;
/// Telemetry may fill that part of a volume; the rest is for the other topics.
pub const TELEMETRY_SHARE: f64 = 0.5;
/// So full a volume may become before the operator warns.
pub const FULL_SHARE: f64 = 0.8;

const MEBIBYTE: u64 = 1024 * 1024;
const GIBIBYTE: u64 = 1024 * MEBIBYTE;
/// Memory for a vehicle's session or state: assumed, on the safe side.
const BYTES_PER_VEHICLE: u64 = 32 * 1024;

/// What the platform is for.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// Vehicles that are connected at once.
    pub vehicles: u64,
    /// Events of a second of each, on average.
    pub hz: f64,
    /// How long telemetry is kept, in hours; a Platform keeps it for a week at most.
    pub retention_hours: u64,
    /// Bytes of an event.
    pub event_bytes: u64,
    /// Copies of each record.
    pub replication: u64,
    /// How much more comes at the busiest time than on average.
    pub peak_factor: f64,
    /// How long telemetry is kept in the lake, in days; 0 for no lake.
    pub archive_days: u64,
}

/// Pods that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pods {
    /// How many.
    pub count: u64,
    /// Memory of each, in bytes.
    pub memory_bytes: u64,
    /// CPU of each, in thousandths of a core.
    pub cpu_millis: u64,
}

/// How large it has to be.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Size {
    /// Events of a second on average.
    pub events_per_second: f64,
    /// Events of a second at the busiest time.
    pub peak_events_per_second: f64,
    /// Partitions of the topics that vehicles' records go to.
    pub partitions: u64,
    /// Bytes of telemetry that are kept, with all copies.
    pub stored_bytes: u64,
    /// The volume of a broker, in bytes.
    pub disk_bytes_per_broker: u64,
    /// Brokers.
    pub brokers: Pods,
    /// Pods of the gateway.
    pub gateway: Pods,
    /// Pods of detect.
    pub detect: Pods,
    /// Pods of each dispatch.
    pub dispatch: Pods,
    /// The pod of OpenWhisk.
    pub openwhisk: Pods,
    /// The lake, if there is to be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lake: Option<lake::Lake>,
}

/// How many kinds of dispatch a platform with warnings has.
pub const DISPATCHES: u64 = 2;

impl Size {
    /// All pods, with their names.
    #[must_use]
    pub fn pods(&self) -> Vec<(&'static str, Pods)> {
        let dispatch = Pods {
            count: self.dispatch.count * DISPATCHES,
            ..self.dispatch
        };
        let mut pods = vec![
            ("broker", self.brokers),
            ("gateway", self.gateway),
            ("detect", self.detect),
            ("dispatch", dispatch),
            ("openwhisk", self.openwhisk),
        ];
        pods.extend(self.lake.iter().flat_map(lake::Lake::pods));
        pods.retain(|(_, pods)| pods.count > 0);
        pods
    }
}

fn check(load: &Load) -> Result<(), Invalid> {
    let within = |field: &str, value: f64, low: f64, high: f64| {
        // Written so that what is no number is refused too.
        if value >= low && value <= high {
            return Ok(());
        }
        Err(Invalid::new(
            field,
            value.to_string(),
            "out of range",
            format!("give {low} to {high}"),
        ))
    };
    within("--vehicles", float(load.vehicles), 1.0, 100e6)?;
    within("--hz", load.hz, 0.001, 1000.0)?;
    within("--retention-hours", float(load.retention_hours), 1.0, 168.0)?;
    within("--archive-days", float(load.archive_days), 0.0, 36_500.0)?;
    within("--event-bytes", float(load.event_bytes), 1.0, 1e6)?;
    within("--peak-factor", load.peak_factor, 1.0, 100.0)?;
    if !matches!(load.replication, 1 | 3) {
        return Err(Invalid::new(
            "--replication",
            load.replication.to_string(),
            "no profile keeps so many copies",
            "give 1, or 3 so that a broker may fail",
        ));
    }
    Ok(())
}

#[allow(
    clippy::cast_precision_loss,
    reason = "sizes, not counts to the last digit"
)]
fn float(count: u64) -> f64 {
    count as f64
}

// How many units of this capacity hold the amount; one at least.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive and cut off far below the limit"
)]
fn units(amount: f64, capacity: f64) -> u64 {
    (amount / capacity).ceil().clamp(1.0, 1e15) as u64
}

// From a tenth of a core to a whole one, for a pod that is as busy as it may be.
fn cpu(events: f64, full: f64) -> u64 {
    100 + units(events.min(full) / full * 900.0, 1.0)
}

fn up_to(bytes: u64, step: u64) -> u64 {
    bytes.div_ceil(step) * step
}

/// Computes the size for a load.
///
/// # Errors
/// A value is out of range, or one platform cannot be as large.
pub fn size(load: &Load) -> Result<Size, Invalid> {
    check(load)?;
    let average = float(load.vehicles) * load.hz;
    let peak = average * load.peak_factor;
    let record = float(load.event_bytes + OVERHEAD_BYTES);
    let copies = float(load.replication);
    let redundant = if load.replication > 1 { 2 } else { 1 };

    let gateways = units(peak, EVENTS_PER_GATEWAY)
        .max(load.vehicles.div_ceil(VEHICLES_PER_GATEWAY))
        .max(redundant);
    let detects = units(peak, EVENTS_PER_DETECT)
        .max(load.vehicles.div_ceil(VEHICLES_PER_DETECT))
        .max(redundant);
    let dispatches = units(peak * ALERTS_PER_EVENT, ALERTS_PER_DISPATCH).max(redundant);
    // Each pod of detect needs partitions of its own, and one more than it has today when the load doubles.
    let partitions = units(peak, EVENTS_PER_PARTITION)
        .max(2 * detects)
        .max(2 * dispatches)
        .max(3);
    let brokers = units(peak * record * copies, BYTES_PER_BROKER).max(load.replication);

    let seconds = float(load.retention_hours) * 3600.0;
    let stored = units(average * seconds * record * copies, 1.0);
    let volume = float(stored) / float(brokers) / TELEMETRY_SHARE / FULL_SHARE;
    let disk = up_to(units(volume, 1.0), GIBIBYTE).max(2 * GIBIBYTE);

    // What is read soon after it was written should come from memory: half a minute of it.
    let recent = units(peak * record * copies * 30.0 / float(brokers), 1.0);
    let replicas = partitions * load.replication * 6 / brokers;
    let broker_memory = up_to(GIBIBYTE + recent + replicas * MEBIBYTE, 256 * MEBIBYTE);
    let per_vehicle = |limit: u64| load.vehicles.min(limit) * BYTES_PER_VEHICLE;
    let pods = |count, memory_bytes, cpu_millis| Pods {
        count,
        memory_bytes: up_to(memory_bytes, 64 * MEBIBYTE),
        cpu_millis,
    };
    let size = Size {
        events_per_second: average,
        peak_events_per_second: peak,
        partitions,
        stored_bytes: stored,
        disk_bytes_per_broker: disk,
        brokers: Pods {
            count: brokers,
            memory_bytes: broker_memory,
            cpu_millis: 2 * cpu(peak * record * copies, BYTES_PER_BROKER),
        },
        gateway: pods(
            gateways,
            192 * MEBIBYTE + per_vehicle(VEHICLES_PER_GATEWAY),
            cpu(peak, EVENTS_PER_GATEWAY),
        ),
        detect: pods(
            detects,
            192 * MEBIBYTE + per_vehicle(VEHICLES_PER_DETECT),
            cpu(peak, EVENTS_PER_DETECT),
        ),
        dispatch: pods(
            dispatches,
            256 * MEBIBYTE,
            cpu(peak * ALERTS_PER_EVENT, ALERTS_PER_DISPATCH),
        ),
        openwhisk: pods(1, 2 * GIBIBYTE, 500),
        lake: lake::lake(load, peak, partitions),
    };
    limits(load, &size)?;
    Ok(size)
}

// What the definitions allow, and what one partition leader each can be moved for.
fn limits(load: &Load, size: &Size) -> Result<(), Invalid> {
    let most = |what: &str, count: u64, limit: u64| {
        if count <= limit {
            return Ok(());
        }
        Err(Invalid::new(
            "--vehicles",
            load.vehicles.to_string(),
            format!("{count} {what} are needed, and a Platform has {limit} at most"),
            "spread the vehicles over several Platforms, or give a lower --hz or --peak-factor",
        ))
    };
    most("pods of the gateway", size.gateway.count, 64)?;
    most("pods of detect", size.detect.count, 64)?;
    most("pods of a dispatch", size.dispatch.count, 64)?;
    most("partitions", size.partitions, 1000)?;
    let data_nodes = size.lake.as_ref().map_or(0, |lake| lake.data_nodes.count);
    most("DataNodes", data_nodes, 500)?;
    most("brokers", size.brokers.count, 64)
}

#[cfg(test)]
#[path = "size_tests.rs"]
mod tests;
