//! A page of documentation: its console blocks, the commands in them, and what each should print.
//!
//! A block opens with three backticks and `console`, perhaps followed by `,redis`, `,kafka` or `,skip`. In it a line
//! `$ command` is a command, lines `> …` right below continue it, and the lines after are its output.

/// One command of a page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// Line of the `$`, counted from 1.
    pub line: usize,
    pub command: String,
    pub expected: Vec<String>,
    /// Lines of the page that hold `expected`, counted from 0, end excluded.
    pub lines: std::ops::Range<usize>,
    pub needs: Needs,
}

/// What a block needs to run.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Needs {
    pub redis: bool,
    pub kafka: bool,
}

/// The commands of a page in their order; skipped blocks are left out. The error names the line.
pub fn steps(page: &str) -> Result<Vec<Step>, String> {
    let lines: Vec<&str> = page.lines().collect();
    let mut steps = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let Some((indent, info)) = fence(lines[at]) else {
            at += 1;
            continue;
        };
        let end = (at + 1..lines.len())
            .find(|&i| lines[i].trim() == "```")
            .ok_or_else(|| format!("{}: this block has no end", at + 1))?;
        let mut words = info.split(',').map(str::trim);
        if words.next() == Some("console") {
            let needs = needs(words, at, lines[..at].last().copied())?;
            if let Some(needs) = needs {
                block(&lines[..end], at + 1, indent, needs, &mut steps)?;
            }
        }
        at = end + 1;
    }
    Ok(steps)
}

/// The depth and the language of a line that opens a block.
fn fence(line: &str) -> Option<(usize, &str)> {
    let indent = line.len() - line.trim_start().len();
    Some((indent, line.trim_start().strip_prefix("```")?.trim()))
}

/// `None`: the block is not to be run.
fn needs<'a>(words: impl Iterator<Item = &'a str>, at: usize, above: Option<&str>) -> Result<Option<Needs>, String> {
    let mut needs = Needs::default();
    let mut skip = false;
    for word in words {
        match word {
            "redis" => needs.redis = true,
            "kafka" => needs.kafka = true,
            "skip" => skip = true,
            other => return Err(format!("{}: `{other}` is not one of redis, kafka, skip", at + 1)),
        }
    }
    if !skip {
        return Ok(Some(needs));
    }
    let reason = above.and_then(|line| line.trim().strip_prefix("<!-- skip: ")?.strip_suffix("-->"));
    match reason {
        Some(reason) if !reason.trim().is_empty() => Ok(None),
        _ => Err(format!("{}: a skipped block needs `<!-- skip: REASON -->` on the line above", at + 1)),
    }
}

/// The steps of the block whose first line is `start` and that ends where `lines` do.
fn block(lines: &[&str], start: usize, indent: usize, needs: Needs, steps: &mut Vec<Step>) -> Result<(), String> {
    // In a list a block is indented as a whole.
    let text = |i: usize| lines[i].get(indent.min(lines[i].len() - lines[i].trim_start().len())..).unwrap_or("");
    let mut at = start;
    while at < lines.len() {
        let Some(first) = text(at).strip_prefix("$ ") else {
            return Err(format!("{}: a console block begins with a line `$ command`", at + 1));
        };
        let line = at + 1;
        let mut command = first.to_owned();
        at += 1;
        while at < lines.len()
            && let Some(more) = text(at).strip_prefix("> ").or((text(at) == ">").then_some(""))
        {
            command.push('\n');
            command.push_str(more);
            at += 1;
        }
        let output = at;
        while at < lines.len() && !text(at).starts_with("$ ") {
            at += 1;
        }
        let expected = (output..at).map(|i| text(i).to_owned()).collect();
        steps.push(Step { line, command, expected, lines: output..at, needs });
    }
    Ok(())
}

/// The page with the expected output of some steps replaced, in the order of the page.
pub fn rewrite(page: &str, outputs: &[(&Step, Vec<String>)]) -> String {
    let lines: Vec<&str> = page.lines().collect();
    let mut out = String::new();
    let mut at = 0;
    for (step, output) in outputs {
        let command = lines[step.line - 1];
        let indent = &command[..command.len() - command.trim_start().len()];
        out.extend(lines[at..step.lines.start].iter().flat_map(|line| [*line, "\n"]));
        out.extend(output.iter().flat_map(|line| [indent, line, "\n"]));
        at = step.lines.end;
    }
    out.extend(lines[at..].iter().flat_map(|line| [*line, "\n"]));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# A page
```sh
$ not run
```
```console
$ cat <<'EOF'
> one
>
> EOF
one

$ true
$ echo 2
2
```
1. In a list:
   ```console,redis,kafka
   $ echo 3
   3
     indented
   ```
<!-- skip: needs a cluster -->
```console,skip
$ rm -rf /
```
";

    #[test]
    fn commands_and_their_output_are_told_apart() {
        let steps = steps(PAGE).expect("well formed");
        let commands: Vec<_> = steps.iter().map(|s| (s.line, s.command.as_str(), s.expected.join("|"))).collect();
        assert_eq!(
            commands,
            [
                (6, "cat <<'EOF'\none\n\nEOF", "one|".to_owned()),
                (12, "true", String::new()),
                (13, "echo 2", "2".to_owned()),
                (18, "echo 3", "3|  indented".to_owned()),
            ]
        );
        assert_eq!(steps[2].needs, Needs::default());
        assert_eq!(steps[3].needs, Needs { redis: true, kafka: true });
    }

    #[test]
    fn a_block_that_cannot_be_meant_is_an_error_with_its_line() {
        for (page, error) in [
            ("```console\n$ true\n", "1: this block has no end"),
            ("\n```console\necho\n```\n", "3: a console block begins with"),
            ("```console,reddis\n$ true\n```\n", "1: `reddis` is not one of"),
            ("```console,skip\n$ true\n```\n", "1: a skipped block needs"),
            ("<!-- skip:  -->\n```console,skip\n$ true\n```\n", "2: a skipped block needs"),
        ] {
            let found = steps(page).expect_err(page);
            assert!(found.starts_with(error), "{page}: {found}");
        }
    }

    #[test]
    fn rewriting_with_what_is_there_changes_nothing() {
        let steps = steps(PAGE).expect("well formed");
        let same: Vec<_> = steps.iter().map(|step| (step, step.expected.clone())).collect();
        assert_eq!(rewrite(PAGE, &same), PAGE);
        let changed = rewrite(PAGE, &[(&steps[1], vec!["new".into()]), (&steps[3], vec!["4".into()])]);
        assert!(changed.contains("$ true\nnew\n$ echo 2\n2\n```\n"), "{changed}");
        assert!(changed.contains("   $ echo 3\n   4\n   ```\n"), "{changed}");
    }
}
