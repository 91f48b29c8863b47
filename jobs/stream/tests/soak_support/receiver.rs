//! A receiver of webhooks on the cluster: it answers 204 and writes down each id.

use std::thread::JoinHandle;

use millrace_testkit::Platform;

/// The smallest receiver that a Debian without packages can run: perl-base is essential there.
const SERVER: &str = r#"
use strict; use IO::Socket; use Socket;
$| = 1; $SIG{CHLD} = 'IGNORE';
my $server = IO::Socket::INET->new(LocalPort => 8080, Listen => 64, ReuseAddr => 1) or die $!;
while (1) {
  my $client = $server->accept or next;
  if (fork) { close $client; next }
  my ($id, $length) = ('', 0);
  while (my $line = <$client>) {
    $line =~ s/\r?\n$//; last if $line eq '';
    $id = $1 if $line =~ /^webhook-id:\s*(.*)$/i;
    $length = $1 if $line =~ /^content-length:\s*(\d+)/i;
  }
  read($client, my $body, $length) if $length;
  print "told $id\n" if $id ne ''; # a probe brings none
  print $client "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
  close $client; exit;
}
"#;

/// A receiver of webhooks.
pub struct Receiver<'a> {
    platform: &'a Platform,
    /// Reads along until the pod ends: one that is gone has no log.
    log: Option<JoinHandle<String>>,
    told: Vec<String>,
}

impl<'a> Receiver<'a> {
    /// Starts it in the platform's namespace.
    pub fn start(platform: &'a Platform) -> Self {
        let image = platform
            .kubectl(&[
                "get",
                "statefulset",
                &format!("{}-whisk", platform.name),
                "-o",
                "jsonpath={.spec.template.spec.containers[0].image}",
            ])
            .unwrap();
        let script = SERVER.replace('\n', "\n    ");
        platform
            .apply(&format!(
                r#"apiVersion: v1
kind: ConfigMap
metadata: {{name: receiver}}
data:
  server.pl: |
    {script}
---
apiVersion: v1
kind: Secret
metadata: {{name: receiver}}
stringData: {{secret: whsec_c29hay1zb2FrLXNvYWstc29hay1zb2FrLXNvYWs=}}
---
apiVersion: v1
kind: Service
metadata: {{name: receiver}}
spec: {{selector: {{app: receiver}}, ports: [{{port: 8080}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: receiver}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: receiver}}}}
  template:
    metadata: {{labels: {{app: receiver}}}}
    spec:
      enableServiceLinks: false
      terminationGracePeriodSeconds: 1
      securityContext: {{runAsNonRoot: true, runAsUser: 1000, seccompProfile: {{type: RuntimeDefault}}}}
      containers:
      - name: receiver
        image: {image}
        imagePullPolicy: IfNotPresent
        command: [perl, /etc/receiver/server.pl]
        readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}
        securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
        volumeMounts: [{{name: script, mountPath: /etc/receiver}}]
      volumes: [{{name: script, configMap: {{name: receiver}}}}]
"#
            ))
            .unwrap();
        let mut receiver = Self {
            platform,
            log: None,
            told: Vec::new(),
        };
        receiver.listen();
        receiver
    }

    fn listen(&mut self) {
        self.platform
            .kubectl(&["rollout", "status", "deployment/receiver", "--timeout=90s"])
            .unwrap();
        let platform = self.platform.clone();
        self.log = Some(std::thread::spawn(move || {
            platform
                .kubectl(&["logs", "-f", "deployment/receiver"])
                .unwrap()
        }));
    }

    /// Takes it away; what it heard is kept.
    pub fn down(&mut self) {
        self.scale(0);
        let log = self.log.take().unwrap().join().unwrap();
        self.told.extend(
            log.lines()
                .filter_map(|l| Some(l.strip_prefix("told ")?.to_owned())),
        );
    }

    /// Brings it back.
    pub fn up(&mut self) {
        self.scale(1);
        self.listen();
    }

    fn scale(&self, replicas: u32) {
        let replicas = format!("--replicas={replicas}");
        self.platform
            .kubectl(&["scale", "deployment/receiver", &replicas])
            .unwrap();
    }

    /// Ids of all that was received, in order; then it is removed.
    pub fn finish(mut self) -> Vec<String> {
        self.down();
        for kind in ["deployment", "service", "configmap", "secret"] {
            self.platform
                .kubectl(&["delete", kind, "receiver"])
                .unwrap();
        }
        self.told
    }
}
