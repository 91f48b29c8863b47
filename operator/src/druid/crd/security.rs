//! Who is let in, and whether the way is encrypted.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How clients prove who they are.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub enum Authentication {
    /// By name and password, which Druid keeps among what it knows.
    Basic,
}

/// Who is let in, and whether the way is encrypted.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.authentication) || (has(self.tls) && self.tls)")
        .message("security: asks for nothing; set authentication or tls, or remove it"),
)]
pub struct Security {
    /// How clients prove who they are; nobody is asked when absent. With `basic` the Secret `NAME-users` holds the first passwords,
    /// of the user `admin`, who may do everything, and of the servers among each other: it is made once, never changed, and kept
    /// when the cluster is deleted, as volumes are. The image must have the extension druid-basic-security.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<Authentication>,
    /// Whether servers speak TLS, and nothing else, at their ports; certificates are of an authority of the cluster's own. The
    /// image must have the extension simple-client-sslcontext.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub tls: bool,
}
