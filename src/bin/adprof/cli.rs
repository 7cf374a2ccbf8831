//! What can be typed: the flags that every command has, and the list of commands.

use crate::cmd;
use clap::{Args, Parser, Subcommand, ValueEnum};

const TRY: &str = "Try it without any server, in an empty directory:
  adprof gen --events 100000 | adprof collect
  adprof batch --tags all | adprof sink file
  adprof query u-0000001

Each command has examples: adprof COMMAND --help";

const MORE: &str = "Environment:
  ADPROF_DEFINITIONS  the definition file, where -d names none
  ADPROF_STORE        where profiles live, where --store does not say
  REDIS_URL           the address of Redis, and its password
  NO_COLOR            no colours

Exit codes:
   0  done; also when the reader of a pipe has gone away
   1  what `verify` or `explain --log` compares differs; `doctor` found a risk
   2  the command line is wrong
  65  too much bad input (--max-errors); a check of `check --data` failed
  66  no such input
  69  Kafka or Redis does not answer
  70  a bug
  74  reading or writing failed
  75  try again: another process holds the lock, or a day is not over or not sealed
  77  not allowed
  78  the definition file is wrong";

/// User profiles from ad events, live and nightly, from one definition file.
#[derive(Parser)]
#[command(name = "adprof", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = TRY, after_long_help = format!("{TRY}\n\n{MORE}"))]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Args, Clone)]
pub struct Global {
    /// Say less: errors and warnings only
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "General")]
    pub quiet: bool,
    /// Say more
    #[arg(short, long, global = true, help_heading = "General")]
    pub verbose: bool,
    /// When to use colours; NO_COLOR is respected
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, help_heading = "General")]
    pub color: Color,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

macro_rules! commands {
    ($($(#[$attr:meta])* $variant:ident => $module:ident, $name:literal;)*) => {
        #[derive(Subcommand)]
        #[allow(clippy::large_enum_variant, reason = "there is one in a run")]
        pub enum Command { $($(#[$attr])* #[command(name = $name)] $variant(cmd::$module::Args)),* }

        impl Command {
            pub fn name(&self) -> &'static str {
                match self { $(Command::$variant(_) => $name),* }
            }

            pub fn run(self) -> anyhow::Result<()> {
                match self { $(Command::$variant(args) => cmd::$module::run(args)),* }
            }
        }
    };
}

commands! {
    Collect => collect, "collect";
    Stream => stream, "stream";
    Batch => batch, "batch";
    Sink => sink, "sink";
    Query => query, "query";
    Explain => explain, "explain";
    Segment => segment, "segment";
    Export => export, "export";
    Verify => verify, "verify";
    Rebuild => rebuild, "rebuild";
    Forget => forget, "forget";
    Day => day, "day";
    Doctor => doctor, "doctor";
    Log => log, "log";
    Init => init, "init";
    Check => check, "check";
    Schema => schema, "schema";
    Compile => compile, "compile";
    Gen => r#gen, "gen";
    Completions => completions, "completions";
    Man => man, "man";
}
