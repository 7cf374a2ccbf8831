//! Kafka that asks who one is: users, rights, TLS. The broker is that of `scripts/kafka-tls.sh`; without it nothing is tried.

#[path = "support/redis.rs"]
mod server;
mod support;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use server::{Authority, text};
use std::collections::HashMap;
use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use support::{Dir, Output, Run, event, skipped};

/// Every secret of these tests begins so.
const CANARY: &str = "canary";
const DEFINITIONS: &str = "[[tag]]\ncode = \"events\"\nvalue = \"count(*)\"\n";
const EVENTS: u64 = 30;

/// The broker with its listeners, and what its clients need.
struct Kafka {
    addresses: HashMap<&'static str, String>,
    certificates: PathBuf,
    passwords: HashMap<String, String>,
}

/// The broker that the environment names.
fn kafka() -> Option<&'static Kafka> {
    static KAFKA: OnceLock<Option<Kafka>> = OnceLock::new();
    let kafka = KAFKA.get_or_init(|| {
        let said = |name: &str| std::env::var(format!("ADPROF_TEST_KAFKA{name}")).ok();
        let passwords = std::fs::read_to_string(said("_PASSWORDS")?).expect("passwords");
        let passwords = passwords.lines().map(|line| line.split_once('=').expect("name=password"));
        let listeners = ["", "_SCRAM", "_MUTUAL", "_EXPIRED", "_LOGIN"];
        Some(Kafka {
            addresses: listeners.into_iter().map(|name| (name, said(name).expect(name))).collect(),
            certificates: said("_CERTIFICATES").expect("certificates").into(),
            passwords: passwords.map(|(name, password)| (name.to_owned(), password.to_owned())).collect(),
        })
    });
    if kafka.is_none() {
        skipped("no Kafka with TLS: run scripts/kafka-tls.sh");
    }
    kafka.as_ref()
}

impl Kafka {
    /// Runs a tool of Kafka, as who may do everything.
    fn tool(&self, class: &str, args: &str) {
        let libs = std::env::var("ADPROF_TEST_KAFKA_LIBS").expect("Kafka's jars");
        let java = std::env::var("JAVA_HOME").map_or("java".into(), |home| format!("{home}/bin/java"));
        let mut command = Command::new(java);
        command
            .args(["-XX:TieredStopAtLevel=1", "-cp", &format!("{libs}/*")])
            .arg(format!("org.apache.kafka.tools.{class}"));
        command.args(["--bootstrap-server", &self.addresses[""]]).args(args.split_whitespace());
        let output = command.output().expect("java");
        assert!(output.status.success(), "{class} {args}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A topic on which these users have these rights.
    fn topic(&self, name: &str, rights: &[(&str, &str)]) -> String {
        let topic = format!("{name}-{}", support::unique());
        self.tool("TopicCommand", &format!("--create --topic {topic} --partitions 2"));
        for (users, right) in rights {
            let users: String = users.split(' ').map(|user| format!("--allow-principal User:{user} ")).collect();
            self.tool("AclCommand", &format!("--add {users} --topic {topic} {right}"));
        }
        topic
    }

    fn file(&self, name: &str) -> String {
        self.certificates.join(name).to_str().expect("UTF-8").to_owned()
    }

    fn password(&self, user: &str) -> &str {
        &self.passwords[user]
    }

    /// The properties of a user with SCRAM over TLS; the password is elsewhere.
    fn scram(&self, user: &str, ca: &str) -> String {
        format!(
            "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nsasl.username={user}\nssl.ca.location={}\n",
            self.file(ca)
        )
    }
}

/// Runs it, and sees that nothing secret is said.
fn heard(run: Run) -> Output {
    let output = run.output();
    for words in [&output.stdout, &output.stderr] {
        assert!(!words.contains(CANARY), "a secret is shown: {words}");
    }
    output
}

fn folder() -> Dir {
    let dir = Dir::new();
    dir.write("adprof.toml", DEFINITIONS);
    dir.write("events.jsonl", (0..EVENTS).map(event).collect::<String>());
    dir
}

fn stream(dir: &Dir, broker: &str, topic: &str) -> Run {
    dir.adprof(&format!("stream -b {broker} -t {topic} -F kafka.conf -e --emit final"))
}

/// Ships a log of its own, made of the events of `folder`.
fn collect(dir: &Dir, broker: &str, topic: &str) -> Run {
    let log = support::unique();
    dir.adprof(&format!("collect events.jsonl --log {log}.log -b {broker} -t {topic} -F kafka.conf --ship-timeout 3s"))
}

/// What must come out of one shipping: each user once, and all events.
fn right(patches: &str) {
    let mut expected: HashMap<String, u64> = HashMap::new();
    for id in 0..EVENTS {
        *expected.entry(support::field(event(id).as_bytes(), "userId")).or_default() += 1;
    }
    let found = patches.lines().map(|line| {
        let patch: serde_json::Value = serde_json::from_str(line).expect("a patch");
        (patch["userId"].as_str().expect("a user").to_owned(), patch["tags"]["events"].as_u64().expect("a count"))
    });
    assert_eq!(found.collect::<HashMap<_, _>>(), expected);
}

/// A server that shows this certificate, and says nothing else; its port.
fn shows((certificate, key): (PathBuf, PathBuf)) -> u16 {
    let chain = CertificateDer::pem_file_iter(certificate).expect("a file").map(|one| one.expect("a certificate"));
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain.collect(), key);
    let config = Arc::new(config.expect("a pair"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    // Ends with the process.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut server = rustls::ServerConnection::new(config.clone()).expect("a session");
            // Who refuses the certificate hangs up.
            let _ = server.complete_io(&mut stream);
        }
    });
    port
}

