//! Who may reach a Redis, and over what: users with few rights, passwords that nobody sees, TLS.

#[path = "support/kafka.rs"]
mod kafka;
#[path = "support/redis.rs"]
mod server;
mod streams;
mod support;

use server::{Authority, Node, ask, text};
use std::process::Command;
use std::time::Duration;
use streams::{click, hget, now, wait_until};
use support::{Dir, adprof_path, clean_environment, project};

const SOON: Duration = Duration::from_secs(15);
const CANARY: &str = "canary-7@:/%23";

fn patches(users: usize) -> String {
    let line = |i: usize| format!("{{\"userId\":\"u{i}\",\"asOf\":1,\"tags\":{{\"n\":{i},\"gone\":null}}}}\n");
    (0..users).map(line).collect()
}

/// The commands and key patterns that the manual gives a user, without its name and password.
fn documented_rights() -> Vec<String> {
    let page = std::fs::read_to_string(project().join("docs/redis.md")).expect("a page");
    let line = page.lines().find_map(|line| line.strip_prefix("ACL SETUSER adprof on >PASSWORD ")).expect("the line");
    line.split_whitespace().map(str::to_string).collect()
}

fn set_user(node: &Node, password: &str, rights: &[String]) {
    let mut command = redis::cmd("ACL");
    command.arg("SETUSER").arg("adprof").arg("reset").arg("on").arg(format!(">{password}")).arg(rights);
    let _: () = command.query(&mut node.client()).expect("set");
}

/// Everything that a user of the manual does, and the worst exit code.
fn everything(node: &Node) -> (i32, String) {
    let dir = Dir::new();
    let url = format!("redis://adprof@127.0.0.1:{}", node.port);
    let event = click("e1", "u1", now()) + "\n";
    let runs = [
        ("sink redis".to_string(), patches(3)),
        ("stream --store redis --state s".into(), event.clone()),
        ("query u1".into(), String::new()),
        ("export".into(), String::new()),
        (format!("rebuild --store {url} --state s --log e.jsonl"), String::new()),
    ];
    dir.write("e.jsonl", &event);
    for (args, input) in runs {
        let output = dir.adprof(&args).env("REDIS_URL", &url).env("REDIS_PASSWORD", "pw").stdin(input).output();
        if output.code != 0 {
            return (output.code, format!("{args}: {}", output.stderr));
        }
    }
    (0, String::new())
}

#[test]
fn a_user_needs_the_rights_that_the_manual_names_and_each_of_them() {
    let Some(node) = Node::start(&[]) else { return };
    let rights = documented_rights();
    set_user(&node, "pw", &rights);
    let (code, words) = everything(&node);
    assert_eq!(code, 0, "{words}");
    let needed: Vec<&String> = rights.iter().filter(|right| right.starts_with(['+', '~'])).collect();
    assert!(needed.len() >= 10, "{rights:?}");
    for one in needed {
        let fewer: Vec<String> = rights.iter().filter(|right| *right != one).cloned().collect();
        set_user(&node, "pw", &fewer);
        let _: () = ask(&mut node.client(), "FLUSHALL");
        let (code, words) = everything(&node);
        assert_eq!(code, 77, "without {one}: {words}");
        assert!(words.contains("hint: ") && words.contains("NOPERM"), "without {one}: {words}");
    }
}

#[test]
fn a_stream_whose_rights_are_taken_stops_with_77_and_has_skipped_nothing() {
    let Some(node) = Node::start(&[]) else { return };
    let rights = documented_rights();
    let url = format!("redis://adprof@127.0.0.1:{}", node.port);
    let dir = Dir::new();
    dir.write("adprof.toml", "[[tag]]\ncode = \"clicks\"\nvalue = \"count(*)\"\n");
    let start = || {
        let mut command = Command::new(adprof_path());
        command.args(["stream", "--store", &url]);
        let mut environment = clean_environment();
        environment.push(("REDIS_PASSWORD", "pw".into()));
        dir.start_with(command, environment)
    };
    let feed = |from: usize| -> String {
        (from..from + 20).map(|i| click(&format!("e{i}"), &format!("u{}", i % 20), now()) + "\n").collect()
    };
    let shows = |n: usize| {
        let (mut redis, n) = (node.client(), n.to_string());
        (0..20).all(|i| hget(&mut redis, &format!("u{i}"), "clicks").as_deref() == Some(&n))
    };
    let without = |gone: &str| rights.iter().filter(|right| *right != gone).cloned().collect::<Vec<_>>();
    let takings: [(&str, &dyn Fn()); 5] = [
        ("a command", &|| set_user(&node, "pw", &without("+hset"))),
        ("the transaction", &|| set_user(&node, "pw", &without("+exec"))),
        ("the keys", &|| set_user(&node, "pw", &without("~profile:*"))),
        ("the password", &|| {
            set_user(&node, "other", &rights);
            let _: i64 = ask(&mut node.client(), "CLIENT KILL TYPE normal SKIPME yes");
        }),
        ("the user", &|| {
            let _: i64 = ask(&mut node.client(), "ACL DELUSER adprof");
        }),
    ];
    let mut clicks = 0;
    for (what, take) in takings {
        set_user(&node, "pw", &rights);
        let mut stream = start();
        wait_until(what, SOON, || {
            if clicks > 0 {
                return shows(clicks);
            }
            true
        });
        stream.feed(feed(clicks * 20));
        clicks += 1;
        wait_until(what, SOON, || shows(clicks));
        take();
        stream.feed(feed(clicks * 20));
        clicks += 1;
        let (code, words) = stream.end();
        assert_eq!(code, 77, "{what}: {words}");
        assert!(words.contains("hint: "), "{what}: {words}");
        assert!(!shows(clicks), "{what}: it was published all the same");
    }
    set_user(&node, "pw", &rights);
    let mut stream = start();
    stream.close();
    let (code, words) = stream.end();
    assert_eq!(code, 0, "{words}");
    assert!(shows(clicks), "what was not published is published with the rights");
}

