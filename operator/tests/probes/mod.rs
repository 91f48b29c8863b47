//! Pods that listen as components do, try whom they reach, and are held against the table of edges.

mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use millrace_operator::network::{EDGES, Edge, Peer};
use millrace_testkit::Platform;
use serde_json::{Value, json};

use crate::{LIMIT, get, wait};

/// A port on which every probe listens and that no edge names.
pub const UNNAMED: i32 = 7777;
/// How many pods are asked at once: a `kubectl` each.
const AT_ONCE: usize = 10;
/// Policies have come to every pod by then.
const SETTLED: Duration = Duration::from_secs(180);

/// Listens on the ports that it is given. Perl is in each image that is made of Debian's essential packages.
const LISTEN: &str = r#"
use strict; use IO::Select; use IO::Socket::INET;
my $all = IO::Select->new(map {
    IO::Socket::INET->new(LocalPort => $_, Listen => 512, ReuseAddr => 1) or die "$_: $@"
} @ARGV);
while (1) { for my $one ($all->can_read) { my $came = $one->accept; close $came if $came } }
"#;

/// Tries all addresses at once and prints those that it reached. The first argument is how many should be: the others are
/// given as long again as those took, and 3 s more, lest a slow machine take an open way for a closed one.
const TRY: &str = r#"
use strict; use IO::Select; use IO::Socket::INET;
my ($wanted, @targets) = @ARGV;
my ($waiting, $open, %of) = (IO::Select->new, 0);
for my $target (@targets) {
    my $one = IO::Socket::INET->new(PeerAddr => $target, Blocking => 0) or next;
    $of{$one} = $target;
    $waiting->add($one);
}
my ($began, $seen) = (time, 0);
my $end = $began + 20;
while ($waiting->count && time <= $end) {
    for my $one ($waiting->can_write(0.2)) {
        $waiting->remove($one);
        if ($one->sockopt(SO_ERROR) == 0) { print "$of{$one}\n"; $open++ }
        close $one;
    }
    if (!$seen && $open >= $wanted) { $seen = 1; $end = 2 * time - $began + 3 }
}
print "done\n";
"#;

/// Whose labels a pod has.
#[derive(Clone, Debug)]
pub enum Who {
    /// A component's; and the label of one of its parts, with its value.
    Component(&'static str, Option<(&'static str, &'static str)>),
    /// The operator's, in its namespace.
    Operator,
    /// None, but it is where metrics may be read from.
    Monitoring,
    /// Those of a client of these components.
    Client(Vec<&'static str>),
    /// Those of nobody whom the table knows.
    Nobody,
}

impl Who {
    /// Whether an edge to a component that begins at `peer` begins here.
    fn is(&self, peer: Peer, to: &str) -> bool {
        match (peer, self) {
            (Peer::Component(name), Self::Component(own, _)) => name == *own,
            (Peer::Part(name, label, value), Self::Component(own, part)) => {
                name == *own && *part == Some((label, value))
            }
            (Peer::Clients, Self::Client(of)) => of.contains(&to),
            (Peer::Anywhere, _)
            | (Peer::Operator, Self::Operator)
            | (Peer::Monitoring, Self::Monitoring) => true,
            _ => false,
        }
    }
}

/// The component at an end of an edge.
pub fn component(peer: Peer) -> Option<&'static str> {
    match peer {
        Peer::Component(name) | Peer::Part(name, ..) => Some(name),
        _ => None,
    }
}

fn has(edge: &Edge, port: i32) -> bool {
    edge.ports.is_empty() || edge.ports.contains(&port)
}

/// Whether the table lets a pod reach a port of a component: out from where it is, and in there.
fn is_open(who: &Who, to: &str, port: i32) -> bool {
    let leads_there = |peer: Peer| peer == Peer::Anywhere || component(peer) == Some(to);
    let gets_out = match who {
        // All parts of a component have one way out.
        Who::Component(name, _) => EDGES.iter().any(|edge| {
            component(edge.from) == Some(*name) && leads_there(edge.to) && has(edge, port)
        }),
        _ => true,
    };
    gets_out
        && EDGES
            .iter()
            .any(|edge| component(edge.to) == Some(to) && who.is(edge.from, to) && has(edge, port))
}

/// A port of a pod.
#[derive(Clone, Debug)]
pub struct Target {
    /// The component of the pod.
    pub component: &'static str,
    /// The pod's address.
    pub address: String,
    /// The port, on which it listens.
    pub port: i32,
}

/// A pod that listens and tries.
#[derive(Clone, Debug)]
pub struct Probe {
    name: String,
    namespace: &'static str,
    labels: BTreeMap<String, String>,
    /// Whose labels these are.
    pub who: Who,
    /// Where it listens, besides [`UNNAMED`].
    pub ports: Vec<i32>,
}

impl Probe {
    pub fn new(
        name: &str,
        namespace: &'static str,
        labels: BTreeMap<String, String>,
        who: Who,
    ) -> Self {
        Self {
            name: format!("probe-{name}"),
            namespace,
            labels,
            who,
            ports: Vec::new(),
        }
    }

