//! Rules that change while the job runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_analytics::Rules;

use super::config::DetectConfig;
use crate::settings::read_config;

/// What a look at the file gave.
#[derive(Debug)]
pub enum Look {
    /// Nothing new.
    Same,
    /// New rules, valid.
    New(Arc<Rules>),
    /// A new file that cannot be used; the rules in force stay. Told once per content.
    Refused(String),
}

/// The file with the rules, looked at from time to time. Its content is compared, not its time: a mounted
/// ConfigMap is exchanged by a symbolic link.
#[derive(Debug)]
pub struct RulesFile {
    path: Option<PathBuf>,
    interval: Duration,
    looked: Instant,
    content: Option<String>,
}

impl RulesFile {
    /// Watches `path`, whose present content is in force already.
    #[must_use]
    pub fn new(path: Option<PathBuf>, interval: Duration) -> Self {
        let content = path.as_ref().and_then(|p| std::fs::read_to_string(p).ok());
        Self {
            path,
            interval,
            looked: Instant::now(),
            content,
        }
    }

    /// Looks, when it is time to.
    pub fn look(&mut self) -> Look {
        let Some(path) = &self.path else {
            return Look::Same;
        };
        if self.looked.elapsed() < self.interval {
            return Look::Same;
        }
        self.looked = Instant::now();
        // A file that is away for a moment while it is exchanged is not news.
        let Ok(text) = std::fs::read_to_string(path) else {
            return Look::Same;
        };
        if self.content.as_deref() == Some(text.as_str()) {
            return Look::Same;
        }
        self.content = Some(text);
        let read = read_config::<DetectConfig>(path)
            .map_err(|e| e.to_string())
            .and_then(|config| {
                config
                    .validate()
                    .map(|()| config.rules)
                    .map_err(|e| e.to_string())
            });
        match read {
            Ok(rules) => Look::New(Arc::new(rules)),
            Err(why) => Look::Refused(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_content_is_taken_and_bad_content_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.yaml");
        std::fs::write(&path, "group: a\n").unwrap();
        let mut file = RulesFile::new(Some(path.clone()), Duration::ZERO);
        assert!(matches!(file.look(), Look::Same));
        std::fs::write(&path, "rules: {nonsense: 1}\n").unwrap();
        let Look::Refused(why) = file.look() else {
            panic!("was taken")
        };
        assert!(why.contains("nonsense"), "{why}");
        assert!(matches!(file.look(), Look::Same));
        std::fs::write(&path, "rules: {}\n").unwrap();
        assert!(matches!(file.look(), Look::New(_)));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(file.look(), Look::Same));
    }
}
