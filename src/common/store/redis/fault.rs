//! Faults of a Redis server: their class, and whether waiting or reconnecting may help.
//!
//! The text of the server is passed on; no text of ours holds an address with a password.

use crate::ndjson::shown;
use crate::store::address::{Deployment, Privacy, RedisUrl};
use crate::store::error::{Error, Kind};
use ::redis::{ErrorKind, RedisError, ServerError};
use rustls::{AlertDescription, CertificateError};
use std::error::Error as _;
use std::sync::Arc;

const LOGIN: &str = "give the user in REDIS_URL, and the password there, in REDIS_PASSWORD or in --redis-password-file";

const REPLICA: &str = "that is a replica: name the primary";
const NO_ANSWER: &str = "no answer in time";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Retry {
    /// Nothing changes by itself.
    Never,
    /// On a new connection, which resolves the name again: another server may answer.
    Reconnect,
}

/// What went wrong in one attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    pub kind: Kind,
    pub retry: Retry,
    pub why: String,
    pub hint: Option<&'static str>,
}

impl Fault {
    pub fn new(kind: Kind, retry: Retry, why: String, hint: &'static str) -> Fault {
        Fault { kind, retry, why, hint: Some(hint) }
    }

    /// A slot of a cluster that no node has.
    pub fn unserved(slot: u16) -> Fault {
        let why = format!("no node of the cluster has slot {slot}");
        Fault::new(Kind::Unavailable, Retry::Reconnect, why, "redis-cli --cluster check says what is missing")
    }

    /// The same fault as that of `whom`.
    pub fn of(self, whom: &str) -> Fault {
        Fault { why: format!("{whom}: {}", self.why), ..self }
    }

    /// An answer that makes no sense.
    pub fn unexpected(what: &str) -> Fault {
        Fault {
            kind: Kind::Unavailable,
            retry: Retry::Reconnect,
            why: format!("unexpected answer to {what}"),
            hint: None,
        }
    }

    /// The fault of an error answer, by its code.
    pub fn of_server(error: &ServerError) -> Fault {
        let why = server_text(error);
        let (kind, retry, hint) = match error.code() {
            "NOAUTH" | "WRONGPASS" => (Kind::Denied, Retry::Never, Some(LOGIN)),
            "NOPERM" | "EXECABORT" | "ERR" if is_denial(&why) => {
                (Kind::Denied, Retry::Never, Some("docs/redis.md says which commands and keys the user needs"))
            }
            "READONLY" => (Kind::Denied, Retry::Reconnect, Some(REPLICA)),
            "LOADING" | "MASTERDOWN" | "BUSY" | "TRYAGAIN" | "CLUSTERDOWN" | "NOREPLICAS" | "UNBLOCKED" => {
                (Kind::Unavailable, Retry::Reconnect, None)
            }
            "OOM" => (Kind::Unavailable, Retry::Reconnect, Some("Redis is at its `maxmemory`: raise it or make room")),
            "MISCONF" => (Kind::Unavailable, Retry::Reconnect, Some("Redis cannot save to its disk: see its log")),
            "MOVED" | "ASK" | "CROSSSLOT" => {
                (Kind::Usage, Retry::Never, Some("that is a cluster: write redis+cluster://host:port"))
            }
            // `AUTH` on a server without a password, a database number it does not have.
            "ERR" if why.contains("AUTH") => (Kind::Denied, Retry::Never, Some(LOGIN)),
            _ => (Kind::Usage, Retry::Never, None),
        };
        Fault { kind, retry, why, hint }
    }

    /// The same fault as one that trying again does not mend.
    pub fn lasting(self) -> Fault {
        Fault { retry: Retry::Never, ..self }
    }

