//! Rules and zones that change while the job runs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use millrace_analytics::{Detector, Rules, Zones};
use millrace_contract::Invalid;

use super::config::DetectConfig;
use super::zone_files::{Content, Problem, Stamp};
use crate::settings::SettingsError;

/// So many looks in a row a file may be away while it is exchanged.
const AWAY: u32 = 5;

/// What a look at the files gave.
#[derive(Debug)]
pub enum Look {
    /// Nothing new.
    Same,
    /// New rules or zones, valid.
    New(Loaded),
    /// New content that cannot be used; what is in force stays. Told once per content.
    Refused(String),
}

/// Rules and zones, ready for use.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The detector.
    pub detector: Detector,
    /// How many zones it knows.
    pub zones: usize,
}

/// Why rules and zones could not be loaded at the start.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// What it says.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// The configuration file and the files with zones, looked at from time to time. The configuration's content is
/// compared, not its time: a mounted ConfigMap is exchanged by a symbolic link.
#[derive(Debug)]
pub struct Source {
    path: Option<PathBuf>,
    interval: Duration,
    looked: Instant,
    // As they were when they were last judged.
    text: String,
    stamps: Vec<Stamp>,
    digest: [u8; 32],
    // As they are in force.
    config: DetectConfig,
    away: u32,
}

impl Source {
    /// Reads everything for the first time.
    ///
    /// # Errors
    /// The configuration, its rules or its zones cannot be used.
    pub fn open(path: Option<PathBuf>) -> Result<(Self, DetectConfig, Loaded), LoadError> {
        let text = match &path {
            Some(path) => std::fs::read_to_string(path).map_err(|source| SettingsError::Read {
                path: path.clone(),
                source,
            })?,
            None => String::new(),
        };
        let config = parse(&text).map_err(|problem| SettingsError::Config {
            path: path.clone().unwrap_or_default(),
            problem,
        })?;
        config.validate()?;
        let stamps = config.zones.stamps();
        let content = config.zones.read().map_err(Problem::into_invalid)?;
        let loaded = build(&config, &content)?;
        let source = Self {
            path,
            interval: config.reload_interval.0,
            looked: Instant::now(),
            text,
            stamps,
            digest: content.digest,
            config: config.clone(),
            away: 0,
        };
        Ok((source, config, loaded))
    }

    /// Looks, when it is time to.
    pub fn look(&mut self) -> Look {
        if self.looked.elapsed() < self.interval {
            return Look::Same;
        }
        self.looked = Instant::now();
        // A file that is away for a moment while it is exchanged is not news.
        let read = |path: &Path| std::fs::read_to_string(path).ok();
        let text = self.path.as_deref().and_then(read);
        let text = text.unwrap_or_else(|| self.text.clone());
        if text == self.text && self.config.zones.stamps() == self.stamps {
            self.away = 0;
            return Look::Same;
        }
        match self.judge(&text) {
            Ok(Some(loaded)) => Look::New(loaded),
            Ok(None) => Look::Same,
            Err(Problem::Away(_)) if self.away < AWAY => {
                self.away += 1;
                Look::Same
            }
            Err(problem) => {
                self.stamps = self.config.zones.stamps();
                self.text = text;
                // What is put back to what it was is news again.
                self.digest = [0; 32];
                Look::Refused(problem.into_invalid().to_string())
            }
        }
    }

    fn judge(&mut self, text: &str) -> Result<Option<Loaded>, Problem> {
        let config = parse(text).map_err(|problem| {
            let path = self.path.as_deref().unwrap_or(Path::new("config.yaml"));
            Problem::Bad(Invalid::new(
                "config",
                path.display().to_string(),
                problem,
                "correct the file",
            ))
        })?;
        config.validate().map_err(Problem::Bad)?;
        let stamps = config.zones.stamps();
        let content = config.zones.read()?;
        let same = text == self.text && content.digest == self.digest;
        let loaded = match same {
            true => None,
            false => Some(build(&config, &content).map_err(Problem::Bad)?),
        };
        self.text = text.to_owned();
        self.stamps = stamps;
        self.digest = content.digest;
        self.config = config;
        self.away = 0;
        Ok(loaded)
    }
}

