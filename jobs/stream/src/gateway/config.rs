//! The gateway's configuration file and secrets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use millrace_contract::TimeLimits;
use millrace_contract::pseudonym::PseudonymKey;
use serde::Deserialize;

use super::seal::SealKey;
use crate::settings::{Binding, Bindings, Secret, SettingsError};

/// The gateway's configuration file. Every field has a default.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// Consumer groups that turn alerts into notifications; `/v1/flow` waits for them.
    pub dispatch_groups: Vec<String>,
    /// Consumer group of detection; `/v1/flow` waits for it.
    pub detect_group: String,
    /// Largest HTTP body and MQTT packet, in bytes.
    pub max_body_bytes: u32,
    /// Most events in one body.
    pub max_batch: usize,
    /// Most events that wait for Kafka at once; further HTTP requests get 429, MQTT waits.
    pub max_in_flight: usize,
    /// MQTT receive-maximum: unacknowledged publishes of one vehicle.
    pub receive_maximum: u16,
    /// Which event times are believed.
    pub time_limits: TimeLimits,
    /// How long the id of an expired notification is remembered, in seconds, so that a late repetition is
    /// known as one.
    pub remember_seconds: u32,
    /// Seconds between two spoken notices to a vehicle; 0: none are held back.
    pub quiet_seconds: u32,
    /// Most connections at once, of each listener.
    pub max_connections: u32,
    /// How long a client of HTTP may take for the head of a request, or wait for its next one, in seconds.
    pub header_timeout_seconds: u32,
    /// How long Kafka may take to acknowledge before the answer is 503, in milliseconds.
    pub kafka_timeout_ms: u32,
}

const LONGEST_QUIET: u32 = 3600;

impl Default for Config {
    fn default() -> Self {
        Self {
            dispatch_groups: Vec::new(),
            detect_group: "detect".to_owned(),
            max_body_bytes: 1024 * 1024,
            max_batch: 10_000,
            max_in_flight: 20_000,
            receive_maximum: 64,
            time_limits: TimeLimits::default(),
            remember_seconds: 24 * 3600,
            quiet_seconds: 20,
            max_connections: 10_000,
            header_timeout_seconds: 30,
            kafka_timeout_ms: 10_000,
        }
    }
}

impl Config {
    /// Refuses values with which the gateway could not work.
    ///
    /// # Errors
    /// When a limit is zero or a body could not hold an event.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let unusable = |name: &str, problem: &str, cure: &str| {
            Err(SettingsError::Unusable {
                name: name.to_owned(),
                problem: problem.to_owned(),
                cure: cure.to_owned(),
            })
        };
        if self.max_body_bytes < 1024 {
            return unusable("maxBodyBytes", "less than 1024", "give at least 1024");
        }
        if self.max_batch == 0 {
            return unusable("maxBatch", "0 would refuse every event", "give at least 1");
        }
        if self.max_in_flight == 0 {
            return unusable(
                "maxInFlight",
                "0 would refuse every event",
                "give at least 1",
            );
        }
        if self.receive_maximum == 0 {
            return unusable(
                "receiveMaximum",
                "0 is not a receive-maximum in MQTT",
                "give 1 to 65535",
            );
        }
        if self.quiet_seconds > LONGEST_QUIET {
            return unusable(
                "quietSeconds",
                "more than an hour would let warnings expire unheard",
                "give 0 to 3600",
            );
        }
        if self.max_connections == 0 {
            return unusable("maxConnections", "0 would let nobody in", "give at least 1");
        }
        if self.header_timeout_seconds == 0 {
            return unusable(
                "headerTimeoutSeconds",
                "0 would refuse every request",
                "give at least 1",
            );
        }
        if self.kafka_timeout_ms < 100 {
            return unusable("kafkaTimeoutMs", "less than 100", "give at least 100");
        }
        Ok(())
    }
}

/// The gateway's secrets.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// Opens the administration endpoints.
    pub admin_token: Secret,
    /// Opens `POST /v1/notifications`.
    pub notify_token: Secret,
    /// Opens the endpoints of vehicles; without it only the administrator does.
    pub vehicles_token: Option<Secret>,
    /// Opens `POST /v1/vehicle-events`; without it only the administrator does.
    pub events_token: Option<Secret>,
    /// Opens the profiles of drivers; without it only the administrator does.
    pub drivers_token: Option<Secret>,
    /// Opens dead letters and the flow; without it only the administrator does.
    pub operations_token: Option<Secret>,
    /// Opens what tells of changes in Kubernetes; without it only the administrator does.
    pub audit_token: Option<Secret>,
    /// Opens what tells of runs of actions; without it only the administrator does.
    pub activations_token: Option<Secret>,
    /// Makes pseudonyms of drivers.
    pub pseudonym_key: PseudonymKey,
    /// Seals the payloads of dead letters.
    pub seal_key: SealKey,
}

/// Type of the binding that holds the gateway's secrets.
pub const BINDING_TYPE: &str = "millrace-gateway";
const SHORTEST_TOKEN: usize = 16;

