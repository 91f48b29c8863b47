//! Whether pods of actions can be made as the server is told. Pure.

use millrace_contract::Invalid;

use super::PodSettings;
use super::manifest::{Family, LABEL};
use crate::settings::Bounds;

/// The longest time that may be given for a start or a wait, seconds.
const LONGEST: u64 = 24 * 3600;

/// The longest name of a Secret.
const NAME: usize = 253;

/// Checks settings before the first pod is asked for.
///
/// # Errors
/// Names the setting, its value and the cure.
pub fn check(settings: &PodSettings) -> Result<(), Invalid> {
    let PodSettings { family, within, .. } = settings;
    let Family {
        instance,
        namespace,
        ..
    } = family;
    if !is_label(instance) {
        return Err(Invalid::new(
            "--pods",
            instance,
            "is no value of a label",
            "give 1 to 63 letters, digits, '-', '_' and '.', with a letter or a digit at both ends",
        ));
    }
    if namespace.contains('.') || !is_name(namespace, LABEL) {
        return Err(Invalid::new(
            "--pods: the namespace of the service account",
            namespace,
            "is no name of a namespace",
            "let Kubernetes mount the service account, with its file namespace, into the server's pod",
        ));
    }
    if let Some(secret) = &family.pull_secret
        && !is_name(secret, NAME)
    {
        return Err(Invalid::new(
            "--pods-pull-secret",
            secret,
            "is no name of a Secret",
            "give up to 253 lower-case letters, digits, '-' and '.', with a letter or a digit at both ends",
        ));
    }
    let host = &family.api_host;
    let is_url = host.starts_with("http://") || host.starts_with("https://");
    if !host.is_empty() && (!is_url || host.contains(|c: char| c.is_whitespace() || c.is_control()))
    {
        return Err(Invalid::new(
            "--pods-api-host (else --api-host)",
            host,
            "is no address of HTTP",
            "give http://HOST:PORT as pods reach this server",
        ));
    }
    let (least, _) = Bounds::default().memory;
    if within.memory < least {
        return Err(Invalid::new(
            "--pods-memory-mb",
            within.memory.to_string(),
            "no action fits into so little",
            format!("give at least {least}"),
        ));
    }
    for (setting, time, least) in [
        ("--pods-start-seconds", settings.patience, 1),
        ("--wait-seconds", within.wait, 0),
    ] {
        if !(least..=LONGEST).contains(&time.as_secs()) {
            return Err(Invalid::new(
                setting,
                time.as_secs().to_string(),
                "no pod can be waited for so long",
                format!("give {least} to {LONGEST} seconds"),
            ));
        }
    }
    Ok(())
}

/// The server's own pod, name and uid, as its environment tells it.
///
/// # Errors
/// One of the two is missing.
pub fn own_pod(
    name: Option<String>,
    uid: Option<String>,
) -> Result<Option<(String, String)>, Invalid> {
    let missing = |there: &str, value: String, missing: &str| {
        Invalid::new(
            there,
            value,
            format!("{missing} is not set, so pods of actions would outlive the server's own"),
            format!("set {missing} by the downward API, or leave both away"),
        )
    };
    match (name, uid) {
        (Some(name), Some(uid)) => Ok(Some((name, uid))),
        (None, None) => Ok(None),
        (Some(name), None) => Err(missing("POD_NAME", name, "POD_UID")),
        (None, Some(uid)) => Err(missing("POD_UID", uid, "POD_NAME")),
    }
}

fn is_label(text: &str) -> bool {
    let ends_well = |c: char| c.is_ascii_alphanumeric();
    text.len() <= LABEL
        && text.starts_with(ends_well)
        && text.ends_with(ends_well)
        && text.chars().all(|c| ends_well(c) || "._-".contains(c))
}

fn is_name(text: &str, longest: usize) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= longest
        && text.starts_with(legal)
        && text.ends_with(legal)
        && text.chars().all(|c| legal(c) || c == '-' || c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods::{Access, PORT};
    use crate::pool::Within;
    use std::time::Duration;

    fn settings() -> PodSettings {
        PodSettings {
            access: Access {
                url: "https://10.0.0.1:443".to_owned(),
                token: None,
                roots: None,
                namespace: "ns".to_owned(),
            },
            family: Family {
                instance: "w".to_owned(),
                namespace: "ns".to_owned(),
                server: None,
                pull_secret: Some("registry.login-1".to_owned()),
                api_host: "http://w.ns.svc:3233".to_owned(),
                run: "r".to_owned(),
            },
            within: Within {
                memory: 128,
                instances: 1,
                idle: Duration::ZERO,
                wait: Duration::from_secs(60),
            },
            port: PORT,
            patience: Duration::from_secs(300),
        }
    }

    fn refused(spoil: impl FnOnce(&mut PodSettings)) -> String {
        let mut settings = settings();
        spoil(&mut settings);
        check(&settings).unwrap_err().to_string()
    }

    #[test]
    fn what_no_pod_can_be_made_with_is_refused_by_its_name() {
        assert_eq!(check(&settings()), Ok(()));
        let error = refused(|s| s.family.instance = "a=b,c".to_owned());
        assert!(error.starts_with("--pods: a=b,c: "), "{error}");
        let error = refused(|s| s.family.instance = String::new());
        assert!(error.starts_with("--pods: "), "{error}");
        let error = refused(|s| s.family.namespace = "a/b".to_owned());
        assert!(error.contains("account: a/b: "), "{error}");
        let error = refused(|s| s.family.pull_secret = Some("Login".to_owned()));
        assert!(error.starts_with("--pods-pull-secret: Login: "), "{error}");
        let error = refused(|s| s.family.api_host = "w:3233".to_owned());
        assert!(error.contains("--api-host): w:3233: "), "{error}");
        let error = refused(|s| s.within.memory = 127);
        assert!(error.starts_with("--pods-memory-mb: 127: "), "{error}");
        let error = refused(|s| s.patience = Duration::ZERO);
        assert!(error.starts_with("--pods-start-seconds: 0: "), "{error}");
        let error = refused(|s| s.within.wait = Duration::from_secs(u64::MAX));
        assert!(error.starts_with("--wait-seconds: "), "{error}");
    }

    #[test]
    fn half_of_a_pod_is_none() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(own_pod(None, None), Ok(None));
        let both = Some(("w-0".to_owned(), "u".to_owned()));
        assert_eq!(own_pod(some("w-0"), some("u")), Ok(both));
        let error = own_pod(some("w-0"), None).unwrap_err().to_string();
        assert!(error.starts_with("POD_NAME: w-0: POD_UID"), "{error}");
    }
}
