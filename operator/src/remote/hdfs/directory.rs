//! Directories in HDFS and whom they belong to, by WebHDFS: the NameNodes answer it themselves.

use serde::Deserialize;

use crate::hdfs::SUPER_USER;
use crate::remote::http::HTTP;
use crate::url::percent_encoded;

/// What a new directory lets others do: read it, and pass through it.
const OPEN: &str = "755";

/// A directory as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Its path.
    pub path: String,
    /// Whom it belongs to.
    pub owner: String,
    /// What others may do, as an octal number: `755`.
    pub permission: String,
}

/// What the NameNode says of a path.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct FileStatus {
    /// Whom it belongs to.
    pub owner: String,
    /// What others may do, as an octal number.
    pub permission: String,
    /// `DIRECTORY` or `FILE`.
    #[serde(rename = "type")]
    pub type_: String,
}

/// Why a directory is not as it is to be.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// No NameNode did what it was asked for.
    #[error("{0}")]
    Away(String),
    /// Something else is there, which is not ours to change.
    #[error("{path}: {problem}")]
    Taken {
        /// The path.
        path: String,
        /// What is there.
        problem: String,
    },
}

/// What has to be done for a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make it, with all directories above it, which belong to the file system's own user and are open to all: HDFS gives
    /// those that it makes on the way the mode that is asked for.
    Make,
    /// Give it to its owner.
    SetOwner,
    /// Set what others may do.
    SetPermission,
}

