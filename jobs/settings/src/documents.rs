//! MongoDB, or another server of its wire protocol.

use std::path::PathBuf;
use std::time::Duration;

use millrace_documents::MongoBinding;
use mongodb::options::ClientOptions;
use mongodb::{Client, Database};

use crate::{Binding, Bindings, Secret, SettingsError};

/// Within this time a server is found, or the attempt has failed.
const PATIENCE: Duration = Duration::from_secs(5);

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

/// What is needed to get in.
struct Login {
    uri: Secret,
    binding: MongoBinding,
    /// A file with certificates of the authorities to trust.
    ca: Option<PathBuf>,
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
        let folder = self.binding.as_deref().map(Binding::read).transpose()?;
        let binding = MongoBinding::read(|name| folder.as_ref().and_then(|b| b.get(name)));
        let Some(uri) = self.uri.clone().or_else(|| binding.address()) else {
            return Err(SettingsError::Missing {
                name: "mongodb".to_owned(),
                cure: "give --mongodb URI, MILLRACE_MONGODB or a binding of type mongodb with the entry uri or host under \
                       SERVICE_BINDING_ROOT"
                    .to_owned(),
            });
        };
        let ca = folder.as_ref().map(|b| b.folder().join("ca.crt"));
        Ok(Login {
            uri: Secret::new(&uri),
            ca: ca.filter(|_| binding.authority().is_some()),
            binding,
        })
    }

    /// A client's database. It connects when it is first asked something.
    ///
    /// # Errors
    /// The settings are not usable any more.
    pub async fn database(&self) -> Result<Database, DocumentsError> {
        let Login { uri, binding, ca } = self.login()?;
        let mut options = ClientOptions::parse(uri.expose())
            .await
            .map_err(|error| DocumentsError::Address(redacted(&error, &uri)))?;
        binding.complete(&mut options, "millrace", PATIENCE, ca);
        let name = binding.database(self.database.as_deref(), &options);
        let client = Client::with_options(options)
            .map_err(|error| DocumentsError::Address(redacted(&error, &uri)))?;
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
        put("database", "");
        put("uri", "mongodb://m/of-the-address\n");
        assert_eq!(found.database().await.unwrap().name(), "of-the-address");
        put("uri", "mongodb://a:secret@[::/x\n");
        let refused = found.database().await.unwrap_err().to_string();
        assert!(!refused.contains("secret"), "{refused}");
    }
}
