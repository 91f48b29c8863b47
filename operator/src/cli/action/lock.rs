//! The lock file of a new action: the versions that the example action is built and tested with.

/// The example's lock file. It depends on what a new action does, and on the harness by a path.
const EXAMPLE: &str = include_str!("../../../../examples/workshop-note/Cargo.lock");

const EXAMPLE_NAME: &str = "name = \"workshop-note\"";

const HEAD: &str = "[[package]]\n";

/// The lock file of an action of this name that has the harness in its own folder.
#[must_use]
pub fn of(name: &str) -> String {
    let mut blocks = EXAMPLE.split(HEAD);
    let head = blocks.next().unwrap_or_default();
    let mut packages: Vec<String> = blocks
        .map(|block| {
            block
                .trim_end()
                .replacen(EXAMPLE_NAME, &format!("name = \"{name}\""), 1)
        })
        .collect();
    // As cargo sorts them: else it would write the file anew.
    packages.sort_by(|a, b| name_of(a).cmp(name_of(b)));
    let packages: Vec<String> = packages
        .iter()
        .map(|block| format!("{HEAD}{block}\n"))
        .collect();
    format!("{head}{}", packages.join("\n"))
}

fn name_of(block: &str) -> &str {
    block.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_examples_with_another_name_in_its_place() {
        assert_eq!(of("workshop-note"), EXAMPLE);
        let lock = of("a-greeter");
        assert_eq!(lock.lines().count(), EXAMPLE.lines().count());
        let first = lock.find("name = \"a-greeter\"").unwrap();
        assert!(first < lock.find("name = \"itoa\"").unwrap(), "{lock}");
        assert!(!lock.contains("workshop-note"));
    }
}
