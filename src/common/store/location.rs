//! Locations: where a store is, and which one is meant when several are named.
//!
//! A location is shown without its password, always.

use super::address::{Access, RedisUrl, SCHEMES, masked};
use super::error::{Error, Kind};
use crate::ndjson::shown;
use std::fmt;
use std::path::PathBuf;

/// The name of the embedded store that is found without being named.
pub const HERE: &str = "adprof-store";
/// Where Redis is when nobody says.
const DEFAULT_REDIS: &str = "redis://127.0.0.1:6379";

/// Where a store is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Location {
    /// `file:DIR`
    Embedded(PathBuf),
    /// `redis://[user][:password@]host[:port][/db]`, `rediss://…` with TLS, `unix:///path/to.sock[?db=N]`,
    /// `redis+sentinel://host,…/NAME[/db]`, `redis+cluster://host,…`
    Redis(RedisUrl),
}

impl Location {
    /// Reads a location as `--store` takes it.
    pub fn parse(text: &str) -> Result<Location, Error> {
        if let Some(path) = text.strip_prefix("file:") {
            return file(path, text);
        }
        if SCHEMES.iter().any(|s| text.starts_with(s)) {
            return RedisUrl::parse(text).map(Location::Redis);
        }
        if ["/", "./", "../"].iter().any(|s| text.starts_with(s)) {
            return Ok(Location::Embedded(text.into()));
        }
        let error = Error::new(Kind::Usage, format!("not a store: {}", masked(text)));
        Err(match text {
            "" => error.hint("write file:DIR or redis://host:6379"),
            "redis" | "localhost" => error.hint(format!("did you mean {DEFAULT_REDIS}?")),
            _ if text.contains("://") || text.contains('@') => {
                error.hint("a store is file:DIR, redis://host:6379 or unix:///path/to.sock")
            }
            _ if host_and_port(text) => error.hint(format!("did you mean redis://{text}?")),
            _ => error.hint(format!("did you mean file:{}?", shown(text))),
        })
    }

    /// The same location with what is said beside the address of its Redis, where it is one.
    pub fn with(self, access: Access) -> Location {
        match self {
            Location::Redis(url) => Location::Redis(url.with(access)),
            file => file,
        }
    }
}

/// `file:DIR` and the URL form `file:///DIR`.
fn file(path: &str, text: &str) -> Result<Location, Error> {
    let path = match path.strip_prefix("//") {
        Some(rest) if rest.starts_with('/') => rest,
        Some(_) => {
            let error = Error::new(Kind::Usage, format!("a file store is on this machine: {}", shown(text)));
            return Err(error.hint("write file:DIR or file:///absolute/path"));
        }
        None => path,
    };
    if path.is_empty() {
        return Err(Error::new(Kind::Usage, format!("no directory named: {text}")).hint("write file:adprof-store"));
    }
    Ok(Location::Embedded(path.into()))
}

fn host_and_port(text: &str) -> bool {
    let port = text.rsplit_once(':').map(|(_, port)| port);
    port.is_some_and(|p| p.parse::<u16>().is_ok()) && !text.contains('/')
}

/// As `--store` would take it, without a password.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Embedded(dir) => write!(f, "file:{}", shown(&dir.to_string_lossy())),
            Location::Redis(url) => write!(f, "{url}"),
        }
    }
}

/// What was said about the store, strongest first.
#[derive(Clone, Copy, Default, Debug)]
pub struct Choice<'a> {
    /// `--store`
    pub flag: Option<&'a str>,
    /// `ADPROF_STORE`
    pub environment: Option<&'a str>,
    /// `store` in `adprof.toml`
    pub definitions: Option<&'a str>,
    /// Whether there is an embedded store at `./adprof-store`.
    pub here: bool,
    /// `REDIS_URL`
    pub redis_url: Option<&'a str>,
}

/// Who decided which store it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    Flag,
    Environment,
    Definitions,
    Here,
    RedisUrl,
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Flag => "--store",
            Origin::Environment => "ADPROF_STORE",
            Origin::Definitions => "adprof.toml",
            Origin::Here => "the store in this directory",
            Origin::RedisUrl => "REDIS_URL",
            Origin::Default => "the default",
        })
    }
}

