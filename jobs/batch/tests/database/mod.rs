//! A PostgreSQL of a test's own.
#![allow(dead_code)] // each test binary uses its own part

use std::process::Output;

use millrace_testkit::{PostgresPod, Volume, free_port, postgres, wait_for_port};
use tokio_postgres::{Client, NoTls};

const BIN: &str = "/usr/lib/postgresql/15/bin";

/// A server with an empty database, ended with this value.
pub struct Database {
    // Taken away before the directory in which it is mounted.
    volume: Option<Volume>,
    _pod: PostgresPod,
    port: u16,
    /// Where it is, as the superuser.
    pub uri: String,
    /// A session of the superuser.
    pub client: Client,
}

impl Database {
    /// None where PostgreSQL cannot run here.
    pub async fn new() -> Option<Self> {
        Self::started(None).await
    }

    /// The same on a volume of so many mebibytes, which can be filled.
    pub async fn on_volume(mebibytes: u32) -> Option<Self> {
        Self::started(Some(mebibytes)).await
    }

    async fn started(mebibytes: Option<u32>) -> Option<Self> {
        let root = postgres().unwrap()?;
        let mut pod = PostgresPod::new(root, &["/data", "/media"]).unwrap();
        let volume = mebibytes.map(|size| Volume::on(pod.volume("/data").unwrap(), size).unwrap());
        // PostgreSQL wants to know the name of the user that it runs as.
        let passwd = pod.volume("/media").unwrap().join("passwd");
        std::fs::write(passwd, "postgres:x:1000:1000::/tmp:/bin/sh\n").unwrap();
        pod.show("/media", "passwd", "/etc/passwd").unwrap();
        let data = "/data/pg";
        let initdb = format!("{BIN}/initdb");
        let made = pod
            .run(&[
                &initdb,
                "-D",
                data,
                "-U",
                "postgres",
                "--auth=trust",
                "--no-sync",
            ])
            .unwrap();
        assert!(made.status.success(), "{}", text(&made));
        let port = free_port().unwrap();
        let (server, number) = (format!("{BIN}/postgres"), port.to_string());
        pod.start(&[
            &server,
            "-D",
            data,
            "-p",
            &number,
            "-k",
            "/tmp",
            "-c",
            "listen_addresses=127.0.0.1",
            // A checkpoint without any room ends the server, and tests want to see it refuse.
            "-c",
            "checkpoint_timeout=1h",
        ])
        .unwrap();
        wait_for_port(port, std::time::Duration::from_secs(30)).unwrap();
        let uri = format!("postgresql://postgres@127.0.0.1:{port}/postgres");
        let client = loop {
            // It listens before it lets anybody in.
            match connect(&uri).await {
                Ok(client) => break client,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
            }
        };
        Some(Self {
            volume,
            _pod: pod,
            port,
            uri,
            client,
        })
    }

    /// Fills its volume to the last byte.
    pub async fn fill(&self) {
        // A log that needs another file ends the server. It has a new one now, of which a test writes a small part.
        for statement in [
            "SELECT pg_switch_wal()",
            "CREATE TABLE IF NOT EXISTS public.log_goes_on (n int)",
            "CHECKPOINT",
        ] {
            self.client.batch_execute(statement).await.unwrap();
        }
        self.volume.as_ref().unwrap().fill().unwrap();
    }

    /// Takes away what filled it.
    pub fn make_room(&self) {
        self.volume.as_ref().unwrap().make_room().unwrap();
    }

    /// A session of another role.
    pub async fn of(&self, role: &str) -> Client {
        let uri = format!("postgresql://{role}@127.0.0.1:{}/postgres", self.port);
        connect(&uri).await.unwrap()
    }
}

async fn connect(uri: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(uri, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// All that a program said.
pub fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
