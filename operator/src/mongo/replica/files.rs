//! The files of a member: settings and the script that starts it. Pure.

use std::collections::BTreeMap;

use crate::mongo::PORT;
use crate::mongo::validate::ValidatedMongo;

/// Where these files are mounted.
pub const FILES: &str = "/etc/millrace";
/// Where the volume is mounted, as the upstream image has it.
pub const DATA: &str = "/data/db";
/// Where the certificate is mounted.
pub const CERTIFICATE: &str = "/etc/millrace-certificate";
/// Where the keyfile is mounted.
pub const KEYFILE: &str = "/etc/millrace-keyfile";
/// Where dumps are written.
pub const DUMPS: &str = "/dumps";
/// Where the Secret of the user that makes dumps is mounted.
pub const BINDING: &str = "/etc/millrace-binding";

/// The files of a member, which reads them at its start only.
#[must_use]
pub fn files(mongo: &ValidatedMongo) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("mongod.conf".into(), settings(mongo)),
        ("start.sh".into(), START.into()),
        ("dump.sh".into(), dump(mongo)),
    ])
}

/// Clients need no certificate, but whoever has one must have it of the same authority.
fn settings(mongo: &ValidatedMongo) -> String {
    let set = &mongo.owner.name;
    let cache = mongo.cache_mebibytes();
    format!(
        "storage:
  dbPath: {DATA}
  wiredTiger:
    engineConfig:
      cacheSizeGB: {}.{:02}
net:
  port: {PORT}
  bindIpAll: true
  unixDomainSocket:
    enabled: false
  tls:
    mode: requireTLS
    certificateKeyFile: {CERTIFICATE}/tls.pem
    CAFile: {CERTIFICATE}/ca.crt
    allowConnectionsWithoutCertificates: true
    disabledProtocols: TLS1_0,TLS1_1
security:
  authorization: enabled
  keyFile: /tmp/keyfile
replication:
  replSetName: {set}
setParameter:
  enableLocalhostAuthBypass: false
",
        cache / 1024,
        cache % 1024 * 100 / 1024,
    )
}

/// The upstream image's entrypoint is passed over: it would start a server of its own on each empty volume.
///
/// A keyfile that others may read is refused, and a mounted Secret belongs to root.
const START: &str = r#"set -eu
umask 077
rm -f /tmp/keyfile
cat /etc/millrace-keyfile/keyfile >/tmp/keyfile
chmod 400 /tmp/keyfile
exec mongod --config /etc/millrace/mongod.conf
"#;

/// The password stands in a file, so that no list of processes shows it. A dump counts when it has its name.
fn dump(mongo: &ValidatedMongo) -> String {
    let keep = mongo.backup.as_ref().map_or(1, |backup| backup.keep);
    format!(
        r#"set -eu
umask 077
rm -f {DUMPS}/*.part
printf 'uri: "%s&tlsCAFile={BINDING}/ca.crt"\n' "$(cat {BINDING}/uri)" >/tmp/dump.yaml
name=$(date -u +%Y-%m-%dT%H-%M-%SZ).archive.gz
mongodump --config=/tmp/dump.yaml --readPreference=secondaryPreferred --oplog --gzip --archive={DUMPS}/$name.part
sync
mv {DUMPS}/$name.part {DUMPS}/$name
ls -1 {DUMPS}/*.archive.gz | sort -r | tail -n +{} | while read -r old; do rm -f "$old"; done
ls -l {DUMPS}
"#,
        keep + 1,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mongo::validate::tests::valid;
    use serde_json::json;

    #[test]
    fn the_files_of_a_member() {
        let spec = json!({"engine": "mongodb", "backup": {"schedule": "@daily", "keep": 3}});
        let all: Vec<String> = files(&valid(spec).unwrap())
            .into_iter()
            .map(|(name, text)| format!("--- {name}\n{text}"))
            .collect();
        insta::assert_snapshot!(all.concat());
    }
}