impl Secrets {
    /// Takes them from the binding of type `millrace-gateway`.
    ///
    /// # Errors
    /// When there is no such binding, or an entry is missing or too short.
    pub fn from_bindings(bindings: &Bindings) -> Result<Self, SettingsError> {
        let binding = bindings.of_type(BINDING_TYPE).ok_or_else(|| SettingsError::Missing {
            name: format!("binding of type {BINDING_TYPE}"),
            cure: "add one under SERVICE_BINDING_ROOT with the entries type, admin-token, notify-token, \
                   pseudonym-key and seal-key"
                .to_owned(),
        })?;
        let key = binding.require("pseudonym-key")?;
        Ok(Self {
            admin_token: token(binding, "admin-token")?,
            notify_token: token(binding, "notify-token")?,
            vehicles_token: optional_token(binding, "vehicles-token")?,
            events_token: optional_token(binding, "events-token")?,
            drivers_token: optional_token(binding, "drivers-token")?,
            operations_token: optional_token(binding, "operations-token")?,
            audit_token: optional_token(binding, "audit-token")?,
            activations_token: optional_token(binding, "activations-token")?,
            pseudonym_key: pseudonym_key(key)
                .map_err(|e| unusable(binding, "pseudonym-key", &e.problem, &e.cure))?,
            seal_key: SealKey::from_text(binding.require("seal-key")?).map_err(|problem| {
                unusable(
                    binding,
                    "seal-key",
                    &problem,
                    "use the base64 of 32 random bytes",
                )
            })?,
        })
    }
}

// Secrets made by other tools may be plain text: anything long enough serves as a key for an HMAC.
fn pseudonym_key(text: &str) -> Result<PseudonymKey, millrace_contract::Invalid> {
    match STANDARD.decode(text) {
        Ok(bytes) if bytes.len() >= 32 => PseudonymKey::from_bytes(&bytes),
        _ => PseudonymKey::from_bytes(text.as_bytes()),
    }
}

fn token(binding: &Binding, entry: &str) -> Result<Secret, SettingsError> {
    let text = binding.require(entry)?;
    if text.len() < SHORTEST_TOKEN {
        return Err(unusable(
            binding,
            entry,
            &format!("shorter than {SHORTEST_TOKEN} characters"),
            "use a random token, for instance of `openssl rand -hex 24`",
        ));
    }
    Ok(Secret::new(text))
}

// Secrets that were made before these roles were do not hold them.
fn optional_token(binding: &Binding, entry: &str) -> Result<Option<Secret>, SettingsError> {
    match binding.get(entry) {
        None | Some("") => Ok(None),
        Some(_) => token(binding, entry).map(Some),
    }
}

fn unusable(binding: &Binding, entry: &str, problem: &str, cure: &str) -> SettingsError {
    SettingsError::Unusable {
        name: format!("binding {} entry {entry}", binding.name()),
        problem: problem.to_owned(),
        cure: cure.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bindings(entries: &[(&str, &str)]) -> (tempfile::TempDir, Bindings) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("gateway");
        std::fs::create_dir(&folder).unwrap();
        for (name, value) in entries {
            std::fs::write(folder.join(name), value).unwrap();
        }
        let bindings = Bindings::read(dir.path()).unwrap();
        (dir, bindings)
    }

    #[test]
    fn secrets_are_read_and_never_printed() {
        let (_dir, all) = bindings(&[
            ("type", "millrace-gateway"),
            ("admin-token", "admin-0123456789abcdef"),
            ("notify-token", "notify-0123456789abcdef"),
            ("vehicles-token", "vehicles-0123456789abcdef"),
            ("pseudonym-key", "0123456789abcdef0123456789abcdef"),
            ("seal-key", "fedcba9876543210fedcba9876543210"),
        ]);
        let secrets = Secrets::from_bindings(&all).unwrap();
        assert_eq!(
            secrets.vehicles_token,
            Some(Secret::new("vehicles-0123456789abcdef"))
        );
        assert_eq!(
            secrets.operations_token, None,
            "a Secret of an earlier version"
        );
        let printed = format!("{secrets:?}");
        for part in [
            "admin-0123",
            "notify-0123",
            "vehicles-0123",
            "0123456789abcdef",
            "fedcba",
        ] {
            assert!(!printed.contains(part), "{printed}");
        }
    }

    #[test]
    fn a_short_token_is_refused_without_showing_it() {
        let (_dir, all) = bindings(&[
            ("type", "millrace-gateway"),
            ("admin-token", "shorty"),
            ("notify-token", "notify-0123456789abcdef"),
            ("pseudonym-key", "0123456789abcdef0123456789abcdef"),
            ("seal-key", "fedcba9876543210fedcba9876543210"),
        ]);
        let e = Secrets::from_bindings(&all).unwrap_err().to_string();
        assert!(e.contains("admin-token") && !e.contains("shorty"), "{e}");
    }

    #[test]
    fn the_file_is_camel_case_and_strict() {
        let config: Config =
            serde_yaml_ng::from_str("dispatchGroups: [dispatch-warnings]\nmaxBatch: 5\n").unwrap();
        assert_eq!(config.dispatch_groups, ["dispatch-warnings"]);
        assert_eq!(config.max_batch, 5);
        config.validate().unwrap();
        assert!(serde_yaml_ng::from_str::<Config>("max_batch: 5\n").is_err());
        assert!(
            Config {
                max_batch: 0,
                ..Config::default()
            }
            .validate()
            .is_err()
        );
    }
}