    fn manifest(&self, image: &str) -> Value {
        let mut command = vec!["perl".to_owned(), "-e".to_owned(), LISTEN.to_owned()];
        command.extend(self.ports.iter().map(ToString::to_string));
        command.push(UNNAMED.to_string());
        json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": self.name, "namespace": self.namespace, "labels": self.labels},
        "spec": {
            "restartPolicy": "Never", "automountServiceAccountToken": false, "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 1,
            // Never ready, so that no Service with these labels sends it anything.
            "readinessGates": [{"conditionType": "millrace.dev/never"}],
            "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "probe", "image": image, "command": command,
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "resources": {"requests": {"memory": "16Mi", "cpu": "1m"}, "limits": {"memory": "64Mi"}}}],
        }})
    }

    /// Which of these it reaches, as it says itself.
    fn reached(&self, platform: &Platform, tries: &[Try]) -> Option<BTreeSet<String>> {
        let wanted = tries.iter().filter(|one| one.open).count().to_string();
        let mut arguments = vec!["exec", &self.name, "-c", "probe", "--", "perl", "-e", TRY];
        arguments.push(&wanted);
        arguments.extend(tries.iter().map(|one| one.at.as_str()));
        let said = home(platform, self.namespace).kubectl(&arguments).ok()?;
        let lines: BTreeSet<String> = said.lines().map(str::to_owned).collect();
        lines.contains("done").then_some(lines)
    }

    /// Asks it until it reaches what the table says and nothing else. Gives how many targets are open and closed to it, or
    /// what is otherwise.
    fn settle(
        &self,
        platform: &Platform,
        address: &str,
        targets: &[Target],
    ) -> Result<(usize, usize), String> {
        let tries: Vec<Try> = targets
            .iter()
            .map(|target| self.try_of(address, target))
            .collect();
        let started = Instant::now();
        loop {
            let wrong: Vec<String> = match self.reached(platform, &tries) {
                Some(reached) => tries
                    .iter()
                    .filter(|one| reached.contains(&one.at) != one.open)
                    .map(|one| {
                        let is = if one.open { "closed" } else { "open" };
                        format!("{} -> {} is {is}", self.name, one.what)
                    })
                    .collect(),
                None => vec![format!("{} does not answer", self.name)],
            };
            if wrong.is_empty() {
                let open = tries.iter().filter(|one| one.open).count();
                return Ok((open, tries.len() - open));
            }
            if started.elapsed() > SETTLED {
                return Err(wrong.join("\n"));
            }
            thread::sleep(Duration::from_secs(1));
        }
    }

    fn try_of(&self, address: &str, target: &Target) -> Try {
        // No policy is between a pod and itself: there it shows that it listens, and that what is closed is not just absent.
        let (host, open) = if target.address == address {
            ("127.0.0.1", true)
        } else {
            let open = is_open(&self.who, target.component, target.port);
            (target.address.as_str(), open)
        };
        Try {
            at: format!("{host}:{}", target.port),
            what: format!("{} {}", target.component, target.port),
            open,
        }
    }
}

