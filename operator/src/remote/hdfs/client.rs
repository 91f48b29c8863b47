//! Asks a NameNode.

use std::sync::LazyLock;
use std::time::Duration;

use super::jmx::{self, NameNodeView};

/// A NameNode that is busy answers late, and one that is on its way up not at all.
const PATIENCE: Duration = Duration::from_secs(5);
/// What has to be known. Each bean is asked for alone, since all of them together are a hundred times as much. The metrics
/// of FSNamesystem tell nearly the same, and are up to ten seconds old.
const BEANS: [&str; 3] = ["NameNodeStatus", "FSNamesystemState", "NameNodeInfo"];

/// A NameNode cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum HdfsError {
    /// It does not answer.
    #[error("{address} does not answer: {problem}")]
    Silent {
        /// Host and port.
        address: String,
        /// Why.
        problem: String,
    },
    /// It answers something else.
    #[error("{address} says what nobody understands: {problem}")]
    Unclear {
        /// Host and port.
        address: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// A client of the HTTP server of a NameNode.
#[derive(Clone, Debug)]
pub struct NameNodeClient {
    address: String,
}

pub(super) static HTTP: LazyLock<Result<reqwest::Client, String>> = LazyLock::new(|| {
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(2))
        .timeout(PATIENCE)
        // The server is in the cluster; a proxy of the operator's environment does not know it.
        .no_proxy()
        .build()
        .map_err(|error| error.to_string())
});

impl NameNodeClient {
    /// A client of the server at `host:port`.
    #[must_use]
    pub fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
        }
    }

    /// What the NameNode says of itself and of its file system.
    ///
    /// # Errors
    /// It does not answer, or not as a NameNode does.
    pub async fn look(&self) -> Result<NameNodeView, HdfsError> {
        let mut beans = Vec::new();
        for bean in BEANS {
            beans.push(self.bean(bean).await?);
        }
        jmx::parse(&beans).map_err(|problem| HdfsError::Unclear {
            address: self.address.clone(),
            problem,
        })
    }

    async fn bean(&self, name: &str) -> Result<String, HdfsError> {
        let address = &self.address;
        let silent = |problem: String| HdfsError::Silent {
            address: address.clone(),
            problem,
        };
        let http = HTTP.as_ref().map_err(|problem| silent(problem.clone()))?;
        let url = format!("http://{address}/jmx?qry=Hadoop:service=NameNode,name={name}");
        let answered = async {
            let answer = http.get(url).send().await?.error_for_status()?;
            answer.text().await
        };
        answered
            .await
            .map_err(|error| silent(error.without_url().to_string()))
    }
}
