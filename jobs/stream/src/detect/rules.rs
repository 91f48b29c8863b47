//! Rules and zones that change while the job runs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use millrace_analytics::{Detector, Rules, Zones};
use millrace_contract::Invalid;

use super::config::DetectConfig;
use super::zone_files::{Content, Problem, Stamp};
use crate::settings::SettingsError;

/// The digest of no content: whatever is read next is news.
const UNKNOWN: [u8; 32] = [0; 32];

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
    /// Why zones could not be used at the start: then there are none until they can be.
    pub refused: Option<Invalid>,
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
    /// Reads everything for the first time. Zones that cannot be used are told of and left out: a slip in one of them is
    /// no reason to warn nobody of an engine. They are in force as soon as they can be used.
    ///
    /// # Errors
    /// The configuration or its rules cannot be used.
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
        let rules = rules(&config)?;
        let stamps = config.zones.stamps();
        let read = config.zones.read().and_then(|content| {
            let zones = zones(&content).map_err(Problem::Bad)?;
            Ok((zones, content.digest))
        });
        let (zones, digest, refused) = match read {
            Ok((zones, digest)) => (zones, digest, None),
            Err(problem) => (Zones::default(), UNKNOWN, Some(problem.into_invalid())),
        };
        let loaded = Loaded {
            refused,
            ..load(rules, zones)?
        };
        let source = Self {
            path,
            interval: config.reload_interval.0,
            looked: Instant::now(),
            text,
            stamps,
            digest,
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
                self.digest = UNKNOWN;
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
            false => {
                let loaded = rules(&config).and_then(|rules| load(rules, zones(&content)?));
                Some(loaded.map_err(Problem::Bad)?)
            }
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

fn rules(config: &DetectConfig) -> Result<Rules, Invalid> {
    Rules::from_value(config.rules_value())
}

fn zones(content: &Content) -> Result<Zones, Invalid> {
    let files: Vec<(&str, &str)> = content
        .texts
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    Zones::from_geojson(&files)
}

fn load(rules: Rules, zones: Zones) -> Result<Loaded, Invalid> {
    let count = zones.len();
    Ok(Loaded {
        detector: Detector::new(rules, zones)?,
        zones: count,
        refused: None,
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
    fn a_start_with_bad_or_absent_zones_goes_on_without_them_until_they_are_good() {
        let dir = tempfile::tempdir().unwrap();
        let (path, file) = (dir.path().join("config.yaml"), dir.path().join("a.geojson"));
        std::fs::write(&path, format!("zones: {{files: [{}]}}\n", file.display())).unwrap();
        for bad in [None, Some("{\"type\": \"nonsense\"}")] {
            match bad {
                None => assert!(!file.exists()),
                Some(text) => std::fs::write(&file, text).unwrap(),
            }
            let (mut source, _, loaded) = Source::open(Some(path.clone())).unwrap();
            assert_eq!(loaded.zones, 0);
            let why = loaded.refused.unwrap().to_string();
            assert!(why.contains("a.geojson"), "{why}");
            source.interval = Duration::ZERO;
            assert!(matches!(source.look(), Look::Same));
            std::fs::write(&file, ZONE).unwrap();
            assert!(matches!(source.look(), Look::New(loaded) if loaded.zones == 1));
        }
    }

    #[test]
    fn a_start_with_bad_rules_ends_with_their_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.yaml");
        for (text, told) in [
            ("rules: {overheating: {criticalAt: 1}}", "criticalAt"),
            ("zonen: {}", "zonen"),
        ] {
            std::fs::write(&path, text).unwrap();
            let e = Source::open(Some(path.clone())).unwrap_err().to_string();
            assert!(e.contains(told), "{e}");
        }
    }
}
