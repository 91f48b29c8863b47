//! MongoDB, or another server of its wire protocol.

use std::path::PathBuf;
use std::time::Duration;

use mongodb::options::{ClientOptions, Credential, ServerApi, Tls, TlsOptions, WriteConcern};
use mongodb::{Client, Database};

use crate::{Binding, Bindings, Secret, SettingsError};

/// Within this time a server is found, or the attempt has failed.
const PATIENCE: Duration = Duration::from_secs(5);
/// The database where neither the job nor the binding names one.
const DATABASE: &str = "millrace";

/// Flags that say where MongoDB is.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct DocumentsArgs {
    /// MongoDB's address, mongodb://HOST:PORT; else that of the binding of type mongodb, and always that binding's login
    #[arg(long, env = "MILLRACE_MONGODB", value_name = "URI")]
    pub mongodb: Option<String>,
}

/// Where MongoDB is and how to log in. The binding is read anew for each client, for its password changes.
#[derive(Debug, Clone)]
pub struct DocumentsAccess {
    uri: Option<String>,
    binding: Option<PathBuf>,
    database: Option<String>,
}

/// What of a binding is needed.
struct Login {
    uri: Secret,
    credential: Option<Credential>,
    ca: Option<PathBuf>,
    database: Option<String>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum DocumentsError {
    /// The settings are not usable.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The address is none. It is not shown: it may hold a password.
    #[error("mongodb: {0}; write mongodb://HOST:PORT/DATABASE")]
    Address(String),
}

impl DocumentsArgs {
    /// Where MongoDB is; `database` is what the job's configuration names.
    ///
    /// # Errors
    /// Nothing says where it is, or the binding lacks something.
    pub fn access(
        &self,
        bindings: &Bindings,
        database: Option<&str>,
    ) -> Result<DocumentsAccess, DocumentsError> {
        let binding = bindings.of_type("mongodb");
        let access = DocumentsAccess {
            uri: self.mongodb.clone(),
            binding: binding.map(|binding| binding.folder().to_path_buf()),
            database: database.map(str::to_owned),
        };
        access.login()?;
        Ok(access)
    }
}

impl DocumentsAccess {
    fn login(&self) -> Result<Login, SettingsError> {
        let binding = self.binding.as_deref().map(Binding::read).transpose()?;
        let entry = |key: &str| {
            let binding = binding.as_ref();
            binding.and_then(|b| b.get(key)).filter(|v| !v.is_empty())
        };
        let address = || {
            let host = entry("host")?;
            Some(format!(
                "mongodb://{host}:{}",
                entry("port").unwrap_or("27017")
            ))
        };
        let uri = self
            .uri
            .clone()
            .or_else(|| entry("uri").map(str::to_owned))
            .or_else(address);
        let Some(uri) = uri else {
            return Err(SettingsError::Missing {
                name: "mongodb".to_owned(),
                cure: "give --mongodb URI, MILLRACE_MONGODB or a binding of type mongodb with the entry uri or host under \
                       SERVICE_BINDING_ROOT"
                    .to_owned(),
            });
        };
        let credential = entry("username").map(|username| {
            Credential::builder()
                .username(username.to_owned())
                .password(entry("password").map(str::to_owned))
                .source(entry("authSource").map(str::to_owned))
                .build()
        });
        let ca = binding.as_ref().map(|b| b.folder().join("ca.crt"));
        Ok(Login {
            uri: Secret::new(&uri),
            credential,
            ca: ca.filter(|ca| ca.is_file()),
            database: entry("database").map(str::to_owned),
        })
    }

    /// A client's database. It connects when it is first asked something.
    ///
    /// # Errors
    /// The settings are not usable any more.
    pub async fn database(&self) -> Result<Database, DocumentsError> {
        let login = self.login()?;
        let mut options = ClientOptions::parse(login.uri.expose())
            .await
            .map_err(|error| DocumentsError::Address(redacted(&error, &login.uri)))?;
        options.app_name = Some("millrace".to_owned());
        options.server_selection_timeout = Some(PATIENCE);
        options.connect_timeout = Some(PATIENCE);
        // What is told as written survives the loss of a member.
        let majority = WriteConcern::majority();
        options.write_concern.get_or_insert(majority);
        options.server_api = None::<ServerApi>;
        if let Some(credential) = login.credential {
            options.credential = Some(credential);
        }
        if let Some(ca) = login.ca {
            let tls = TlsOptions::builder().ca_file_path(ca).build();
            options.tls = Some(Tls::Enabled(tls));
        }
        let asked = self.database.clone().or(login.database);
        let name = asked
            .or_else(|| options.default_database.clone())
            .unwrap_or_else(|| DATABASE.to_owned());
        let client = Client::with_options(options)
            .map_err(|error| DocumentsError::Address(redacted(&error, &login.uri)))?;
        Ok(client.database(&name))
    }
}

// An error may quote the address, with a password in it.
fn redacted(error: &mongodb::error::Error, uri: &Secret) -> String {
    error.to_string().replace(uri.expose(), "(the address)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_binding_says_where_and_as_whom() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("documents");
        std::fs::create_dir_all(&folder).unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        put("type", "mongodb\n");
        let args = DocumentsArgs::default();
        let access = |database| {
            let bindings = Bindings::read(root.path()).unwrap();
            args.access(&bindings, database)
        };
        let missing = access(None).unwrap_err().to_string();
        assert!(missing.contains("--mongodb"), "{missing}");
        put("host", "m\n");
        put("username", "jobs\n");
        put("password", "hidden\n");
        let found = access(None).unwrap();
        assert!(!format!("{found:?}").contains("hidden"));
        assert_eq!(found.database().await.unwrap().name(), "millrace");
        put("database", "fleet\n");
        assert_eq!(found.database().await.unwrap().name(), "fleet");
        assert_eq!(
            access(Some("own"))
                .unwrap()
                .database()
                .await
                .unwrap()
                .name(),
            "own"
        );
        put("uri", "mongodb://a:secret@[::/x\n");
        let refused = found.database().await.unwrap_err().to_string();
        assert!(!refused.contains("secret"), "{refused}");
    }
}