fn parse(text: &str) -> Result<DetectConfig, String> {
    if text.trim().is_empty() {
        return Ok(DetectConfig::default());
    }
    serde_yaml_ng::from_str(text).map_err(|e| e.to_string())
}

fn build(config: &DetectConfig, content: &Content) -> Result<Loaded, Invalid> {
    let files: Vec<(&str, &str)> = content
        .texts
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let zones = Zones::from_geojson(&files)?;
    let count = zones.len();
    let rules = Rules::from_value(config.rules_value())?;
    Ok(Loaded {
        detector: Detector::new(rules, zones)?,
        zones: count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZONE: &str = r#"{"type": "FeatureCollection", "features": [{"type": "Feature",
        "properties": {"id": "z", "name": "Z", "kind": "border"},
        "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}}]}"#;

    fn refused(look: Look) -> String {
        match look {
            Look::Refused(why) => why,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn new_content_is_taken_and_bad_content_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.yaml");
        std::fs::write(&path, "group: a\n").unwrap();
        let (mut source, config, _) = Source::open(Some(path.clone())).unwrap();
        assert_eq!(config.group, "a");
        source.interval = Duration::ZERO;
        assert!(matches!(source.look(), Look::Same));
        std::fs::write(&path, "rules: {nonsense: 1}\n").unwrap();
        let why = refused(source.look());
        assert!(why.contains("nonsense"), "{why}");
        assert!(matches!(source.look(), Look::Same));
        std::fs::write(&path, "rules: {}\n").unwrap();
        assert!(matches!(source.look(), Look::New(_)));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(source.look(), Look::Same));
    }

    #[test]
    fn zones_are_read_again_and_bad_ones_leave_the_last_good_in_force() {
        let dir = tempfile::tempdir().unwrap();
        let (path, zones) = (dir.path().join("config.yaml"), dir.path().join("zones"));
        std::fs::create_dir(&zones).unwrap();
        let file = zones.join("a.geojson");
        std::fs::write(&file, ZONE).unwrap();
        let config = format!("zones: {{directories: [{}]}}\n", zones.display());
        std::fs::write(&path, &config).unwrap();
        let (mut source, _, loaded) = Source::open(Some(path.clone())).unwrap();
        assert_eq!(loaded.zones, 1);
        source.interval = Duration::ZERO;
        assert!(matches!(source.look(), Look::Same));

        std::fs::write(&file, "{\"type\": \"nonsense\"}").unwrap();
        let why = refused(source.look());
        assert!(why.contains("a.geojson"), "{why}");
        assert!(matches!(source.look(), Look::Same));
        // Back to what it was: in force again, so that the refusal is over.
        std::fs::write(&file, ZONE).unwrap();
        assert!(matches!(source.look(), Look::New(loaded) if loaded.zones == 1));
        std::fs::write(zones.join("b.geojson"), ZONE.replace("\"z\"", "\"y\"")).unwrap();
        assert!(matches!(source.look(), Look::New(loaded) if loaded.zones == 2));

        // Away for a moment is nothing, away for good is told once.
        std::fs::remove_dir_all(&zones).unwrap();
        for _ in 0..AWAY {
            assert!(matches!(source.look(), Look::Same));
        }
        let why = refused(source.look());
        assert!(why.contains("zones.directories"), "{why}");
        assert!(matches!(source.look(), Look::Same));
    }

    #[test]
    fn a_start_with_bad_rules_or_zones_ends_with_their_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.yaml");
        for (text, told) in [
            ("rules: {overheating: {criticalAt: 1}}", "criticalAt"),
            ("zones: {files: [/nowhere.geojson]}", "/nowhere.geojson"),
            ("zonen: {}", "zonen"),
        ] {
            std::fs::write(&path, text).unwrap();
            let e = Source::open(Some(path.clone())).unwrap_err().to_string();
            assert!(e.contains(told), "{e}");
        }
    }
}
