//! Settings: which brokers and topic, and librdkafka's properties as kcat takes them.
//!
//! Every property is checked when it is given: known to the library, not guarded, and no
//! secret on a command line. A secret is never shown: `mask` takes it out of any text.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use super::error::BusError;
use super::guard;
use super::secure::{self, Trust};

/// Longest topic name Kafka takes.
const TOPIC_MAX: usize = 249;
/// How long to look for a broker before giving up at the start.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// librdkafka reads groups only with a name. Without `-G` this one stands there, unused.
const NO_GROUP: &str = "adprof";

const SECRETS: &str = "put it into a file that only you can read, and give `-F FILE`, or into the environment: KAFKA_PASSWORD, KAFKA_KEY_PASSWORD";

/// How to reach a topic.
#[derive(Clone)]
pub struct Settings {
    brokers: String,
    topic: String,
    group: Option<String>,
    /// Later ones win.
    properties: Vec<(String, String)>,
    /// Files that hold a secret and that every user of the machine may read.
    exposed: Vec<PathBuf>,
    connect_wait: Duration,
}

impl Settings {
    /// Settings for a topic (`-t`) at brokers (`-b host:port,…`); `brokers` may be empty
    /// when a properties file names them.
    pub fn new(brokers: &str, topic: &str) -> Result<Settings, BusError> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if topic.is_empty() || topic.len() > TOPIC_MAX || !topic.bytes().all(legal) || matches!(topic, "." | "..") {
            return Err(setting("-t", format!("not a topic name: {topic:?}"), None));
        }
        Ok(Settings {
            brokers: brokers.trim().to_owned(),
            topic: topic.to_owned(),
            group: None,
            properties: Vec::new(),
            exposed: Vec::new(),
            connect_wait: CONNECT_WAIT,
        })
    }

    /// The name under which Kafka's tools see the lag (`-G`).
    pub fn with_group(mut self, group: &str) -> Result<Settings, BusError> {
        if group.is_empty() {
            return Err(setting("-G", "an empty group name", None));
        }
        self.group = Some(group.to_owned());
        Ok(self)
    }

    /// How long to look for a broker at the start; 10 s unless told.
    pub fn with_connect_wait(mut self, wait: Duration) -> Settings {
        self.connect_wait = wait;
        self
    }

    /// Takes one `-X key=value` of the command line.
    pub fn property(&mut self, text: &str) -> Result<(), BusError> {
        let Some((key, value)) = text.split_once('=') else {
            // The text is not repeated: it may be a password whose name was forgotten.
            return Err(setting("-X", "not key=value", Some("for example `-X linger.ms=20`")));
        };
        let key = plain(key.trim());
        let origin = format!("-X {key}");
        if guard::is_secret(key) {
            let why = "a secret on the command line can be read by every process of the machine";
            return Err(setting(&origin, why, Some(SECRETS)));
        }
        match key {
            "bootstrap.servers" | "metadata.broker.list" => Err(setting(&origin, "brokers are given with `-b`", None)),
            "group.id" => Err(setting(&origin, "the group is given with `-G`", None)),
            _ => self.add(&origin, key, value),
        }
    }

    /// Takes a librdkafka properties file (`-F FILE`): `key=value` lines, `#` comments.
    /// It may hold secrets, and the brokers and the group where no flag gave them. What
    /// has been given with `-X` before must be given again: the later one wins.
    pub fn file(&mut self, path: &Path) -> Result<(), BusError> {
        let text = std::fs::read_to_string(path).map_err(|e| BusError::File {
            path: path.to_owned(),
            doing: "read",
            why: e.to_string(),
        })?;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let origin = format!("{}:{}", path.display(), number + 1);
            let Some((key, value)) = line.split_once('=') else {
                return Err(setting(&origin, "not key=value", None));
            };
            self.add_from_file(&origin, plain(key.trim()), value.trim())?;
            if guard::is_secret(plain(key.trim())) {
                self.holds_secret(path);
            }
        }
        Ok(())
    }

    /// Takes the passwords of the environment, where the properties call for one and none was given before.
    /// KAFKA_PASSWORD is that of the user (SASL), KAFKA_KEY_PASSWORD that of the client's key.
    pub fn passwords(&mut self, environment: impl Fn(&str) -> Option<String>) -> Result<(), BusError> {
        let has = |key: &str| self.last(key).is_some();
        let user = self.protocol().starts_with("sasl_").then_some("sasl.password");
        let key = match () {
            () if has("ssl.keystore.location") => Some("ssl.keystore.password"),
            () if has("ssl.key.location") || has("ssl.key.pem") => Some("ssl.key.password"),
            () => None,
        };
        for (key, name) in [(user, "KAFKA_PASSWORD"), (key, "KAFKA_KEY_PASSWORD")] {
            if let Some(key) = key.filter(|key| self.last(key).is_none())
                && let Some(password) = environment(name)
            {
                self.add(name, key, &password)?;
            }
        }
        Ok(())
    }

    fn add_from_file(&mut self, origin: &str, key: &str, value: &str) -> Result<(), BusError> {
        match key {
            "bootstrap.servers" | "metadata.broker.list" => {
                if self.brokers.is_empty() {
                    self.brokers = value.to_owned();
                }
                Ok(())
            }
            "group.id" => {
                self.group.get_or_insert_with(|| value.to_owned());
                Ok(())
            }
            _ => self.add(&format!("{origin}: {key}"), key, value),
        }
    }

    fn add(&mut self, origin: &str, key: &str, value: &str) -> Result<(), BusError> {
        if let Some(why) = guard::refusal(key, value) {
            return Err(setting(origin, format!("cannot be changed: {why}"), None));
        }
        if let Some(why) = secure::unsupported(key, value) {
            return Err(setting(origin, why, Some("use SCRAM-SHA-512 or PLAIN")));
        }
        if let Err(e) = ClientConfig::new().set(key, value).create_native_config() {
            let shown =
                if guard::is_secret(key) { "a value that librdkafka refuses".into() } else { config_reason(&e) };
            return Err(setting(origin, shown, hint_for(key, &e)));
        }
        if let Some(why) = secure::unreadable(key, value) {
            return Err(setting(origin, why, Some("name a file that is there and that you may read")));
        }
        if secure::names_key(key) {
            self.holds_secret(Path::new(value));
        }
        self.properties.push((key.to_owned(), value.to_owned()));
        Ok(())
    }

    /// A group may be meant to read it; others are not.
    fn holds_secret(&mut self, path: &Path) {
        let others = std::fs::metadata(path).is_ok_and(|facts| facts.permissions().mode() & 0o004 != 0);
        if others && !self.exposed.iter().any(|known| known == path) {
            self.exposed.push(path.to_owned());
        }
    }

    /// The files of these settings that hold a secret and that every user of the machine may read.
    pub fn exposed(&self) -> &[PathBuf] {
        &self.exposed
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The brokers to ask first.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The group, when one was given.
    pub fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    pub(super) fn connect_wait(&self) -> Duration {
        self.connect_wait
    }

    /// What is spoken with the brokers.
    fn protocol(&self) -> String {
        self.last("security.protocol").unwrap_or("plaintext").trim().to_ascii_lowercase()
    }

    /// Whom to trust as a broker.
    pub(super) fn trust(&self) -> Trust {
        let own = |key: &str| self.last(key).filter(|value| *value != "probe").map(str::to_owned);
        let (place, pem) = (own("ssl.ca.location"), own("ssl.ca.pem"));
        let any_name =
            self.last("ssl.endpoint.identification.algorithm").is_some_and(|name| name.eq_ignore_ascii_case("none"));
        let system = || if pem.is_none() { secure::system_authorities() } else { None };
        Trust { place: place.or_else(system), pem, any_name }
    }

    /// `text` without the secrets of these settings.
    pub fn mask(&self, text: &str) -> String {
        let secrets = self.properties.iter().filter(|(key, value)| guard::is_secret(key) && !value.is_empty());
        secrets.fold(text.to_owned(), |text, (_, secret)| text.replace(secret, "***"))
    }

    /// `base` under the user's properties, under what the promise rests on.
    pub(super) fn config(&self, base: &[(&str, &str)], promise: &[(&str, &str)]) -> Result<ClientConfig, BusError> {
        if self.brokers.is_empty() {
            let hint = "give `-b HOST:PORT`, or `bootstrap.servers` in the `-F` file";
            return Err(setting("-b", "no broker given", Some(hint)));
        }
        let mut config = ClientConfig::new();
        let own = self.properties.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        for (key, value) in base.iter().copied().chain(own).chain(promise.iter().copied()) {
            config.set(key, value);
        }
        if matches!(self.protocol().as_str(), "ssl" | "sasl_ssl")
            && let Some(place) = self.trust().place
        {
            config.set("ssl.ca.location", place);
        }
        config.set("bootstrap.servers", &self.brokers);
        config.set("client.id", self.last("client.id").unwrap_or("adprof"));
        config.set("statistics.interval.ms", "1000");
        config.set_log_level(RDKafkaLogLevel::Error);
        Ok(config)
    }

    pub(super) fn group_or_none(&self) -> &str {
        self.group.as_deref().unwrap_or(NO_GROUP)
    }

    fn last(&self, key: &str) -> Option<&str> {
        self.properties.iter().rev().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// A client that cannot be made from these settings.
    pub(super) fn refused(&self, e: &KafkaError) -> BusError {
        let why = self.mask(&config_reason(e));
        let hint = secure::hint_for_client(&why);
        setting("kafka settings", why, hint)
    }
}

/// Values are left out: what is not known to be harmless is not shown.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&str> = self.properties.iter().map(|(key, _)| key.as_str()).collect();
        f.debug_struct("Settings")
            .field("brokers", &self.brokers)
            .field("topic", &self.topic)
            .field("group", &self.group)
            .field("properties", &keys)
            .finish_non_exhaustive()
    }
}