fn fails(output: &Output, code: i32, why: &str, hint: &str) {
    let words = &output.stderr;
    assert_eq!(output.code, code, "{words}");
    assert!(words.contains(why), "expected {why:?}: {words}");
    let hints: Vec<&str> = words.lines().filter_map(|line| line.strip_prefix("hint: ")).collect();
    assert!(hints.iter().any(|line| line.contains(hint)), "expected the hint {hint:?}: {words}");
}

#[test]
fn over_tls_with_a_password_events_go_in_and_the_right_values_come_out() {
    let Some(kafka) = kafka() else { return };
    let broker = &kafka.addresses["_SCRAM"];
    let topic = kafka.topic("scram", &[("adprof", "--operation Read --operation Write")]);
    let dir = folder();
    let properties = kafka.scram("adprof", "ours.crt");
    // From the environment, then from the file, which goes before it.
    dir.write("kafka.conf", &properties);
    let password = kafka.password("adprof");
    let output = heard(collect(&dir, broker, &topic).env("KAFKA_PASSWORD", password));
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stderr.contains(&format!("shipped {EVENTS} events to topic {topic}")), "{}", output.stderr);
    dir.write("kafka.conf", format!("{properties}sasl.password={password}\n"));
    let output = heard(stream(&dir, broker, &topic).arg("-v").env("KAFKA_PASSWORD", "canary-wrong"));
    assert_eq!(output.code, 0, "{}", output.stderr);
    right(&output.stdout);
    // The authorities of the machine, where the properties name none.
    dir.write(
        "kafka.conf",
        properties.lines().filter(|l| !l.starts_with("ssl.")).map(|l| format!("{l}\n")).collect::<String>(),
    );
    let run = || stream(&dir, broker, &topic).env("KAFKA_PASSWORD", password);
    right(&heard(run().env("SSL_CERT_FILE", &kafka.file("ours.crt"))).stdout);
    right(&heard(run().env("SSL_CERT_FILE", &kafka.file("ours.crt")).arg("-X").arg("ssl.ca.location=probe")).stdout);
    fails(&heard(run()), 77, "its issuer is not trusted", "ssl.ca.location");
    // The same as text, on the command line: a certificate is no secret.
    let pem = |name: &str| format!("ssl.ca.pem={}", std::fs::read_to_string(kafka.file(name)).expect("a certificate"));
    right(&heard(run().arg("-X").arg(pem("ours.crt"))).stdout);
    fails(&heard(run().arg("-X").arg(pem("other.crt"))), 77, "its issuer is not trusted", "ssl.ca.location");
    let expired = stream(&dir, &kafka.addresses["_EXPIRED"], &topic).env("KAFKA_PASSWORD", password);
    fails(&heard(expired.arg("-X").arg(pem("ours.crt"))), 77, "it has expired", "another certificate");
}