#[test]
fn a_password_comes_from_the_environment_or_a_file_and_is_shown_nowhere() {
    let Some(node) = Node::start(&["--requirepass", CANARY]) else { return };
    let dir = Dir::new();
    let (port, free) = (node.port, server::free_port());
    let url = format!("redis://127.0.0.1:{port}");
    dir.write("pw", format!("{CANARY}\nanother line\n"));
    dir.write("wrong", "canary-8\n");
    dir.write("empty", "\n");
    let escaped = "canary-7%40%3A%2F%2523";
    let authority = Authority::new("an authority");
    let ca = server::text(&authority.ca()).to_string();
    let mut told = String::new();
    let mut run = |args: &str, env: &[(&str, &str)], code: i32| {
        let mut run = dir.adprof(args).stdin(patches(2));
        for (name, value) in env {
            run = run.env(name, value);
        }
        let output = run.output();
        assert_eq!(output.code, code, "{args} {env:?}: {}", output.stderr);
        told += &output.stdout;
        told += &output.stderr;
        output.stderr
    };
    let in_url = format!("redis://:{escaped}@127.0.0.1:{port}");
    // Each way to give it, and the strongest first.
    run("sink redis -v", &[("REDIS_URL", &in_url)], 0);
    run("sink redis -v", &[("REDIS_URL", &in_url), ("REDIS_PASSWORD", "canary-8")], 0);
    run(&format!("sink redis {url} -v"), &[("REDIS_PASSWORD", CANARY)], 0);
    run(&format!("sink redis {url} -v --redis-password-file pw"), &[], 0);
    run(&format!("sink redis {url} -v --redis-password-file pw"), &[("REDIS_PASSWORD", "canary-8")], 0);
    run(&format!("query --store {url} --redis-password-file pw u1"), &[], 0);
    run(&format!("segment size --where ltv_total>=0 --store {url} -v"), &[("REDIS_PASSWORD", CANARY)], 0);
    run(&format!("export --store {url} -v"), &[("REDIS_PASSWORD", CANARY)], 0);
    run(&format!("stream --store {url} --state s -v"), &[("REDIS_PASSWORD", CANARY)], 65);
    run(&format!("doctor --store {url} -v"), &[("REDIS_PASSWORD", CANARY)], 1);
    // Each way in which it can be wrong.
    let words = run("sink redis", &[("REDIS_URL", &in_url.replace("canary-7", "canary-8"))], 77);
    assert!(words.contains("hint: ") && words.contains("REDIS_PASSWORD"), "{words}");
    run(&format!("sink redis {url} --redis-password-file wrong"), &[], 77);
    run(&format!("stream --store {url} --state s2"), &[("REDIS_PASSWORD", "canary-8")], 77);
    run(&format!("sink redis {url} --redis-password-file empty"), &[], 2);
    run(&format!("sink redis {url} --redis-password-file absent"), &[], 66);
    run(&format!("sink redis {in_url}"), &[], 2);
    run(&format!("query --store {in_url} u1"), &[], 2);
    run(&format!("sink redis redis://127.0.0.1:{free}"), &[("REDIS_PASSWORD", CANARY)], 69);
    run(&format!("sink redis {url} --redis-cacert {ca}"), &[("REDIS_PASSWORD", CANARY)], 2);
    run("sink redis", &[("REDIS_URL", &format!("redis://:{escaped}@127.0.0.1:port"))], 2);
    run("sink redis", &[("REDIS_URL", &format!("redis+cluster://:{escaped}@a/1"))], 2);
    run("sink redis", &[("REDIS_URL", &format!("redis+sentinel://u:{escaped}@a"))], 2);
    for command in ["sink", "stream", "query", "segment", "export", "verify", "rebuild", "doctor", "explain"] {
        run(&format!("{command} --help"), &[("REDIS_PASSWORD", CANARY), ("REDIS_URL", &in_url)], 0);
    }
    for part in ["canary", "nary-", CANARY, escaped] {
        let shown = told.lines().filter(|line| line.contains(part)).collect::<Vec<_>>();
        assert!(shown.is_empty(), "{shown:?}");
    }
}

