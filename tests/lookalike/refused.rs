//! What `segment lookalike` refuses, each with what, where, why and the next step.

use crate::people::{AS_OF, People};
use crate::support::Dir;

/// The words on stderr of a run that ends with `code`.
fn refused(dir: &Dir, args: &str, code: i32) -> String {
    let out = dir.adprof(&format!("segment lookalike --as-of {AS_OF} {args}")).exits(code);
    assert_eq!(out.stdout, "", "{args}");
    out.stderr
}

#[test]
fn what_cannot_be_is_refused_with_the_next_step() {
    let dir = People::new(300, 1).store();
    dir.write("few.txt", "u-00001\nu-00002\n\nu-00001\nnobody\n");
    dir.write("odd.txt", "u-00001\na\tb\n");
    dir.write("bytes.txt", b"u-00001\n\xff\n");
    let all: Vec<String> = People::new(300, 1).ids().collect();
    dir.write("all.txt", all.join("\n"));
    for (args, code, words) in [
        ("--size 5", 2, "--seed"),
        ("--seed enrolled", 2, "--size"),
        ("--seed enrolled --seed-file few.txt --size 5", 2, "cannot be used with"),
        ("--seed enrolled --size 0", 2, "0"),
        ("--seed enrolled --size x", 2, "invalid value 'x'"),
        ("--seed enroled --size 5", 2, "unknown segment: enroled\nhint: did you mean enrolled?"),
        ("--seed enrolled --size 5 --tags citty", 2, "unknown tag: citty\nhint: did you mean city?"),
        ("--seed enrolled --size 5 --tags city --with-rule-tags", 2, "cannot be used with"),
        ("--seed enrolled --size 5 --sample 5", 2, "5 is not in 100"),
        ("--seed enrolled --size 5 --l2 0", 2, "write a number from 0.000001"),
        ("--seed enrolled --size 5 --l2 NaN", 2, "write a number from 0.000001"),
        ("--seed enrolled --size 5 --min-lift=-1", 2, "write a number such as 1.5"),
        ("--seed enrolled --size 5 --min-lift inf", 2, "write a number such as 1.5"),
        ("--seed enrolled --size 5 --reasons some", 2, "write a number, or all"),
        ("--seed enrolled --size 5 --entity item", 2, "unknown entity: item"),
        ("--seed enrolled --size 5 --store redis://127.0.0.1:1", 2, "hint: "),
        ("--seed-file none.txt --size 5", 66, "none.txt: no such file or directory"),
        ("--seed-file odd.txt --size 5", 2, "odd.txt:2: not an id: it holds a control character: a\\u0009b"),
        ("--seed-file bytes.txt --size 5", 2, "bytes.txt:2: not an id: it is not UTF-8"),
        ("--seed-file few.txt --size 5", 65, "few.txt: 1 of 3 ids have no profile: nobody\n"),
        (
            "--seed-file few.txt --size 5",
            65,
            "few.txt: 2 users with profiles: too few to learn from\nhint: a seed has 50",
        ),
        ("--seed-file all.txt --size 5", 65, "all.txt: 0 users are outside of it: too few to choose from\nhint: "),
        ("--seed enrolled --size 5 --store file:none", 66, "none"),
    ] {
        let told = refused(&dir, args, code);
        assert!(told.contains(words), "{args}: {told}");
    }
    let told = refused(&dir, "--seed-file all.txt --size 5 -o there/like.txt", 65);
    assert!(told.contains("too few to choose from"), "{told}");
}

#[test]
fn a_rule_that_reads_every_tag_leaves_nothing_to_learn_from() {
    let dir = People::new(300, 2).store();
    dir.write(
        "one.toml",
        "[[tag]]\ncode = \"visits\"\ntype = \"int\"\nupdate = \"import\"\n[[segment]]\ncode = \"often\"\nrule = \"visits > 64\"\n",
    );
    let told = refused(&dir, "-d one.toml --seed often --size 5", 2);
    assert!(told.contains("no tag is left to learn from") && told.contains("--with-rule-tags"), "{told}");
    dir.adprof(&format!("segment lookalike -d one.toml --seed often --size 5 --with-rule-tags --as-of {AS_OF}"))
        .exits(0);
}
