//! Whether an HDFS can be written: a pod that writes one small file after the other, and notes when and through whom.

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
# write HOST FILE: by the NameNode at HOST
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
if [ "$1" = get ]; then
  ask 1.0 "$2" "$3" GET "$4"
  exit
fi
ended=
trap 'ended=1' TERM
echo writing
n=0
while [ -z "$ended" ]; do
  for host in "$@"; do
    n=$((n + 1))
    if write "$host" "$n"; then
      echo "wrote $(date +%s%3N) ${host%%.*}"
    fi
  done
  sleep 0.2
done
for host in "$@"; do
  ask 1.1 "$host" 9870 DELETE "/webhdfs/v1/probe?op=DELETE&user.name=hdfs&recursive=true" >/dev/null
done
"#;

/// A file that was written.
#[derive(Clone, Debug)]
pub struct Write {
    /// When, in milliseconds of the clock.
    pub at: u64,
    /// The pod of the NameNode.
    pub through: String,
}

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

    /// What was written so far, in order.
    pub fn writes(&self) -> Vec<Write> {
        let log = self.nodes.kubectl(&["logs", NAME]);
        let lines = log.lines().filter_map(|line| line.strip_prefix("wrote "));
        lines
            .filter_map(|line| {
                let (at, through) = line.split_once(' ')?;
                Some(Write {
                    at: at.parse().ok()?,
                    through: through.to_owned(),
                })
            })
            .collect()
    }

    /// The longest time without a write since a moment, in seconds. `now` counts as the end.
    pub fn longest_gap(&self, since: u64, now: u64) -> f64 {
        let writes = self.writes();
        let before = writes.iter().map(|write| write.at).filter(|at| *at < since);
        let mut last = before.max().unwrap_or(since);
        let mut longest = 0;
        let after = writes
            .iter()
            .map(|write| write.at)
            .filter(|at| *at >= since);
        for at in after.chain([now]) {
            longest = longest.max(at.saturating_sub(last));
            last = at;
        }
        Duration::from_millis(longest).as_secs_f64()
    }

    /// Milliseconds from a moment to the first write after it through one of these NameNodes.
    pub fn first_after(&self, moment: u64, through: impl Fn(&str) -> bool) -> Option<u64> {
        let writes = self.writes();
        let first = writes
            .iter()
            .find(|write| write.at > moment && through(&write.through))?;
        Some(first.at - moment)
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
