//! The objects of a replica set. Pure.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Secret, Service, ServiceSpec};

use super::files::{self, CERTIFICATE, DATA, FILES, KEYFILE};
use super::{addresses, backup, keyfile_name, nodes_name};
use crate::mongo::build::{PORT_NAME, VOLUME};
use crate::mongo::validate::{MEMORY, ValidatedMongo, ValidatedUser};
use crate::mongo::{COMPONENT, PORT, user_binding_name};
use crate::pods::{self, Servers};
use crate::reconcile::certificates::{authority_name, certificate_name};
use crate::reconcile::passwords::ROTATED_FOR;
use crate::reconcile::{Error, Prepared, Resources, fingerprint, storage};

/// A member hands over, and lets its clients go, before it ends.
const GRACE_SECONDS: i64 = 120;

/// All objects of a replica set. The Secret of a user whose password MongoDB was not told yet is not among them.
///
/// # Errors
/// An object cannot be written as JSON, or overrides are not in the form of a pod template.
pub(in crate::mongo) fn build(mongo: &ValidatedMongo) -> Result<Resources<Prepared>, Error> {
    let owner = &mongo.owner;
    let files = files::files(mongo);
    // What makes dumps is read by the next one.
    let of_members: BTreeMap<_, _> = files
        .iter()
        .filter(|(name, _)| *name != "dump.sh")
        .collect();
    let config = fingerprint(&(&of_members, &mongo.keyfile));
    let mut resources = Resources::new();
    resources.add(&ConfigMap {
        metadata: owner.meta(files_name(mongo), COMPONENT),
        data: Some(files),
        ..ConfigMap::default()
    })?;
    for (name, data) in secrets(mongo) {
        resources.add(&Secret {
            metadata: owner.meta(name, COMPONENT),
            type_: Some("Opaque".into()),
            data: Some(data),
            ..Secret::default()
        })?;
    }
    for user in &mongo.users {
        if let Some(secret) = binding(mongo, user) {
            resources.add(&secret)?;
        }
    }
    let port = || vec![pods::service_port(PORT_NAME, PORT)];
    resources.add(&pods::names_of_pods(
        owner.meta(nodes_name(&owner.name), COMPONENT),
        owner.selector(COMPONENT),
        port(),
    ))?;
    resources.add(&Service {
        metadata: owner.meta(mongo.service(), COMPONENT),
        spec: Some(ServiceSpec {
            selector: Some(owner.selector(COMPONENT)),
            ports: Some(port()),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    })?;
    resources.add(&pods::disruption_budget(
        owner.meta(owner.name.clone(), COMPONENT),
        owner.selector(COMPONENT),
        1,
    ))?;
    if let Some(wanted) = &mongo.backup {
        resources.add(&backup::cron_job(mongo, wanted)?)?;
    }
    resources.add(&stateful_set(mongo, config)?)?;
    Ok(resources)
}

pub(super) fn files_name(mongo: &ValidatedMongo) -> String {
    format!("{}-files", mongo.owner.name)
}

/// The command that runs one of the files.
pub(super) fn script(name: &str) -> Vec<String> {
    vec!["/bin/sh".into(), format!("{FILES}/{name}")]
}

fn secrets(mongo: &ValidatedMongo) -> [(String, BTreeMap<String, ByteString>); 3] {
    let name = &mongo.owner.name;
    let certificates = &mongo.certificates;
    let mut shown = certificates.server_data();
    // MongoDB wants both in one file.
    let issued = &certificates.server;
    let pem = format!("{}{}", issued.certificate, issued.key);
    shown.extend(pods::secret_data([("tls.pem", pem)]));
    let keyfile = pods::secret_data([("keyfile", mongo.keyfile.clone())]);
    [
        (authority_name(name), certificates.authority_data()),
        (certificate_name(name), shown),
        (keyfile_name(name), keyfile),
    ]
}

/// Connection details of a user (Service Binding), which are also the memory of what MongoDB was told.
fn binding(mongo: &ValidatedMongo, user: &ValidatedUser) -> Option<Secret> {
    let password = Some(&user.password).filter(|password| password.is_kept)?;
    let owner = &mongo.owner;
    let (name, text) = (&user.name, &password.text);
    let (set, database) = (&owner.name, &user.database);
    let hosts = addresses(mongo).join(",");
    let trusted = &mongo.certificates.trusted;
    // Names and passwords of ours need no escapes in a URI.
    let uri = format!(
        "mongodb://{name}:{text}@{hosts}/{database}?replicaSet={set}&authSource=admin&authMechanism=SCRAM-SHA-256&tls=true"
    );
    let mut data = pods::secret_data([
        ("type", "mongodb".to_owned()),
        ("provider", "millrace".to_owned()),
        ("uri", uri),
        ("host", mongo.host()),
        ("port", PORT.to_string()),
        ("username", name.clone()),
        ("password", text.clone()),
        ("authSource", "admin".to_owned()),
        ("replicaSet", set.clone()),
        ("database", database.clone()),
        ("ca.crt", trusted.clone()),
        // The name of the specification for the same.
        ("certificates", trusted.clone()),
    ]);
    if let Some(asked) = &password.rotated_for {
        data.extend(pods::secret_data([(ROTATED_FOR, asked.clone())]));
    }
    Some(Secret {
        metadata: owner.meta(user_binding_name(&owner.name, name), COMPONENT),
        type_: Some("servicebinding.io/mongodb".into()),
        data: Some(data),
        ..Secret::default()
    })
}

fn stateful_set(mongo: &ValidatedMongo, config: String) -> Result<StatefulSet, Error> {
    let owner = &mongo.owner;
    let container = Container {
        name: "mongo".into(),
        image: Some(mongo.image.clone()),
        command: Some(script("start.sh")),
        ports: Some(vec![pods::port(PORT_NAME, PORT)]),
        resources: Some(pods::resources(Some(&mongo.resources), MEMORY, "100m")),
        // It listens when it has recovered. Whether it is a member that serves, the operator asks itself: it must be there
        // to become one.
        readiness_probe: Some(pods::tcp_probe(PORT, 3, 3)),
        // The last line of the log says what is wrong with a setting.
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(vec![
            pods::mount(VOLUME, DATA),
            pods::read_only_mount("files", FILES),
            pods::read_only_mount("certificate", CERTIFICATE),
            pods::read_only_mount("keyfile", KEYFILE),
        ]),
        ..Container::default()
    };
    let volumes = vec![
        pods::config_volume("files", &files_name(mongo)),
        pods::secret_volume("certificate", &certificate_name(&owner.name)),
        pods::secret_volume("keyfile", &keyfile_name(&owner.name)),
    ];
    let mut pod = pods::pod(container, volumes, GRACE_SECONDS);
    pods::spread(&mut pod, owner.selector(COMPONENT));
    let claim = storage::template(owner, COMPONENT, VOLUME, &mongo.storage);
    let operation = &mongo.operation;
    Ok(pods::stateful_set(Servers {
        metadata: owner.meta(owner.name.clone(), COMPONENT),
        replicas: operation.replicas(mongo.servers()),
        service_name: nodes_name(&owner.name),
        selector: owner.selector(COMPONENT),
        labels: owner.labels(COMPONENT),
        config,
        annotations: BTreeMap::new(),
        pod,
        overrides: vec![("spec.podOverrides", &operation.pod_overrides)],
        live_claims: mongo.live_template.as_slice(),
        claims: vec![claim],
        deletion_policy: mongo.deletion_policy,
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mongo::validate::tests::valid;
    use crate::pki::{Authority, Issued};
    use crate::reconcile::passwords::Password;
    use serde_json::json;

    /// With secrets that are the same each time.
    fn fixed() -> ValidatedMongo {
        let spec = json!({"engine": "mongodb", "members": 3, "backup": {"schedule": "30 2 * * *"},
            "users": [{"name": "ann", "roles": [{"database": "millrace", "role": "read"}]}]});
        let mut mongo = valid(spec).unwrap();
        mongo.keyfile = "keyfile".into();
        mongo.certificates.authority = Authority {
            certificate: "authority".into(),
            key: "authority-key".into(),
        };
        mongo.certificates.trusted = "authority".into();
        mongo.certificates.server = Issued {
            certificate: "server\n".into(),
            key: "server-key\n".into(),
        };
        for user in &mut mongo.users {
            user.password = Password {
                text: format!("{}-password", user.name),
                rotated_for: Some("1".into()),
                is_kept: true,
            };
        }
        mongo
    }

    #[test]
    fn the_objects_of_a_replica_set() {
        insta::assert_snapshot!(build(&fixed()).unwrap().to_yaml().unwrap());
    }

    #[test]
    fn a_password_is_in_no_secret_before_the_set_knows_it() {
        let mut mongo = fixed();
        let secret = |mongo: &ValidatedMongo| build(mongo).unwrap().get::<Secret>("m-binding");
        assert!(secret(&mongo).is_some());
        mongo.users[0].password.is_kept = false;
        assert!(secret(&mongo).is_none());
    }

    #[test]
    fn a_member_that_is_to_go_keeps_its_pod_until_it_has_left_the_set() {
        let replicas = |mongo: &ValidatedMongo| {
            let set = build(mongo).unwrap().get::<StatefulSet>("m").unwrap();
            set.spec.unwrap().replicas
        };
        let mut mongo = fixed();
        assert_eq!(replicas(&mongo), Some(3));
        mongo.held = 5;
        assert_eq!(replicas(&mongo), Some(5));
        mongo.operation.stopped = true;
        assert_eq!(replicas(&mongo), Some(0));
    }

    #[test]
    fn another_certificate_restarts_nobody_and_another_keyfile_does() {
        let config = |mongo: &ValidatedMongo| {
            let set = build(mongo).unwrap().get::<StatefulSet>("m").unwrap();
            let template = set.spec.unwrap().template.metadata.unwrap();
            template.annotations.unwrap()[crate::reconcile::restarts::CONFIG].clone()
        };
        let mongo = fixed();
        let mut other = fixed();
        other.certificates.server.certificate = "next".into();
        other.backup = None;
        assert_eq!(config(&mongo), config(&other));
        other.keyfile = "next".into();
        assert_ne!(config(&mongo), config(&other));
    }
}
