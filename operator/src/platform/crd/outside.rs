//! Parts of a Platform that somebody else runs.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Something that somebody else runs.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct External {
    /// Secret with the connection details, in the same namespace, in the form of the Service Binding specification.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::names::object())]
    pub binding_secret: String,
}
