//! Addresses of Redis: one server, sentinels or a cluster, and the secrets and certificates to reach it with.
//!
//! An address is shown without its password, always: secrets leave this module only through `Reach`.

use super::error::{Error, Kind};
use crate::ndjson::shown;
use ::redis::{ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// What addresses begin with.
pub const SCHEMES: [&str; 8] = [
    "redis://",
    "rediss://",
    "redis+unix://",
    "unix://",
    "redis+sentinel://",
    "rediss+sentinel://",
    "redis+cluster://",
    "rediss+cluster://",
];
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// The address of a Redis, with its password hidden from every printout.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    text: String,
    access: Arc<Access>,
}

/// What is said about a Redis beside its address.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Access {
    /// Taken where the address has none.
    pub password: Option<Secret>,
    pub sentinel_user: Option<String>,
    pub sentinel_password: Option<Secret>,
    /// The certificates that are trusted, instead of those of the system.
    pub ca: Option<PathBuf>,
    /// The client's own certificate, and its key.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Whether anybody may call himself the server.
    pub insecure: bool,
}

/// A password, which no printout shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How many servers an address means, and which of them takes writes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Deployment {
    /// The server that is named.
    One,
    /// The one that the sentinels call the primary under this name.
    Sentinel { primary: String },
    /// For each key another one: those that are named are only asked first.
    Cluster,
}

/// How what is said to a Redis is kept from others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Privacy {
    /// By TLS, with a server that is who it says.
    Tls,
    /// By TLS, with whoever answers.
    Unchecked,
    /// It does not leave this machine.
    Here,
    None,
}

/// An address taken apart, with its secrets: for connecting only.
pub(super) struct Reach {
    pub deployment: Deployment,
    /// The server; or the sentinels, or some nodes of the cluster.
    pub at: Vec<ConnectionAddr>,
    /// User, password, database and protocol of the servers with the data.
    pub login: RedisConnectionInfo,
}

impl RedisUrl {
    /// Checks the address without connecting.
    pub fn parse(text: &str) -> Result<RedisUrl, Error> {
        // The parser's own message may quote a part of the address, so only what is known to hold none is kept.
        reach(text).map_err(|why| {
            let error = Error::new(Kind::Usage, format!("not a Redis address: {why}: {}", masked(text)));
            error.hint(match text {
                _ if text.contains("+sentinel://") => "write redis+sentinel://s1:26379,s2:26379/NAME/0",
                _ if text.contains("+cluster://") => "write redis+cluster://h1:7000,h2:7001",
                _ => "write redis://host:6379/0; user and password belong into REDIS_URL",
            })
        })?;
        Ok(RedisUrl { text: text.to_string(), access: Arc::default() })
    }

    /// The same address with what is said beside it.
    pub fn with(self, access: Access) -> RedisUrl {
        RedisUrl { access: Arc::new(access), ..self }
    }

    /// Whether the address itself holds a password.
    pub fn has_password(&self) -> bool {
        reach(&self.text).is_ok_and(|reach| reach.login.password().is_some())
    }

    /// How what is said on the way is kept from others.
    pub fn privacy(&self) -> Privacy {
        match self.reach().ok().and_then(|reach| reach.at.into_iter().next()) {
            Some(ConnectionAddr::TcpTls { insecure: false, .. }) => Privacy::Tls,
            Some(ConnectionAddr::TcpTls { .. }) => Privacy::Unchecked,
            Some(ConnectionAddr::Tcp(host, _)) if !is_here(&host) => Privacy::None,
            _ => Privacy::Here,
        }
    }

    pub fn deployment(&self) -> Deployment {
        reach(&self.text).map_or(Deployment::One, |reach| reach.deployment)
    }

    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    /// The address taken apart, with the password from beside it where it has none.
    pub(super) fn reach(&self) -> Result<Reach, Error> {
        let wrong = |why: String| Error::new(Kind::Usage, format!("{self}: {why}"));
        let mut reach = reach(&self.text).map_err(wrong)?;
        if let (None, Some(secret)) = (reach.login.password(), &self.access.password) {
            reach.login = reach.login.set_password(&secret.0);
        }
        for at in &mut reach.at {
            if let ConnectionAddr::TcpTls { insecure, .. } = at {
                *insecure |= self.access.insecure;
            }
        }
        Ok(reach)
    }
}

