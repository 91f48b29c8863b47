//! What every stream job takes: a configuration file, service bindings and Kafka.

use std::net::SocketAddr;
use std::path::PathBuf;

pub use millrace_settings::{
    Binding, Bindings, DEFAULT_CONFIG, LakeArgs, Secret, SettingsError, read_config,
};
use serde::de::DeserializeOwned;

use crate::connect::Access;

const SERVERS: &str = "bootstrap-servers";

/// Flags that every job takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// Configuration file of the job, YAML; /etc/millrace/config.yaml is read when it exists
    #[arg(long, env = "MILLRACE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of service bindings: one sub-folder each, with files type, host, password, …
    #[arg(long, env = "SERVICE_BINDING_ROOT", value_name = "DIR")]
    pub service_binding_root: Option<PathBuf>,
    /// Kafka's bootstrap servers, host:port[,host:port…]; else those of the binding of type kafka
    #[arg(long, env = "MILLRACE_BOOTSTRAP_SERVERS", value_name = "HOST:PORT")]
    pub bootstrap_servers: Option<String>,
    /// Where /healthz, /readyz and /metrics are served
    #[arg(
        long,
        env = "MILLRACE_METRICS",
        default_value = "0.0.0.0:9090",
        value_name = "ADDR"
    )]
    pub metrics: SocketAddr,
}

impl Common {
    /// Reads the job's configuration file, or takes the defaults when there is none.
    ///
    /// # Errors
    /// When the named file cannot be read, or it holds an unknown field or a wrong type.
    pub fn load_config<T: DeserializeOwned + Default>(&self) -> Result<T, SettingsError> {
        match self.config_file() {
            Some(path) => read_config(&path),
            None => Ok(T::default()),
        }
    }

    /// The configuration file in use: the named one, or the default one when it exists.
    #[must_use]
    pub fn config_file(&self) -> Option<PathBuf> {
        millrace_settings::config_file(self.config.as_deref())
    }

    /// Reads all bindings under the binding root.
    ///
    /// # Errors
    /// When a binding's file cannot be read.
    pub fn bindings(&self) -> Result<Bindings, SettingsError> {
        match &self.service_binding_root {
            Some(root) => Bindings::read(root),
            None => Ok(Bindings::default()),
        }
    }

    /// Where Kafka is and how to log in: the binding of type `kafka`, the address by flag or environment where given.
    ///
    /// # Errors
    /// When nothing gives the address, or the binding's keys are missing, unusable or contradict each other.
    pub fn kafka(&self, bindings: &Bindings) -> Result<Access, SettingsError> {
        let given = self.bootstrap_servers.clone();
        match (bindings.of_type("kafka"), given) {
            (Some(binding), given) if given.is_some() || binding.get(SERVERS).is_some() => {
                Access::bound(binding, given)
            }
            (_, Some(servers)) => Ok(Access::from(&servers)),
            (_, None) => Err(no_servers()),
        }
    }
}

fn no_servers() -> SettingsError {
    SettingsError::Missing {
            name: SERVERS.to_owned(),
            cure: "give --bootstrap-servers HOST:PORT, MILLRACE_BOOTSTRAP_SERVERS or a binding of type kafka \
                   with the entry bootstrap-servers under SERVICE_BINDING_ROOT"
                .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Example {
        group: String,
    }

    fn common(root: Option<PathBuf>, config: Option<PathBuf>) -> Common {
        Common {
            config,
            service_binding_root: root,
            bootstrap_servers: None,
            metrics: SocketAddr::from(([127, 0, 0, 1], 0)),
        }
    }

    #[test]
    fn a_binding_gives_the_servers_and_hides_its_values() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("kafka");
        std::fs::create_dir_all(folder.join("..other")).unwrap();
        std::fs::write(folder.join("type"), "kafka\n").unwrap();
        std::fs::write(folder.join("bootstrap-servers"), "k:9092\n").unwrap();
        std::fs::write(folder.join("password"), "hunter2").unwrap();
        std::fs::write(folder.join("keystore.p12"), [0x30, 0x82, 0xff]).unwrap();
        let common = common(Some(dir.path().to_path_buf()), None);
        let bindings = common.bindings().unwrap();
        assert!(!format!("{bindings:?}").contains("hunter2"));
        // Given without a protocol that uses it.
        let kafka = |common: &Common| common.kafka(&bindings).map(|a| a.login());
        let e = kafka(&common).unwrap_err().to_string();
        assert!(e.contains("password") && !e.contains("hunter2"), "{e}");
        std::fs::remove_file(folder.join("password")).unwrap();
        let bindings = common.bindings().unwrap();
        let login = |common: &Common| common.kafka(&bindings).unwrap().login().bootstrap.clone();
        assert_eq!(login(&common), "k:9092");
        let mut named = common.clone();
        named.bootstrap_servers = Some("other:9092".to_owned());
        assert_eq!(login(&named), "other:9092");
        assert_eq!(bindings.named("kafka").unwrap().folder(), folder);
        let missing = bindings
            .named("kafka")
            .unwrap()
            .require("uri")
            .unwrap_err()
            .to_string();
        assert!(
            missing.contains("kafka") && missing.contains("uri"),
            "{missing}"
        );
    }

    #[test]
    fn missing_servers_name_the_cure() {
        let e = common(None, None)
            .kafka(&Bindings::default())
            .unwrap_err()
            .to_string();
        assert!(e.contains("--bootstrap-servers"), "{e}");
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.yaml");
        std::fs::write(&file, "grup: x\n").unwrap();
        let e = common(None, Some(file.clone()))
            .load_config::<Example>()
            .unwrap_err()
            .to_string();
        assert!(e.contains("grup"), "{e}");
        std::fs::write(&file, "\n").unwrap();
        assert_eq!(
            common(None, Some(file)).load_config::<Example>().unwrap(),
            Example::default()
        );
    }
}
