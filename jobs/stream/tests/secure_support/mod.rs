//! A Kafka of one node with an authorizer: SASL_SSL for the jobs, and a plain listener for its administrator.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use millrace_testkit::{Server, free_port, left_out};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

const START: Duration = Duration::from_secs(90);

/// An authority that signs brokers' certificates.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "authority of the tests");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// A key and its certificate for a name, as Kafka reads them from one file.
    fn broker(&self, name: &str) -> String {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "broker");
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        format!("{}{}", key.serialize_pem(), certificate.pem())
    }
}

pub struct SecureKafka {
    directory: tempfile::TempDir,
    libs: PathBuf,
    plain: u16,
    secure: u16,
    server: Option<Server>,
}

impl SecureKafka {
    /// None, after saying why, where Kafka is not to be had.
    pub fn start(authority: &Authority) -> Option<Self> {
        let Some(libs) = std::env::var_os("MILLRACE_KAFKA_LIBS").map(PathBuf::from) else {
            left_out("a secure Kafka", "MILLRACE_KAFKA_LIBS is not set").unwrap();
            return None;
        };
        let mut kafka = Self {
            directory: tempfile::tempdir().unwrap(),
            libs,
            plain: free_port().unwrap(),
            secure: free_port().unwrap(),
            server: None,
        };
        let (plain, secure, controller) = (kafka.plain, kafka.secure, free_port().unwrap());
        let file = |name: &str| kafka.directory.path().join(name);
        std::fs::write(file("broker.pem"), authority.broker("localhost")).unwrap();
        let text = format!(
            "process.roles=broker,controller\n\
             node.id=0\n\
             controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
             controller.listener.names=CONTROLLER\n\
             inter.broker.listener.name=PLAIN\n\
             listeners=PLAIN://127.0.0.1:{plain},SECURE://127.0.0.1:{secure},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAIN://127.0.0.1:{plain},SECURE://localhost:{secure}\n\
             listener.security.protocol.map=PLAIN:PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT\n\
             listener.name.secure.sasl.enabled.mechanisms=SCRAM-SHA-512\n\
             listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
             listener.name.secure.ssl.keystore.type=PEM\n\
             listener.name.secure.ssl.keystore.location={keys}\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             super.users=User:ANONYMOUS\n\
             log.dirs={data}\n\
             auto.create.topics.enable=false\n\
             offsets.topic.replication.factor=1\n\
             offsets.topic.num.partitions=3\n\
             transaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=3\n\
             group.initial.rebalance.delay.ms=0\n\
             log.cleaner.dedupe.buffer.size=2097152\n\
             log.cleaner.io.buffer.size=65536\n",
            keys = file("broker.pem").display(),
            data = file("data").display(),
        );
        std::fs::write(file("server.properties"), text).unwrap();
        let formatted = kafka
            .java("kafka.tools.StorageTool")
            .args([
                "format",
                "--standalone",
                "--cluster-id=MillraceTestsSecure000",
                "-c",
            ])
            .arg(file("server.properties"))
            .output()
            .unwrap();
        assert!(formatted.status.success(), "{formatted:?}");
        kafka.start_again();
        Some(kafka)
    }

    pub fn start_again(&mut self) {
        self.server = None;
        let mut command = self.java("kafka.Kafka");
        command.arg(self.directory.path().join("server.properties"));
        let log = self.directory.path().join("kafka.log");
        let mut server = Server::start(&mut command, &log).unwrap();
        server.wait_for_port(self.secure, START).unwrap();
        self.server = Some(server);
    }

    /// For the administrator.
    pub fn plain(&self) -> String {
        format!("127.0.0.1:{}", self.plain)
    }

    pub fn secure(&self) -> String {
        format!("localhost:{}", self.secure)
    }

    fn java(&self, class: &str) -> Command {
        let mut command = Command::new("java");
        command
            .args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg("-Dlog4j2.level=WARN")
            .arg("-cp")
            .arg(self.libs.join("*"))
            .arg(class);
        command
    }

    fn administer(&self, class: &str, arguments: &[&str]) {
        let output = self
            .java(class)
            .args(["--bootstrap-server", &self.plain()])
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Makes a user, or gives it another password.
    pub fn user(&self, name: &str, password: &str) {
        let credential = format!("SCRAM-SHA-512=[iterations=4096,password={password}]");
        let arguments = [
            "--alter",
            "--add-config",
            &credential,
            "--entity-type",
            "users",
            "--entity-name",
            name,
        ];
        self.administer("kafka.admin.ConfigCommand", &arguments);
    }

    /// Lets a user do this with what `resource` names, for example `["--topic", "alerts"]`.
    pub fn allow(&self, name: &str, operation: &str, resource: &[&str]) {
        let principal = format!("User:{name}");
        let mut arguments = vec![
            "--add",
            "--allow-principal",
            &principal,
            "--operation",
            operation,
        ];
        arguments.extend(resource);
        self.administer("org.apache.kafka.tools.AclCommand", &arguments);
    }

    /// Writes the binding of a user below `root`; what is there is replaced.
    pub fn bind(&self, root: &Path, name: &str, password: &str, authority: &Authority) {
        let folder = root.join("kafka");
        std::fs::create_dir_all(&folder).unwrap();
        for (key, value) in [
            ("type", "kafka"),
            ("bootstrap-servers", &self.secure()),
            ("security-protocol", "SASL_SSL"),
            ("sasl-mechanism", "SCRAM-SHA-512"),
            ("username", name),
            ("password", password),
            ("certificates", &authority.pem),
        ] {
            // As a whole, so that nobody reads half of it.
            let new = folder.join(format!(".{key}"));
            std::fs::write(&new, value).unwrap();
            std::fs::rename(new, folder.join(key)).unwrap();
        }
    }
}