/// The address without its password.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&masked(&self.text))
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

/// Takes an address apart. Errors hold nothing of it.
fn reach(text: &str) -> Result<Reach, String> {
    let several = text.split_once("://").and_then(|(scheme, rest)| Some((scheme.split_once('+')?, rest)));
    match several {
        Some(((scheme @ ("redis" | "rediss"), kind @ ("sentinel" | "cluster")), rest)) => {
            several_hosts(scheme == "rediss", kind == "sentinel", rest).map_err(str::to_string)
        }
        _ => {
            let info = text.into_connection_info().map_err(|e| e.category().to_string())?;
            let (at, login) = (info.addr().clone(), info.redis_settings().clone());
            Ok(Reach { deployment: Deployment::One, at: vec![at], login })
        }
    }
}

/// `[user[:password]@]host[:port],…[/name][/db]`
fn several_hosts(tls: bool, sentinel: bool, text: &str) -> Result<Reach, &'static str> {
    let (text, insecure) = match text.strip_suffix("#insecure") {
        Some(text) if tls => (text, true),
        _ => (text, false),
    };
    let (credentials, text) = match text.rsplit_once('@') {
        Some((credentials, rest)) => (Some(credentials), rest),
        None => (None, text),
    };
    let (hosts, path) = text.split_once('/').unwrap_or((text, ""));
    if hosts.contains(['?', '#']) || path.contains(['?', '#']) {
        return Err("nothing may stand behind the path");
    }
    let usual = if sentinel { SENTINEL_PORT } else { PORT };
    let hosts = hosts.split(',').map(|host| host_and_port(host, usual));
    let place = |(host, port): (String, u16)| match tls {
        true => ConnectionAddr::TcpTls { host, port, insecure, tls_params: None },
        false => ConnectionAddr::Tcp(host, port),
    };
    let at = hosts.map(|host| host.map(place)).collect::<Result<Vec<_>, _>>()?;
    let mut login = RedisConnectionInfo::default();
    if let Some(credentials) = credentials {
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        if !user.is_empty() {
            login = login.set_username(percent_decoded(user)?);
        }
        if !password.is_empty() {
            login = login.set_password(percent_decoded(password)?);
        }
    }
    if !sentinel {
        if !path.is_empty() {
            return Err("a cluster has one database, and no path");
        }
        return Ok(Reach { deployment: Deployment::Cluster, at, login });
    }
    let (primary, db) = path.split_once('/').unwrap_or((path, "0"));
    if primary.is_empty() {
        return Err("the name of the primary is missing");
    }
    let db = db.parse::<u16>().map_err(|_| "not the number of a database")?;
    let deployment = Deployment::Sentinel { primary: percent_decoded(primary)? };
    Ok(Reach { deployment, at, login: login.set_db(db.into()) })
}

fn host_and_port(text: &str, usual: u16) -> Result<(String, u16), &'static str> {
    let (host, port) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or("not a host")?)),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err("a host is missing");
    }
    let port = port.map_or(Ok(usual), |port| port.parse().map_err(|_| "not a port"))?;
    Ok((host.to_string(), port))
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// `%40` is `@`. Errors hold nothing of the text.
fn percent_decoded(text: &str) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).ok_or("not a percent escape");
                bytes.push((digit(high)? * 16 + digit(low)?) as u8);
                tail
            }
            (b'%', _) => return Err("not a percent escape"),
            _ => {
                bytes.push(*first);
                tail
            }
        };
    }
    String::from_utf8(bytes).map_err(|_| "not UTF-8")
}

/// `text` with what may be a password in it as `***`, whether or not it is a well-formed address.
pub(super) fn masked(text: &str) -> String {
    let text = shown(text);
    let (address, query) = match text.split_once('?') {
        Some((address, query)) => (address, Some(query)),
        None => (&*text, None),
    };
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), address),
    };
    // A password may hold any byte, an `@` too: everything before the last one is taken as credentials.
    let rest = match rest.rsplit_once('@') {
        Some((credentials, host)) => match credentials.split_once(':') {
            Some((user, _)) => format!("{user}:***@{host}"),
            None if scheme.is_empty() => format!("***@{host}"),
            None => format!("{credentials}@{host}"),
        },
        None => rest.to_string(),
    };
    match query {
        None => format!("{scheme}{rest}"),
        // A `?` inside a password moves its tail here: an `@` in a query is not trusted.
        Some(query) if query.contains('@') => format!("{scheme}***"),
        Some(query) => format!("{scheme}{rest}?{}", masked_query(query)),
    }
}

