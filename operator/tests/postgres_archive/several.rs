//! The archive of several members, and a cluster of several that begins from it.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use millrace_operator::postgres::backup::files::{BACKUPS, BINDING};
use millrace_operator::postgres::backup::{ARCHIVE_PORT, STATE_PATH};
use millrace_operator::postgres::files::{FILES, VOLUME_AT};
use millrace_operator::postgres::patroni::memory;
use millrace_operator::postgres::{ValidatedPostgres, build, wanted};
use millrace_operator::remote::pipeline::converge;
use millrace_operator::remote::postgres::{Archive, RemotePostgres, Session};
use millrace_testkit::{ApiServer, PostgresPod, own_loopback, postgres};
use serde_json::{Value, json};

use super::{beginning_as, daily, lineages, names, now, rows, run, spec};
use crate::postgres_members::{LIMIT, Members};
use crate::postgres_pod::{cluster, valid, write_as_kubelet};

/// The pod that takes in the log, and in which base backups are made too.
struct Receiver {
    pod: PostgresPod,
    address: IpAddr,
}

impl Receiver {
    fn start(root: PathBuf, net: u8, postgres: &ValidatedPostgres, primary: IpAddr) -> Self {
        let mut pod = PostgresPod::new(root, &[FILES, BACKUPS, BINDING]).unwrap();
        pod.show(FILES, "passwd", "/etc/passwd").unwrap();
        pod.show(FILES, "hosts", "/etc/hosts").unwrap();
        pod.contain();
        let mut receiver = Self {
            pod,
            address: own_loopback(net, 1).into(),
        };
        let resources = build(postgres).unwrap();
        let files: ConfigMap = resources.get("p-files").unwrap();
        let at = |path: &str| receiver.pod.volume(path).unwrap();
        for (name, text) in files.data.unwrap() {
            let bound = format!("http.server --bind {} ", receiver.address);
            let text = text.replace("http.server ", &bound);
            fs::write(at(FILES).join(name), text).unwrap();
        }
        let secret: Secret = resources.get("p-millrace-backup-binding").unwrap();
        for (key, value) in secret.data.unwrap() {
            write_as_kubelet(&at(BINDING).join(key), &value.0);
        }
        receiver.lead_to(primary);
        let script = format!("{FILES}/receive.sh");
        receiver.pod.start(&["/bin/sh", &script]).unwrap();
        receiver
    }

    /// The Service of the primary leads there.
    fn lead_to(&self, primary: IpAddr) {
        let hosts = self.pod.volume(FILES).unwrap().join("hosts");
        let text = format!("127.0.0.1 localhost\n{primary} p-primary.ns.svc\n");
        fs::write(hosts, text).unwrap();
    }

    fn backups(&self) -> &Path {
        self.pod.volume(BACKUPS).unwrap()
    }

    /// The whole segments in the archive.
    fn segments(&self) -> Vec<String> {
        let all = lineages(self.backups()).into_iter();
        let files = all.flat_map(|lineage| names(&lineage.join("wal")));
        files.filter(|name| name.len() == 27).collect()
    }

