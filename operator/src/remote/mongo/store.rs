//! A database that is reached as its clients reach it: by an address with a login in it.

use mongodb::bson::Document;
use mongodb::options::{ClientOptions, Tls, TlsOptions, WriteConcern};
use mongodb::{Client, Collection, Database};
use tokio::time::timeout;

use super::client::{ANSWER_WITHIN, CONNECT_WITHIN, file_of};
use super::error::MongoError;

/// A database of a MongoDB.
#[derive(Clone, Debug)]
pub struct Store {
    database: Database,
    shown: String,
}

impl Store {
    /// A database at an address, trusting these authorities (PEM) where there are some. It connects when it is first asked
    /// something.
    ///
    /// # Errors
    /// The address is none; it is not shown, for it may hold a password.
    pub async fn open(
        uri: &str,
        database: &str,
        authorities: Option<&str>,
    ) -> Result<Self, MongoError> {
        let wrong = |error: &mongodb::error::Error| MongoError::Unreachable {
            address: "(the address of its connection details)".to_owned(),
            problem: error.to_string().replace(uri, "(not shown)"),
        };
        let mut options = ClientOptions::parse(uri).await.map_err(|e| wrong(&e))?;
        options.app_name = Some("millrace-operator".to_owned());
        options.connect_timeout = Some(CONNECT_WITHIN);
        options.server_selection_timeout = Some(CONNECT_WITHIN);
        options.max_pool_size = Some(1);
        options.write_concern = Some(WriteConcern::majority());
        if let Some(pem) = authorities {
            let file = file_of(pem).map_err(MongoError::Authority)?;
            let tls = TlsOptions::builder().ca_file_path(file).build();
            options.tls = Some(Tls::Enabled(tls));
        }
        let hosts: Vec<String> = options.hosts.iter().map(ToString::to_string).collect();
        let client = Client::with_options(options).map_err(|e| wrong(&e))?;
        Ok(Self {
            database: client.database(database),
            shown: hosts.join(","),
        })
    }

    /// One of its collections.
    #[must_use]
    pub fn collection(&self, name: &str) -> Collection<Document> {
        self.database.collection(name)
    }

    /// What a call gives, if it does in time; `doing` says in plain words what for.
    ///
    /// # Errors
    /// [`MongoError`].
    pub async fn answer<T>(
        &self,
        doing: &str,
        call: impl Future<Output = mongodb::error::Result<T>>,
    ) -> Result<T, MongoError> {
        match timeout(ANSWER_WITHIN, call).await {
            Ok(answer) => answer.map_err(|error| self.failed(doing, &error)),
            Err(_) => Err(MongoError::Unreachable {
                address: self.shown.clone(),
                problem: "it does not answer in time".into(),
            }),
        }
    }

    /// What a failure means; `doing` says in plain words what for.
    fn failed(&self, doing: &str, error: &mongodb::error::Error) -> MongoError {
        MongoError::of(
            &self.shown,
            "the user of its connection details",
            doing,
            error,
        )
    }
}
