//! The files of an HDFS with one server of each kind, by WebHDFS and by way of the kubelet: as the user who may do everything, so
//! that nothing is left out.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use reqwest::{Method, Response, redirect};
use serde_json::Value;

use crate::cluster_support::forward;

const USER: &str = "user.name=hdfs";
/// A connection through the kubelet may break off.
const ATTEMPTS: u32 = 5;

/// The way to it.
pub struct Hdfs {
    names: SocketAddr,
    data: SocketAddr,
    client: reqwest::Client,
}

impl Hdfs {
    /// Of the HdfsCluster with this name.
    pub async fn open(pods: &Api<Pod>, cluster: &str) -> Self {
        let names = forward(pods.clone(), format!("{cluster}-namenode-0"), 9870).await;
        let data = forward(pods.clone(), format!("{cluster}-datanode-0"), 9864).await;
        // A NameNode says where a DataNode is, by a name that is known inside only.
        let client = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .timeout(Duration::from_secs(60))
            .build()
            .unwrap();
        Self {
            names,
            data,
            client,
        }
    }

    async fn send(&self, method: &Method, url: &str, body: &[u8]) -> Response {
        let mut attempt = 1;
        loop {
            let request = self.client.request(method.clone(), url);
            let told = match request.body(body.to_vec()).send().await {
                Ok(answer) if !answer.status().is_server_error() => return answer,
                Ok(answer) => answer.status().to_string(),
                Err(error) => error.to_string(),
            };
            assert!(attempt < ATTEMPTS, "{url}: {told}");
            attempt += 1;
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }

    async fn ask(&self, method: &Method, path: &str, query: &str) -> Response {
        let url = format!("http://{}/webhdfs/v1{path}?{query}&{USER}", self.names);
        self.send(method, &url, &[]).await
    }

    /// What a DataNode answers, where the NameNode leads to one.
    async fn at_data(&self, method: &Method, path: &str, query: &str, body: &[u8]) -> Response {
        let led = self.ask(method, path, query).await;
        let place = led.headers().get(reqwest::header::LOCATION);
        let place = place.unwrap_or_else(|| panic!("{path}: {}", led.status()));
        let place = place.to_str().unwrap().strip_prefix("http://").unwrap();
        let (_, rest) = place.split_once('/').unwrap();
        let url = format!("http://{}/{rest}", self.data);
        self.send(method, &url, body).await
    }

    /// The paths of all files.
    pub async fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let path = if folder.is_empty() { "/" } else { &folder };
            let answer = self.ask(&Method::GET, path, "op=LISTSTATUS").await;
            let text = answer.text().await.unwrap();
            let listed: Value = serde_json::from_str(&text).unwrap();
            let entries = listed["FileStatuses"]["FileStatus"].as_array();
            for entry in entries.unwrap_or_else(|| panic!("{path}: {text}")) {
                let path = format!("{folder}/{}", entry["pathSuffix"].as_str().unwrap());
                if entry["type"] == "DIRECTORY" {
                    folders.push(path);
                } else {
                    files.push(path);
                }
            }
        }
        files.sort();
        files
    }

    /// The content of a file.
    pub async fn read(&self, path: &str) -> Vec<u8> {
        let answer = self.at_data(&Method::GET, path, "op=OPEN", &[]).await;
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.bytes().await.unwrap().to_vec()
    }

    /// Writes a file.
    pub async fn write(&self, path: &str, content: &str) {
        let query = "op=CREATE&overwrite=true&permission=644";
        let content = content.as_bytes();
        let answer = self.at_data(&Method::PUT, path, query, content).await;
        let status = answer.status();
        assert!(status.is_success(), "{path}: {status}");
    }

    /// Copies the files that count of a dataset of the lake into a folder.
    pub async fn fetch(&self, dataset: &str, into: &Path) -> Vec<PathBuf> {
        let start = format!("/millrace/lake/{dataset}/date=");
        let mut copied = Vec::new();
        for (number, path) in self.files().await.into_iter().enumerate() {
            if path.starts_with(&start) && path.ends_with(".parquet") {
                let file = into.join(format!("{dataset}-{number}.parquet"));
                std::fs::write(&file, self.read(&path).await).unwrap();
                copied.push(file);
            }
        }
        copied
    }
}
