//! The server's side of SCRAM-SHA-256, as MongoDB carries it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millrace_operator::remote::kafka::scram::Mechanism;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Document, doc};

use super::set::error;

const MECHANISM: Mechanism = Mechanism::Sha256;
pub const ITERATIONS: i32 = 15_000;

/// What a server keeps of a password.
#[derive(Clone)]
pub struct Kept {
    pub salt: Vec<u8>,
    pub stored: Vec<u8>,
    pub server: Vec<u8>,
}

impl Kept {
    pub fn of(password: &str) -> Self {
        let mut salt = vec![0; 28];
        getrandom::fill(&mut salt).unwrap();
        let salted = MECHANISM.salted(password, &salt, ITERATIONS.unsigned_abs());
        Self {
            salt,
            stored: MECHANISM.hash(&MECHANISM.hmac(&salted, b"Client Key")),
            server: MECHANISM.hmac(&salted, b"Server Key"),
        }
    }

    pub fn document(&self) -> Document {
        let [salt, stored, server] =
            [&self.salt, &self.stored, &self.server].map(|bytes| STANDARD.encode(bytes));
        doc! {"SCRAM-SHA-256": {"iterationCount": ITERATIONS, "salt": salt, "storedKey": stored, "serverKey": server}}
    }
}

/// A login on one connection.
#[derive(Default)]
pub struct Conversation {
    user: Option<String>,
    kept: Option<Kept>,
    first: String,
    done: bool,
}

fn refused() -> Document {
    error(18, "AuthenticationFailed", "Authentication failed.")
}

fn payload(command: &Document) -> Option<String> {
    let bytes = command.get_binary_generic("payload").ok()?;
    String::from_utf8(bytes.clone()).ok()
}

fn said(text: String, done: bool) -> Document {
    let payload = Binary {
        subtype: BinarySubtype::Generic,
        bytes: text.into_bytes(),
    };
    doc! {"conversationId": 1, "done": done, "payload": payload}
}

/// The value of an attribute of a message.
fn attribute<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.split(',').find_map(|part| part.strip_prefix(name))
}

impl Conversation {
    /// Whether it is the operator, or a fellow member, that has logged in.
    pub fn is_operator(&self) -> bool {
        self.done && self.user.as_deref() == Some("__system")
    }

    pub fn start(
        &mut self,
        command: &Document,
        kept: impl FnOnce(&str, &str) -> Option<Kept>,
    ) -> Result<Document, Document> {
        *self = Self::default();
        let parts = || {
            let message = payload(command)?;
            let bare = message.strip_prefix("n,,")?.to_owned();
            let user = attribute(&bare, "n=")?.to_owned();
            let nonce = attribute(&bare, "r=")?.to_owned();
            let source = command.get_str("$db").ok()?.to_owned();
            Some((bare, user, nonce, source))
        };
        let (bare, user, nonce, source) = parts().ok_or_else(refused)?;
        let kept = kept(&user, &source).ok_or_else(refused)?;
        let (salt, ours) = (STANDARD.encode(&kept.salt), "server");
        let first = format!("r={nonce}{ours},s={salt},i={ITERATIONS}");
        self.first = format!("{bare},{first}");
        self.user = Some(user);
        self.kept = Some(kept);
        Ok(said(first, false))
    }

    pub fn go_on(&mut self, command: &Document) -> Result<Document, Document> {
        let last = payload(command).ok_or_else(refused)?;
        let kept = self.kept.as_ref().ok_or_else(refused)?;
        let (without, proof) = last.rsplit_once(",p=").ok_or_else(refused)?;
        let proof = STANDARD.decode(proof).map_err(|_| refused())?;
        let auth = format!("{},{without}", self.first);
        let signature = MECHANISM.hmac(&kept.stored, auth.as_bytes());
        let key: Vec<u8> = signature.iter().zip(&proof).map(|(a, b)| a ^ b).collect();
        if MECHANISM.hash(&key) != kept.stored {
            return Err(refused());
        }
        self.done = true;
        let signature = MECHANISM.hmac(&kept.server, auth.as_bytes());
        Ok(said(format!("v={}", STANDARD.encode(signature)), true))
    }
}