#[test]
fn what_is_wrong_with_a_certificate_is_named_whatever_it_is() {
    if !cfg!(feature = "kafka-tls") {
        return skipped("a build without TLS to Kafka: run scripts/kafka-tls.sh");
    }
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let dir = folder();
    for (certificate, host, why, hint) in [
        (ours.sign("elsewhere.example", None), "localhost", "it is for another name", "name that stands in"),
        (ours.sign("localhost", None), "127.0.0.1", "it is for another name", "name that stands in"),
        (ours.sign("localhost", Some(2200)), "localhost", "it is not valid yet", "another certificate"),
        (ours.sign("localhost", Some(2020)), "localhost", "it has expired", "another certificate"),
        (other.sign("localhost", None), "localhost", "its issuer is not trusted", "ssl.ca.location"),
    ] {
        let broker = format!("{host}:{}", shows(certificate));
        dir.write("kafka.conf", format!("security.protocol=ssl\nssl.ca.location={}\n", text(&ours.ca())));
        let output = heard(stream(&dir, &broker, "t"));
        fails(&output, 77, &format!("{broker}: its certificate is not accepted: {why}"), hint);
        let doctor = heard(dir.adprof(&format!("doctor -b {broker} -t t -F kafka.conf --json")));
        assert!(doctor.code == 1 && doctor.stdout.contains(why) && doctor.stdout.contains(hint), "{}", doctor.stdout);
    }
}

#[test]
fn a_broker_that_cannot_be_trusted_is_told_nothing_and_each_reason_is_named() {
    let Some(kafka) = kafka() else { return };
    let topic = kafka.topic("trust", &[("adprof", "--operation Read --operation Write")]);
    let [good, expired, plain] = ["_SCRAM", "_EXPIRED", "_LOGIN"].map(|name| &kafka.addresses[name]);
    let renamed = good.replace("localhost", "127.0.0.1");
    let dir = folder();
    let password = kafka.password("adprof");
    for (broker, ca, code, why, hint) in [
        (good, "other.crt", 77, "its certificate is not accepted: its issuer is not trusted", "`ssl.ca.location`"),
        (&renamed, "ours.crt", 77, "its certificate is not accepted: it is for another name", "name that stands in"),
        (expired, "ours.crt", 77, "its certificate is not accepted: it has expired", "another certificate"),
        (good, "server.key", 2, "ssl.ca.location failed", "in the form PEM"),
        (plain, "ours.crt", 69, "SSL handshake failed", "if no TLS is spoken there"),
    ] {
        dir.write("kafka.conf", kafka.scram("adprof", ca));
        for run in [stream(&dir, broker, &topic), collect(&dir, broker, &topic)] {
            let output = heard(run.env("KAFKA_PASSWORD", password));
            // A collector tells how to ship later, instead.
            let later = code == 69 && output.stderr.contains("collected");
            fails(&output, code, why, if later { "collect --ship" } else { hint });
            assert!(code != 77 || output.stderr.contains(&format!("{broker}: ")), "{}", output.stderr);
        }
    }
    // Said in so many words, the name does not matter, and is not what is found fault with.
    dir.write("kafka.conf", kafka.scram("adprof", "ours.crt") + "ssl.endpoint.identification.algorithm=none\n");
    let output = heard(stream(&dir, &renamed, &topic).env("KAFKA_PASSWORD", password));
    assert_eq!(output.code, 0, "{}", output.stderr);
    let renamed = expired.replace("localhost", "127.0.0.1");
    let output = heard(stream(&dir, &renamed, &topic).env("KAFKA_PASSWORD", password));
    fails(&output, 77, "it has expired", "another certificate");
}

#[test]
fn a_wrong_password_and_an_unknown_user_end_with_77() {
    let Some(kafka) = kafka() else { return };
    let topic = kafka.topic("login", &[("adprof", "--operation Read --operation Write")]);
    let dir = folder();
    let plain = |user: &str| format!("security.protocol=sasl_plaintext\nsasl.mechanism=PLAIN\nsasl.username={user}\n");
    let [scram, login] = ["_SCRAM", "_LOGIN"].map(|name| &kafka.addresses[name]);
    let (right, wrong) = (kafka.password("adprof"), "canary-wrong");
    for (broker, properties, password, hint) in [
        (scram, kafka.scram("adprof", "ours.crt"), wrong, "KAFKA_PASSWORD"),
        (scram, kafka.scram("stranger", "ours.crt"), right, "KAFKA_PASSWORD"),
        (login, plain("adprof"), wrong, "KAFKA_PASSWORD"),
        (login, plain("stranger"), right, "KAFKA_PASSWORD"),
        // A mechanism that the listener does not have, and a listener that asks for nothing.
        (scram, kafka.scram("adprof", "ours.crt").replace("SCRAM-SHA-512", "PLAIN"), right, "`sasl.mechanism`"),
        (&kafka.addresses[""], plain("adprof"), right, "`security.protocol=plaintext`"),
    ] {
        dir.write("kafka.conf", &properties);
        for run in [stream(&dir, broker, &topic), collect(&dir, broker, &topic)] {
            let output = heard(run.env("KAFKA_PASSWORD", password));
            fails(&output, 77, "SASL", hint);
            assert!(output.stderr.contains(&**broker), "where: {}", output.stderr);
        }
        let doctor = heard(
            dir.adprof(&format!("doctor -b {broker} -t {topic} -F kafka.conf --json")).env("KAFKA_PASSWORD", password),
        );
        assert!(doctor.code == 1 && doctor.stdout.contains("SASL"), "{}", doctor.stdout);
    }
    // Who says nothing to a listener that asks.
    dir.write("kafka.conf", "");
    for name in ["_SCRAM", "_LOGIN"] {
        fails(
            &heard(stream(&dir, &kafka.addresses[name], &topic)),
            69,
            &kafka.addresses[name],
            "security.protocol=sasl_ssl",
        );
    }
}

