//! `millrace action deploy`: into an OpenWhisk, or as an Action of Kubernetes.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::super::{Place, reach};
use super::build::{Built, Code};
use super::object;
use super::test::{LimitArguments, put};
use crate::action::crd::Action;
use crate::remote::action::DIGEST_ANNOTATION;
use crate::remote::code::Roots;
use crate::remote::openwhisk::{WhiskClient, key_values};
use crate::types::{GROUP, VERSION};

const MANAGER: &str = "millrace-cli";

/// Kubernetes takes no larger ConfigMap.
const CONFIG_MAP_BYTES: usize = 1024 * 1024;

/// The key of the zip in its ConfigMap.
const KEY: &str = "action.zip";

/// Builds the action and sends it: to an OpenWhisk (--api-host), or to Kubernetes as an Action (--openwhisk)
#[derive(Clone, Debug, Args)]
pub struct Command {
    #[command(flatten)]
    code: Code,
    /// Name of the action, `package/name` in a package; that of its program when absent
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Its kind
    #[arg(long, default_value = "rust:default", value_name = "KIND")]
    kind: String,
    /// Parameters bound to it, a JSON object, or @FILE with one; what they were before is replaced
    #[arg(long, value_name = "JSON|@FILE")]
    params: Option<String>,
    #[command(flatten)]
    limits: LimitArguments,
    /// The OpenWhisk, as http://HOST:PORT or https://HOST:PORT
    #[arg(long, value_name = "URL", requires = "auth_file")]
    api_host: Option<String>,
    /// File with the namespace's key, one line uuid:key
    #[arg(long, value_name = "FILE", requires = "api_host")]
    auth_file: Option<PathBuf>,
    /// Certificate of the authority that the OpenWhisk's own is of, in PEM; those that the system trusts when absent
    #[arg(long, value_name = "FILE", requires = "api_host")]
    ca_file: Option<PathBuf>,
    /// The OpenWhisk resource in the namespace of the kubeconfig; makes an Action, and a ConfigMap with its code
    #[arg(long, value_name = "NAME", conflicts_with = "api_host")]
    openwhisk: Option<String>,
    /// Write what would be applied, as YAML, and apply nothing
    #[arg(long, requires = "openwhisk")]
    print: bool,
}

/// Does it.
///
/// # Errors
/// It cannot be built, or what it is sent to refuses it.
pub async fn run(place: &Place, command: &Command, out: &mut impl Write) -> anyhow::Result<()> {
    let params = command
        .params
        .as_deref()
        .map(|text| object("--params", text))
        .transpose()?;
    match (&command.api_host, &command.auth_file, &command.openwhisk) {
        (Some(host), Some(file), _) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("--auth-file: {}", file.display()))?;
            let (user, key) = text.trim().split_once(':').with_context(|| {
                format!(
                    "--auth-file: {}: is not of the form uuid:key",
                    file.display()
                )
            })?;
            let roots = roots(command.ca_file.as_deref())?;
            let patience = Duration::from_secs(60);
            let client = WhiskClient::trusting(host, user, key, patience, &roots)?;
            let built = command.code.built()?;
            to_openwhisk(&client, command, &built, params, out).await
        }
        (_, _, Some(openwhisk)) => {
            let built = command.code.built()?;
            let objects = manifests(command, openwhisk, &built, params)?;
            if command.print {
                for object in &objects {
                    write!(out, "---\n{}", serde_yaml_ng::to_string(object)?)?;
                }
                return Ok(());
            }
            let (client, namespace) = reach::client(place).await?;
            to_kubernetes(client, &namespace, &objects, &built, out).await
        }
        _ => bail!(
            "--api-host, --openwhisk: neither is given; name an OpenWhisk by its address and key (--api-host, --auth-file), or an OpenWhisk resource of Kubernetes (--openwhisk)"
        ),
    }
}

/// Whom to trust over https.
fn roots(file: Option<&Path>) -> anyhow::Result<Roots> {
    let Some(file) = file else {
        return Ok(Roots::System);
    };
    let shown = file.display();
    let pem = std::fs::read(file).with_context(|| format!("--ca-file: {shown}"))?;
    Roots::of(&pem).with_context(|| {
        format!("--ca-file: {shown}: holds no certificate; give the authority's, in PEM")
    })
}

async fn to_openwhisk(
    client: &WhiskClient,
    command: &Command,
    built: &Built,
    params: Option<Map<String, Value>>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let name = command.name.as_deref().unwrap_or(&built.name);
    let known = client.action(name, false).await?;
    let mut put = put(built, &command.kind, command.limits.limits());
    put.parameters = params.map(key_values);
    // What the operator compares too.
    put.annotations = Some(key_values([(
        DIGEST_ANNOTATION.to_owned(),
        built.sha256.clone(),
    )]));
    let record = client.put_action(name, &put, true).await?;
    let what = if known.is_some() {
        "changed"
    } else {
        "created"
    };
    writeln!(
        out,
        "action {}/{}: {what}, version {}, sha256:{}",
        record.namespace, record.name, record.version, built.sha256
    )?;
    Ok(())
}

