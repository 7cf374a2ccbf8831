//! Security: what TLS and passwords need that the properties do not say, and what a refusal comes from.
//!
//! librdkafka says of a certificate only that it was not accepted. The broker is then asked once more, by the same
//! OpenSSL with the same authorities, for the reason; nothing is sent to it.

/// How to come by a program with what this one lacks.
pub(super) const BUILD: &str = "this adprof was built without TLS and SCRAM to Kafka; to have them: \
    `cargo build --release --features kafka-tls`, or `cargo install --path . --features kafka-tls`";

const LOGIN: &str =
    "check `sasl.username` in the `-F` file, and the password there (`sasl.password`) or in KAFKA_PASSWORD";
const MECHANISM: &str = "`sasl.mechanism` is one of those that the broker supports; where it names none it wants no password: \
    `security.protocol=plaintext` or `ssl`";
const KERBEROS: &str = "Kerberos (GSSAPI) is not built in, and is meant where no mechanism is named: \
    `sasl.mechanism=SCRAM-SHA-512` or `PLAIN`";
const RIGHTS: &str =
    "docs/kafka.md says which rights on the topic the user needs; `kafka-acls.sh --list` shows those it has";
const ISSUER: &str = "name the file with the certificate of its issuer: `ssl.ca.location`";
const NAME: &str = "write the name that stands in the certificate: in `-b`, or in the broker's advertised.listeners";
const ANOTHER: &str = "the broker needs another certificate";
const CLIENT: &str =
    "it may want a certificate that it trusts: `ssl.certificate.location` and `ssl.key.location` in the `-F` file";
const NO_TLS: &str = "if no TLS is spoken there: `security.protocol=sasl_plaintext` or `plaintext`";
const LISTENER: &str = "is the broker running? if it wants TLS or a password there, say so in the `-F` file: \
    `security.protocol=sasl_ssl`, `ssl` or `sasl_plaintext` (docs/kafka.md)";

/// Alerts that will come again. Others, such as an internal error, may pass.
const LASTING: &[&str] = &["certificate", "unknown ca", "access denied", "handshake failure", "protocol version"];

/// Words of ours for why a broker is not trusted.
const REFUSED: &str = "its certificate is not accepted";
const ALERT: &str = "the broker refuses TLS";

/// The hint for a property that librdkafka refused with `why`.
pub(super) fn hint_for_property(key: &str, why: &str) -> Option<&'static str> {
    if why.contains("not available at build time") {
        return Some(BUILD);
    }
    match key {
        "security.protocol" => Some("it is plaintext, ssl, sasl_plaintext or sasl_ssl"),
        _ => hint_for_client(why),
    }
}

/// Why a mechanism cannot be had, whatever the build. librdkafka would wait for a token that nobody gives.
pub(super) fn unsupported(key: &str, value: &str) -> Option<&'static str> {
    let tokens = key.starts_with("sasl.mechanism") && value.trim().eq_ignore_ascii_case("OAUTHBEARER");
    tokens.then_some("tokens (OAUTHBEARER) are not supported")
}

/// Whether the property names a file with a key in it.
pub(super) fn names_key(key: &str) -> bool {
    matches!(key, "ssl.key.location" | "ssl.keystore.location")
}

/// Why a file that a property names cannot be read. OpenSSL would only tell at which of its own lines it found out.
pub(super) fn unreadable(key: &str, value: &str) -> Option<String> {
    if !key.starts_with("ssl.") || !key.ends_with(".location") || value == "probe" {
        return None;
    }
    std::fs::File::open(value).err().map(|e| format!("cannot read `{value}`: {e}"))
}

/// The hint where no client could be made of the properties, because of `why`.
pub(super) fn hint_for_client(why: &str) -> Option<&'static str> {
    let lacks = why.contains("No provider for SASL mechanism");
    match () {
        () if lacks && why.contains("GSSAPI") => Some(KERBEROS),
        () if lacks && !cfg!(feature = "kafka-tls") => Some(BUILD),
        () if why.starts_with("ssl.keystore") => {
            Some("is it a keystore in the form PKCS#12, and its password right (KAFKA_KEY_PASSWORD)?")
        }
        () if why.starts_with("ssl.key") => {
            Some("is it a key in the form PEM, and its password right (KAFKA_KEY_PASSWORD)?")
        }
        () if why.starts_with("ssl.") => Some("is it a certificate in the form PEM?"),
        () => None,
    }
}

