//! Dialing: from an address and what is said beside it to a connection with a server.
//!
//! Certificates are read once, when a store is opened. A server's is always checked, against the
//! system's roots or the file that was named, unless somebody says that it need not be.

use super::fault::Fault;
use super::sentinel::Sentinels;
use super::{Link, Patience};
use crate::ndjson::shown;
use crate::store::address::{Access, Deployment, Reach, RedisUrl};
use crate::store::error::{Error, Kind};
use ::redis::{Client, ClientTlsConfig, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, TlsCertificates};
use std::cell::{Cell, RefCell};
use std::path::Path;

/// Longest file of certificates.
const FILE_MAX: u64 = 16 << 20;

/// How to reach the servers of one address.
pub(super) struct Dialer {
    /// Of the first place that is named; the others differ from it by host and port alone.
    client: Client,
    /// Where the servers or sentinels are that are named.
    places: Vec<(String, u16)>,
    sentinels: Option<Sentinels>,
}

impl Dialer {
    /// Errors: `Usage` for certificates that are none, `Io` and `NoInput` for files that cannot be read.
    pub fn new(url: &RedisUrl) -> Result<Dialer, Error> {
        let Reach { deployment, at, login } = url.reach()?;
        let places: Vec<(String, u16)> = at.iter().filter_map(place).collect();
        let wrong = |e: ::redis::RedisError| Error::new(Kind::Usage, format!("{url}: {}", e.category()));
        let first = at.into_iter().next().expect("an address names a place");
        let tls = matches!(first, ConnectionAddr::TcpTls { .. });
        let info = first.into_connection_info().map_err(wrong)?.set_redis_settings(login);
        // Batches are whole when they are sent: waiting for more (Nagle) would only delay their ends.
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        let info = info.set_tcp_settings(tcp);
        let client = match certificates(url)? {
            Some(_) if !tls => {
                let error = Error::new(Kind::Usage, format!("{url}: certificates are for TLS, which it does not say"));
                return Err(error.hint("write rediss://"));
            }
            Some(certificates) => Client::build_with_tls(info, certificates),
            None => Client::open(info),
        };
        let sentinels = match deployment {
            Deployment::Sentinel { primary } => {
                let login = sentinel_login(url.access());
                Some(Sentinels { primary, at: places.clone(), login, first: Cell::new(0), now: RefCell::new(None) })
            }
            _ => None,
        };
        Ok(Dialer { client: client.map_err(wrong)?, places, sentinels })
    }

    /// A connection to the server, or to the one that the sentinels call the primary.
    pub fn dial(&self, patience: Patience) -> Result<Link, Fault> {
        match &self.sentinels {
            Some(sentinels) => sentinels.dial(self, patience),
            None => connect(&self.client, patience),
        }
    }

    /// Whether there are sentinels.
    pub fn has_sentinels(&self) -> bool {
        self.sentinels.is_some()
    }

    /// Whether the sentinels by now name another server than the one that was dialed last.
    pub fn is_outdated(&self, patience: Patience) -> bool {
        self.sentinels.as_ref().is_some_and(|sentinels| sentinels.name_another(self, patience))
    }

    /// Where the servers are that are named.
    pub fn places(&self) -> &[(String, u16)] {
        &self.places
    }

    /// A connection to another server, in the same way.
    pub fn to(&self, host: &str, port: u16, patience: Patience) -> Result<Link, Fault> {
        self.with_login(host, port, self.client.get_connection_info().redis_settings().clone(), patience)
    }

    /// The same with another user.
    pub fn with_login(
        &self,
        host: &str,
        port: u16,
        login: RedisConnectionInfo,
        patience: Patience,
    ) -> Result<Link, Fault> {
        let info = self.client.get_connection_info().clone();
        let host = host.to_string();
        let addr = match info.addr().clone() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure, tls_params }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        connect(&Client::open(info.set_addr(addr).set_redis_settings(login))?, patience)
    }
}

fn place(at: &ConnectionAddr) -> Option<(String, u16)> {
    match at {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => Some((host.clone(), *port)),
        _ => None,
    }
}

fn sentinel_login(access: &Access) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default();
    if let Some(user) = &access.sentinel_user {
        login = login.set_username(user);
    }
    if let Some(secret) = &access.sentinel_password {
        login = login.set_password(&secret.0);
    }
    login
}

fn connect(client: &Client, patience: Patience) -> Result<Link, Fault> {
    let connection = client.get_connection_with_timeout(patience.connect)?;
    connection.set_read_timeout(Some(patience.reply))?;
    connection.set_write_timeout(Some(patience.reply))?;
    Ok(Link::new(connection))
}

/// The files that are named beside an address; `None` where none is.
fn certificates(url: &RedisUrl) -> Result<Option<TlsCertificates>, Error> {
    let access = url.access();
    let client_tls = match (&access.certificate, &access.key) {
        (Some(certificate), Some(key)) => {
            let (client_cert, client_key) = (file(certificate, "CERTIFICATE")?, file(key, "PRIVATE KEY")?);
            Some(ClientTlsConfig { client_cert, client_key })
        }
        (None, None) => None,
        _ => {
            let error = Error::new(Kind::Usage, "a client's certificate and its key belong together");
            return Err(error.hint("name both: --redis-cert FILE --redis-key FILE"));
        }
    };
    let root_cert = access.ca.as_deref().map(|path| file(path, "CERTIFICATE")).transpose()?;
    Ok((client_tls.is_some() || root_cert.is_some()).then_some(TlsCertificates { client_tls, root_cert }))
}

/// A file in the form PEM that holds a `what`.
fn file(path: &Path, what: &str) -> Result<Vec<u8>, Error> {
    let name = shown(&path.to_string_lossy()).into_owned();
    let unreadable = |e: std::io::Error| {
        let kind = match e.kind() {
            std::io::ErrorKind::NotFound => Kind::NoInput,
            std::io::ErrorKind::PermissionDenied => Kind::Denied,
            _ => Kind::Io,
        };
        Error::new(kind, format!("cannot read `{name}`: {e}")).hint("a file in the form PEM: -----BEGIN …")
    };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    let bytes = if size > FILE_MAX { Vec::new() } else { std::fs::read(path).map_err(unreadable)? };
    let end = format!("{what}-----");
    if !bytes.windows(end.len()).any(|window| window == end.as_bytes()) {
        let error = Error::new(Kind::Usage, format!("no {} in `{name}`", what.to_lowercase()));
        return Err(error.hint("a file in the form PEM: -----BEGIN …"));
    }
    Ok(bytes)
}
