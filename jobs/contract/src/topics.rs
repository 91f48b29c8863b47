//! Names of the Kafka topics.

/// Telemetry from vehicles, as accepted by the gateway.
pub const TELEMETRY: &str = "telemetry";
/// What happens to vehicles: checks, repairs, maintenance, breakdowns, hires.
pub const VEHICLE_EVENTS: &str = "vehicle-events";
/// Alerts raised by detection.
pub const ALERTS: &str = "alerts";
/// Notifications on their way to a vehicle.
pub const NOTIFICATIONS: &str = "notifications";
/// What could not be processed, with the reason.
pub const DEAD_LETTERS: &str = "dead-letters";
/// Compacted: what detection knows of each vehicle.
pub const DETECT_STATE: &str = "detect-state";
/// Compacted: notifications that were accepted or delivered, by alert id.
pub const NOTIFIED: &str = "notified";
/// Compacted: hashes of vehicle tokens.
pub const VEHICLE_CREDENTIALS: &str = "vehicle-credentials";
/// Compacted: which replica of the gateway holds a vehicle's session, and what it spoke last.
pub const VEHICLE_SESSIONS: &str = "vehicle-sessions";
/// Compacted: which driver, as a key, a pseudonym stands for.
pub const HIRES: &str = "hires";
/// Compacted: what drivers have agreed to and how to reach them, by their keys.
pub const DRIVERS: &str = "drivers";
/// How hires were driven.
pub const HIRE_SCORES: &str = "hire-scores";
/// Offers that were made to drivers.
pub const OFFERS: &str = "offers";
/// Who did what.
pub const AUDIT: &str = "audit";

/// Every topic with whether it is compacted.
pub const ALL: &[(&str, bool)] = &[
    (TELEMETRY, false),
    (VEHICLE_EVENTS, false),
    (ALERTS, false),
    (NOTIFICATIONS, false),
    (DEAD_LETTERS, false),
    (DETECT_STATE, true),
    (NOTIFIED, true),
    (VEHICLE_CREDENTIALS, true),
    (VEHICLE_SESSIONS, true),
    (HIRES, true),
    (DRIVERS, true),
    (HIRE_SCORES, false),
    (OFFERS, false),
    (AUDIT, false),
];
