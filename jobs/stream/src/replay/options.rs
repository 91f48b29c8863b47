//! The flags of all that drives trips through a platform.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use super::error::DriveError;

/// What is slower than this would sleep for days between two samples.
const SLOWEST: f64 = 0.01;

/// How telemetry is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Via {
    /// Batches by POST.
    Http,
    /// Batches by PUBLISH.
    Mqtt,
}

/// Flags of all that drives trips through a platform.
#[derive(Debug, Clone, clap::Args)]
pub struct DriveArgs {
    /// The gateway's HTTP side
    #[arg(
        long,
        env = "MILLRACE_GATEWAY_HTTP",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    pub gateway_http: String,
    /// The gateway's MQTT side, by which notifications come in any case
    #[arg(
        long,
        env = "MILLRACE_GATEWAY_MQTT",
        default_value = "127.0.0.1:1883",
        value_name = "HOST:PORT"
    )]
    pub gateway_mqtt: String,
    /// File with the gateway's admin-token, by which the vehicles are enrolled
    #[arg(long, env = "MILLRACE_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub admin_token_file: PathBuf,
    /// How telemetry is sent
    #[arg(long, value_enum, default_value = "http")]
    pub via: Via,
    /// 0: as fast as it is acknowledged; 1: as it was driven; N: so many times faster, 0.01 at least
    #[arg(long, default_value_t = 0.0, value_name = "N")]
    pub speed: f64,
    /// Most events in one batch
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=5000))]
    pub batch: u16,
    /// How many vehicles send at the same time when the speed is 0
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub parallel: u16,
    /// Longest wait, in seconds, for the gateway to answer, and for any progress while the platform gets through
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    pub timeout: u64,
    /// Print each warning as a JSON line; progress and summary go to stderr in any case
    #[arg(long)]
    pub json: bool,
}

impl DriveArgs {
    /// Longest wait for something to happen.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout.max(1))
    }
}

pub(super) fn check_speed(speed: f64) -> Result<(), DriveError> {
    if speed == 0.0 || (speed.is_finite() && speed >= SLOWEST) {
        return Ok(());
    }
    Err(DriveError::Option(format!(
        "--speed: {speed}: is neither 0 nor a number from {SLOWEST} on; give 0, 1 or N"
    )))
}

pub(super) fn host_and_port(text: &str) -> Result<(String, u16), DriveError> {
    text.rsplit_once(':')
        .and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)))
        .filter(|(host, _)| !host.is_empty())
        .ok_or_else(|| {
            DriveError::Option(format!(
                "--gateway-mqtt: {text}: is not HOST:PORT; write for example 127.0.0.1:1883"
            ))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds() {
        for good in [0.0, 0.01, 1.0, 1000.0] {
            assert!(check_speed(good).is_ok(), "{good}");
        }
        for bad in [0.009, 1e-300, -1.0, f64::NAN, f64::INFINITY] {
            let e = check_speed(bad).unwrap_err().to_string();
            assert!(
                e.starts_with(&format!("--speed: {bad}")) && e.contains("give"),
                "{e}"
            );
        }
    }

    #[test]
    fn addresses() {
        assert_eq!(
            host_and_port("gateway:1883").unwrap(),
            ("gateway".to_owned(), 1883)
        );
        for bad in ["gateway", ":1883", "gateway:x"] {
            assert!(host_and_port(bad).unwrap_err().to_string().contains(bad));
        }
    }
}
