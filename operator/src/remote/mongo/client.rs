//! Sessions with one member, by TLS and a password.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use mongodb::Client;
use mongodb::bson::{Document, doc};
use mongodb::options::{AuthMechanism, ClientOptions, Credential, ServerAddress, Tls, TlsOptions};
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use super::error::MongoError;

/// A server that does not answer so long is told as unreachable.
pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Commands of the operator take milliseconds; a change of the set waits for a majority.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// How to log in at the members of a set.
#[derive(Clone)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The database that knows the user.
    pub source: String,
    /// The password.
    pub password: String,
    /// The authorities that certificates of members may be of, in PEM.
    pub authorities: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A password is never shown.
        f.debug_struct("Login")
            .field("user", &self.user)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl Login {
    /// As members log in at each other.
    #[must_use]
    pub fn of_members(keyfile: &str, authorities: &str) -> Self {
        Self {
            user: "__system".into(),
            source: "local".into(),
            // MongoDB takes white space out of a keyfile.
            password: keyfile.split_whitespace().collect(),
            authorities: authorities.to_owned(),
        }
    }

    /// A session with the member `host:port` itself, whatever its state. It connects when it is first asked something.
    ///
    /// # Errors
    /// The address is none, or the authorities cannot be laid down for the client.
    pub fn session(&self, address: &str) -> Result<Session, MongoError> {
        let unreachable = |problem: String| MongoError::Unreachable {
            address: address.to_owned(),
            problem,
        };
        let server = ServerAddress::parse(address).map_err(|e| unreachable(e.to_string()))?;
        let authorities = file_of(&self.authorities).map_err(MongoError::Authority)?;
        let credential = Credential::builder()
            .username(self.user.clone())
            .source(self.source.clone())
            .password(self.password.clone())
            .mechanism(AuthMechanism::ScramSha256)
            .build();
        let tls = TlsOptions::builder().ca_file_path(authorities).build();
        let options = ClientOptions::builder()
            .hosts(vec![server])
            .direct_connection(true)
            .app_name("millrace-operator".to_owned())
            .credential(credential)
            .tls(Tls::Enabled(tls))
            .connect_timeout(CONNECT_WITHIN)
            .server_selection_timeout(CONNECT_WITHIN)
            .max_pool_size(1)
            .build();
        let client = Client::with_options(options).map_err(|e| unreachable(e.to_string()))?;
        Ok(Session {
            client,
            address: address.to_owned(),
            user: self.user.clone(),
        })
    }
}

/// A session with one member.
#[derive(Clone, Debug)]
pub struct Session {
    client: Client,
    address: String,
    user: String,
}

impl Session {
    /// Runs a command of a database. `doing` says in plain words what for.
    ///
    /// # Errors
    /// [`MongoError`].
    pub async fn run(
        &self,
        database: &str,
        command: Document,
        doing: &str,
    ) -> Result<Document, MongoError> {
        let database = self.client.database(database);
        match timeout(ANSWER_WITHIN, database.run_command(command)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(MongoError::of(&self.address, &self.user, doing, &error)),
            Err(_) => Err(MongoError::Unreachable {
                address: self.address.clone(),
                problem: "it does not answer in time".into(),
            }),
        }
    }

    /// Whether it takes writes.
    ///
    /// # Errors
    /// [`MongoError`].
    pub async fn is_writable_primary(&self) -> Result<bool, MongoError> {
        let hello = self.run("admin", doc! {"hello": 1}, "ask for its part");
        Ok(hello.await?.get_bool("isWritablePrimary").unwrap_or(false))
    }
}

/// Where this process lays files down for the driver, which reads authorities from files only.
static DIRECTORY: Mutex<Option<PathBuf>> = Mutex::new(None);

/// A file with these certificates. It is called after its content, in a directory of this process that nobody else enters.
pub(super) fn file_of(pem: &str) -> io::Result<PathBuf> {
    let mut directory = DIRECTORY.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = match &*directory {
        Some(there) if there.is_dir() => there.clone(),
        _ => directory.insert(own_directory()?).clone(),
    };
    let digest = Sha256::digest(pem.as_bytes());
    let name: String = digest.iter().take(16).map(|b| format!("{b:02x}")).collect();
    let path = directory.join(format!("{name}.crt"));
    if !path.exists() {
        let fresh = directory.join(format!("{name}.fresh"));
        fs::write(&fresh, pem)?;
        fs::rename(&fresh, &path)?;
    }
    Ok(path)
}

fn own_directory() -> io::Result<PathBuf> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let name = format!("millrace-{:016x}", u64::from_le_bytes(random));
    let path = std::env::temp_dir().join(name);
    // One that is there already is somebody else's, and an error.
    DirBuilder::new().mode(0o700).create(&path)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keyfile_without_white_space_is_the_password_and_is_not_shown() {
        let login = Login::of_members("hid den\n", "");
        assert_eq!(login.password, "hidden");
        assert!(!format!("{login:?}").contains("hidden"));
    }

    #[test]
    fn authorities_are_laid_down_once() {
        let (one, two) = (file_of("one").unwrap(), file_of("two").unwrap());
        assert_eq!(one, file_of("one").unwrap());
        assert_ne!(one, two);
        assert_eq!(fs::read_to_string(two).unwrap(), "two");
    }
}
