//! What can be typed: the flags that every command has, and the list of commands.

use crate::cmd;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// User profiles from ad events, live and nightly, from one definition file.
#[derive(Parser)]
#[command(name = "adprof", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Try it without any server:
  adprof gen --events 100000 | adprof collect
  adprof batch --tags all | adprof sink file
  adprof query u-0000001")]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Args, Clone)]
pub struct Global {
    /// Say less: errors only
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
    Segment => segment, "segment";
    Export => export, "export";
    Init => init, "init";
    Check => check, "check";
    Schema => schema, "schema";
    Gen => r#gen, "gen";
    Completions => completions, "completions";
    Man => man, "man";
}
