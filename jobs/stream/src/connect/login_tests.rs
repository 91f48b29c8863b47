use std::collections::BTreeMap;

use super::*;

fn read(keys: &[(&str, &str)]) -> Result<Login, String> {
    let keys: BTreeMap<&str, &str> = keys.iter().copied().collect();
    Login::read("kafka", "k:9094".to_owned(), |key| keys.get(key).copied())
        .map_err(|e| e.to_string())
}

fn setting(login: &Login, key: &str) -> Option<String> {
    let mut config = ClientConfig::new();
    login.apply(&mut config);
    config.get(key).map(str::to_owned)
}

fn pem() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[test]
fn nothing_but_an_address_is_plain() {
    let login = read(&[("security-protocol", "")]).unwrap();
    assert_eq!(login, Login::plain("k:9094"));
    assert_eq!(setting(&login, "security.protocol").unwrap(), "PLAINTEXT");
    assert_eq!(setting(&login, "sasl.mechanism"), None);
}

#[test]
fn a_user_of_a_secure_cluster() {
    let (certificate, _) = pem();
    let login = read(&[
        ("security-protocol", "SASL_SSL\n"),
        ("username", "detect"),
        ("password", "hunter2\n"),
        ("certificates", &certificate),
    ])
    .unwrap();
    for (key, value) in [
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.username", "detect"),
        ("sasl.password", "hunter2"),
        ("ssl.endpoint.identification.algorithm", "https"),
        ("enable.ssl.certificate.verification", "true"),
    ] {
        assert_eq!(setting(&login, key).as_deref(), Some(value), "{key}");
    }
    assert!(
        setting(&login, "ssl.ca.pem")
            .unwrap()
            .contains("BEGIN CERTIFICATE")
    );
    let shown = format!("{login:?}");
    assert!(
        shown.contains("detect") && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[test]
fn a_client_with_a_certificate_of_its_own() {
    let (certificate, key) = pem();
    let login = read(&[
        ("security-protocol", "SSL"),
        ("certificates", &certificate),
        ("client-certificate", &certificate),
        ("private-key", &key),
    ])
    .unwrap();
    assert!(
        setting(&login, "ssl.key.pem")
            .unwrap()
            .contains("PRIVATE KEY")
    );
    assert!(setting(&login, "ssl.certificate.pem").is_some());
    // A client can be made of it.
    let mut config = ClientConfig::new();
    login.apply(&mut config);
    let made: Result<rdkafka::producer::BaseProducer, _> = config.create();
    assert!(made.is_ok());
}

#[test]
fn what_is_missing_or_contradicts_is_told_with_its_cure() {
    // Keys of a binding, and what is told.
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
    let (certificate, key) = pem();
    let cases: &[Case<'_>] = &[
        (
            &[("security-protocol", "TLS")],
            &["security-protocol", "TLS", "SASL_SSL"],
        ),
        (
            &[("security-protocol", "SASL_SSL"), ("password", "hunter2")],
            &["username", "SASL_SSL", "add"],
        ),
        (
            &[("security-protocol", "SASL_SSL"), ("username", "u")],
            &["password", "not given", "add"],
        ),
        (
            &[("username", "u"), ("password", "hunter2")],
            &["username", "PLAINTEXT", "SASL_SSL", "remove"],
        ),
        (
            &[("security-protocol", "SSL"), ("password", "hunter2")],
            &["password", "SSL", "remove"],
        ),
        (
            &[("certificates", &certificate)],
            &["certificates", "PLAINTEXT", "SSL", "remove"],
        ),
        (
            &[("security-protocol", "SSL"), ("certificates", "hunter2")],
            &["certificates", "no certificate", "PEM"],
        ),
        (
            &[("security-protocol", "SSL"), ("private-key", &key)],
            &["client-certificate", "private-key", "add"],
        ),
        (
            &[
                ("security-protocol", "SSL"),
                ("client-certificate", &certificate),
            ],
            &["private-key", "add"],
        ),
        (
            &[
                ("security-protocol", "SSL"),
                ("client-certificate", &certificate),
                ("private-key", "hunter2"),
            ],
            &["private-key", "PEM"],
        ),
        (
            &[
                ("security-protocol", "SASL_SSL"),
                ("sasl-mechanism", "GSSAPI"),
                ("username", "u"),
                ("password", "hunter2"),
            ],
            &["sasl-mechanism", "GSSAPI", "SCRAM-SHA-512"],
        ),
    ];
    for (keys, told) in cases {
        let e = read(keys).unwrap_err();
        assert!(e.contains("binding kafka"), "{e}");
        for word in *told {
            assert!(e.contains(word), "{word:?} in {e}");
        }
        assert!(!e.contains("hunter2"), "{e}");
    }
}
