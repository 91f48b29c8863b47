//! The name of an artifact in a registry. Pure.

use std::fmt;

use millrace_contract::Invalid;

const FIELD: &str = "spec.code.oci.reference";

/// An artifact, pinned by its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Host of the registry, with its port where it has one.
    pub host: String,
    /// The repository.
    pub repository: String,
    /// SHA-256 of the manifest, in hexadecimal.
    pub sha256: String,
}

impl Reference {
    /// Reads `HOST[:PORT]/REPOSITORY[:TAG]@sha256:DIGEST`. A tag is for people: the digest says what is meant.
    ///
    /// # Errors
    /// Names the field, its value and the cure.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let wrong = |problem: &str| {
            Invalid::new(
                FIELD,
                text,
                problem,
                "write it like registry.example/team/action@sha256:…",
            )
        };
        let (name, digest) = text
            .split_once('@')
            .ok_or_else(|| wrong("has no digest, so that it could become something else"))?;
        let sha256 = digest
            .strip_prefix("sha256:")
            .filter(|hex| is_sha256(hex))
            .ok_or_else(|| {
                wrong("its digest is not sha256: and 64 lower-case hexadecimal digits")
            })?;
        let (host, path) = name
            .split_once('/')
            .filter(|(host, _)| host.contains(['.', ':']) || *host == "localhost")
            .ok_or_else(|| wrong("names no registry"))?;
        // The only colon after the host is that of a tag.
        let repository = path.split(':').next().unwrap_or(path);
        let is_path = |part: &str| {
            let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
            part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.chars().all(good)
        };
        let is_host = host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c));
        if !is_host || !repository.split('/').all(is_path) {
            return Err(wrong("is no name of a repository"));
        }
        Ok(Self {
            host: host.to_owned(),
            repository: repository.to_owned(),
            sha256: sha256.to_owned(),
        })
    }

    /// The address of the registry's API. The one that everybody calls docker.io answers under another name.
    #[must_use]
    pub fn api(&self) -> String {
        let host = match self.host.as_str() {
            "docker.io" | "index.docker.io" => "registry-1.docker.io",
            host => host,
        };
        format!("https://{host}/v2/{}", self.repository)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}@sha256:{}",
            self.host, self.repository, self.sha256
        )
    }
}

/// Whether a text is a SHA-256 in hexadecimal.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn a_reference_is_read_and_its_tag_is_not_needed() {
        let read = Reference::parse(&format!("r.io:5000/a/b-c:1.2@sha256:{DIGEST}")).unwrap();
        assert_eq!(
            (read.host.as_str(), read.repository.as_str()),
            ("r.io:5000", "a/b-c")
        );
        assert_eq!(read.to_string(), format!("r.io:5000/a/b-c@sha256:{DIGEST}"));
        assert_eq!(read.api(), "https://r.io:5000/v2/a/b-c");
        let hub = Reference::parse(&format!("docker.io/a/b@sha256:{DIGEST}")).unwrap();
        assert_eq!(hub.api(), "https://registry-1.docker.io/v2/a/b");
    }

    #[test]
    fn what_is_none_is_told_with_the_cure() {
        for (text, problem) in [
            ("r.io/a:1".to_owned(), "no digest"),
            ("r.io/a@sha256:12".to_owned(), "64 lower-case"),
            (format!("a/b@sha256:{DIGEST}"), "names no registry"),
            (format!("r.io/A@sha256:{DIGEST}"), "no name of a repository"),
            (
                format!("r.io/../a@sha256:{DIGEST}"),
                "no name of a repository",
            ),
            (format!("r.io/@sha256:{DIGEST}"), "no name of a repository"),
        ] {
            let told = Reference::parse(&text).unwrap_err();
            assert!(told.problem.contains(problem), "{told}");
            assert_eq!(told.field, "spec.code.oci.reference");
        }
    }
}
