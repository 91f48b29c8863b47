//! The peer that is no bare client: a structured stream of Spark (`bench/spark`).

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use millrace_contract::{FIELDS, Kind};

/// Python with PySpark, and the connector's jars.
pub struct Spark {
    python: PathBuf,
    jars: PathBuf,
}

impl Spark {
    /// From `MILLRACE_SPARK_PYTHON` and `MILLRACE_SPARK_JARS`; none when they are not set.
    pub fn find() -> Option<Self> {
        let variable = |name| std::env::var_os(name).map(PathBuf::from);
        Some(Self {
            python: variable("MILLRACE_SPARK_PYTHON")?,
            jars: variable("MILLRACE_SPARK_JARS")?,
        })
    }

    /// Events a second, and resident memory in MB.
    pub fn archived(&self, bootstrap: &str, lake: &str, events: u64) -> anyhow::Result<(f64, u64)> {
        let script = millrace_testkit::repository_root().join("bench/spark/archive.py");
        let output = Command::new(&self.python)
            .arg(script)
            .args(["--bootstrap-servers", bootstrap, "--lake", lake])
            .arg("--jars")
            .arg(&self.jars)
            .args(["--columns", &columns(), "--events", &events.to_string()])
            .env("HADOOP_USER_NAME", "hdfs")
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        anyhow::ensure!(
            output.status.success(),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let mut figures = said.lines().last().unwrap_or_default().split_whitespace();
        let mut figure = || {
            figures
                .next()
                .with_context(|| format!("no figures in {said}"))
        };
        Ok((figure()?.parse()?, figure()?.parse()?))
    }
}

// An event's columns as SQL writes them.
fn columns() -> String {
    let mut columns = vec!["vehicle string, sequence bigint, time timestamp".to_owned()];
    columns.push("hire string, model string".to_owned());
    columns.extend(FIELDS.iter().map(|field| {
        let kind = match field.kind {
            Kind::Number => "double",
            Kind::Flag => "boolean",
            Kind::Codes => "array<string>",
        };
        format!("{} {kind}", field.name)
    }));
    columns.join(", ")
}
