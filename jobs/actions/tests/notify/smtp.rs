//! The mail channel, against a server that speaks as much SMTP as a submission needs.

use std::io::Write;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread::spawn;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use rustls::ServerConfig;
use serde_json::{Value, json};

use crate::http::{answer, serve as serve_http};
use crate::stream::{Stream, certificate};
use crate::{AMPLE, TICK, WEBHOOK_SECRET, input, run};

/// How the server behaves.
#[derive(Default, Clone)]
pub struct Manners {
    /// Encrypts; from the first byte when `wrapped`, else it offers STARTTLS.
    pub tls: Option<Arc<ServerConfig>>,
    pub wrapped: bool,
    /// Replies to commands that begin so, used up one by one.
    pub replies: Vec<(&'static str, &'static str)>,
}

/// What the server saw.
#[derive(Default)]
pub struct Seen {
    /// Commands, those within TLS with `*` in front.
    pub commands: Vec<String>,
    pub mails: Vec<String>,
}

pub struct Smtp {
    pub port: u16,
    pub seen: Arc<Mutex<Seen>>,
}

pub fn serve(manners: Manners) -> Smtp {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let kept = seen.clone();
    spawn(move || {
        let mut replies = manners.replies.clone();
        for tcp in listener.incoming() {
            let tcp = tcp.unwrap();
            let mut stream = match &manners.tls {
                Some(config) if manners.wrapped => Stream::encrypted(tcp, config),
                _ => Stream::Plain(tcp),
            };
            // A client that breaks off ends its own dialogue only.
            let _ = dialogue(&mut stream, &manners, &mut replies, &kept);
        }
    });
    Smtp { port, seen }
}

fn dialogue(
    stream: &mut Stream,
    manners: &Manners,
    replies: &mut Vec<(&'static str, &'static str)>,
    seen: &Mutex<Seen>,
) -> std::io::Result<()> {
    let say = |stream: &mut Stream, text: &str| {
        stream.write_all(format!("{text}\r\n").as_bytes())?;
        stream.flush()
    };
    say(stream, "220 test ESMTP")?;
    while let Some(line) = stream.line() {
        let mark = if stream.is_encrypted() { "*" } else { "" };
        seen.lock().unwrap().commands.push(format!("{mark}{line}"));
        if let Some(n) = replies
            .iter()
            .position(|(start, _)| line.starts_with(start))
        {
            let (_, reply) = replies.remove(n);
            say(stream, reply)?;
            continue;
        }
        let verb = line.split([' ', ':']).next().unwrap_or_default();
        match (verb, &manners.tls) {
            ("EHLO", Some(_)) if !stream.is_encrypted() => {
                say(stream, "250-test\r\n250-STARTTLS\r\n250 8BITMIME")?;
            }
            ("EHLO", _) => say(stream, "250-test\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME")?,
            ("STARTTLS", Some(config)) => {
                say(stream, "220 go ahead")?;
                let Stream::Plain(tcp) = stream else { continue };
                *stream = Stream::encrypted(tcp.try_clone()?, config);
            }
            ("AUTH", _) => say(stream, "235 welcome")?,
            ("MAIL" | "RCPT", _) => say(stream, "250 fine")?,
            ("DATA", _) => {
                say(stream, "354 go on")?;
                let mut mail = String::new();
                while let Some(line) = stream.line().filter(|line| line != ".") {
                    mail += &line;
                    mail += "\n";
                }
                seen.lock().unwrap().mails.push(mail);
                say(stream, "250 taken")?;
            }
            ("QUIT", _) => return say(stream, "221 bye"),
            _ => say(stream, "502 what?")?,
        }
    }
    Ok(())
}

pub fn to_mail(url: &str) -> Value {
    input(
        json!({"channels": ["smtp"], "smtp_url": url, "smtp_from": "Fleet <fleet@example.com>",
            "smtp_to": "a@example.org, b@example.org"}),
    )
}

fn has(seen: &Mutex<Seen>, command: &str) -> bool {
    seen.lock().unwrap().commands.iter().any(|c| c == command)
}

#[test]
fn a_mail_goes_to_everybody_and_comes_back_with_the_same_id() {
    let server = serve(Manners::default());
    let url = format!("smtp://localhost:{}/car.example.com", server.port);
    for _ in 0..2 {
        assert_eq!(run(to_mail(&url), AMPLE).unwrap().delivered, ["smtp"]);
    }
    let seen = server.seen.lock().unwrap();
    assert_eq!(
        seen.commands[..5],
        [
            "EHLO car.example.com",
            "MAIL FROM:<fleet@example.com>",
            "RCPT TO:<a@example.org>",
            "RCPT TO:<b@example.org>",
            "DATA"
        ]
    );
    let id = |mail: &str| {
        mail.lines()
            .find(|line| line.starts_with("Message-ID: <"))
            .map(str::to_owned)
    };
    assert_eq!(seen.mails.len(), 2);
    assert!(id(&seen.mails[0]).is_some());
    assert_eq!(id(&seen.mails[0]), id(&seen.mails[1]));
    assert!(seen.mails[0].contains("Auto-Submitted: auto-generated\n"));
    assert!(seen.mails[0].contains("Content-Language: fr\n"));
}

