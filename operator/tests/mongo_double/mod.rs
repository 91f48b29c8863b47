//! A double of MongoDB for what the operator does with a replica set: it speaks the real wire protocol by TLS, asks for
//! SCRAM-SHA-256, and keeps the state of one set that several servers share. Answers and error codes are those of the
//! command reference (mongodb.com/docs/manual/reference/command: replSetInitiate, replSetReconfig, replSetStepDown,
//! replSetGetStatus, createUser, updateUser, usersInfo). It keeps no documents.

#![allow(dead_code, reason = "each test uses a part of it")]

mod login;
mod set;
mod wire;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use millrace_operator::pki::{Authority, Issued, Request};
use mongodb::bson::{Document, doc};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use login::Conversation;
pub use set::Set;

/// So long an election takes, and a member to catch up.
pub const SOON: Duration = Duration::from_millis(300);

/// Servers that may become a replica set.
pub struct Mongo {
    pub set: Arc<Mutex<Set>>,
    pub authority: Authority,
    servers: Vec<Server>,
}

struct Server {
    address: String,
    /// What lies in its file, and what it has loaded.
    file: Arc<Mutex<Issued>>,
    task: JoinHandle<()>,
}

impl Drop for Mongo {
    fn drop(&mut self) {
        for server in &self.servers {
            server.task.abort();
        }
    }
}

impl Mongo {
    /// Starts so many servers, none of which is part of a set.
    pub async fn start(count: usize, keyfile: &str) -> Self {
        let authority = Authority::make("test", Timestamp::now()).unwrap();
        let set = Arc::new(Mutex::new(Set::new(keyfile)));
        let mut servers = Vec::new();
        // All of one, as the members of a cluster have it.
        let issued = issue(&authority);
        for _ in 0..count {
            servers.push(Server::start(&set, issued.clone()).await);
        }
        Self {
            set,
            authority,
            servers,
        }
    }

    pub fn count(&self) -> usize {
        self.servers.len()
    }

    pub fn address(&self, server: usize) -> String {
        self.servers[server].address.clone()
    }

    pub fn addresses(&self, servers: std::ops::Range<usize>) -> Vec<String> {
        servers.map(|server| self.address(server)).collect()
    }

    pub fn set(&self) -> MutexGuard<'_, Set> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lays another certificate into the file of each server, of this authority; gives when it ends.
    pub fn renew(&mut self, authority: Authority) -> i64 {
        let issued = issue(&authority);
        for server in &self.servers {
            *server.file.lock().unwrap() = issued.clone();
        }
        self.authority = authority;
        ends(&issued)
    }

    /// When the certificate in the file of a server ends, in milliseconds.
    pub fn certificate_ends(&self, server: usize) -> i64 {
        ends(&self.servers[server].file.lock().unwrap())
    }
}

fn issue(authority: &Authority) -> Issued {
    let request = Request {
        common_name: "mongo".into(),
        names: ["127.0.0.1".to_owned()].into(),
    };
    authority.issue(&request, Timestamp::now()).unwrap()
}

fn ends(issued: &Issued) -> i64 {
    let ends = millrace_operator::pki::not_after(&issued.certificate).unwrap();
    ends.as_millisecond()
}

fn acceptor(issued: &Issued) -> TlsAcceptor {
    let chain = CertificateDer::pem_slice_iter(issued.certificate.as_bytes());
    let chain = chain.map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// What all connections of a server share.
#[derive(Clone)]
struct Shared {
    set: Arc<Mutex<Set>>,
    address: String,
    file: Arc<Mutex<Issued>>,
    loaded: Arc<Mutex<(TlsAcceptor, i64)>>,
}

impl Server {
    async fn start(set: &Arc<Mutex<Set>>, issued: Issued) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(any).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        set.lock().unwrap().add_server(&address);
        let loaded = (acceptor(&issued), ends(&issued));
        let shared = Shared {
            set: Arc::clone(set),
            address: address.clone(),
            file: Arc::new(Mutex::new(issued)),
            loaded: Arc::new(Mutex::new(loaded)),
        };
        let file = Arc::clone(&shared.file);
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                let shared = shared.clone();
                let acceptor = shared.loaded.lock().unwrap().0.clone();
                tokio::spawn(async move {
                    if shared.is_up()
                        && let Ok(stream) = acceptor.accept(stream).await
                    {
                        serve(stream, shared).await;
                    }
                });
            }
        });
        Self {
            address,
            file,
            task,
        }
    }
}

impl Shared {
    fn is_up(&self) -> bool {
        self.set.lock().unwrap().is_up(&self.address)
    }

    fn answer(&self, command: &Document, login: &mut Conversation) -> Document {
        let name = command.keys().next().cloned().unwrap_or_default();
        let mut set = self.set.lock().unwrap();
        let answer = match name.as_str() {
            "hello" | "isMaster" | "ismaster" => Ok(set.hello(&self.address)),
            "ping" | "endSessions" => Ok(doc! {}),
            "saslStart" => login.start(command, |user, source| set.password_of(user, source)),
            "saslContinue" => login.go_on(command),
            _ if !login.is_operator() => Err(set::error(13, "Unauthorized", "not authorized")),
            "rotateCertificates" => {
                let issued = self.file.lock().unwrap();
                *self.loaded.lock().unwrap() = (acceptor(&issued), ends(&issued));
                Ok(doc! {})
            }
            "serverStatus" => Ok(set::server_status(self.loaded.lock().unwrap().1)),
            _ => set.run(&self.address, &name, command),
        };
        match answer {
            Ok(mut answer) => {
                answer.insert("ok", 1.0);
                answer
            }
            Err(error) => error,
        }
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, shared: Shared) {
    let mut login = Conversation::default();
    while let Ok(Some(message)) = wire::read(&mut stream).await {
        if !shared.is_up() {
            return;
        }
        let answer = shared.answer(&message.command, &mut login);
        if wire::write(&mut stream, &message, &answer).await.is_err() {
            return;
        }
    }
}