#[test]
fn a_client_shows_its_certificate_where_the_broker_wants_one() {
    let Some(kafka) = kafka() else { return };
    let broker = &kafka.addresses["_MUTUAL"];
    let topic = kafka.topic("mutual", &[("CN=adprof-client", "--operation Read --operation Write")]);
    let dir = folder();
    let tls = format!("security.protocol=ssl\nssl.ca.location={}\n", kafka.file("ours.crt"));
    let with = |certificate: &str, key: &str| {
        let (certificate, key) = (kafka.file(certificate), kafka.file(key));
        dir.write("kafka.conf", format!("{tls}ssl.certificate.location={certificate}\nssl.key.location={key}\n"));
    };
    with("client.crt", "client.key");
    assert_eq!(heard(collect(&dir, broker, &topic)).code, 0);
    with("client.crt", "client.locked.key");
    right(&heard(stream(&dir, broker, &topic).env("KAFKA_KEY_PASSWORD", kafka.password("key"))).stdout);
    let exposed = |output: &Output| output.stderr.contains("client.locked.key`, which every user");
    let mode = |mode| std::fs::set_permissions(kafka.file("client.locked.key"), Permissions::from_mode(mode));
    let locked = heard(stream(&dir, broker, &topic).env("KAFKA_KEY_PASSWORD", "canary-wrong"));
    fails(&locked, 2, "ssl.key.location failed", "KAFKA_KEY_PASSWORD");
    assert!(!exposed(&locked), "{}", locked.stderr);
    mode(0o604).expect("its owner");
    let run = || stream(&dir, broker, &topic).env("KAFKA_KEY_PASSWORD", kafka.password("key"));
    let shown = heard(run());
    assert!(shown.code == 0 && exposed(&shown), "{}", shown.stderr);
    mode(0o600).expect("its owner");
    // The key as text, which is a secret of the file.
    let pem = std::fs::read_to_string(kafka.file("client.locked.key")).expect("a key");
    let own = dir.adprof(&format!("stream -b {broker} -t {topic} -X")).arg(format!("ssl.key.pem={pem}"));
    fails(&heard(own), 2, "can be read by every process", "KAFKA_KEY_PASSWORD");
    dir.write("kafka.conf", format!("{tls}ssl.certificate.location=absent.crt\n"));
    fails(&heard(run()), 2, "kafka.conf:3: ssl.certificate.location: cannot read `absent.crt`", "a file that is there");
    with("stranger.crt", "stranger.key");
    for run in [stream(&dir, broker, &topic), collect(&dir, broker, &topic)] {
        fails(&heard(run), 77, "the broker refuses TLS", "ssl.certificate.location");
    }
    dir.write("kafka.conf", &tls);
    for run in [stream(&dir, broker, &topic), collect(&dir, broker, &topic)] {
        fails(&heard(run), 77, "the broker refuses TLS", "ssl.certificate.location");
    }
}