    pub fn into_error(self, url: &RedisUrl) -> Error {
        let error = Error::new(self.kind, format!("{url}: {}", self.why));
        let hint = match url.privacy() {
            // Redis without TLS takes a greeting of TLS for the beginning of a command, and waits for its end.
            Privacy::Tls | Privacy::Unchecked if self.why == NO_ANSWER => {
                Some("is TLS spoken there? write redis:// where not")
            }
            _ => self.hint,
        };
        // Where others say who the primary is, they will name another one.
        let (error, hint) = match url.deployment() {
            Deployment::One => (error, hint),
            _ if hint == Some(REPLICA) => {
                (Error { kind: Kind::Unavailable, ..error }, Some("a failover takes some seconds"))
            }
            _ => (error, hint),
        };
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// Whether it is about rights, whatever its code: EXEC itself may be what the user must not do, or a command in a script.
fn is_denial(why: &str) -> bool {
    ["NOPERM", "The user executing the script", "ACL failure in script"].iter().any(|words| why.contains(words))
}

/// `WRONGTYPE Operation against a key …`, safe to show.
pub(super) fn server_text(error: &ServerError) -> String {
    let text = format!("{} {}", error.code(), error.details().unwrap_or_default());
    shown(text.trim_end()).into_owned()
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Fault {
        let io = |why: &str| Fault {
            kind: Kind::Unavailable,
            retry: Retry::Reconnect,
            why: why.into(),
            hint: Some("is Redis running there? another store: --store file:DIR"),
        };
        if let ErrorKind::AuthenticationFailed = error.kind() {
            let why = format!("authentication failed: {}", shown(error.detail().unwrap_or("the server refused it")));
            let hint = Some(LOGIN);
            return Fault { kind: Kind::Denied, retry: Retry::Never, why, hint };
        }
        if let Some(fault) = tls(&error) {
            return fault;
        }
        if let Some((_, server)) = error.clone().into_server_errors().as_deref().and_then(<[_]>::first) {
            return Fault::of_server(server);
        }
        match error.kind() {
            ErrorKind::Io if error.is_timeout() => io(NO_ANSWER),
            ErrorKind::Io if error.is_connection_refusal() => io("connection refused"),
            ErrorKind::Io => Fault {
                hint: Some("is Redis running there, and with TLS only? then write rediss://"),
                ..io(&format!("connection lost: {}", shown(&error.to_string())))
            },
            ErrorKind::Parse => Fault::unexpected("a command: not the protocol of Redis"),
            _ => Fault {
                kind: Kind::Usage,
                retry: Retry::Never,
                why: shown(&error.to_string()).into_owned(),
                hint: None,
            },
        }
    }
}

/// What TLS has to say; `None` for an error of another kind.
fn tls(error: &RedisError) -> Option<Fault> {
    // The crate hands out the pointer that it shares, not what that points to.
    let shared = error.source()?.downcast_ref::<Arc<dyn std::error::Error + Send + Sync>>()?;
    let io = shared.downcast_ref::<std::io::Error>()?;
    let error = io.get_ref()?.downcast_ref::<rustls::Error>()?;
    let (kind, why, hint) = match error {
        rustls::Error::InvalidCertificate(error) => {
            let hint = match error {
                CertificateError::UnknownIssuer => {
                    "name the file with the certificate of its issuer: --redis-cacert FILE"
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    "write the name that stands in the certificate"
                }
                _ => "the server needs another certificate",
            };
            (Kind::Denied, format!("its certificate is not accepted: {}", told(error)), hint)
        }
        rustls::Error::InvalidMessage(_) => {
            (Kind::Usage, "no TLS is spoken there".to_string(), "write redis:// for a port without TLS")
        }
        rustls::Error::AlertReceived(alert) => {
            let hint = "it may want a client's certificate that it trusts: --redis-cert FILE --redis-key FILE";
            (Kind::Denied, format!("the server refuses TLS: {}", alert_text(*alert)), hint)
        }
        other => (Kind::Denied, format!("TLS failed: {other}"), "see the settings of TLS on both sides"),
    };
    Some(Fault { kind, retry: Retry::Never, why: shown(&why).into_owned(), hint: Some(hint) })
}

fn told(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => "its issuer is not trusted".into(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".into(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet".into(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name".into()
        }
        other => other.to_string(),
    }
}

fn alert_text(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => "it wants a certificate".into(),
        AlertDescription::UnknownCA => "it does not trust the issuer of ours".into(),
        other => format!("{other:?}"),
    }
}
