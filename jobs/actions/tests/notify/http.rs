//! A server that gives the listed answers, one a connection, the last one again and again, and keeps the requests.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread::spawn;

use rustls::ServerConfig;

use crate::stream::Stream;

pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

pub struct Http {
    pub port: u16,
    pub requests: Arc<Mutex<Vec<Request>>>,
}

/// An answer with these headers (each ending in a line break) and this body.
pub fn answer(status: u16, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} Whatever\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

pub fn serve(answers: Vec<String>, tls: Option<Arc<ServerConfig>>) -> Http {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let kept = requests.clone();
    spawn(move || {
        let mut next = 0;
        for tcp in listener.incoming() {
            let tcp = tcp.unwrap();
            let mut stream = match &tls {
                Some(config) => Stream::encrypted(tcp, config),
                None => Stream::Plain(tcp),
            };
            let Some(request) = read(&mut stream) else {
                continue;
            };
            kept.lock().unwrap().push(request);
            let text = &answers[next.min(answers.len() - 1)];
            next += 1;
            if stream.write_all(text.as_bytes()).is_ok() {
                let _ = stream.flush();
            }
        }
    });
    Http { port, requests }
}

fn read(stream: &mut Stream) -> Option<Request> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let line = stream.line()?;
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head += &line;
        head += "\n";
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Request { head, body })
}