/// The next step when a broker has refused us with these words.
pub(super) fn hint_for_refusal(why: &str) -> &'static str {
    if why.contains(ALERT) {
        return CLIENT;
    }
    if let Some((_, cause)) = why.split_once(REFUSED) {
        return match () {
            () if cause.contains("another name") => NAME,
            () if cause.contains("expired") || cause.contains("not valid yet") => ANOTHER,
            () => ISSUER,
        };
    }
    match () {
        () if why.contains("mechanism handshake failed") => MECHANISM,
        () if why.contains("SASL") => LOGIN,
        () => RIGHTS,
    }
}

/// The next step when a broker hung up without a word: a listener that wants TLS or SASL does so.
pub(super) fn hint_for_silence(why: &str) -> Option<&'static str> {
    if why.contains("SSL handshake failed") {
        return Some(NO_TLS);
    }
    let hung_up = ["Broken pipe", "BrokerTransportFailure", "Disconnected", "Connection reset", "Local: Timed out"];
    hung_up.iter().any(|words| why.contains(words)).then_some(LISTENER)
}

/// Whom to trust and what to check of a broker, as the properties say.
#[derive(Debug, Default, Clone)]
#[cfg_attr(not(feature = "kafka-tls"), expect(dead_code, reason = "a build without TLS trusts nobody"))]
pub(super) struct Trust {
    /// Certificates of authorities: a file, or a folder that OpenSSL has hashed.
    pub place: Option<String>,
    /// The same as text.
    pub pem: Option<String>,
    /// The certificate need not be for the broker's name.
    pub any_name: bool,
}

/// What a failure of TLS comes from, in our words with the broker's address; `None` where it is no refusal, but a
/// connection that broke or a listener without TLS.
pub(super) fn refusal(reason: &str, trust: impl FnOnce() -> Trust) -> Option<String> {
    let address = address(reason)?;
    if reason.contains("certificate verify failed") {
        let cause = cause(address, &trust()).map(|cause| format!(": {cause}")).unwrap_or_default();
        return Some(format!("{address}: {REFUSED}{cause}"));
    }
    let (_, alert) = reason.split_once("SSL routines::")?;
    let end = alert.find(": SSL alert number")?;
    let alert = &alert[..end];
    let words = alert.rsplit_once("alert ").map_or(alert, |(_, words)| words);
    LASTING.iter().any(|lasting| words.contains(lasting)).then(|| format!("{address}: {ALERT}: {words}"))
}

/// `host:port` of librdkafka's `sasl_ssl://host:port/bootstrap: …`.
fn address(reason: &str) -> Option<&str> {
    let (_, rest) = reason.split_once("://")?;
    rest.split_once('/').map(|(address, _)| address).filter(|address| address.contains(':'))
}

#[cfg(not(feature = "kafka-tls"))]
mod openssl {
    use super::Trust;

    pub fn system_authorities() -> Option<String> {
        None
    }

    pub fn cause(_: &str, _: &Trust) -> Option<String> {
        None
    }
}

#[cfg(feature = "kafka-tls")]
mod openssl {
    use super::Trust;
    use ::openssl::ssl::{HandshakeError, SslConnector, SslMethod};
    use ::openssl::x509::{X509, X509VerifyResult};
    use std::net::{TcpStream, ToSocketAddrs};
    use std::path::Path;
    use std::time::Duration;

    /// How long to wait for the broker at each step.
    const WAIT: Duration = Duration::from_secs(3);

    /// The authorities that this machine trusts: SSL_CERT_FILE, or where systems keep them. The OpenSSL that is
    /// compiled in knows no such place.
    pub fn system_authorities() -> Option<String> {
        let found = openssl_probe::probe();
        let place = found.cert_file.or_else(|| found.cert_dir.into_iter().next())?;
        Some(place.to_str()?.to_owned())
    }

    /// Why the certificate at `address` is not accepted; `None` when it cannot be found out.
    pub fn cause(address: &str, trust: &Trust) -> Option<String> {
        let mut builder = SslConnector::builder(SslMethod::tls_client()).ok()?;
        if let Some(place) = &trust.place {
            let place = Path::new(place);
            let (file, folder) = if place.is_dir() { (None, Some(place)) } else { (Some(place), None) };
            builder.load_verify_locations(file, folder).ok()?;
        }
        let authorities = trust.pem.as_ref().map(|pem| X509::stack_from_pem(pem.as_bytes()));
        for authority in authorities.transpose().ok()?.unwrap_or_default() {
            builder.cert_store_mut().add_cert(authority).ok()?;
        }
        let (host, _) = address.rsplit_once(':')?;
        let to = address.to_socket_addrs().ok()?;
        let stream = to.into_iter().find_map(|to| TcpStream::connect_timeout(&to, WAIT).ok())?;
        stream.set_read_timeout(Some(WAIT)).ok()?;
        let configuration = builder.build().configure().ok()?.verify_hostname(!trust.any_name);
        match configuration.connect(host.trim_matches(['[', ']']), stream) {
            Err(HandshakeError::Failure(handshake)) => told(handshake.ssl().verify_result()),
            _ => None,
        }
    }

