//! The program itself, as a server runs it. `MILLRACE_NOTIFY_DRIVER` names another build of it, such as a static one.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::http::{answer, serve};
use crate::smtp::{Manners, serve as serve_mail};
use crate::stream::certificate;
use crate::webhook::verify;
use crate::{WEBHOOK_SECRET, input};

fn program() -> String {
    std::env::var("MILLRACE_NOTIFY_DRIVER")
        .unwrap_or_else(|_| env!("CARGO_BIN_EXE_notify-driver").to_owned())
}

/// Runs lines through the ActionLoop protocol; gives the answers and the log.
fn action_loop(lines: &[Value]) -> (Vec<Value>, String) {
    // Descriptor 3 becomes the pipe; what the action prints goes to the log.
    let mut child = Command::new("sh")
        .args(["-c", "exec \"$0\" 3>&1 1>&2", &program()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for line in lines {
        writeln!(stdin, "{line}").unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    let answers = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    (answers, String::from_utf8(output.stderr).unwrap())
}

fn activation(value: Value, milliseconds: i64) -> Value {
    let deadline = jiff::Timestamp::now().as_millisecond() + milliseconds;
    json!({"value": value, "activation_id": "a1", "deadline": deadline.to_string()})
}

#[test]
fn every_channel_by_name_and_over_tls() {
    let (pem, config) = certificate();
    let gateway = serve(vec![answer(202, "", r#"{"duplicate":false}"#)], None);
    let hook = serve(vec![answer(200, "", "")], Some(config.clone()));
    let mail = serve_mail(Manners {
        tls: Some(config),
        ..Manners::default()
    });
    let value = input(json!({
        "channels": ["vehicle", "webhook", "smtp"],
        "gateway_url": format!("http://localhost:{}", gateway.port), "notify_token": "t0ken",
        "webhook_url": format!("https://localhost:{}/x", hook.port), "webhook_secret": WEBHOOK_SECRET, "webhook_ca": pem,
        "smtp_url": format!("smtp://me:p4ssword@localhost:{}?tls=required", mail.port), "smtp_ca": pem,
        "smtp_from": "fleet@example.com", "smtp_to": ["a@example.org"],
    }));
    let (answers, log) = action_loop(&[activation(value.clone(), 20_000)]);
    assert_eq!(
        answers[0]["delivered"],
        json!(["vehicle", "webhook", "smtp"]),
        "{answers:?} {log}"
    );
    assert_eq!(answers[0]["failed"], json!([]));
    verify(&hook.requests.lock().unwrap()[0]);
    assert_eq!(mail.seen.lock().unwrap().mails.len(), 1);
    // The same by the protocol of a single activation.
    let output = Command::new(program())
        .arg(value.to_string())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let last = String::from_utf8(output.stdout).unwrap();
    let answer: Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
    assert_eq!(answer["id"], "car-1/overheating/e1/critical");
    assert_eq!(mail.seen.lock().unwrap().mails.len(), 2);
}

#[test]
fn secrets_are_in_no_answer_and_no_log() {
    let secrets = [
        "t0ken-of-the-gateway",
        "H00K-PATH",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "p4ss-word",
        "AG1lAHA0c3Mtd29yZA==",
    ];
    // Servers that give back all they were told, once as a passing failure and once as a lasting one.
    let leak = secrets.join(" ");
    let leaks = || vec![answer(503, "", &leak), answer(400, "", &leak)];
    let (gateway, hook) = (serve(leaks(), None), serve(leaks(), None));
    let mail = serve_mail(Manners {
        replies: vec![
            ("AUTH", "454 p4ss-word AG1lAHA0c3Mtd29yZA=="),
            ("AUTH", "535 p4ss-word AG1lAHA0c3Mtd29yZA=="),
        ],
        ..Manners::default()
    });
    let good = input(json!({
        "channels": ["vehicle", "webhook", "smtp"],
        "gateway_url": format!("http://127.0.0.1:{}", gateway.port), "notify_token": secrets[0],
        "webhook_url": format!("http://127.0.0.1:{}/H00K-PATH", hook.port), "webhook_secret": WEBHOOK_SECRET,
        "smtp_url": format!("smtp://me:p4ss-word@127.0.0.1:{}?tls=off", mail.port),
        "smtp_from": "fleet@example.com", "smtp_to": ["a@example.org"],
    }));
    let mut lines = vec![activation(good.clone(), 20_000)];
    // Each secret of a wrong type, and those that have a shape in a wrong one.
    for field in ["notify_token", "webhook_url", "webhook_secret", "smtp_url"] {
        let mut bad = good.clone();
        bad[field] = json!([good[field].clone()]);
        lines.push(activation(bad.clone(), 3000));
        if field != "notify_token" {
            bad[field] = json!(format!("-{}", good[field].as_str().unwrap()));
            lines.push(activation(bad, 3000));
        }
    }
    let (answers, log) = action_loop(&lines);
    assert_eq!(answers.len(), lines.len());
    let error = answers[0]["error"].as_str().unwrap();
    for part in [
        "gateway http://127.0.0.1",
        "webhook http://127.0.0.1",
        "smtp://127.0.0.1",
        "400",
        "535",
        "***",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(
        log.contains("vehicle, attempt 1: answered 503: ***"),
        "{log}"
    );
    let all = format!("{answers:?} {log}");
    for secret in secrets {
        assert!(!all.contains(secret), "{secret}: {all}");
    }
}