/// The store that is meant: `--store`, else `ADPROF_STORE`, else `adprof.toml`, else the embedded store here,
/// else `REDIS_URL`, else Redis on this machine. An empty variable counts as not set.
pub fn choose(said: Choice<'_>) -> Result<(Location, Origin), Error> {
    let named = [
        (said.flag, Origin::Flag),
        (said.environment.filter(|s| !s.is_empty()), Origin::Environment),
        (said.definitions, Origin::Definitions),
        (said.here.then_some("file:adprof-store"), Origin::Here),
        (said.redis_url.filter(|s| !s.is_empty()), Origin::RedisUrl),
        (Some(DEFAULT_REDIS), Origin::Default),
    ];
    let (text, origin) =
        named.into_iter().find_map(|(text, origin)| Some((text?, origin))).expect("the default is always there");
    let location =
        if origin == Origin::RedisUrl { RedisUrl::parse(text).map(Location::Redis) } else { Location::parse(text) };
    match location {
        Ok(location) => Ok((location, origin)),
        Err(error) => Err(Error { message: format!("{origin}: {}", error.message), ..error }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_reads_and_prints() {
        for (text, shown) in [
            ("file:state", "file:state"),
            ("file:/var/lib/adprof", "file:/var/lib/adprof"),
            ("file:///var/lib/adprof", "file:/var/lib/adprof"),
            ("./state", "file:./state"),
            ("/srv/state", "file:/srv/state"),
            ("redis://localhost:6379", "redis://localhost:6379"),
            ("redis://localhost/3", "redis://localhost/3"),
            ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
            ("redis+unix:///run/redis.sock", "redis+unix:///run/redis.sock"),
            ("rediss://host:6380/1", "rediss://host:6380/1"),
            ("redis+sentinel://a,b:1/m/2", "redis+sentinel://a,b:1/m/2"),
            ("rediss+cluster://a:7000,b", "rediss+cluster://a:7000,b"),
        ] {
            assert_eq!(Location::parse(text).expect(text).to_string(), shown);
        }
    }

    #[test]
    fn a_password_is_never_printed() {
        for text in [
            "redis://:canary@host:6379",
            "redis://user:canary@host:6379/0",
            "redis://user:ca@nary@host",
            "redis://user:a/canary@host",
            "redis://user:a?canary@host",
            "redis://user:a#canary@host",
            "redis://user:canary@host:notaport",
            "redis://user:canary@host/notadb",
            "unix:///run/redis.sock?pass=canary",
            "unix:///run/redis.sock?user=u&pass=canary&db=1",
            "rediss://user:canary@host",
            "redis+sentinel://user:canary@a,b/m/0",
            "redis+sentinel://user:canary@a,b",
            "redis+cluster://user:ca@nary@a,b",
            "rediss+cluster://:canary@a:port",
            "http://user:canary@host",
            "user:canary@host",
            "canary@host:6379",
        ] {
            let printed = match Location::parse(text) {
                Ok(location) => format!("{location} {location:?}"),
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(!printed.contains("canary") && !printed.contains("nary"), "{text}: {printed}");
        }
    }

    #[test]
    fn what_is_no_store_is_refused_with_advice() {
        for (text, hint) in [
            ("", "file:DIR"),
            ("redis", "redis://127.0.0.1:6379"),
            ("localhost:6379", "did you mean redis://localhost:6379?"),
            ("adprof-store", "did you mean file:adprof-store?"),
            ("file:", "file:adprof-store"),
            ("file://host/dir", "file:///absolute/path"),
            ("http://host", "file:DIR"),
            ("redis://0.0.0.0", "user and password belong into REDIS_URL"),
        ] {
            let error = Location::parse(text).expect_err(text);
            assert_eq!(error.kind, Kind::Usage, "{text}");
            assert!(error.hint.as_deref().is_some_and(|h| h.contains(hint)), "{text}: {error:?}");
        }
    }

    #[test]
    fn the_strongest_word_decides() {
        let mut said = Choice {
            flag: Some("file:a"),
            environment: Some("file:b"),
            definitions: Some("file:c"),
            here: true,
            redis_url: Some("redis://d"),
        };
        let mut seen = Vec::new();
        let mut take = |said: &Choice<'_>| {
            let (location, origin) = choose(*said).expect("well-formed");
            seen.push(format!("{location} {origin:?}"));
        };
        take(&said);
        said.flag = None;
        take(&said);
        said.environment = Some("");
        take(&said);
        said.definitions = None;
        take(&said);
        said.here = false;
        take(&said);
        said.redis_url = None;
        take(&said);
        assert_eq!(
            seen,
            [
                "file:a Flag",
                "file:b Environment",
                "file:c Definitions",
                "file:adprof-store Here",
                "redis://d RedisUrl",
                "redis://127.0.0.1:6379 Default"
            ]
        );
    }

    #[test]
    fn a_wrong_variable_is_named() {
        let error = choose(Choice { redis_url: Some("localhost:6379"), ..Choice::default() }).expect_err("no scheme");
        assert!(error.message.starts_with("REDIS_URL: not a Redis address"), "{error}");
    }
}
