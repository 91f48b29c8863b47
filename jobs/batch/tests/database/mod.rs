//! A PostgreSQL of a test's own.
#![allow(dead_code)] // each test binary uses its own part

use std::process::Output;

use millrace_testkit::{PostgresPod, free_port, postgres, wait_for_port};
use tokio_postgres::{Client, NoTls};

const BIN: &str = "/usr/lib/postgresql/15/bin";

/// A server with an empty database, ended with this value.
pub struct Database {
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
        let root = postgres().unwrap()?;
        let mut pod = PostgresPod::new(root, &["/data", "/media"]).unwrap();
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
            _pod: pod,
            port,
            uri,
            client,
        })
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
