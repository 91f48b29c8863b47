//! Short questions to servers inside the cluster by HTTP.

use std::sync::LazyLock;
use std::time::Duration;

/// A server that is busy answers late, and one that is on its way up not at all.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) static HTTP: LazyLock<Result<reqwest::Client, String>> = LazyLock::new(|| {
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(2))
        .timeout(PATIENCE)
        // The server is in the cluster; a proxy of the operator's environment does not know it.
        .no_proxy()
        .build()
        .map_err(|error| error.to_string())
});

/// What a server answers.
///
/// # Errors
/// It does not, or says that it cannot: in words, without the address.
pub async fn text(url: &str) -> Result<String, String> {
    let http = HTTP.as_ref().map_err(Clone::clone)?;
    let answered = async {
        let answer = http.get(url).send().await?.error_for_status()?;
        answer.text().await
    };
    answered
        .await
        .map_err(|error| crate::controller::chain(&error.without_url()))
}
