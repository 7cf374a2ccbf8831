//! `adprof segment size` and `members`.

use super::line::Line;
use super::{Asked, Format};
use crate::ask::{self, Named, Of, usage};
use crate::given::grouped;
use crate::report;
use adprof::key::Key;
use adprof::ndjson::shown;
use adprof::patch::push_key;
use adprof::profiles::Profiles;
use adprof::time;
use anyhow::Result;
use std::io::{self, IsTerminal};

/// Bytes of output gathered before they are written.
const CHUNK: usize = 1 << 16;

impl Asked {
    fn open(&self) -> Result<(Profiles, Of, Named)> {
        let profiles = self.ask.open()?;
        let of = self.ask.of(profiles.definitions())?;
        let named = self.rule.read(self.code.as_deref(), profiles.definitions(), &of)?;
        let named = named.ok_or_else(no_rule)?;
        Ok((profiles, of, named))
    }
}

pub fn members(asked: Asked) -> Result<()> {
    let (mut profiles, of, Named { rule, .. }) = asked.open()?;
    let terminal = io::stdout().is_terminal();
    let behind = format!(",\"version\":\"{}\",\"asOf\":{}}}\n", rule.version(), profiles.as_of());
    let mut out = Vec::with_capacity(CHUNK + 1024);
    ask::members(&mut profiles, &of, Some(rule), |profile| {
        match asked.format {
            Format::Ids => push_id(&mut out, &profile.key, terminal),
            Format::Ndjson => {
                out.push(b'{');
                push_key(&mut out, &profile.key);
                out.extend_from_slice(behind.as_bytes());
            }
        }
        if out.len() >= CHUNK {
            report::data(&out)?;
            out.clear();
        }
        Ok(())
    })?;
    report::data(&out)
}

/// Byte for byte in a pipe, so that it is the same id for whoever reads it; harmless on a terminal.
fn push_id(out: &mut Vec<u8>, key: &Key, terminal: bool) {
    match terminal {
        true => out.extend_from_slice(shown(&key.text()).as_bytes()),
        false => out.extend_from_slice(key.text().as_bytes()),
    }
    out.push(b'\n');
}

pub fn size(asked: Asked) -> Result<()> {
    let (mut profiles, of, Named { rule, code }) = asked.open()?;
    let (version, mut size) = (rule.version().to_string(), 0u64);
    let all = ask::members(&mut profiles, &of, Some(rule), |_| {
        size += 1;
        Ok(())
    })?;
    let as_of = profiles.as_of();
    match asked.format {
        Format::Ids => {
            let whose = code.as_deref().unwrap_or("the rule");
            report::say(format_args!(
                "{whose}, version {version}, as of {}: {} of {}",
                time::show(as_of),
                grouped(size),
                grouped(all)
            ));
            report::data(format!("{size}\n").as_bytes())
        }
        Format::Ndjson => {
            let line = Line::new().optional("segment", code.as_deref()).text("version", &version);
            report::data(line.json("asOf", as_of).json("size", size).json("of", all).line().as_bytes())
        }
    }
}

/// The error of a command that was given none.
pub fn no_rule() -> report::Failure {
    usage("no rule given").hint("name a segment, or write --where \"ltv_total >= 100\", or --rule @FILE")
}