#[test]
fn the_rights_that_the_manual_names_are_enough_and_each_is_needed() {
    let Some(kafka) = kafka() else { return };
    let broker = &kafka.addresses["_LOGIN"];
    let manual = std::fs::read_to_string(support::project().join("docs/kafka.md")).expect("a page");
    for row in [
        "| `collect -b` | Write | the topic |",
        "| `stream` | Read | the topic |",
        "| `stream -G NAME` | Read | the group NAME, besides |",
        "| `rebuild -t` | Describe | the topic |",
        "| `doctor -t` | Describe, DescribeConfigs | the topic |",
    ] {
        assert!(manual.contains(row), "{row}");
    }
    let topic = kafka.topic(
        "rights",
        &[
            ("writer", "--operation Write"),
            ("reader grouped", "--operation Read"),
            ("looker", "--operation Describe --operation DescribeConfigs"),
            ("describer", "--operation Describe"),
        ],
    );
    let group = support::unique();
    kafka.tool("AclCommand", &format!("--add --allow-principal User:grouped --group {group} --operation Read"));
    let shown = support::unique();
    kafka.tool("AclCommand", &format!("--add --allow-principal User:reader --group {shown} --operation Describe"));
    let dir = folder();
    let be = |user: &str| {
        let password = kafka.password(user);
        let properties = "security.protocol=sasl_plaintext\nsasl.mechanism=PLAIN\n";
        dir.write("kafka.conf", format!("{properties}sasl.username={user}\nsasl.password={password}\n"));
    };
    let not_allowed = |run: Run, why: &str| fails(&heard(run), 77, why, "docs/kafka.md");
    for user in ["describer", "reader"] {
        be(user);
        not_allowed(collect(&dir, broker, &topic), &format!("not allowed to write to topic `{topic}`"));
    }
    be("writer");
    assert_eq!(heard(collect(&dir, broker, &topic)).code, 0);
    for user in ["writer", "describer"] {
        be(user);
        not_allowed(stream(&dir, broker, &topic), &format!("not allowed to read topic `{topic}`"));
    }
    be("reader");
    right(&heard(stream(&dir, broker, &topic)).stdout);
    be("nobody");
    not_allowed(stream(&dir, broker, &topic), &format!("not allowed to use topic `{topic}`"));
    not_allowed(collect(&dir, broker, &topic), &format!("not allowed to use topic `{topic}`"));
    let lag = |user: &str, group: &str, state: &str| {
        be(user);
        heard(dir.adprof(&format!("stream -b {broker} -t {topic} -F kafka.conf -e -G {group} --store file:{state}")))
    };
    // Without the right to its group the stream goes on: only the tools that show its lag are the worse for it. Who may
    // see the group hears of it from the last commit, others before the first.
    for (group, state) in [(&group, "s1"), (&shown, "s3")] {
        let output = lag("reader", group, state);
        assert!(output.code == 0 && output.stderr.contains("Group authorization failed"), "{}", output.stderr);
        assert!(output.stderr.contains("; the user needs Read on the group\n"), "{}", output.stderr);
        assert_eq!(output.stderr.matches("were not committed").count(), 1, "{}", output.stderr);
    }
    let output = lag("grouped", &group, "s2");
    assert!(output.code == 0 && !output.stderr.contains("authorization"), "{}", output.stderr);
    dir.adprof("collect events.jsonl --log whole.log").ok();
    for (user, code) in [("nobody", 77), ("describer", 0)] {
        be(user);
        let rebuild = format!("rebuild -b {broker} -t {topic} -F kafka.conf --store file:s2 --log whole.log");
        let output = heard(dir.adprof(&rebuild));
        assert_eq!(output.code, code, "{}", output.stderr);
    }
    let doctor = |user: &str| {
        be(user);
        heard(dir.adprof(&format!("doctor -b {broker} -t {topic} -F kafka.conf --json"))).stdout
    };
    assert!(doctor("looker").contains(r#""check":"kafka.retention","level":"ok""#), "{}", doctor("looker"));
    let words = doctor("describer");
    assert!(words.contains(r#""check":"kafka.settings""#) && words.contains("DescribeConfigs"), "{words}");
    assert!(doctor("nobody").contains("Topic authorization failed"), "{}", doctor("nobody"));
}

#[test]
fn a_right_that_is_taken_while_a_stream_runs_stops_it_with_77() {
    let Some(kafka) = kafka() else { return };
    let broker = &kafka.addresses["_SCRAM"];
    let topic = kafka.topic("taken", &[("adprof", "--operation Read --operation Write")]);
    let dir = folder();
    let password = kafka.password("adprof");
    dir.write("kafka.conf", kafka.scram("adprof", "ours.crt") + &format!("sasl.password={password}\n"));
    assert_eq!(heard(collect(&dir, broker, &topic)).code, 0);
    let running = dir.start(&format!("stream -b {broker} -t {topic} -F kafka.conf"));
    assert!(running.line().is_some());
    let shown = std::fs::read(format!("/proc/{}/cmdline", running.pid())).expect("Linux");
    assert!(!String::from_utf8_lossy(&shown).contains(CANARY));
    kafka.tool(
        "AclCommand",
        &format!("--remove --force --allow-principal User:adprof --topic {topic} --operation Read"),
    );
    let (code, words) = running.end();
    assert_eq!(code, 77, "{words}");
    assert!(words.contains(&format!("not allowed to read topic `{topic}`")) && words.contains("hint: "), "{words}");
    assert!(!words.contains(CANARY), "{words}");
}
