//! Writes what is generated from schema.yaml and the tables of vehicle events, or with `--check` says whether it is up to date.

use std::path::Path;
use std::process::ExitCode;

use millrace_contract::generate::generate;

const USAGE: &str = "usage: millrace-generate-contract [--check]
Writes src/telemetry.rs, schema/telemetry.schema.json and docs/telemetry.md from schema.yaml, and
schema/vehicle-event.schema.json and docs/vehicle-events.md from src/vehicle_event.rs.
--check  write nothing; exit with 1 when a file differs";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let check = match arguments.as_slice() {
        [] => false,
        [one] if one == "--check" => true,
        [one] if one == "--help" => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(check) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::from(2)
        }
    }
}

/// Whether everything is up to date afterwards.
fn run(check: bool) -> Result<bool, Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let schema = std::fs::read_to_string(root.join("schema.yaml"))?;
    let mut up_to_date = true;
    for (path, content) in generate(&schema)? {
        let file = root.join(path);
        if std::fs::read_to_string(&file).is_ok_and(|old| old == content) {
            continue;
        }
        if check {
            eprintln!("{path} differs from what its source gives; run without --check");
            up_to_date = false;
        } else {
            if let Some(folder) = file.parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::write(&file, content)?;
            println!("wrote {path}");
        }
    }
    Ok(up_to_date)
}
