//! What was typed wrongly: what clap finds, told in the grammar of all messages.

use crate::cli::Cli;
use crate::report::{self, Exit, Failure};
use clap::CommandFactory;
use clap::error::ErrorKind;
use std::process::ExitCode;

/// Tells the error and gives the exit code. Help and version are no errors: they are printed as they are.
pub fn fail(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        error.exit();
    }
    let command = command(std::env::args_os().skip(1).filter_map(|arg| arg.into_string().ok()));
    let said = Said::read(&error.render().to_string());
    let help = ["adprof", &command, "--help"].join(" ").replace("  ", " ");
    let failure = Failure::new(Exit::Usage, said.message).hint(said.hint.unwrap_or(help));
    report::fail(&command, &failure.into())
}

/// The command among the arguments, with the part of it that was meant; empty without one.
fn command(args: impl Iterator<Item = String>) -> String {
    let program = Cli::command();
    let mut args = args.skip_while(|arg| program.find_subcommand(arg).is_none());
    let Some(command) = args.next().and_then(|name| program.find_subcommand(name)) else { return String::new() };
    match args.next().and_then(|name| command.find_subcommand(name)) {
        Some(part) => format!("{} {}", command.get_name(), part.get_name()),
        None => command.get_name().to_string(),
    }
}

/// What clap says, taken apart.
#[derive(Debug, PartialEq)]
struct Said {
    message: String,
    hint: Option<String>,
}

impl Said {
    fn read(text: &str) -> Said {
        let text = text.strip_prefix("error: ").unwrap_or(text);
        let (first, rest) = text.split_once("\n\n").unwrap_or((text, ""));
        let (lists, words): (Vec<&str>, Vec<&str>) =
            first.lines().map(str::trim).partition(|line| line.starts_with('[') && line.ends_with(']'));
        let near = rest.lines().filter_map(|line| line.trim().strip_prefix("tip: ")).find_map(near);
        let list = lists.first().map(|list| list.trim_matches(['[', ']']).to_string());
        Said { message: words.join(" "), hint: near.or(list) }
    }
}

/// `a similar value exists: 'zsh'` as a question. Other tips, such as how to write a value that looks like a flag, miss
/// what was meant.
fn near(tip: &str) -> Option<String> {
    let (what, names) = tip.split_once(": ")?;
    what.contains("similar").then(|| format!("did you mean {}?", names.replace(", ", " or ").replace('\'', "`")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn said(line: &str) -> (String, Option<String>) {
        let error = Cli::try_parse_from(line.split(' ')).err().expect("a mistake");
        let said = Said::read(&error.render().to_string());
        (said.message, said.hint)
    }

    #[test]
    fn a_mistake_is_one_line_and_perhaps_a_hint() {
        let told = |message: &str, hint: Option<&str>| (message.to_string(), hint.map(str::to_string));
        assert_eq!(said("adprof batch --lgo x"), told("unexpected argument '--lgo' found", None));
        assert_eq!(
            said("adprof batch --thread 2"),
            told("unexpected argument '--thread' found", Some("did you mean `--threads`?"))
        );
        let (message, hint) = said("adprof export --format xlsx");
        assert_eq!(
            (&*message, hint.as_deref()),
            ("invalid value 'xlsx' for '--format <FORMAT>'", Some("possible values: csv, ndjson, parquet, openrtb"))
        );
        assert_eq!(said("adprof sink").0, "the following required arguments were not provided: <redis|file>");
    }

    #[test]
    fn the_command_is_found_behind_general_flags() {
        let found = |line: &str| command(line.split(' ').map(str::to_string));
        assert_eq!(found("-q segment size --x"), "segment size");
        assert_eq!((found("query size"), found("colect")), ("query".to_string(), String::new()));
    }
}