#[test]
fn starttls_is_taken_when_offered_and_the_login_comes_after_it() {
    let (pem, config) = certificate();
    let server = serve(Manners {
        tls: Some(config),
        ..Manners::default()
    });
    let mut value = to_mail(&format!(
        "smtp://me%40example.com:p%3Ass-word@localhost:{}",
        server.port
    ));
    value["smtp_ca"] = json!(pem);
    assert_eq!(run(value, AMPLE).unwrap().delivered, ["smtp"]);
    assert!(has(&server.seen, "STARTTLS"));
    let login = STANDARD.encode("\0me@example.com\0p:ss-word");
    assert!(has(&server.seen, &format!("*AUTH PLAIN {login}")));
    assert!(has(&server.seen, "*DATA"));
}

#[test]
fn smtps_is_encrypted_from_the_first_byte() {
    let (pem, config) = certificate();
    let server = serve(Manners {
        tls: Some(config),
        wrapped: true,
        ..Manners::default()
    });
    let mut value = to_mail(&format!("smtps://me:p4ssword@localhost:{}", server.port));
    // An authority that is not named is not trusted.
    let error = run(value.clone(), 2000).unwrap_err().to_string();
    assert!(error.to_lowercase().contains("certificate"), "{error}");
    assert!(server.seen.lock().unwrap().commands.is_empty());
    value["smtp_ca"] = json!(pem);
    assert_eq!(run(value, AMPLE).unwrap().delivered, ["smtp"]);
    let seen = server.seen.lock().unwrap();
    assert!(seen.commands.iter().all(|c| c.starts_with('*')));
    assert_eq!(seen.mails.len(), 1);
}

#[test]
fn a_password_is_not_sent_in_the_clear_unless_wanted() {
    let server = serve(Manners::default());
    let url = |options: &str| format!("smtp://me:p4ssword@127.0.0.1:{}{options}", server.port);
    for options in ["", "?tls=required"] {
        let error = run(to_mail(&url(options)), AMPLE).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!(
                "smtp://127.0.0.1:{}: offers no STARTTLS",
                server.port
            )),
            "{error}"
        );
    }
    assert!(
        !server
            .seen
            .lock()
            .unwrap()
            .commands
            .iter()
            .any(|c| c.starts_with("AUTH"))
    );
    assert_eq!(
        run(to_mail(&url("?tls=off")), AMPLE).unwrap().delivered,
        ["smtp"]
    );
    assert!(has(
        &server.seen,
        &format!("AUTH PLAIN {}", STANDARD.encode("\0me\0p4ssword"))
    ));
}

#[test]
fn a_passing_refusal_is_tried_again_and_a_lasting_one_is_not() {
    let server = serve(Manners {
        replies: vec![("MAIL", "451 later"), ("RCPT", "450 greylisted")],
        ..Manners::default()
    });
    let url = format!("smtp://127.0.0.1:{}", server.port);
    assert_eq!(run(to_mail(&url), AMPLE).unwrap().delivered, ["smtp"]);
    assert_eq!(server.seen.lock().unwrap().mails.len(), 1);
    let server = serve(Manners {
        replies: vec![("RCPT", "550 no such user"), ("RCPT", "550 nor this one")],
        ..Manners::default()
    });
    let url = format!("smtp://127.0.0.1:{}", server.port);
    let error = run(to_mail(&url), AMPLE).unwrap_err().to_string();
    assert!(
        error.contains("550") && error.contains("no such user"),
        "{error}"
    );
    assert!(error.contains("correct smtp_url"), "{error}");
    assert!(server.seen.lock().unwrap().mails.is_empty());
}

#[test]
fn one_wrong_address_keeps_the_mail_from_nobody_else() {
    let server = serve(Manners {
        replies: vec![("RCPT TO:<a@", "550 no such user")],
        ..Manners::default()
    });
    let told = run(to_mail(&format!("smtp://127.0.0.1:{}", server.port)), AMPLE).unwrap();
    assert_eq!(told.delivered, ["smtp"]);
    let [failed] = &told.failed[..] else {
        panic!("{:?}", told.failed)
    };
    for part in ["a@example.org", "no such user", "correct smtp_to"] {
        assert!(failed.reason.contains(part), "{}", failed.reason);
    }
    assert!(!failed.reason.contains("b@example.org"));
    assert_eq!(server.seen.lock().unwrap().mails.len(), 1);
}

#[test]
fn retries_for_another_channel_send_no_second_mail() {
    let server = serve(Manners::default());
    let hook = serve_http(vec![answer(503, "", "")], None);
    let mut value = to_mail(&format!("smtp://127.0.0.1:{}", server.port));
    value["channels"] = json!(["smtp", "webhook"]);
    value["webhook_url"] = json!(format!("http://127.0.0.1:{}", hook.port));
    value["webhook_secret"] = json!(WEBHOOK_SECRET);
    // The first activation tells by mail at once, though the webhook is away.
    let error = run(value.clone(), 2000).unwrap_err().to_string();
    assert!(error.ends_with("(delivered over smtp)"), "{error}");
    std::thread::sleep(TICK);
    assert_eq!(server.seen.lock().unwrap().mails.len(), 1);
    // A later one waits for the webhook.
    value["alert"]["detected_at"] = json!(Timestamp::now() - SignedDuration::from_secs(60));
    let error = run(value.clone(), 1500).unwrap_err().to_string();
    assert!(
        error.contains("held back until the other channels are told"),
        "{error}"
    );
    assert_eq!(server.seen.lock().unwrap().mails.len(), 1);
    // One that comes when nobody waits for the webhook any more does not.
    value["alert"]["detected_at"] = json!(Timestamp::now() - SignedDuration::from_secs(901));
    run(value, 1500).unwrap_err();
    assert_eq!(server.seen.lock().unwrap().mails.len(), 2);
}
