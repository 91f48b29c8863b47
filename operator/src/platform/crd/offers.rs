//! Offers to drivers, as a part of a Platform.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::types::{FreeForm, free_form};

/// What good drivers are offered, and how they hear of it.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlatformOffers {
    /// Rules by name, see docs/offers.md: the least score and distance, the reward, how long it can be taken, and the text by
    /// language. They are put into MongoDB, and those that are taken out here are removed there; others that somebody put there
    /// count as well.
    #[serde(default, skip_serializing_if = "FreeForm::is_empty")]
    #[schemars(schema_with = "free_form")]
    pub rules: FreeForm,
    /// Who tells the driver: `smtp` by the mail server of `spec.warnings.smtp` at the address of their profile, `webhook` the
    /// receiver of `spec.warnings.webhook`. Without any, offers are in the topic `offers` and in MongoDB alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2), extend("x-kubernetes-list-type" = "set"))]
    pub channels: Vec<OfferChannel>,
}

/// A way of an offer to the driver. Not the vehicle: somebody else may sit in it by then.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum OfferChannel {
    /// A signed POST to somebody's server.
    Webhook,
    /// Mail.
    Smtp,
}
