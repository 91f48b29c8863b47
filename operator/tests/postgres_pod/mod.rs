//! The pod of a PostgresCluster as a process: the files that are built for it, run by the real PostgreSQL.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fs;
use std::net::{IpAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use millrace_operator::context::Images;
use millrace_operator::postgres::backup::files::{BACKUPS, BINDING};
use millrace_operator::postgres::crd::PostgresCluster;
use millrace_operator::postgres::files::{CERTIFICATE, FILES, SUPERUSER, VOLUME_AT};
use millrace_operator::postgres::validate::validate;
use millrace_operator::postgres::{Found, ValidatedPostgres, build};
use millrace_operator::reconcile::secrets::Found as FoundSecret;
use millrace_operator::remote::postgres::{Login, PostgresError, Session};
use millrace_testkit::{PostgresPod, own_loopback};
use serde_json::{Value, json};

pub const LIMIT: Duration = Duration::from_secs(60);

pub fn cluster(spec: Value) -> PostgresCluster {
    serde_json::from_value(json!({
        "apiVersion": "millrace.dev/v1alpha1", "kind": "PostgresCluster",
        "metadata": {"name": "p", "namespace": "ns", "uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
        "spec": spec,
    }))
    .unwrap()
}

/// The cluster, with what a former look has made: the superuser, the certificates and the passwords of roles.
pub fn valid(cluster: &PostgresCluster, former: Option<&ValidatedPostgres>) -> ValidatedPostgres {
    let images = Images::named(str::to_owned);
    let mut found = Found::default();
    if let Some(former) = former {
        let entry = |text: &str| ByteString(text.as_bytes().to_vec());
        let data = |name: &str| {
            let secret = build(former).unwrap().get::<Secret>(name);
            secret.and_then(|secret| secret.data).unwrap_or_default()
        };
        found.superuser = FoundSecret::Ours(data("p-superuser"));
        found.authority = data("p-ca");
        found.certificate = data("p-certificate");
        found.patroni = FoundSecret::Ours(data("p-patroni"));
        for role in &former.roles {
            if let Some(password) = &role.password {
                let kept = [("password".to_owned(), entry(&password.text))];
                let kept = FoundSecret::Ours(kept.into());
                found.roles.insert(role.role.name.clone(), kept);
            }
        }
    }
    validate(cluster, &found, &images, jiff::Timestamp::now()).unwrap()
}

pub struct Pod {
    pub pod: PostgresPod,
    address: IpAddr,
}

impl Pod {
    pub fn new(root: std::path::PathBuf, net: u8) -> Self {
        let volumes = [VOLUME_AT, FILES, CERTIFICATE, SUPERUSER, BACKUPS, BINDING];
        let mut pod = PostgresPod::new(root, &volumes).unwrap();
        pod.show(FILES, "passwd", "/etc/passwd").unwrap();
        Self {
            pod,
            address: own_loopback(net, 1).into(),
        }
    }

    /// What the kubelet mounts.
    pub fn mount(&self, postgres: &ValidatedPostgres) {
        let resources = build(postgres).unwrap();
        let files: ConfigMap = resources.get("p-files").unwrap();
        let at = |path: &str| self.pod.volume(path).unwrap();
        for (name, text) in files.data.unwrap() {
            // Ports cannot be chosen, so that each server of a test listens on an address of its own.
            let address = format!("listen_addresses = '{}'", self.address);
            let text = text.replace("listen_addresses = '*'", &address);
            fs::write(at(FILES).join(name), text).unwrap();
        }
        for (name, path) in [
            ("p-certificate", CERTIFICATE),
            ("p-superuser", SUPERUSER),
            ("p-millrace-backup-binding", BINDING),
        ] {
            // The last one is there with backups only, and once the server knows its password.
            let Some(secret) = resources.get::<Secret>(name) else {
                assert_eq!(path, BINDING);
                continue;
            };
            for (key, value) in secret.data.unwrap() {
                write_as_kubelet(&at(path).join(key), &value.0);
            }
        }
    }

    pub fn start(&mut self) {
        self.pod
            .start(&["/bin/sh", &format!("{FILES}/start.sh")])
            .unwrap();
    }

    pub fn script(&self, name: &str) -> bool {
        self.run(name).is_ok()
    }

    /// Runs a script to its end; gives what it said when it failed.
    pub fn run(&self, name: &str) -> Result<(), String> {
        let script = format!("{FILES}/{name}");
        // Names of Services lead nowhere here.
        let address = format!("PGHOSTADDR={}", self.address);
        let program = ["/usr/bin/env", &address, "/bin/sh", &script];
        let output = self.pod.run(&program).unwrap();
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    pub fn wait_until_ready(&mut self) {
        let end = Instant::now() + LIMIT;
        while !self.script("ready.sh") {
            let server = self.pod.server().unwrap();
            assert!(!server.has_ended(), "it ended: {}", server.tail());
            assert!(Instant::now() < end, "it is not ready: {}", server.tail());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until the server has ended; gives how long that took.
    pub fn wait_until_ended(&mut self) -> Duration {
        let began = Instant::now();
        let server = self.pod.server().unwrap();
        while !server.has_ended() {
            assert!(began.elapsed() < LIMIT, "it runs on: {}", server.tail());
            std::thread::sleep(Duration::from_millis(50));
        }
        began.elapsed()
    }

    pub fn login(&self, postgres: &ValidatedPostgres, user: &str, password: &str) -> Login {
        Login {
            host: postgres.host(),
            address: Some(self.address),
            port: 5432,
            user: user.into(),
            password: password.into(),
            authorities: postgres.certificates.authority.certificate.clone(),
        }
    }

    pub fn superuser(&self, postgres: &ValidatedPostgres) -> Login {
        self.login(postgres, "postgres", &postgres.superuser)
    }

    pub async fn session(
        &self,
        postgres: &ValidatedPostgres,
        role: &str,
    ) -> Result<Session, PostgresError> {
        let mut roles = postgres.roles.iter();
        let found = roles.find(|one| one.role.name == role).unwrap();
        let password = &found.password.as_ref().unwrap().text;
        self.login(postgres, role, password)
            .connect(&found.database)
            .await
    }

    /// Whether the server lets somebody in who speaks no TLS.
    pub fn lets_in_without_tls(&self) -> bool {
        use std::io::{Read as _, Write as _};
        let mut stream = TcpStream::connect((self.address, 5432)).unwrap();
        let parameters = b"user\0postgres\0database\0postgres\0\0";
        let mut message = Vec::new();
        message.extend(u32::try_from(8 + parameters.len()).unwrap().to_be_bytes());
        message.extend(196_608_u32.to_be_bytes());
        message.extend(parameters);
        stream.write_all(&message).unwrap();
        let mut kind = [0];
        stream.read_exact(&mut kind).unwrap();
        kind != *b"E"
    }
}

/// As Kubernetes does: root's, for the group of the pod to read.
pub fn write_as_kubelet(path: &Path, content: &[u8]) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, content).unwrap();
    std::os::unix::fs::chown(path, Some(0), Some(1000)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o440)).unwrap();
}
