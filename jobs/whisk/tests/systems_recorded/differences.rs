//! The table of what is answered in another way, in `docs/openwhisk.md`.

/// One recorded case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    /// Its file, without `.json`.
    pub file: String,
    /// Its number in the file, from 0.
    pub number: u64,
}

/// A case that the table names.
#[derive(Debug)]
pub struct Listed {
    pub case: Case,
    /// The beginning of each place that differs.
    pub place: String,
    /// Whether chance decides on each run.
    pub by_chance: bool,
}

/// All cases of the table: rows of a recording's name, numbers, a place and a reason.
pub fn listed() -> Vec<Listed> {
    let path = millrace_testkit::repository_root().join("docs/openwhisk.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut all = Vec::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", file, numbers, place, why, ""] = cells.as_slice() else {
            continue;
        };
        let (Some(file), Some(place)) = (quoted(file), quoted(place)) else {
            continue;
        };
        if !file.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        assert!(!why.is_empty(), "{line}: no reason");
        for number in numbers.split(", ") {
            let (number, by_chance) = match number.strip_suffix(" (chance)") {
                Some(number) => (number, true),
                None => (number, false),
            };
            let case = Case {
                file: file.to_owned(),
                number: number.parse().unwrap(),
            };
            all.push(Listed {
                case,
                place: place.to_owned(),
                by_chance,
            });
        }
    }
    assert!(
        !all.is_empty(),
        "docs/openwhisk.md has lost its table of differences"
    );
    all
}

fn quoted(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.strip_suffix('`')
}