fn masked_query(query: &str) -> String {
    let pair = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if !["db", "user", "protocol"].contains(&name) => format!("{name}=***"),
        _ => pair.to_string(),
    };
    query.split('&').map(pair).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Deployment, Vec<String>, Option<String>, Option<String>, i64) {
        let reach = reach(text).expect(text);
        let at = reach.at.iter().map(ToString::to_string).collect();
        let word = |text: Option<&str>| text.map(str::to_string);
        (reach.deployment, at, word(reach.login.username()), word(reach.login.password()), reach.login.db())
    }

    #[test]
    fn sentinels_and_clusters_are_named_by_several_hosts() {
        let sentinel = |primary: &str| Deployment::Sentinel { primary: primary.into() };
        let word = |text: &str| Some(text.to_string());
        let at = |places: &[&str]| places.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (text, want) in [
            ("redis+sentinel://a,b:7/mymaster", (sentinel("mymaster"), at(&["a:26379", "b:7"]), None, None, 0)),
            ("rediss+sentinel://u:p%40@a/m%2f/3", (sentinel("m/"), at(&["a:26379"]), word("u"), word("p@"), 3)),
            ("redis+cluster://a,[::1]:7", (Deployment::Cluster, at(&["a:6379", "::1:7"]), None, None, 0)),
            ("redis+cluster://:p@x@a", (Deployment::Cluster, at(&["a:6379"]), None, word("p@x"), 0)),
            ("redis://u:p@a:7/2", (Deployment::One, at(&["a:7"]), word("u"), word("p"), 2)),
        ] {
            assert_eq!(read(text), want, "{text}");
        }
        for text in [
            "redis+sentinel://a",
            "redis+sentinel://a/",
            "redis+sentinel:///m",
            "redis+sentinel://a/m/x",
            "redis+sentinel://a/m?x=1",
            "redis+sentinel://a:x/m",
            "redis+cluster://a/1",
            "redis+cluster://a,,b",
            "redis+cluster://",
            "redis+cluster://u:%4@a",
            "redis+other://a",
        ] {
            assert_eq!(RedisUrl::parse(text).expect_err(text).kind, Kind::Usage);
        }
    }

    #[test]
    fn the_password_of_the_address_comes_before_that_from_beside_it() {
        let access = Access { password: Some(Secret("beside".into())), ..Access::default() };
        for (text, want) in [
            ("redis://u@a", "beside"),
            ("redis://a", "beside"),
            ("redis://u:own@a", "own"),
            ("redis+cluster://u@a", "beside"),
            ("redis+sentinel://:own@a/m", "own"),
        ] {
            let url = RedisUrl::parse(text).expect(text).with(access.clone());
            assert_eq!(url.reach().expect("well-formed").login.password(), Some(want), "{text}");
            assert!(!format!("{url:?} {access:?}").contains("beside"));
        }
    }

    #[test]
    fn whoever_may_call_himself_the_server_is_said_by_a_word_alone() {
        let insecure = |text: &str, access: bool| {
            let url = RedisUrl::parse(text).expect(text).with(Access { insecure: access, ..Access::default() });
            let reach = url.reach().expect("well-formed");
            reach.at.iter().map(|at| matches!(at, ConnectionAddr::TcpTls { insecure: true, .. })).collect::<Vec<_>>()
        };
        assert_eq!(insecure("rediss://a", false), [false]);
        assert_eq!(insecure("rediss://a", true), [true]);
        assert_eq!(insecure("rediss://a/#insecure", false), [true]);
        assert_eq!(insecure("rediss+cluster://a,b", false), [false, false]);
        assert_eq!(insecure("rediss+cluster://a,b#insecure", false), [true, true]);
        assert_eq!(insecure("redis+cluster://a", true), [false], "there is no TLS to be sure of");
    }
}