    /// Waits until the pod tells what is looked for.
    async fn until(&mut self, what: &str, is: impl Fn(&Archive) -> bool) -> Archive {
        let url = format!("http://{}:{ARCHIVE_PORT}{STATE_PATH}", self.address);
        let end = Instant::now() + LIMIT;
        loop {
            let seen = Archive::received(&url).await;
            if let Ok(archive) = &seen
                && is(archive)
            {
                return archive.clone();
            }
            let server = self.pod.server().unwrap();
            assert!(Instant::now() < end, "{what}: {seen:?}\n{}", server.tail());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

fn two(mut spec: Value) -> Value {
    spec["members"] = json!(2);
    spec["resources"] = json!({"memory": "384Mi"});
    spec
}

fn begun(mut postgres: ValidatedPostgres) -> ValidatedPostgres {
    (postgres.begun, postgres.servers) = (true, 2);
    postgres
}

/// Starts both members, the first one first.
async fn start(members: &mut Members, postgres: &ValidatedPostgres) {
    members.start(0);
    assert_eq!(members.wait_until_whole(postgres, 0).await, "p-0");
    let next = members.add(postgres);
    members.start(next);
    assert_eq!(members.wait_until_whole(postgres, 1).await, "p-0");
    let (login, wanted) = (members.superuser(postgres, 0), wanted(postgres, None));
    let remote = RemotePostgres::new(&login, &wanted);
    converge(&remote).await.unwrap();
    let failed = remote.failed();
    assert!(failed.is_empty(), "{failed:?}");
}

async fn scores(members: &Members, postgres: &ValidatedPostgres, ordinal: usize) -> Session {
    let login = members.as_role(postgres, ordinal, "score");
    login.connect("scores").await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "systems tier"]
async fn several_members_come_back_as_they_were_after_a_switchover() {
    let Some(root) = postgres().unwrap() else {
        return;
    };
    let Some(api_server) = ApiServer::start().unwrap() else {
        return;
    };
    let asked = cluster(two(spec(daily())));
    // The second time with the passwords of the first.
    let first = begun(valid(&asked, Some(&valid(&asked, None))));
    let mut members = Members::new(api_server, root.clone(), 71, &first);
    members.add(&first);
    start(&mut members, &first).await;
    let mut receiver = Receiver::start(root.clone(), 72, &first, members.address(0));
    let begun_with = receiver.until("it tells", |_| true).await;
    assert!(begun_with.bases.is_empty());
    let score = scores(&members, &first, 0).await;
    let table = "CREATE TABLE public.kept(id serial PRIMARY KEY, text text);
        INSERT INTO public.kept(text) SELECT 'before' FROM generate_series(1, 1000)";
    run(&score, table).await;
    let end = Instant::now() + LIMIT;
    // As the Job does, which is tried again.
    loop {
        let script = format!("{FILES}/backup.sh");
        let made = receiver.pod.run(&["/bin/sh", &script]).unwrap();
        if made.status.success() {
            break;
        }
        let told = String::from_utf8_lossy(&made.stderr).into_owned();
        assert!(told.contains("is not received yet"), "{told}");
        assert!(Instant::now() < end, "{told}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    receiver
        .until("it has a base backup", |seen| seen.bases.len() == 1)
        .await;
    run(&score, "INSERT INTO public.kept(text) VALUES ('on p-0')").await;

    // Another one takes over, and the archive goes on where it was.
    assert_eq!(members.wait_until_whole(&first, 1).await, "p-0");
    let api = members.api(&first);
    api.switch_over("p-0", "p-1").await.unwrap();
    assert_eq!(members.wait_until_whole(&first, 1).await, "p-1");
    receiver.lead_to(members.address(1));
    let score = scores(&members, &first, 1).await;
    run(&score, "INSERT INTO public.kept(text) VALUES ('on p-1')").await;
    let content = rows(&score).await;
    assert_eq!(content.len(), 1002);
    let target = now(&score).await;
    run(&score, "DELETE FROM public.kept WHERE id > 500").await;
    // What is in the archive is told in seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    run(&score, "INSERT INTO public.kept(text) VALUES ('later')").await;
    let admin = members.superuser(&first, 1).connect("postgres").await;
    run(&admin.unwrap(), "SELECT pg_switch_wal()").await;
    let seen = receiver
        .until("all is in the archive", |seen| {
            // What failed for long between two primaries is told until it has gone well for a while.
            seen.latest > Some(target.as_second()) && seen.failed_at.is_none()
        })
        .await;
    assert!(seen.room.is_some(), "{seen:?}");
    let lines = |line: &str| {
        let segments = receiver.segments();
        segments
            .iter()
            .filter(|name| name.starts_with(line))
            .count()
    };
    assert!(lines("00000001") > 0 && lines("00000002") > 0);
    assert_eq!(lineages(receiver.backups()).len(), 1, "nothing is missing");
    // What makes base backups gets into no database.
    let login = members.as_role(&first, 1, "millrace_backup");
    let error = login.connect("postgres").await.unwrap_err().to_string();
    assert!(error.contains("pg_hba.conf rejects"), "{error}");

    // All members are gone with their volumes, and with what Patroni remembers.
    let api_server = members.end();
    let asked = two(spec(daily()));
    let place = (root.as_path(), 73);
    let (pod, restored) = beginning_as(asked, place, receiver.backups(), Some(target));
    pod.run("restore.sh").unwrap();
    let mut restored = begun(restored);
    restored.restore = None;
    let mut members = Members::new(api_server, root, 74, &restored);
    for name in memory("p") {
        members.kubectl(&["delete", "--ignore-not-found", "configmap", &name], "");
    }
    let force = ["delete", "pods", "--all", "--force", "--grace-period=0"];
    members.kubectl(&force, "");
    members.add(&restored);
    let from = pod.pod.volume(VOLUME_AT).unwrap().join("pgdata");
    let to = members.pods[0].volume(VOLUME_AT).unwrap().join("pgdata");
    fs::rename(from, to).unwrap();
    start(&mut members, &restored).await;
    for ordinal in 0..2 {
        // The passwords are those of the new one.
        let end = Instant::now() + LIMIT;
        let login = members.as_role(&restored, ordinal, "score");
        let score = loop {
            match login.connect("scores").await {
                Ok(session) => break session,
                Err(error) => assert!(Instant::now() < end, "p-{ordinal}: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        assert_eq!(rows(&score).await, content, "p-{ordinal}");
    }
}
