//! Where MongoDB is: a binding as parameters of an action.

use std::path::PathBuf;
use std::time::Duration;

use millrace_contract::materialize::identity_database;
use millrace_documents::MongoBinding;
use mongodb::options::ClientOptions;
use mongodb::sync::{Client, Database};
use serde::Deserialize;

use crate::error::ActionError;
use crate::secret::Secret;

/// Within this time a server is found, or the attempt has failed.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where MongoDB is and how to log in: the entries of its binding, and the databases of `materialize` where its
/// configuration names them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct DocumentsParams {
    /// `mongodb://HOST:PORT/…`.
    pub mongodb_uri: Secret,
    /// The host, in the place of an address.
    pub mongodb_host: Option<String>,
    /// Its port; 27017 when absent.
    pub mongodb_port: Option<String>,
    /// Who logs in, in the place of the address's user; nobody does when neither is given.
    pub mongodb_username: Option<String>,
    /// The password.
    pub mongodb_password: Secret,
    /// The database that the user is one of; `admin` when absent.
    pub mongodb_auth_source: Option<String>,
    /// Certificates (PEM) of the authorities to trust.
    pub mongodb_ca: Option<String>,
    /// The database; that of the address when absent, else `millrace`.
    pub mongodb_database: Option<String>,
    /// The database of what leads to persons; the former with `-identity` when absent.
    pub mongodb_identity_database: Option<String>,
}

impl DocumentsParams {
    /// Whether they say where MongoDB is.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.binding().address().is_some()
    }

    // The same as a job reads from a folder.
    fn binding(&self) -> MongoBinding {
        MongoBinding::read(|entry| match entry {
            "uri" => Some(self.mongodb_uri.expose()),
            "host" => self.mongodb_host.as_deref(),
            "port" => self.mongodb_port.as_deref(),
            "username" => self.mongodb_username.as_deref(),
            "password" => Some(self.mongodb_password.expose()),
            "authSource" => self.mongodb_auth_source.as_deref(),
            "database" => self.mongodb_database.as_deref(),
            "ca.crt" => self.mongodb_ca.as_deref(),
            _ => None,
        })
    }
}

/// The database of documents, and that of what leads to persons, by a client of their own. It connects when it is first asked
/// something.
///
/// # Errors
/// [`ActionError::Input`] naming the parameter; [`ActionError::Documents`] when the certificates cannot be written into a file.
pub(super) fn databases(params: &DocumentsParams) -> Result<(Database, Database), ActionError> {
    let refused = |field: &str, value: &str, problem: &str| {
        let cure = "bind the entries of the binding of MongoDB: uri (mongodb://HOST:PORT/…), or host and port";
        ActionError::input(field, value, problem, cure)
    };
    let binding = params.binding();
    let Some(address) = binding.address() else {
        let problem = "is not given, and neither is mongodb_host";
        return Err(refused("mongodb_uri", "\"\"", problem));
    };
    let by_host = params.mongodb_uri.expose().trim().is_empty();
    let field = if by_host {
        "mongodb_host"
    } else {
        "mongodb_uri"
    };
    // The address may hold a password.
    let unusable = |_: mongodb::error::Error| refused(field, "***", "makes no usable address");
    let parsed = ClientOptions::parse(address.as_str()).run();
    let mut options = parsed.map_err(unusable)?;
    let authority = binding.authority().map(authority_file).transpose()?;
    binding.complete(&mut options, "millrace-actions", PATIENCE, authority);
    let name = binding.database(None, &options);
    let named = params.mongodb_identity_database.as_deref();
    let identity = identity_database(named, &name);
    let client = Client::with_options(options).map_err(unusable)?;
    Ok((client.database(&name), client.database(&identity)))
}

// The driver reads authorities from a file alone.
fn authority_file(pem: &str) -> Result<PathBuf, ActionError> {
    let path = std::env::temp_dir().join("mongodb-ca.pem");
    std::fs::write(&path, format!("{pem}\n"))
        .map_err(|error| ActionError::Documents(format!("{}: {error}", path.display())))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn params(parameters: serde_json::Value) -> DocumentsParams {
        serde_json::from_value(parameters).unwrap()
    }

    #[test]
    fn databases_are_those_of_the_job_whatever_the_binding_says() {
        let names = |parameters: serde_json::Value| {
            let (documents, identity) = databases(&params(parameters)).unwrap();
            (documents.name().to_owned(), identity.name().to_owned())
        };
        let pair = |documents: &str, identity: &str| (documents.to_owned(), identity.to_owned());
        let (plain, fleet) = ("mongodb://127.0.0.1:9", "mongodb://127.0.0.1:9/fleet\n");
        let of_millrace = pair("millrace", "millrace-identity");
        let of_the_fleet = pair("fleet", "fleet-identity");
        assert_eq!(names(json!({"mongodb_uri": plain})), of_millrace);
        assert_eq!(names(json!({"mongodb_uri": fleet})), of_the_fleet);
        let by_host = json!({"mongodb_host": "127.0.0.1\n", "mongodb_port": "9", "mongodb_database": "fleet\n"});
        assert_eq!(names(by_host), of_the_fleet);
        let named = json!({"mongodb_uri": fleet, "mongodb_database": "own", "mongodb_identity_database": "persons"});
        assert_eq!(names(named), pair("own", "persons"));
    }

    #[test]
    fn every_entry_of_a_binding_is_understood() {
        let all = json!({"mongodb_uri": "u", "mongodb_host": "h", "mongodb_port": "p", "mongodb_username": "n",
            "mongodb_password": "w", "mongodb_auth_source": "a", "mongodb_database": "d", "mongodb_ca": "c"});
        let folder = |entry: &str| match entry {
            "uri" => Some("u"),
            "host" => Some("h"),
            "port" => Some("p"),
            "username" => Some("n"),
            "password" => Some("w"),
            "authSource" => Some("a"),
            "database" => Some("d"),
            "ca.crt" => Some("c"),
            _ => None,
        };
        assert!(params(all).binding() == MongoBinding::read(folder));
    }

    #[test]
    fn an_address_that_is_none_is_not_shown() {
        let refused = |parameters: serde_json::Value| {
            let refused = databases(&params(parameters)).err();
            refused.unwrap().to_string()
        };
        let missing = refused(json!({"mongodb_username": "jobs", "mongodb_uri": " "}));
        assert!(
            missing.starts_with("mongodb_uri: \"\": is not given"),
            "{missing}"
        );
        assert!(!params(json!({"mongodb_uri": " "})).is_given());
        let srv = refused(json!({"mongodb_uri": "mongodb+srv://u:hidden@h"}));
        assert!(
            srv.starts_with("mongodb_uri: ***") && !srv.contains("hidden"),
            "{srv}"
        );
    }
}
