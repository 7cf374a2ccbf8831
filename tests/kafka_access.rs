//! Kafka with a user and a password, as every build can it; what is a secret stays one.

#[path = "support/kafka.rs"]
mod kafka;
mod support;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use support::{Dir, event};

const PASSWORD: &str = "canary-login";

#[test]
fn a_user_with_a_password_ships_and_reads_without_tls() {
    let (Some(broker), Ok(login)) = (kafka::broker(), std::env::var("ADPROF_TEST_KAFKA_LOGIN")) else {
        return support::skipped("no listener with passwords: set ADPROF_TEST_KAFKA_LOGIN or run scripts/test.sh");
    };
    let topic = kafka::create_topic(&broker, "login", 1);
    let dir = Dir::new();
    let user = "security.protocol=sasl_plaintext\nsasl.mechanism=PLAIN\nsasl.username=adprof\n";
    dir.write("user.conf", user);
    dir.write("own.conf", format!("{user}sasl.password={PASSWORD}\n"));
    dir.write("adprof.toml", "[[tag]]\ncode = \"events\"\nvalue = \"count(*)\"\n");
    let collect = format!("collect --log e.log -b {login} -t {topic} -F user.conf");
    let stream = |file: &str| dir.adprof(&format!("stream -b {login} -t {topic} -F {file} -e --emit final -v"));
    let shipped = dir.adprof(&collect).env("KAFKA_PASSWORD", PASSWORD).stdin(event(1)).exits(0);
    assert!(shipped.stderr.contains("shipped 1 events"), "{}", shipped.stderr);
    // Once, although a new state asks Kafka twice.
    let state = dir.adprof(&format!("stream -b {login} -t {topic} -F own.conf -e --store file:s")).exits(0);
    assert_eq!(state.stderr.matches("secret is in `own.conf`").count(), 1, "{}", state.stderr);
    let mut told = shipped.stderr + &state.stderr;
    for (run, code) in [
        (stream("user.conf").env("KAFKA_PASSWORD", PASSWORD), 0),
        // What the file says goes before the environment.
        (stream("own.conf").env("KAFKA_PASSWORD", "canary-other"), 0),
        (stream("user.conf").env("KAFKA_PASSWORD", "canary-other"), 77),
        (dir.adprof(&collect).env("KAFKA_PASSWORD", "canary-other").stdin(event(2)), 77),
    ] {
        let output = run.exits(code);
        assert_eq!(output.stdout.contains(r#""events":1"#), code == 0, "{}", output.stdout);
        assert_eq!(output.stderr.contains("hint: check `sasl.username`"), code == 77, "{}", output.stderr);
        told += &output.stderr;
    }
    assert!(!told.contains("canary"), "{told}");
}

#[test]
fn a_secret_on_the_command_line_is_refused_and_not_repeated() {
    let dir = Dir::new();
    for key in ["sasl.password", "ssl.key.password", "ssl.keystore.password", "ssl.key.pem", "topic.sasl.password"] {
        for command in ["stream", "collect", "doctor"] {
            let output = dir.adprof(&format!("{command} -b b:1 -t t -X {key}=canary")).exits(2);
            assert!(output.stderr.contains("can be read by every process"), "{}", output.stderr);
            assert!(output.stderr.contains("hint: ") && output.stderr.contains("KAFKA_PASSWORD"), "{}", output.stderr);
            assert!(!output.stderr.contains("canary") && output.stdout.is_empty(), "{}", output.stderr);
        }
    }
    for command in ["stream", "collect", "doctor", "rebuild"] {
        let output = dir.adprof(&format!("{command} --help")).env("KAFKA_PASSWORD", "canary").exits(0);
        assert!(!output.stdout.contains("canary"));
    }
}

#[test]
fn a_secret_that_every_user_of_the_machine_can_read_is_warned_of() {
    let dir = Dir::new();
    for (text, mode, warned) in [
        ("sasl.password=canary\n", 0o644, true),
        ("topic.sasl.password=canary\n", 0o604, true),
        ("sasl.password=canary\n", 0o640, false),
        ("sasl.username=me\n", 0o644, false),
    ] {
        dir.write("kafka.conf", text);
        std::fs::set_permissions(dir.file("kafka.conf"), Permissions::from_mode(mode)).expect("its owner");
        // Ends before a broker is looked for.
        for command in ["stream", "collect", "doctor"] {
            let stderr = dir.adprof(&format!("{command} -t t -F kafka.conf")).exits(2).stderr;
            assert_eq!(stderr.contains("secret is in `kafka.conf`"), warned, "{command} {text} {mode:o}: {stderr}");
            assert_eq!(stderr.contains("chmod o-r kafka.conf"), warned, "{stderr}");
            assert!(stderr.contains("no broker given") && !stderr.contains("canary"), "{stderr}");
        }
    }
}

#[test]
fn a_mechanism_that_no_build_has_is_refused_with_those_that_there_are() {
    let dir = Dir::new();
    let kerberos = "-X security.protocol=sasl_plaintext";
    for (properties, why) in [
        ("-X sasl.mechanism=OAUTHBEARER", "tokens (OAUTHBEARER) are not supported"),
        ("-X sasl.mechanisms=oauthbearer", "tokens (OAUTHBEARER) are not supported"),
        (kerberos, "hint: Kerberos (GSSAPI) is not built in"),
    ] {
        let stderr = dir.adprof(&format!("stream -b 127.0.0.1:1 -t t {properties}")).exits(2).stderr;
        let hinted = stderr.lines().any(|line| line.starts_with("hint: ") && line.contains("SCRAM-SHA-512"));
        assert!(stderr.contains(why) && hinted && !stderr.contains("cargo"), "{properties}: {stderr}");
    }
}

#[test]
fn without_tls_in_the_build_the_message_says_how_to_build_it() {
    if cfg!(feature = "kafka-tls") {
        return;
    }
    let dir = Dir::new();
    for (property, rest) in [
        ("security.protocol=ssl", ""),
        ("security.protocol=SASL_SSL", ""),
        ("ssl.ca.location=ca.crt", ""),
        ("sasl.mechanism=SCRAM-SHA-512", "-X security.protocol=sasl_plaintext -X sasl.username=me"),
    ] {
        let output = dir.adprof(&format!("stream -b 127.0.0.1:1 -t t -X {property} {rest}")).exits(2);
        for words in ["`cargo build --release --features kafka-tls`", "`cargo install --path . --features kafka-tls`"] {
            assert!(output.stderr.contains(words), "{property}: {}", output.stderr);
        }
    }
    let output = dir.adprof("stream -b 127.0.0.1:1 -t t -X security.protocol=tls").exits(2);
    assert!(!output.stderr.contains("cargo") && output.stderr.contains("sasl_ssl"), "{}", output.stderr);
}
