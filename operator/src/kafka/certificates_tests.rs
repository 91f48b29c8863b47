use super::*;
use serde_json::json;

fn now() -> Timestamp {
    "2026-11-28T00:00:00Z".parse().unwrap()
}

fn node(id: i32) -> Node {
    Node {
        id,
        pod: format!("k-{id}"),
        host: format!("k-{id}.k-nodes.ns.svc"),
        controller: true,
        broker: true,
    }
}

fn pod(id: i32, revision: i64, ready: bool) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": format!("k-{id}"), "annotations": {REVISION: revision.to_string()}},
        "status": {"conditions": [{"type": "Ready", "status": if ready {"True"} else {"False"}}]}}))
    .unwrap()
}

/// A cluster as Kubernetes would keep it between two looks.
struct World {
    secrets: Secrets,
    nodes: Vec<Node>,
    pods: Vec<Pod>,
    external: BTreeMap<i32, String>,
    asked: Option<&'static str>,
    given: Option<&'static str>,
    now: Timestamp,
}

impl World {
    fn new(nodes: i32) -> Self {
        Self {
            secrets: Secrets::default(),
            nodes: (0..nodes).map(node).collect(),
            pods: Vec::new(),
            external: BTreeMap::new(),
            asked: None,
            given: None,
            now: now(),
        }
    }

    fn decide(&self) -> Result<Certificates, Error> {
        decide(
            &self.secrets,
            &Wanted {
                cluster: "k",
                namespace: "ns",
                nodes: &self.nodes,
                external: &self.external,
                shared: None,
                given: self.given,
                asked: self.asked,
                pods: &self.pods,
                expected: self.nodes.len(),
                now: self.now,
            },
        )
    }

    /// Decides, and writes down what came out.
    fn look(&mut self) -> Certificates {
        let certificates = self.decide().unwrap();
        self.secrets.authority = Some(certificates.authority_data());
        self.secrets.nodes = certificates.node_data();
        self.secrets.operator = data(vec![
            (
                "client-certificate",
                certificates.operator.certificate.clone(),
            ),
            ("private-key", certificates.operator.key.clone()),
            ("issuer", certificates.issuer()),
        ]);
        certificates
    }

    /// All pods come to run what was decided.
    fn roll(&mut self, certificates: &Certificates) {
        let revision = certificates.rotation.revision;
        self.pods = self
            .nodes
            .iter()
            .map(|n| pod(n.id, revision, true))
            .collect();
    }
}

#[test]
fn a_second_look_changes_nothing() {
    let mut world = World::new(3);
    let first = world.look();
    world.roll(&first);
    let second = world.look();
    assert_eq!(first.rotation, second.rotation);
    assert_eq!(first.nodes, second.nodes);
    assert_eq!(first.operator, second.operator);
    assert_eq!(
        text(&world.secrets.nodes, "node-0.names").map(|names| names.lines().count()),
        Some(5)
    );
}

#[test]
fn a_further_node_restarts_nobody() {
    let mut world = World::new(3);
    let first = world.look();
    world.roll(&first);
    world.nodes.push(node(3));
    let second = world.look();
    assert_eq!(second.nodes.len(), 4);
    assert_eq!(second.nodes[&0], first.nodes[&0]);
    assert_eq!(second.rotation.revision, first.rotation.revision);
}

#[test]
fn what_is_made_anew_has_to_be_loaded() {
    let mut world = World::new(3);
    let first = world.look();
    world.roll(&first);
    world.external.insert(1, "kafka.example.org".into());
    let named = world.look();
    assert_eq!(named.rotation.revision, first.rotation.revision + 1);
    assert_eq!(named.nodes[&0], first.nodes[&0]);
    assert_ne!(named.nodes[&1], first.nodes[&1]);
    world.roll(&named);
    world.now = now() + jiff::SignedDuration::from_hours(24 * 320);
    let renewed = world.look();
    assert_eq!(renewed.rotation.revision, named.rotation.revision + 1);
    assert_eq!(renewed.rotation.generation, 1);
    assert_ne!(renewed.operator, named.operator);
    assert_eq!(world.look().rotation, renewed.rotation);
}

#[test]
fn a_change_of_the_authority_waits_for_every_pod() {
    let mut world = World::new(3);
    let first = world.look();
    world.roll(&first);
    world.asked = Some("1");
    let mut phases = Vec::new();
    for _ in 0..4 {
        let step = world.look();
        phases.push(step.rotation.phase);
        // One pod short, not ready, or behind: no step.
        for lagging in [
            vec![],
            vec![
                pod(0, step.rotation.revision, true),
                pod(1, step.rotation.revision, true),
            ],
            vec![
                pod(0, step.rotation.revision, true),
                pod(1, step.rotation.revision, true),
                pod(2, step.rotation.revision, false),
            ],
            vec![
                pod(0, step.rotation.revision, true),
                pod(1, step.rotation.revision, true),
                pod(2, step.rotation.revision - 1, true),
            ],
        ] {
            world.pods = lagging;
            assert_eq!(world.look().rotation, step.rotation);
        }
        world.roll(&step);
    }
    assert_eq!(
        phases,
        [
            Phase::TrustBoth,
            Phase::Reissue,
            Phase::DropFormer,
            Phase::Settled
        ]
    );
    let last = world.look();
    assert_eq!(last.rotation.generation, 2);
    assert_eq!(last.rotation.revision, 4);
    assert_ne!(
        last.rotation.authority.certificate,
        first.rotation.authority.certificate
    );
}

#[test]
fn a_step_that_was_noted_and_not_carried_out_is_no_further_one() {
    let mut world = World::new(1);
    let first = world.look();
    world.roll(&first);
    world.asked = Some("1");
    let both = world.look();
    world.roll(&both);
    // The operator ended after it had written down the authority, and before the rest.
    let reissue = world.decide().unwrap();
    world.secrets.authority = Some(reissue.authority_data());
    let again = world.look();
    assert_eq!(again.rotation, reissue.rotation);
    assert_eq!(again.rotation.phase, Phase::Reissue);
}

#[test]
fn an_authority_that_was_taken_away_is_replaced_in_phases() {
    let mut world = World::new(3);
    let first = world.look();
    world.roll(&first);
    world.secrets.authority = None;
    let both = world.look();
    assert_eq!(both.rotation.phase, Phase::TrustBoth);
    assert!(
        both.rotation
            .trusted()
            .contains(&first.rotation.authority.certificate)
    );
    assert_eq!(both.nodes, first.nodes);
    assert_eq!(both.operator, first.operator);
    assert_eq!(both.rotation.revision, first.rotation.revision + 1);
    world.roll(&both);
    let reissue = world.look();
    assert_eq!(reissue.rotation.phase, Phase::Reissue);
    assert_ne!(reissue.nodes[&0], first.nodes[&0]);
}

#[test]
fn a_damaged_or_wrong_authority_is_told() {
    let mut world = World::new(1);
    world.look();
    world.secrets.authority.as_mut().unwrap().remove("ca.key");
    let told = world.decide().unwrap_err().to_string();
    assert!(
        told.contains("Secret k-ca") && told.contains("ca.key"),
        "{told}"
    );
    world.given = Some("mine");
    let told = world.decide().unwrap_err().to_string();
    assert!(
        told.contains("mine") && told.contains("no such Secret"),
        "{told}"
    );
    world.given = Some("k-ca");
    let told = world.decide().unwrap_err().to_string();
    assert!(told.contains("another name"), "{told}");
}
