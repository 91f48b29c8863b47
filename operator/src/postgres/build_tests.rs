use super::super::validate::tests::{serving, valid};
use super::*;
use crate::pki::{Authority, Issued};
use crate::reconcile::passwords::Password;
use serde_json::json;

/// With secrets that are the same each time.
fn fixed() -> ValidatedPostgres {
    let mut postgres = valid(serving());
    postgres.superuser = "superuser-password".into();
    postgres.certificates.authority = Authority {
        certificate: "authority".into(),
        key: "authority-key".into(),
    };
    postgres.certificates.trusted = "authority".into();
    postgres.certificates.server = Issued {
        certificate: "server".into(),
        key: "server-key".into(),
    };
    for role in &mut postgres.roles {
        if let Some(password) = &mut role.password {
            *password = Password {
                text: format!("{}-password", role.role.name),
                rotated_for: Some("1".into()),
                is_kept: true,
            };
        }
    }
    postgres
}

#[test]
fn the_objects_of_a_cluster() {
    insta::assert_snapshot!(build(&fixed()).unwrap().to_yaml().unwrap());
}

#[test]
fn a_server_with_backups_and_what_makes_them() {
    let mut postgres = valid(json!({"backup": {"schedule": "30 1 * * *", "keepDays": 30}}));
    let resources = build(&postgres).unwrap();
    let set = resources.get::<StatefulSet>("p").unwrap();
    let pod = set.spec.unwrap().template.spec.unwrap();
    let mounts = pod.containers[0].volume_mounts.as_ref().unwrap();
    let mount = |at: &str| mounts.iter().find(|mount| mount.mount_path == at);
    assert!(mount("/backups").is_some());
    let cron_job = resources.get::<CronJob>("p-backup").unwrap();
    insta::assert_snapshot!(serde_yaml_ng::to_string(&cron_job).unwrap());
    let files = |postgres: &ValidatedPostgres| {
        let files = build(postgres).unwrap().get::<ConfigMap>("p-files");
        files.unwrap().data.unwrap()
    };
    let with = files(&postgres);
    assert!(with["postgresql.conf"].contains("archive_timeout = '300s'"));
    assert!(
        with["pg_hba.conf"].starts_with("host     all          millrace_backup  all  reject\n")
    );
    // The first one does not wait for the schedule.
    let first = |postgres: &ValidatedPostgres| {
        let yaml = build(postgres).unwrap().to_yaml().unwrap();
        yaml.contains("name: p-backup-first-")
    };
    assert!(!first(&postgres));
    postgres.lacks_base = true;
    assert!(first(&postgres));
    // Without it nobody is restarted for what could be.
    postgres.backup = None;
    let without = files(&postgres);
    for text in without.values() {
        assert!(
            !text.contains("archive")
                && !text.contains("lineage")
                && !text.contains("millrace_backup")
        );
    }
}

#[test]
fn a_cluster_that_is_restored_has_a_job_in_the_place_of_a_server() {
    let restore = |time: &str| {
        let from = json!({"from": {"cluster": "q"}, "targetTime": time});
        let spec = json!({"backup": {"schedule": "@daily"}, "bootstrap": {"restore": from}});
        build(&valid(spec)).unwrap()
    };
    let one = restore("2026-03-01T09:30:00Z");
    assert!(one.get::<StatefulSet>("p").is_none() && one.get::<CronJob>("p-backup").is_none());
    let job = |resources: &Resources<Prepared>| {
        let yaml = resources.to_yaml().unwrap();
        let name = yaml.split("name: p-restore-").nth(1).unwrap();
        resources
            .get::<Job>(&format!("p-restore-{}", &name[..8]))
            .unwrap()
    };
    let first = job(&one);
    let mut shown = first.clone();
    shown.metadata.name = None;
    insta::assert_snapshot!(serde_yaml_ng::to_string(&shown).unwrap());
    let other = job(&restore("2026-03-01T09:31:00Z"));
    assert_ne!(other.metadata.name, first.metadata.name);
}

#[test]
fn a_password_is_in_no_secret_before_the_server_knows_it() {
    let mut postgres = fixed();
    let secret = |postgres: &ValidatedPostgres| {
        let resources = build(postgres).unwrap();
        resources.get::<Secret>("p-ann-b-binding")
    };
    assert!(secret(&postgres).is_some());
    postgres.roles[2].password.as_mut().unwrap().is_kept = false;
    assert!(secret(&postgres).is_none());
}

#[test]
fn another_certificate_restarts_nobody_and_another_superuser_does() {
    let config = |postgres: &ValidatedPostgres| {
        let resources = build(postgres).unwrap();
        let set = resources.get::<StatefulSet>("p").unwrap();
        let template = set.spec.unwrap().template.metadata.unwrap();
        template.annotations.unwrap()[crate::reconcile::restarts::CONFIG].clone()
    };
    let postgres = fixed();
    let mut other = fixed();
    other.certificates.server.certificate = "next".into();
    assert_eq!(config(&postgres), config(&other));
    other.superuser = "next".into();
    assert_ne!(config(&postgres), config(&other));
}
