use serde_json::json;

use super::*;
use crate::pods::secret_data;

const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn place() -> Place<'static> {
    Place {
        field: FIELD,
        shown: "r.io/a",
    }
}

fn reference() -> Reference {
    Reference::parse(&format!("r.io/a@sha256:{DIGEST}")).unwrap()
}

#[test]
fn a_manifest_with_one_layer_is_an_action() {
    let layer = |layers: serde_json::Value| {
        let manifest = json!({"schemaVersion": 2, "layers": layers}).to_string();
        layer_of(manifest.as_bytes(), &place())
    };
    let one =
        json!({"digest": format!("sha256:{DIGEST}"), "size": 7, "mediaType": "application/zip"});
    assert_eq!(layer(json!([one])).unwrap().size, 7);
    for (layers, problem) in [
        (json!([]), "has 0 layers"),
        (json!([one, one]), "has 2 layers"),
        (
            json!([{"digest": "sha512:1", "size": 7}]),
            "no digest of SHA-256",
        ),
        (
            json!([{"digest": format!("sha256:{DIGEST}"), "size": LARGEST + 1}]),
            "too many",
        ),
    ] {
        let told = layer(layers).unwrap_err();
        assert!(matches!(told, CodeError::Unusable(_)));
        assert!(told.to_string().contains(problem), "{told}");
    }
    let index = json!({"manifests": [{"digest": "sha256:1"}]}).to_string();
    let told = layer_of(index.as_bytes(), &place())
        .unwrap_err()
        .to_string();
    assert!(told.contains("index of several"), "{told}");
}

#[test]
fn a_challenge_is_read() {
    let asked = Challenge::parse(
        r#"Bearer realm="https://auth.r.io/token",service="r.io",scope="repository:a/b:pull,push",error="x""#,
    );
    let Some(Challenge::Bearer(asked)) = asked else {
        panic!("{asked:?}");
    };
    assert_eq!(
        asked.url(),
        "https://auth.r.io/token?service=r.io&scope=repository%3Aa%2Fb%3Apull%2Cpush"
    );
    let bare = Challenge::parse("bearer realm=https://a/t?x=1, service=s");
    let Some(Challenge::Bearer(bare)) = bare else {
        panic!("{bare:?}");
    };
    assert_eq!(bare.url(), "https://a/t?x=1&service=s");
    assert_eq!(
        Challenge::parse("Basic realm=\"x\""),
        Some(Challenge::Basic)
    );
    assert_eq!(Challenge::parse("Digest realm=\"x\""), None);
    assert_eq!(Challenge::parse("Bearer service=\"x\""), None);
}

#[test]
fn a_pull_secret_has_a_login_for_the_registry() {
    let secret = |config: serde_json::Value| Secret {
        data: Some(secret_data([(CONFIG, config.to_string())])),
        ..Secret::default()
    };
    let read = |config: serde_json::Value| Login::read("s", Some(&secret(config)), &reference());
    let pair = STANDARD.encode("u:p");
    for auths in [
        json!({"r.io": {"auth": pair}}),
        json!({"https://r.io/v1/": {"username": "u", "password": "p"}}),
    ] {
        let login = read(json!({ "auths": auths })).unwrap();
        assert_eq!(login.authorization, format!("Basic {pair}"));
        assert!(!format!("{login:?}").contains(&pair));
    }
    let told = |config: serde_json::Value| read(config).unwrap_err().to_string();
    assert!(told(json!({"auths": {"x.io": {}}})).contains("no login for r.io"));
    assert!(told(json!({"auths": {"r.io": {}}})).contains("is empty"));
    assert!(told(json!("x")).contains("not in that form"));
    let absent = Login::read("s", None, &reference()).unwrap_err();
    assert!(
        absent
            .to_string()
            .starts_with("spec.code.oci.pullSecret: s: there is no Secret"),
        "{absent}"
    );
}

#[test]
fn what_a_login_has_fetched_is_kept_for_that_login() {
    let place = |reference: Reference, login: Option<&str>| {
        let registry = Registry {
            reference,
            login: login.map(|pair| Login {
                authorization: pair.to_owned(),
            }),
            roots: Roots::System,
        };
        registry.place()
    };
    let mine = place(reference(), Some("Basic a"));
    assert_eq!(mine, place(reference(), Some("Basic a")));
    for other in [
        place(reference(), Some("Basic b")),
        place(reference(), None),
        place(
            Reference {
                repository: "b".into(),
                ..reference()
            },
            Some("Basic a"),
        ),
    ] {
        assert_ne!(mine, other);
    }
    assert!(!mine.contains("Basic"));
}

#[test]
fn a_host_that_was_sent_on_to_is_another() {
    let asked = "https://r.io:5000/v2/a/blobs/sha256:1";
    let elsewhere = |answered: &str| is_elsewhere(&answered.parse::<Uri>().unwrap(), asked);
    assert!(!elsewhere(asked));
    assert!(!elsewhere("https://r.io:5000/elsewhere"));
    assert!(elsewhere("https://r.io.example/v2/a/blobs/sha256:1"));
}
