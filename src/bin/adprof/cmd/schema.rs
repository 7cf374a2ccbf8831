//! `adprof schema`: the JSON Schema of the definition file.

use crate::report;
use anyhow::Result;

/// Print the JSON Schema of the definition file, for completion and checks in editors
#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof schema > adprof.schema.json
  # VS Code with Even Better TOML, first line of adprof.toml:
  #:schema ./adprof.schema.json")]
pub struct Args {}

pub fn run(_: Args) -> Result<()> {
    let mut text = serde_json::to_string_pretty(&adprof::tag::schema())?;
    text.push('\n');
    report::data(text.as_bytes())
}
