//! Whether a cluster holds a size. Pure.

use millrace_contract::Invalid;

use super::{Load, Size};

/// A node of Kubernetes that takes pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Memory that is not asked for yet, in bytes.
    pub memory_bytes: u64,
    /// CPU that is not asked for yet, in thousandths of a core.
    pub cpu_millis: u64,
}

/// A storage class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// Whether it is taken where none is named.
    pub is_default: bool,
}

/// Says what the cluster cannot hold; nothing when it can.
#[must_use]
pub fn fit(
    load: &Load,
    size: &Size,
    nodes: &[Node],
    classes: &[Class],
    class: Option<&str>,
) -> Vec<Invalid> {
    let mut refused = Vec::new();
    let vehicles = load.vehicles.to_string();
    match class {
        Some(name) if !classes.iter().any(|class| class.name == name) => {
            let there: Vec<&str> = classes.iter().map(|class| class.name.as_str()).collect();
            refused.push(Invalid::new(
                "--storage-class",
                name,
                "there is no storage class of that name",
                format!("make it, or name one of: {}", there.join(", ")),
            ));
        }
        None if !classes.iter().any(|class| class.is_default) => refused.push(Invalid::new(
            "--storage-class",
            "absent",
            "the cluster has no default storage class, so that no volume would be made",
            "name one, or mark one as default",
        )),
        _ => {}
    }
    let brokers = usize::try_from(size.brokers.count).unwrap_or(usize::MAX);
    if load.replication > 1 && brokers > nodes.len() {
        refused.push(Invalid::new(
            "--replication",
            load.replication.to_string(),
            format!(
                "{brokers} brokers on {} nodes: two would fail together",
                nodes.len()
            ),
            format!("add nodes until there are {brokers}, or give --replication 1"),
        ));
    }
    let mut free: Vec<Node> = nodes.to_vec();
    let mut pods: Vec<(&str, u64, u64)> = size
        .pods()
        .iter()
        .flat_map(|(name, pods)| {
            let count = usize::try_from(pods.count).unwrap_or(usize::MAX);
            std::iter::repeat_n((*name, pods.memory_bytes, pods.cpu_millis), count)
        })
        .collect();
    // The largest first: what is small finds a place in the end.
    pods.sort_by_key(|(_, memory, cpu)| std::cmp::Reverse((*memory, *cpu)));
    let mut without_place: Vec<(&str, u64, u64)> = Vec::new();
    for pod in pods {
        let (_, memory, cpu) = pod;
        let place = free
            .iter_mut()
            .filter(|node| node.memory_bytes >= memory && node.cpu_millis >= cpu)
            .max_by_key(|node| node.memory_bytes);
        match place {
            Some(node) => {
                node.memory_bytes -= memory;
                node.cpu_millis -= cpu;
            }
            None => without_place.push(pod),
        }
    }
    if let Some((name, memory, cpu)) = without_place.first() {
        let sum = |of: fn(&(&str, u64, u64)) -> u64| without_place.iter().map(of).sum::<u64>();
        refused.push(Invalid::new(
            "--vehicles",
            vehicles,
            format!(
                "{} pods find no place on {} nodes, the first of them a {name} with {} MiB and {cpu}m CPU",
                without_place.len(),
                nodes.len(),
                memory >> 20,
            ),
            format!(
                "add nodes with {} MiB of memory and {}m CPU free, or plan for less",
                sum(|pod| pod.1) >> 20,
                sum(|pod| pod.2)
            ),
        ));
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIBIBYTE: u64 = 1 << 30;

    fn load(replication: u64) -> Load {
        Load {
            vehicles: 1_000,
            hz: 1.0,
            retention_hours: 24,
            event_bytes: 430,
            replication,
            peak_factor: 2.0,
            archive_days: 0,
        }
    }

    fn nodes(count: usize, memory: u64) -> Vec<Node> {
        let node = |n| Node {
            name: format!("n{n}"),
            memory_bytes: memory,
            cpu_millis: 8_000,
        };
        (0..count).map(node).collect()
    }

    fn classes(is_default: bool) -> Vec<Class> {
        vec![Class {
            name: "fast".into(),
            is_default,
        }]
    }

    fn told(
        replication: u64,
        nodes: &[Node],
        is_default: bool,
        class: Option<&str>,
    ) -> Vec<String> {
        let load = load(replication);
        let size = super::super::size(&load).unwrap();
        let refused = fit(&load, &size, nodes, &classes(is_default), class);
        refused.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_fits_is_not_refused() {
        assert!(told(1, &nodes(1, 32 * GIBIBYTE), true, None).is_empty());
        assert!(told(3, &nodes(3, 16 * GIBIBYTE), false, Some("fast")).is_empty());
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let few = told(3, &nodes(2, 64 * GIBIBYTE), true, None);
        assert!(
            few[0].starts_with("--replication: 3: 3 brokers on 2 nodes"),
            "{few:?}"
        );
        let small = told(1, &nodes(4, GIBIBYTE / 2), true, None);
        assert!(small[0].starts_with("--vehicles: 1000: "), "{small:?}");
        assert!(
            small[0].contains("a openwhisk") || small[0].contains("a broker"),
            "{small:?}"
        );
        let none = told(1, &nodes(1, 32 * GIBIBYTE), false, None);
        assert!(none[0].starts_with("--storage-class: absent: "), "{none:?}");
        let wrong = told(1, &nodes(1, 32 * GIBIBYTE), true, Some("slow"));
        assert!(wrong[0].ends_with("name one of: fast"), "{wrong:?}");
    }
}
