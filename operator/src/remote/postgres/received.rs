//! The archive of several members, as the pod tells that takes in their log.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::archive::{Archive, Base, latest, room};
use super::error::PostgresError;
use crate::remote::http;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    room: String,
    latest: String,
    failed_at: Option<i64>,
    trouble: String,
    bases: BTreeMap<String, Base>,
}

impl Archive {
    /// Asks the pod that takes in the log of several members, at this URL.
    ///
    /// # Errors
    /// It does not answer, or says something else.
    pub async fn received(url: &str) -> Result<Self, PostgresError> {
        let told = match http::text(url).await {
            Ok(text) => serde_json::from_str::<Told>(&text).map_err(|error| error.to_string()),
            Err(problem) => Err(problem),
        };
        told.map(Self::from)
            .map_err(|problem| PostgresError::Unreachable {
                address: url.to_owned(),
                problem,
            })
    }
}

impl From<Told> for Archive {
    fn from(told: Told) -> Self {
        let trouble = told.trouble.trim();
        Self {
            is_on: true,
            room: room(&told.room),
            failed_at: told.failed_at,
            trouble: Some(trouble.to_owned()).filter(|words| !words.is_empty()),
            // Members keep what was not taken in yet, and tell nobody how much that is.
            waiting: 0,
            latest: latest(&told.latest),
            bases: told.bases,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_pod_tells_is_read() {
        let told = r#"{"room":"264212084 79166232","latest":"000000020000000000000005 1764410000","failedAt":1764410060,
            "trouble":"no room ","bases":{"20260301T093000Z":{"bytes":7,"databaseBytes":70}}}"#;
        let archive = Archive::from(serde_json::from_str::<Told>(told).unwrap());
        assert_eq!(archive.latest, Some(1_764_410_000));
        assert_eq!(archive.failed_at, Some(1_764_410_060));
        assert_eq!(archive.trouble.as_deref(), Some("no room"));
        assert_eq!(archive.room.unwrap().percent(), 70);
        assert_eq!(archive.bases["20260301T093000Z"].database_bytes, 70);
        let new = r#"{"room":"1 1","latest":"","failedAt":null,"trouble":"","bases":{}}"#;
        let archive = Archive::from(serde_json::from_str::<Told>(new).unwrap());
        assert!(archive.is_on && archive.latest.is_none() && archive.trouble.is_none());
    }
}