struct Try {
    at: String,
    what: String,
    open: bool,
}

fn home(platform: &Platform, namespace: &str) -> Platform {
    let mut home = platform.clone();
    home.namespace = namespace.to_owned();
    home
}

/// The address of a pod that runs.
fn address(pods: &Value, name: &str) -> Option<String> {
    let pods = pods["items"].as_array()?;
    let pod = pods.iter().find(|pod| pod["metadata"]["name"] == name)?;
    let address = pod["status"]["podIP"].as_str()?;
    (pod["status"]["phase"] == "Running").then(|| address.to_owned())
}

/// Starts them and waits until all run. Gives their addresses. `image` has a perl.
pub fn start(platform: &Platform, image: &str, probes: &[Probe]) -> Vec<String> {
    let namespaces: BTreeSet<&str> = probes.iter().map(|probe| probe.namespace).collect();
    for namespace in &namespaces {
        let home = home(platform, namespace);
        wait("a namespace that takes pods", LIMIT, || {
            let account = get(&home, &["serviceaccount", "default"]);
            (account["metadata"]["name"] == "default").then_some(())
        });
        let own = probes.iter().filter(|probe| probe.namespace == *namespace);
        let own: Vec<Value> = own.map(|probe| probe.manifest(image)).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": own});
        home.apply(&list.to_string()).unwrap();
    }
    wait("probes", LIMIT, || {
        let found: BTreeMap<&str, Value> = namespaces
            .iter()
            .map(|namespace| (*namespace, get(&home(platform, namespace), &["pods"])))
            .collect();
        let each = probes.iter();
        each.map(|probe| address(found.get(probe.namespace)?, &probe.name))
            .collect()
    })
}

/// Asks all of them until each reaches what the table says and nothing else. Gives how many ways are open and closed.
pub fn check(
    platform: &Platform,
    probes: &[Probe],
    addresses: &[String],
    targets: &[Target],
) -> (usize, usize) {
    let all: Vec<(&Probe, &String)> = probes.iter().zip(addresses).collect();
    let several = all.len().div_ceil(AT_ONCE).max(1);
    let settled: Vec<Result<(usize, usize), String>> = thread::scope(|scope| {
        let threads: Vec<_> = all
            .chunks(several)
            .map(|some| {
                scope.spawn(move || {
                    let each = some.iter();
                    each.map(|(probe, address)| probe.settle(platform, address, targets))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        let ended = threads.into_iter();
        ended.flat_map(|thread| thread.join().unwrap()).collect()
    });
    let (mut open, mut closed, mut wrong) = (0, 0, Vec::new());
    for one in settled {
        match one {
            Ok((ways, walls)) => {
                open += ways;
                closed += walls;
            }
            Err(told) => wrong.push(told),
        }
    }
    println!("{open} ways open, {closed} closed");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    (open, closed)
}

/// Edges by which none of the probes would go.
pub fn unused(probes: &[Probe]) -> Vec<&'static Edge> {
    let goes = |edge: &Edge, to: &'static str, port: i32| {
        probes
            .iter()
            .any(|probe| probe.who.is(edge.from, to) && is_open(&probe.who, to, port))
            && (component(edge.from) != Some(to) || count(probes, to) > 1)
    };
    let is_unused = |edge: &Edge| match component(edge.to) {
        Some(to) if edge.ports.is_empty() => !goes(edge, to, UNNAMED),
        Some(to) => !edge.ports.iter().all(|port| goes(edge, to, *port)),
        // Out to anywhere: to each component that lets everybody in.
        None => false,
    };
    EDGES.iter().filter(|edge| is_unused(edge)).collect()
}

fn count(probes: &[Probe], name: &str) -> usize {
    let is = |probe: &&Probe| matches!(probe.who, Who::Component(own, _) if own == name);
    probes.iter().filter(is).count()
}

/// Takes them away.
pub fn stop(platform: &Platform, probes: &[Probe]) {
    for probe in probes {
        let home = home(platform, probe.namespace);
        let _: Result<String, _> = home.kubectl(&["delete", "pod", &probe.name, "--wait=false"]);
    }
}
