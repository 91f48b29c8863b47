//! What a binding of MongoDB, or of another server of its wire protocol, says, and what a client is made of by it.
//!
//! A job has the binding as a folder, an action as parameters: that both find the same documents, they read it here. Pure:
//! how an address is parsed and which client is made is left to whoever asks.

use std::path::PathBuf;
use std::time::Duration;

use mongodb::options::{ClientOptions, Credential, Tls, TlsOptions, WriteConcern};

/// The port where a binding with `host` names none.
const PORT: &str = "27017";
/// The database where nobody names one.
const DATABASE: &str = "millrace";

/// The entries of a binding of type `mongodb`. It has no `Debug`: they hold passwords.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct MongoBinding {
    uri: Option<String>,
    host: Option<String>,
    port: Option<String>,
    username: Option<String>,
    password: Option<String>,
    auth_source: Option<String>,
    database: Option<String>,
    authority: Option<String>,
}

impl MongoBinding {
    /// Reads the entries, each by its name in the binding, without surrounding white space. One that is empty counts as
    /// absent.
    #[must_use]
    pub fn read<'a>(entry: impl Fn(&str) -> Option<&'a str>) -> Self {
        let of = |name: &str| {
            let value = entry(name).map(str::trim).filter(|value| !value.is_empty());
            value.map(str::to_owned)
        };
        Self {
            uri: of("uri"),
            host: of("host"),
            port: of("port"),
            username: of("username"),
            password: of("password"),
            auth_source: of("authSource"),
            database: of("database"),
            authority: of("ca.crt"),
        }
    }

    /// The address, `mongodb://…`: `uri`, else of `host` and `port`; none where it has neither `uri` nor `host`.
    #[must_use]
    pub fn address(&self) -> Option<String> {
        let by_host = || {
            let host = self.host.as_ref()?;
            let port = self.port.as_deref().unwrap_or(PORT);
            Some(format!("mongodb://{host}:{port}"))
        };
        self.uri.clone().or_else(by_host)
    }

    /// Certificates (PEM) of the authorities to trust, in place of Mozilla's.
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// Makes what came out of an address the options of a client of this name, which logs in as the binding says and finds a
    /// server within `patience`. `authority` is a file with certificates (PEM) to trust: the driver takes them from one alone.
    pub fn complete(
        &self,
        options: &mut ClientOptions,
        client: &str,
        patience: Duration,
        authority: Option<PathBuf>,
    ) {
        options.app_name = Some(client.to_owned());
        options.server_selection_timeout = Some(patience);
        options.connect_timeout = Some(patience);
        // What is told as written survives the loss of a member.
        let majority = WriteConcern::majority();
        options.write_concern.get_or_insert(majority);
        if let Some(username) = &self.username {
            let credential = Credential::builder()
                .username(username.clone())
                .password(self.password.clone())
                .source(self.auth_source.clone())
                .build();
            options.credential = Some(credential);
        }
        if let Some(file) = authority {
            let tls = TlsOptions::builder().ca_file_path(file).build();
            options.tls = Some(Tls::Enabled(tls));
        }
    }

    /// The database of documents: the one that somebody asks for by name, else the binding's, else that of the address, else
    /// `millrace`. `options` are those that came out of the address.
    #[must_use]
    pub fn database(&self, asked: Option<&str>, options: &ClientOptions) -> String {
        let named = asked
            .or(self.database.as_deref())
            .or(options.default_database.as_deref());
        named.unwrap_or(DATABASE).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(entries: &[(&str, &'static str)]) -> MongoBinding {
        MongoBinding::read(|name| {
            let mut entries = entries.iter();
            entries.find(|(key, _)| *key == name).map(|(_, text)| *text)
        })
    }

    #[test]
    fn an_address_is_given_as_such_or_by_its_host() {
        let address = |entries: &[(&str, &'static str)]| binding(entries).address();
        assert_eq!(address(&[("username", "jobs"), ("uri", " \n")]), None);
        assert_eq!(
            address(&[("host", "m\n")]).as_deref(),
            Some("mongodb://m:27017")
        );
        assert_eq!(
            address(&[("host", "m"), ("port", "7\n")]).as_deref(),
            Some("mongodb://m:7")
        );
        assert_eq!(
            address(&[("host", "m"), ("uri", "mongodb://n/fleet\n")]).as_deref(),
            Some("mongodb://n/fleet")
        );
    }

    #[test]
    fn who_asks_for_a_database_gets_it_before_binding_and_address() {
        let mut options = ClientOptions::builder().build();
        let named = binding(&[("database", "fleet\n")]);
        let nameless = binding(&[]);
        assert_eq!(nameless.database(None, &options), "millrace");
        options.default_database = Some("of-the-address".to_owned());
        assert_eq!(nameless.database(None, &options), "of-the-address");
        assert_eq!(named.database(None, &options), "fleet");
        assert_eq!(named.database(Some("own"), &options), "own");
    }

    #[test]
    fn a_client_logs_in_as_the_binding_says() {
        let complete = |entries: &[(&str, &'static str)], authority| {
            let mut options = ClientOptions::builder().build();
            let binding = binding(entries);
            binding.complete(&mut options, "test", Duration::from_secs(1), authority);
            options
        };
        let anonymous = complete(&[], None);
        assert!(anonymous.credential.is_none() && anonymous.tls.is_none());
        assert!(anonymous.write_concern.is_some());
        let entries = [
            ("username", "jobs\n"),
            ("password", "hidden\n"),
            ("authSource", "people"),
        ];
        let known = complete(&entries, Some(PathBuf::from("/ca.crt")));
        let credential = known.credential.unwrap();
        assert_eq!(credential.username.as_deref(), Some("jobs"));
        assert_eq!(credential.password.as_deref(), Some("hidden"));
        assert_eq!(credential.source.as_deref(), Some("people"));
        assert!(matches!(known.tls, Some(Tls::Enabled(_))));
    }
}