/// The ConfigMap with the code, and the Action that names it.
fn manifests(
    command: &Command,
    openwhisk: &str,
    built: &Built,
    params: Option<Map<String, Value>>,
) -> anyhow::Result<[Value; 2]> {
    let size = built.zip.len();
    ensure!(
        size <= CONFIG_MAP_BYTES,
        "{}: {size} bytes are too many for a ConfigMap, which holds {CONFIG_MAP_BYTES}; make it smaller (opt-level = \"z\", fewer dependencies), or send it by --api-host",
        built.name
    );
    let name = command.name.as_deref().unwrap_or(&built.name);
    ensure!(
        !name.contains('/'),
        "--name: {name}: an Action is in no package; give a name without /, or send it by --api-host"
    );
    // As a resource may be called, which is less than what an action may be.
    let resource: String = name
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let resource = resource.trim_matches('-');
    ensure!(
        !resource.is_empty(),
        "--name: {name}: has no letter or digit for the name of a resource; give one that has"
    );
    let code = format!("{resource}-code");
    let limits = command.limits.limits();
    let digest = json!({ DIGEST_ANNOTATION: built.sha256 });
    let mut spec = json!({
        "openwhisk": openwhisk,
        "kind": command.kind,
        "code": { "configMap": { "name": code, "key": KEY } },
        "limits": {
            "timeoutMilliseconds": limits.timeout,
            "memoryMegabytes": limits.memory,
            "logsMegabytes": limits.logs,
        },
    });
    if resource != name {
        spec["actionName"] = json!(name);
    }
    if let Some(params) = params {
        spec["parameters"] = Value::Object(params);
    }
    Ok([
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": code, "annotations": digest },
            "binaryData": { KEY: STANDARD.encode(&built.zip) },
        }),
        json!({
            "apiVersion": format!("{GROUP}/{VERSION}"),
            "kind": "Action",
            "metadata": { "name": resource, "annotations": digest },
            "spec": spec,
        }),
    ])
}

async fn to_kubernetes(
    client: Client,
    namespace: &str,
    [code, action]: &[Value; 2],
    built: &Built,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    apply::<ConfigMap>(Api::namespaced(client.clone(), namespace), code).await?;
    apply::<Action>(Api::namespaced(client, namespace), action).await?;
    let name = action["metadata"]["name"].as_str().unwrap_or_default();
    writeln!(out, "Action/{name}: applied, sha256:{}", built.sha256)?;
    writeln!(out, "see: kubectl -n {namespace} get action {name}")?;
    Ok(())
}

async fn apply<K>(api: Api<K>, object: &Value) -> anyhow::Result<()>
where
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    api.patch(name, &PatchParams::apply(MANAGER), &Patch::Apply(object))
        .await
        .with_context(|| format!("{} {name}", object["kind"].as_str().unwrap_or_default()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        command: Command,
    }

    fn command(words: &[&str]) -> Command {
        Line::try_parse_from([&["deploy"], words].concat())
            .unwrap()
            .command
    }

    fn built(bytes: usize) -> Built {
        Built::of_zip("greeter", vec![b'P'; bytes])
    }

    #[test]
    fn an_action_names_the_config_map_with_its_code() {
        let command = command(&[
            "--openwhisk",
            "w",
            "--name",
            "Greeter Two",
            "--memory-megabytes",
            "256",
        ]);
        let params = Map::from_iter([("a".to_owned(), json!(1))]);
        let [code, action] = manifests(&command, "w", &built(3), Some(params)).unwrap();
        assert_eq!(code["metadata"]["name"], "greeter-two-code");
        assert_eq!(code["binaryData"][KEY], "UFBQ");
        // It fits the definition, and means the same.
        let action: Action = serde_json::from_value(action).unwrap();
        assert_eq!(action.metadata.name.as_deref(), Some("greeter-two"));
        assert_eq!(action.spec.action_name.as_deref(), Some("Greeter Two"));
        assert_eq!(action.spec.openwhisk, "w");
        assert_eq!(action.spec.limits.memory_megabytes, 256);
        let code = action.spec.code.unwrap().config_map.unwrap();
        assert_eq!(
            (code.name.as_str(), code.key.as_str()),
            ("greeter-two-code", KEY)
        );
    }

    #[test]
    fn what_a_config_map_cannot_hold_is_refused() {
        let command = command(&["--openwhisk", "w"]);
        manifests(&command, "w", &built(CONFIG_MAP_BYTES), None).unwrap();
        let packaged = self::command(&["--openwhisk", "w", "--name", "tools/a"]);
        assert!(manifests(&packaged, "w", &built(3), None).is_err());
        let told = manifests(&command, "w", &built(CONFIG_MAP_BYTES + 1), None).unwrap_err();
        assert!(told.to_string().contains("1048577 bytes"), "{told}");
    }

    #[test]
    fn a_place_is_named_in_one_way() {
        let parse = |words: &[&str]| Line::try_parse_from([&["deploy"], words].concat());
        assert!(parse(&["--api-host", "http://h"]).is_err());
        assert!(
            parse(&[
                "--api-host",
                "http://h",
                "--auth-file",
                "f",
                "--openwhisk",
                "w"
            ])
            .is_err()
        );
        assert!(parse(&["--print"]).is_err());
        assert!(parse(&["--memory-megabytes", "64", "--openwhisk", "w"]).is_err());
    }
}