    /// As `X509_verify_cert` numbers them.
    fn told(result: X509VerifyResult) -> Option<String> {
        Some(match result.as_raw() {
            0 => return None,
            2 | 18..=21 => "its issuer is not trusted".into(),
            9 => "it is not valid yet".into(),
            10 => "it has expired".into(),
            62 | 64 => "it is for another name".into(),
            _ => result.error_string().into(),
        })
    }
}

use openssl::cause;
pub(super) use openssl::system_authorities;

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal_of(reason: &str) -> Option<String> {
        // Nobody listens at port 1: the cause cannot be found out.
        refusal(reason, Trust::default)
    }

    #[test]
    fn a_refusal_is_told_from_a_connection_that_broke_and_names_the_broker() {
        let verify = "sasl_ssl://127.0.0.1:1/bootstrap: SSL handshake failed: error:0A000086:SSL \
            routines::certificate verify failed: broker certificate could not be verified (after 3ms in state SSL_HANDSHAKE)";
        assert_eq!(refusal_of(verify).as_deref(), Some("127.0.0.1:1: its certificate is not accepted"));
        for alert in ["ssl/tls alert bad certificate", "sslv3 alert bad certificate", "tlsv13 alert bad certificate"] {
            let reason =
                format!("ssl://b:9/1: SSL handshake failed: error:0A000412:SSL routines::{alert}: SSL alert number 42");
            assert_eq!(refusal_of(&reason).as_deref(), Some("b:9: the broker refuses TLS: bad certificate"));
        }
        for reason in [
            "ssl://b:9/1: SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener?",
            "ssl://b:9/1: SSL handshake failed: error:0A000438:SSL routines::tlsv1 alert internal error: SSL alert number 80",
            "b:9/1: Connect to ipv4#127.0.0.1:9 failed: Connection refused",
            "",
            "certificate verify failed",
            "://",
            "SSL routines::: SSL alert number",
        ] {
            assert_eq!(refusal_of(reason), None, "{reason}");
        }
    }

    #[test]
    fn each_refusal_has_its_next_step() {
        for (why, hint) in [
            ("b:9: its certificate is not accepted", ISSUER),
            ("b:9: its certificate is not accepted: its issuer is not trusted", ISSUER),
            ("b:9: its certificate is not accepted: it is for another name", NAME),
            ("b:9: its certificate is not accepted: it has expired", ANOTHER),
            ("b:9: its certificate is not accepted: it is not valid yet", ANOTHER),
            ("b:9: the broker refuses TLS: bad certificate", CLIENT),
            ("sasl_ssl://b:9/bootstrap: SASL authentication error: Authentication failed", LOGIN),
            ("sasl_ssl://b:9/bootstrap: SASL PLAIN mechanism handshake failed: Broker: Unsupported", MECHANISM),
            ("Fetch from broker 1 failed: Broker: Topic authorization failed", RIGHTS),
        ] {
            assert_eq!(hint_for_refusal(why), hint, "{why}");
        }
        for (why, hint) in [
            ("b:9/bootstrap: Send failed: Broken pipe", Some(LISTENER)),
            ("Meta data fetch error: OperationTimedOut (Local: Timed out)", Some(LISTENER)),
            (
                "ssl://b:9/1: SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener?",
                Some(NO_TLS),
            ),
            ("b:9/1: Connect to ipv4#127.0.0.1:9 failed: Connection refused", None),
        ] {
            assert_eq!(hint_for_silence(why), hint, "{why}");
        }
    }

    #[test]
    fn what_the_build_lacks_is_said_with_the_way_to_have_it() {
        let lacks = "No provider for SASL mechanism SCRAM-SHA-512: recompile librdkafka with openssl support";
        let expected = if cfg!(feature = "kafka-tls") { None } else { Some(BUILD) };
        assert_eq!(hint_for_client(lacks), expected);
        assert_ne!(hint_for_client(&lacks.replace("SCRAM-SHA-512", "GSSAPI")), Some(BUILD));
        assert_eq!(hint_for_property("ssl.ca.pem", "not supported: OpenSSL not available at build time"), Some(BUILD));
        assert_ne!(hint_for_property("security.protocol", "Invalid value \"tls\""), Some(BUILD));
        assert_eq!(hint_for_property("linger.ms", "Invalid value"), None);
    }
}
