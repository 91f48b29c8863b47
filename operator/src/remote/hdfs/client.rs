//! Asks a NameNode.

use super::jmx::{self, NameNodeView};
use crate::remote::http;

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
        let url = format!("http://{address}/jmx?qry=Hadoop:service=NameNode,name={name}");
        http::text(&url).await.map_err(|problem| HdfsError::Silent {
            address: address.clone(),
            problem,
        })
    }
}
