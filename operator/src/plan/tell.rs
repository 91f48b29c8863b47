//! A plan in words.

use std::fmt;
use std::io::{self, Write};

use super::Planned;

/// What a plan comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Objects that would be made.
    pub create: usize,
    /// Objects that would be changed.
    pub change: usize,
    /// Objects that would be removed.
    pub remove: usize,
    /// Other steps.
    pub steps: usize,
    /// Pods that would restart.
    pub restarts: usize,
    /// Restarts that would wait for approval.
    pub pending: usize,
    /// What would be refused.
    pub refused: usize,
}

impl Summary {
    /// The exit code: 0 nothing to do, 2 something would change, 1 something would be refused.
    #[must_use]
    pub fn code(&self) -> u8 {
        if self.refused > 0 {
            1
        } else if self.create + self.change + self.remove + self.steps > 0 {
            2
        } else {
            0
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.code() == 0 {
            f.write_str("Nothing to do.")?;
        } else {
            write!(
                f,
                "Plan: {} to create, {} to change, {} to remove",
                self.create, self.change, self.remove
            )?;
            for (count, what) in [
                (self.steps, "other steps"),
                (self.restarts, "pods restart"),
                (self.refused, "refused"),
            ] {
                if count > 0 {
                    write!(f, ", {count} {what}")?;
                }
            }
            f.write_str(".")?;
        }
        if self.pending > 0 {
            write!(
                f,
                " {} restarts wait for approval: millrace approve.",
                self.pending
            )?;
        }
        Ok(())
    }
}

/// Counts.
#[must_use]
pub fn summary(planned: &[Planned]) -> Summary {
    let mut summary = Summary::default();
    count(planned, &mut summary);
    summary
}

fn count(planned: &[Planned], summary: &mut Summary) {
    for one in planned {
        match one.verb {
            "create" => summary.create += 1,
            "change" => summary.change += 1,
            "remove" => summary.remove += 1,
            _ => {}
        }
        summary.steps += one.steps.len();
        summary.restarts += one.restarts.len();
        summary.pending += one.pending.len();
        summary.refused += one.refused.len();
        count(&one.parts, summary);
    }
}

/// Writes a plan for people: what stays as it is is left out.
///
/// # Errors
/// The output is closed.
pub fn write(out: &mut impl Write, planned: &[Planned]) -> io::Result<()> {
    for one in planned {
        tell(out, one, 0)?;
    }
    writeln!(out, "{}", summary(planned))
}

fn is_silent(one: &Planned) -> bool {
    one.verb == "keep"
        && one.restarts.is_empty()
        && [&one.steps, &one.waiting, &one.refused, &one.unseen]
            .iter()
            .all(|lines| lines.is_empty())
        && one.pending.is_empty()
        && one.parts.iter().all(is_silent)
}

fn tell(out: &mut impl Write, one: &Planned, depth: usize) -> io::Result<()> {
    if is_silent(one) {
        return Ok(());
    }
    let indent = "  ".repeat(depth);
    let sign = match one.verb {
        "create" => "+",
        "change" => "~",
        "remove" => "-",
        "keep" => " ",
        _ => "?",
    };
    writeln!(out, "{indent}{sign} {}", one.resource)?;
    for field in &one.fields {
        writeln!(out, "{indent}    {field}")?;
    }
    for restart in &one.restarts {
        let because = &restart.because;
        writeln!(out, "{indent}    restarts {}: {because}", restart.pod)?;
    }
    for pending in &one.pending {
        let (workload, reason) = (&pending.workload, &pending.reason);
        writeln!(
            out,
            "{indent}    waits for approval: restart of {workload}: {reason}"
        )?;
    }
    for (what, lines) in [
        ("then", &one.steps),
        ("waits", &one.waiting),
        ("refused", &one.refused),
        ("not looked at", &one.unseen),
    ] {
        for line in lines {
            writeln!(out, "{indent}    {what}: {line}")?;
        }
    }
    for part in &one.parts {
        tell(out, part, depth + 1)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Restart;
    use crate::reconcile::{Difference, Verb};

    fn text(planned: &[Planned]) -> String {
        let mut out = Vec::new();
        write(&mut out, planned).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_changes_is_told_and_what_stays_is_not() {
        let mut set = Planned::of("StatefulSet/k".into(), Verb::Change);
        set.fields.push(Difference {
            path: "spec.replicas".into(),
            before: "1".into(),
            after: "3".into(),
        });
        set.restarts.push(Restart {
            pod: "k-0".into(),
            because: "image: a → b".into(),
        });
        let mut cluster = Planned::of("KafkaCluster/k".into(), Verb::Keep);
        cluster.parts = vec![
            Planned::of("Service/k".into(), Verb::Keep),
            set,
            Planned::of("ConfigMap/old".into(), Verb::Remove),
        ];
        cluster.steps.push("grow its volumes: 1Gi → 2Gi".into());
        assert_eq!(
            text(&[cluster.clone()]),
            "  KafkaCluster/k\n    then: grow its volumes: 1Gi → 2Gi\n  ~ StatefulSet/k\n      spec.replicas: 1 → 3\n      restarts k-0: image: a → b\n  - ConfigMap/old\nPlan: 0 to create, 1 to change, 1 to remove, 1 other steps, 1 pods restart.\n"
        );
        assert_eq!(summary(&[cluster]).code(), 2);
    }

    #[test]
    fn exit_codes_tell_nothing_something_and_refused() {
        let keep = Planned::of("A/a".into(), Verb::Keep);
        assert_eq!(text(std::slice::from_ref(&keep)), "Nothing to do.\n");
        assert_eq!(summary(std::slice::from_ref(&keep)).code(), 0);
        let mut waits = keep.clone();
        waits.waiting.push("for something".into());
        assert_eq!(summary(&[waits]).code(), 0, "waiting changes nothing");
        let refused = Planned::refused("A/b".into(), "spec.x: 1: no".into());
        assert_eq!(summary(&[keep, refused]).code(), 1);
    }
}