fn setting(what: &str, why: impl Into<String>, hint: Option<&str>) -> BusError {
    BusError::Setting { what: what.to_owned(), why: why.into(), hint: hint.map(str::to_owned) }
}

/// kcat's `topic.NAME` is librdkafka's `NAME`, but for the few that really begin so.
fn plain(key: &str) -> &str {
    match key.strip_prefix("topic.") {
        Some(rest) if !rest.starts_with("metadata.") && rest != "blacklist" => rest,
        _ => key,
    }
}

/// librdkafka's reason for refusing a property, without the value, which it quotes.
fn config_reason(e: &KafkaError) -> String {
    match e {
        KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..) => "librdkafka has no such property".into(),
        KafkaError::ClientConfig(_, why, _, _) => why.clone(),
        KafkaError::ClientCreation(why) => why.clone(),
        other => other.to_string(),
    }
}

fn hint_for(key: &str, error: &KafkaError) -> Option<&'static str> {
    if matches!(error, KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) {
        return Some("the names are in librdkafka's CONFIGURATION.md");
    }
    secure::hint_for_property(key, &config_reason(error))
}

/// What librdkafka was built with, as `builtin.features` says: codecs, TLS, SASL mechanisms.
pub fn builtin_features() -> String {
    let config = ClientConfig::new().create_native_config();
    config.and_then(|config| config.get("builtin.features")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::new("localhost:9092", "events").expect("settings")
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("file");
        std::fs::write(file.path(), text).expect("written");
        file
    }

    #[test]
    fn what_breaks_the_promise_is_refused_by_name_and_reason() {
        for text in ["enable.auto.commit=true", "acks=1", "topic.acks=0", "auto.offset.reset=latest"] {
            let e = settings().property(text).expect_err(text);
            let key = plain(text.split('=').next().expect("key"));
            assert!(e.to_string().starts_with(&format!("-X {key}: cannot be changed: ")), "{e}");
            assert_eq!(e.class().exit_code(), 2);
        }
        settings().property("acks=all").expect("says the same");
        settings().property("linger.ms=50").expect("free");
        settings().property("topic.metadata.refresh.interval.ms=1000").expect("free");
    }

    #[test]
    fn unknown_properties_and_bad_values_are_named() {
        for text in ["linger=5", "linger.ms=often", "nonsense", "=", "security.protocol=tls"] {
            assert!(settings().property(text).is_err(), "{text}");
        }
        let file = file("# a comment\n\nlinger.ms = 5\nlinger=5\n");
        let e = settings().file(file.path()).expect_err("unknown");
        assert!(e.to_string().contains(":4: linger: "), "{e}");
        assert!(matches!(settings().file(Path::new("/no/such/file")), Err(BusError::File { .. })));
    }

    #[test]
    fn a_secret_comes_from_a_file_only_and_is_shown_nowhere() {
        let canary = "canary-5e3c";
        for key in ["sasl.password", "ssl.key.password", "sasl.oauthbearer.client.secret"] {
            let e = settings().property(&format!("{key}={canary}")).expect_err(key);
            assert!(e.hint().expect("hint").contains("-F"), "{e}");
            assert!(!format!("{e} {e:?}").contains(canary));
        }
        let e = settings().property(canary).expect_err("no key");
        assert!(!format!("{e} {e:?}").contains(canary));

        let mut settings = settings();
        settings.file(file(&format!("sasl.username=me\nsasl.password={canary}\n")).path()).expect("file");
        assert!(!format!("{settings:?}").contains(canary));
        assert_eq!(settings.mask(&format!("login {canary} failed")), "login *** failed");
        let config = settings.config(&[], &[]).expect("config");
        assert_eq!(config.get("sasl.password"), Some(canary));
        assert!(!format!("{config:?}").contains(canary));
    }

    #[test]
    fn passwords_of_the_environment_are_taken_where_one_is_wanted_and_none_was_given() {
        let environment = |name: &str| Some(format!("canary of {name}"));
        let taken = |text: &str, key: &str| {
            let mut settings = settings();
            settings.file(file(text).path()).expect("file");
            settings.passwords(environment).expect("taken");
            settings.last(key).map(str::to_owned)
        };
        let wanted = "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=me\n";
        assert_eq!(taken(wanted, "sasl.password").as_deref(), Some("canary of KAFKA_PASSWORD"));
        assert_eq!(taken(&format!("{wanted}sasl.password=own"), "sasl.password").as_deref(), Some("own"));
        assert_eq!(taken("sasl.username=me\n", "sasl.password"), None, "there is nobody to show it to");
        assert_eq!(taken(wanted, "ssl.key.password"), None);
        let mut settings = settings();
        settings.file(file(wanted).path()).expect("file");
        settings.passwords(|_| None).expect("none");
        assert_eq!(settings.last("sasl.password"), None);
        settings.passwords(environment).expect("taken");
        assert_eq!(settings.mask("canary of KAFKA_PASSWORD?"), "***?");
    }

    #[test]
    fn a_file_names_brokers_and_group_where_no_flag_does() {
        let file = file("bootstrap.servers=a:1,b:2\ngroup.id=g\n");
        let mut from_file = Settings::new("", "events").expect("settings");
        assert!(from_file.config(&[], &[]).is_err());
        from_file.file(file.path()).expect("file");
        assert_eq!((from_file.brokers(), from_file.group()), ("a:1,b:2", Some("g")));
        let mut flags = settings().with_group("h").expect("group");
        flags.file(file.path()).expect("file");
        assert_eq!((flags.brokers(), flags.group()), ("localhost:9092", Some("h")));
    }

    #[test]
    fn topic_names_are_kafkas() {
        for topic in ["", ".", "..", "a b", "a/b", "täg", &"x".repeat(250)] {
            assert!(Settings::new("b:1", topic).is_err(), "{topic}");
        }
        assert!(Settings::new("b:1", "realtime-events_1.x").is_ok());
    }

    #[test]
    fn the_build_can_compress() {
        let features = builtin_features();
        for codec in ["lz4", "zstd", "gzip"] {
            assert!(features.split(',').any(|f| f == codec), "{codec}: {features}");
        }
    }
}
