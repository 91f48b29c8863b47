//! Whether an HDFS can be written: a pod that writes one small file after the other, and notes when.

use std::time::Duration;

use serde_json::{Value, json};

use super::pods::Client;
use super::{NAMESPACE, Nodes};

const NAME: &str = "probe";

/// By WebHDFS, for which bash is enough: a client that is a Java program would measure its own start.
const SCRIPT: &str = r#"#!/bin/bash
# ask VERSION HOST PORT METHOD PATH [BODY]: the answer, headers and all
ask() {
  timeout 5 bash -c '
    exec 3<>"/dev/tcp/$1/$2" || exit 1
    printf "%s %s HTTP/%s\r\nHost: %s\r\nConnection: close\r\nContent-Type: application/octet-stream\r\nContent-Length: %s\r\n\r\n%s" \
      "$3" "$4" "$0" "$1" "${#5}" "$5" >&3
    cat <&3' "$1" "$2" "$3" "$4" "$5" "${6:-}" 2>/dev/null
}
# write HOST FILE: asks the NameNode at HOST for a DataNode, which writes by whichever NameNode is active
write() {
  local answer place address
  answer=$(ask 1.1 "$1" 9870 PUT "/webhdfs/v1/probe/$2?op=CREATE&user.name=hdfs&overwrite=true")
  place=$(tr -d '\r' <<<"$answer" | sed -n 's/^Location: http:..//p' | head -n 1)
  [ -n "$place" ] || return 1
  address=${place%%/*}
  answer=$(ask 1.1 "${address%:*}" "${address#*:}" PUT "/${place#*/}" probe)
  # Before it comes a leave to go on.
  [[ $answer = *"HTTP/1.1 201 "* ]]
}
forget() {
  local host
  for host in $hosts; do
    ask 1.1 "$host" 9870 DELETE "/webhdfs/v1/probe?op=DELETE&user.name=hdfs&recursive=true" >/dev/null
  done
}
if [ "$1" = get ]; then
  ask 1.0 "$2" "$3" GET "$4"
  exit
fi
hosts=$*
# A drill that was broken off has left its files.
forget
ended=
trap 'ended=1' TERM
echo writing
n=0
while [ -z "$ended" ]; do
  for host in $hosts; do
    n=$((n + 1))
    if write "$host" "$n"; then
      echo "wrote $(date +%s%3N)"
    fi
  done
  sleep 0.2
done
forget
"#;

/// A pod at work.
pub struct Probe<'a> {
    nodes: &'a Nodes,
}

impl<'a> Probe<'a> {
    /// Starts it for these NameNodes, by their pods.
    pub fn start(nodes: &'a Nodes, name_nodes: &[&str]) -> Self {
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "data": {"probe.sh": SCRIPT},
        });
        nodes.apply(&map);
        let hosts: Vec<String> = name_nodes
            .iter()
            .map(|pod| format!("{pod}.{NAMESPACE}.svc"))
            .collect();
        let mut command = vec!["bash", "/probe/probe.sh"];
        command.extend(hosts.iter().map(String::as_str));
        let image = nodes.image("HADOOP");
        let client = Client {
            name: NAME,
            image: &image,
            command: &command,
            bindings: &[],
            files: Some((NAME, "/probe")),
            env: &[],
            memory: "64Mi",
        };
        nodes.kubectl(&["delete", "pod", NAME, "--ignore-not-found"]);
        nodes.apply(&client.pod());
        nodes.wait_for_log(NAME, &["wrote"]);
        Self { nodes }
    }

    /// When files were written, in milliseconds of the clock.
    fn writes(&self) -> Vec<u64> {
        let log = self.nodes.answer(&["logs", NAME]);
        let lines = log.lines().filter_map(|line| line.strip_prefix("wrote "));
        lines.filter_map(|at| at.parse().ok()).collect()
    }

    /// The longest time without a write from one moment to another, in seconds.
    pub fn longest_gap(&self, from: u64, to: u64) -> f64 {
        let writes = self.writes();
        let before = writes.iter().filter(|at| **at < from).max();
        let within = writes.iter().filter(|at| (from..=to).contains(*at));
        let (mut last, mut longest) = (*before.unwrap_or(&from), 0);
        for at in within.chain([&to]) {
            longest = longest.max(at - last);
            last = *at;
        }
        Duration::from_millis(longest).as_secs_f64()
    }

    /// What a NameNode says of itself by JMX.
    pub fn jmx(&self, name_node: &str, bean: &str) -> Option<Value> {
        let host = format!("{name_node}.{NAMESPACE}.svc");
        let path = format!("/jmx?qry=Hadoop:service=NameNode,name={bean}");
        let program = ["exec", NAME, "--", "bash", "/probe/probe.sh"];
        let ask = ["get", &host, "9870", &path];
        let said = self
            .nodes
            .try_kubectl(&[&program[..], &ask].concat())
            .ok()?;
        let (_, body) = said.split_once("\r\n\r\n")?;
        let told: Value = serde_json::from_str(body).ok()?;
        told["beans"].get(0).cloned()
    }

    /// Ends it, and removes what it wrote.
    pub fn stop(self) {
        self.nodes.stop(NAME);
        self.nodes.kubectl(&["delete", "pod", NAME]);
    }
}