#[test]
fn tls_is_spoken_with_a_server_that_is_who_it_says_and_with_no_other() {
    let authority = Authority::new("ours");
    let other = Authority::new("another");
    let ca = authority.ca();
    let serve = |(certificate, key): (std::path::PathBuf, std::path::PathBuf), clients: &str| {
        let files =
            ["--tls-cert-file", text(&certificate), "--tls-key-file", text(&key), "--tls-ca-cert-file", text(&ca)];
        Node::start_tls(&[&files[..], &["--tls-auth-clients", clients]].concat())
    };
    let Some(good) = serve(authority.sign("localhost", None), "no") else { return };
    let expired = serve(authority.sign("localhost", Some(2019)), "no").expect("started");
    let early = serve(authority.sign("localhost", Some(2090)), "no").expect("started");
    let renamed = serve(authority.sign("example.org", None), "no").expect("started");
    let careful = serve(authority.sign("localhost", None), "yes").expect("started");
    let plain = Node::start(&[]).expect("started");
    let dir = Dir::new();
    let client = authority.sign("client", None);
    let foreign = other.sign("client", None);
    let pair = |(certificate, key): &(std::path::PathBuf, std::path::PathBuf)| {
        format!("--redis-cert {} --redis-key {}", certificate.display(), key.display())
    };
    let sink = |node: &Node, flags: &str| {
        let args = format!("sink redis rediss://localhost:{} {flags}", node.port);
        let output = dir.adprof(&args).stdin(patches(1000)).output();
        (output.code, output.stderr)
    };
    let refused = |node: &Node, flags: &str, code: i32, why: &str, hint: &str| {
        let (got, words) = sink(node, flags);
        assert_eq!(got, code, "{flags}: {words}");
        assert!(words.contains(why) && words.contains(&format!("hint: {hint}")), "{flags}: {words}");
    };
    let trusted = format!("--redis-cacert {}", ca.display());
    assert_eq!(sink(&good, &trusted).0, 0, "{}", sink(&good, &trusted).1);
    // Every command goes the same way.
    let url = format!("rediss://localhost:{}", good.port);
    let shown = dir.adprof(&format!("query --store {url} {trusted} u7")).ok();
    assert!(shown.contains(r#""n":"7""#) || shown.contains(r#""n":7"#), "{shown}");
    assert_eq!(dir.adprof(&format!("export --store {url} {trusted}")).ok().lines().count(), 1001);
    let stream = format!("stream --store {url} {trusted} --state s");
    dir.adprof(&stream).stdin(click("e", "u7", now()) + "\n").ok();
    let shown = dir.adprof(&format!("query --store {url} u7")).env("REDIS_CACERT", text(&ca)).ok();
    assert!(shown.contains("clicks_1h_count"), "{shown}");
    let doctor = dir.adprof(&format!("doctor --store {url} {trusted}")).output();
    assert!(doctor.stdout.contains("TLS"), "{}", doctor.stdout);

    refused(&good, "", 77, "its issuer is not trusted", "name the file with the certificate of its issuer");
    let theirs = format!("--redis-cacert {}", other.ca().display());
    refused(&good, &theirs, 77, "its issuer is not trusted", "name the file");
    refused(&renamed, &trusted, 77, "it is for another name", "write the name that stands in the certificate");
    refused(&expired, &trusted, 77, "it has expired", "the server needs another certificate");
    refused(&early, &trusted, 77, "it is not valid yet", "the server needs another certificate");
    refused(&careful, &trusted, 77, "refuses TLS", "it may want a client's certificate");
    refused(&careful, &format!("{trusted} {}", pair(&foreign)), 77, "refuses TLS", "it may want");
    let (code, words) = sink(&careful, &format!("{trusted} {}", pair(&client)));
    assert_eq!(code, 0, "{words}");
    refused(&plain, &trusted, 69, "no answer in time", "is TLS spoken there?");
    refused(&good, &format!("{trusted} --redis-cert {}", client.0.display()), 2, "belong together", "name both");
    refused(&good, &format!("--redis-cacert {}", client.1.display()), 2, "no certificate in", "a file in the form PEM");
    refused(&good, "--redis-cacert absent", 66, "cannot read `absent`: no such file", "a file in the form PEM");
    // Said in so many words, nobody is checked.
    for node in [&good, &expired, &renamed] {
        assert_eq!(sink(node, "--redis-insecure").0, 0);
    }
    // Without TLS where there is some.
    let output = dir.adprof(&format!("sink redis redis://localhost:{}", good.port)).stdin(patches(1)).output();
    assert_eq!(output.code, 69, "{}", output.stderr);
    assert!(output.stderr.contains("write rediss://"), "{}", output.stderr);
}