/// The steps from what is there to what is to be; none when it is so.
///
/// # Errors
/// A file is there, or a directory that belongs to somebody else.
pub fn steps(seen: Option<&FileStatus>, wanted: &Directory) -> Result<Vec<Step>, DirectoryError> {
    let taken = |problem: String| {
        Err(DirectoryError::Taken {
            path: wanted.path.clone(),
            problem,
        })
    };
    let Some(seen) = seen else {
        let mut steps = vec![Step::Make, Step::SetOwner];
        if wanted.permission != OPEN {
            steps.push(Step::SetPermission);
        }
        return Ok(steps);
    };
    if seen.type_ != "DIRECTORY" {
        return taken("is a file and no directory".to_owned());
    }
    let mut steps = Vec::new();
    if seen.owner != wanted.owner {
        // What lies in it would still belong to the other, so nobody's directory is taken away.
        if seen.owner != SUPER_USER {
            return taken(format!("belongs to {}", seen.owner));
        }
        steps.push(Step::SetOwner);
    }
    if seen.permission != wanted.permission {
        steps.push(Step::SetPermission);
    }
    Ok(steps)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Told {
    file_status: Option<FileStatus>,
    remote_exception: Option<Exception>,
    #[serde(rename = "boolean")]
    done: Option<bool>,
}

#[derive(Deserialize)]
struct Exception {
    exception: String,
    message: String,
}

/// Makes a directory be as it is to be, by the first of these NameNodes (`host:port`) that is active. Gives what was done.
///
/// # Errors
/// None is active, or something else is there.
pub async fn ensure(
    name_nodes: &[String],
    wanted: &Directory,
) -> Result<Vec<Step>, DirectoryError> {
    let mut problems = Vec::new();
    for address in name_nodes {
        match ensure_at(address, wanted).await {
            Err(DirectoryError::Away(problem)) => problems.push(problem),
            other => return other,
        }
    }
    Err(DirectoryError::Away(problems.join("; ")))
}

async fn ensure_at(address: &str, wanted: &Directory) -> Result<Vec<Step>, DirectoryError> {
    let away = |exception: Exception| {
        let first = exception.message.lines().next().unwrap_or_default();
        DirectoryError::Away(format!("{address}: {}: {first}", exception.exception))
    };
    let asked = ask(address, &wanted.path, Method::Get, "op=GETFILESTATUS").await?;
    let seen = match asked.remote_exception {
        None => asked.file_status,
        Some(exception) if exception.exception == "FileNotFoundException" => None,
        Some(exception) => return Err(away(exception)),
    };
    let steps = steps(seen.as_ref(), wanted)?;
    for step in &steps {
        let query = match step {
            Step::Make => format!("op=MKDIRS&permission={OPEN}"),
            Step::SetOwner => format!("op=SETOWNER&owner={}", wanted.owner),
            Step::SetPermission => format!("op=SETPERMISSION&permission={}", wanted.permission),
        };
        let told = ask(address, &wanted.path, Method::Put, &query).await?;
        if let Some(exception) = told.remote_exception {
            return Err(away(exception));
        }
        if told.done == Some(false) {
            return Err(DirectoryError::Away(format!(
                "{address}: {query} was refused"
            )));
        }
    }
    Ok(steps)
}

enum Method {
    Get,
    Put,
}

async fn ask(
    address: &str,
    path: &str,
    method: Method,
    query: &str,
) -> Result<Told, DirectoryError> {
    let silent = |problem: String| DirectoryError::Away(format!("{address}: {problem}"));
    let http = HTTP.as_ref().map_err(|problem| silent(problem.clone()))?;
    let path: Vec<String> = path.split('/').map(percent_encoded).collect();
    let path = path.join("/");
    let url = format!("http://{address}/webhdfs/v1{path}?{query}&user.name={SUPER_USER}");
    let asked = match method {
        Method::Get => http.get(url),
        Method::Put => http.put(url),
    };
    let text = async { asked.send().await?.text().await };
    let text = text
        .await
        .map_err(|error| silent(crate::controller::chain(&error.without_url())))?;
    // SETOWNER and SETPERMISSION say nothing when they are done.
    let text = if text.trim().is_empty() { "{}" } else { &text };
    serde_json::from_str(text).map_err(|_| silent("says what nobody understands".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Directory {
        Directory {
            path: "/millrace/lake/telemetry".into(),
            owner: "archive".into(),
            permission: "755".into(),
        }
    }

    fn seen(owner: &str, permission: &str, type_: &str) -> FileStatus {
        FileStatus {
            owner: owner.into(),
            permission: permission.into(),
            type_: type_.into(),
        }
    }

    #[test]
    fn only_what_differs_is_done() {
        let of = |seen: Option<FileStatus>| steps(seen.as_ref(), &wanted()).unwrap();
        assert_eq!(of(None), [Step::Make, Step::SetOwner]);
        assert_eq!(of(Some(seen("archive", "755", "DIRECTORY"))), []);
        let home = Directory {
            permission: "700".into(),
            ..wanted()
        };
        assert_eq!(
            steps(None, &home).unwrap(),
            [Step::Make, Step::SetOwner, Step::SetPermission],
            "not those above it"
        );
        assert_eq!(
            of(Some(seen("hdfs", "755", "DIRECTORY"))),
            [Step::SetOwner],
            "cut short"
        );
        assert_eq!(
            of(Some(seen("archive", "700", "DIRECTORY"))),
            [Step::SetPermission]
        );
    }

    #[test]
    fn what_belongs_to_others_is_left_alone() {
        let told = |seen: FileStatus| steps(Some(&seen), &wanted()).unwrap_err().to_string();
        assert_eq!(
            told(seen("other", "755", "DIRECTORY")),
            "/millrace/lake/telemetry: belongs to other"
        );
        assert!(told(seen("archive", "644", "FILE")).contains("is a file"));
    }

    #[test]
    fn answers_are_read() {
        let told = |text: &str| serde_json::from_str::<Told>(text).unwrap();
        // As Hadoop 3.4.3 answers.
        let there = told(
            r#"{"FileStatus":{"accessTime":0,"blockSize":0,"childrenNum":0,"fileId":16386,"group":"supergroup","length":0,
            "modificationTime":1,"owner":"hdfs","pathSuffix":"","permission":"755","replication":0,"storagePolicy":0,"type":"DIRECTORY"}}"#,
        );
        assert_eq!(there.file_status, Some(seen("hdfs", "755", "DIRECTORY")));
        let standby = told(
            r#"{"RemoteException":{"exception":"StandbyException","javaClassName":"org.apache.hadoop.ipc.StandbyException","message":"no"}}"#,
        );
        assert_eq!(
            standby.remote_exception.unwrap().exception,
            "StandbyException"
        );
        assert_eq!(told(r#"{"boolean":true}"#).done, Some(true));
    }
}
