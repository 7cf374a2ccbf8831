//! Faults of a Redis server: their class, and whether waiting or reconnecting may help.
//!
//! The text of the server is passed on; no text of ours holds an address with a password.

use crate::ndjson::shown;
use crate::store::error::{Error, Kind};
use crate::store::location::RedisUrl;
use ::redis::{ErrorKind, RedisError, ServerError};

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
    why: String,
    hint: Option<&'static str>,
}

impl Fault {
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
            "NOAUTH" | "WRONGPASS" => (Kind::Denied, Retry::Never, Some("give user and password in REDIS_URL")),
            "NOPERM" => (
                Kind::Denied,
                Retry::Never,
                Some("the user needs the commands HSET, HDEL, HGETALL, SCAN, GET, SET, WATCH, MULTI and EXEC"),
            ),
            "READONLY" => (Kind::Denied, Retry::Reconnect, Some("that is a replica: name the primary")),
            "LOADING" | "MASTERDOWN" | "BUSY" | "TRYAGAIN" | "CLUSTERDOWN" | "NOREPLICAS" | "UNBLOCKED" => {
                (Kind::Unavailable, Retry::Reconnect, None)
            }
            "OOM" => (Kind::Unavailable, Retry::Reconnect, Some("Redis is at its `maxmemory`: raise it or make room")),
            "MISCONF" => (Kind::Unavailable, Retry::Reconnect, Some("Redis cannot save to its disk: see its log")),
            "MOVED" | "ASK" | "CROSSSLOT" => {
                (Kind::Usage, Retry::Never, Some("Redis Cluster is not supported: name a single server"))
            }
            // `AUTH` on a server without a password, a database number it does not have.
            "ERR" if why.contains("AUTH") => (Kind::Denied, Retry::Never, Some("see user and password in REDIS_URL")),
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
        match self.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
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
            let hint = Some("see user and password in REDIS_URL");
            return Fault { kind: Kind::Denied, retry: Retry::Never, why, hint };
        }
        if let Some((_, server)) = error.clone().into_server_errors().as_deref().and_then(<[_]>::first) {
            return Fault::of_server(server);
        }
        match error.kind() {
            ErrorKind::Io if error.is_timeout() => io("no answer in time"),
            ErrorKind::Io if error.is_connection_refusal() => io("connection refused"),
            ErrorKind::Io => io(&format!("connection lost: {}", shown(&error.to_string()))),
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
