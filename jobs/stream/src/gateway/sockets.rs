//! The sockets of a gateway, and the servers on them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::listen::Limits;
use super::tls::Certificates;
use super::{Args, Gateway, GatewayError, http, listen, mqtt};

/// The sockets that are listened on.
pub struct Sockets {
    http: std::net::TcpListener,
    mqtt: std::net::TcpListener,
    https: Option<std::net::TcpListener>,
    mqtts: Option<std::net::TcpListener>,
}

/// Where they are bound.
pub struct Addresses {
    pub http: SocketAddr,
    pub mqtt: SocketAddr,
    pub https: Option<SocketAddr>,
    pub mqtts: Option<SocketAddr>,
}

/// The servers that run on them.
pub struct Servers {
    pub http: JoinHandle<std::io::Result<()>>,
    pub mqtt: mqtt::Running,
}

impl Sockets {
    /// Binds them; those with TLS only with a certificate.
    pub fn open(args: &Args, tls: bool) -> Result<Self, GatewayError> {
        let open = |address: SocketAddr| {
            let socket = std::net::TcpListener::bind(address);
            socket.map_err(|source| GatewayError::Listen { address, source })
        };
        let secure = |address| tls.then(|| open(address)).transpose();
        Ok(Self {
            http: open(args.http)?,
            mqtt: open(args.mqtt)?,
            https: secure(args.https)?,
            mqtts: secure(args.mqtts)?,
        })
    }

    /// The bound addresses.
    pub fn addresses(&self) -> Result<Addresses, GatewayError> {
        let of = |what, socket: &std::net::TcpListener| {
            let address = socket.local_addr();
            address.map_err(|source| GatewayError::Server { what, source })
        };
        let secure = |what, socket: &Option<std::net::TcpListener>| {
            socket.as_ref().map(|socket| of(what, socket)).transpose()
        };
        Ok(Addresses {
            http: of("HTTP", &self.http)?,
            mqtt: of("MQTT", &self.mqtt)?,
            https: secure("HTTPS", &self.https)?,
            mqtts: secure("MQTT over TLS", &self.mqtts)?,
        })
    }
}

/// Serves HTTP and MQTT on them until `stop` is cancelled, or [`mqtt::Running::stop`] is called.
pub fn serve(
    sockets: Sockets,
    gateway: &Arc<Gateway>,
    certificates: Option<&Arc<Certificates>>,
    stop: &CancellationToken,
) -> Result<Servers, GatewayError> {
    let failed = |what| move |source| GatewayError::Server { what, source };
    let config = |alpn: &[&str]| certificates.map(|c| c.server_config(alpn)).transpose();
    let limits = Limits {
        connections: gateway.config.max_connections,
        head: Duration::from_secs(u64::from(gateway.config.header_timeout_seconds)),
    };
    let app = http::routes(Arc::clone(gateway));
    let plain = listener(sockets.http).map_err(failed("HTTP"))?;
    let plain = listen::serve(plain, None, app.clone(), limits, stop.clone());
    let secure = match (sockets.https, config(&["http/1.1"])?) {
        (Some(socket), Some(config)) => {
            let socket = listener(socket).map_err(failed("HTTPS"))?;
            let tls = Some(TlsAcceptor::from(config));
            Some(listen::serve(socket, tls, app, limits, stop.clone()))
        }
        _ => None,
    };
    let http = tokio::spawn(async move {
        match secure {
            Some(secure) => tokio::try_join!(plain, secure).map(|_| ()),
            None => plain.await,
        }
    });
    let mut listeners = vec![mqtt::Listener {
        socket: sockets.mqtt,
        tls: None,
    }];
    if let (Some(socket), Some(config)) = (sockets.mqtts, config(&[])?) {
        let tls = Some(config);
        listeners.push(mqtt::Listener { socket, tls });
    }
    let mqtt = mqtt::serve(listeners, Arc::clone(gateway)).map_err(failed("MQTT"))?;
    Ok(Servers { http, mqtt })
}

fn listener(socket: std::net::TcpListener) -> std::io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}
