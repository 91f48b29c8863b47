//! How drivers are told, as a part of a Platform.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::types::KeyRef;

/// How drivers are told.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!self.channels.exists(c, c == 'webhook') || has(self.webhook)")
        .message("spec.warnings.webhook: absent, and spec.warnings.channels has webhook: give webhook.url and webhook.secretRef, or take the channel out"),
    validation = Rule::new("!has(self.webhook) || self.channels.exists(c, c == 'webhook')")
        .message("spec.warnings.channels: without webhook, and spec.warnings.webhook is given: add the channel or remove spec.warnings.webhook"),
    validation = Rule::new("!self.channels.exists(c, c == 'smtp') || has(self.smtp)")
        .message("spec.warnings.smtp: absent, and spec.warnings.channels has smtp: give smtp.secretRef, smtp.from and smtp.to, or take the channel out"),
    validation = Rule::new("!has(self.smtp) || self.channels.exists(c, c == 'smtp')")
        .message("spec.warnings.channels: without smtp, and spec.warnings.smtp is given: add the channel or remove spec.warnings.smtp"),
)]
pub struct PlatformWarnings {
    /// Language of the text, as a BCP 47 tag.
    #[serde(default = "default_language")]
    #[schemars(
        length(min = 2, max = 16),
        regex(pattern = "^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")
    )]
    pub language: String,
    /// Ways that a warning goes: all that are given. `vehicle` is the car's own loudspeaker and screen.
    #[serde(default = "default_channels")]
    #[schemars(length(min = 1, max = 4), extend("x-kubernetes-list-type" = "set"))]
    pub channels: Vec<Channel>,
    /// How long a warning is worth telling, in seconds.
    #[serde(default = "default_time_to_live")]
    #[schemars(range(min = 1, max = 86_400))]
    pub time_to_live_seconds: i32,
    /// Where the channel `webhook` posts to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// Whom the channel `smtp` writes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smtp: Option<Smtp>,
    /// How many pods of each dispatch run. The profile's number when absent. Webhook and mail have fewer where OpenWhisk's
    /// memory is small: together they hold at most a third of its children.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 64))]
    pub replicas: Option<i32>,
}

impl Default for PlatformWarnings {
    fn default() -> Self {
        Self {
            language: default_language(),
            channels: default_channels(),
            time_to_live_seconds: default_time_to_live(),
            webhook: None,
            smtp: None,
            replicas: None,
        }
    }
}

fn default_language() -> String {
    "en".into()
}

fn default_channels() -> Vec<Channel> {
    vec![Channel::Vehicle]
}

fn default_time_to_live() -> i32 {
    900
}

/// A way to the driver.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Channel {
    /// The car's own loudspeaker and screen, by way of the gateway.
    Vehicle,
    /// A signed POST to somebody's server.
    Webhook,
    /// Mail.
    Smtp,
}

/// Where warnings are posted to, signed as Standard Webhooks has it.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// The URL that is posted to.
    #[schemars(length(min = 8, max = 2048), regex(pattern = "^https?://[^\\s]+$"))]
    pub url: String,
    /// The key of a Secret with the signing secret, in the form `whsec_…` or as base64.
    pub secret_ref: KeyRef,
}

/// Whom warnings are mailed to.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Smtp {
    /// The key of a Secret with the server's URL: `smtps://USER:PASSWORD@HOST:PORT` or `smtp://…` (STARTTLS).
    pub secret_ref: KeyRef,
    /// Address that mail comes from.
    #[schemars(length(min = 3, max = 320), regex(pattern = "^[^@]+@[^@]+$"))]
    pub from: String,
    /// Addresses that mail goes to.
    #[schemars(length(min = 1, max = 32), inner(length(min = 3, max = 320)), extend("x-kubernetes-list-type" = "set"))]
    pub to: Vec<String>,
}
