//! `adprof segment size` and `members`.

use super::built::embedded;
use super::line::Line;
use super::{Asked, Format};
use crate::ask::{self, Named, Of, usage};
use crate::given::{self, grouped};
use crate::report;
use adprof::key::Key;
use adprof::ndjson::shown;
use adprof::patch::push_key;
use adprof::profiles::Profiles;
use adprof::segment::audience::{self, Audience};
use adprof::store::embedded::View;
use adprof::time::{self, Millis};
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
    if let (true, Some(code)) = (asked.built, &asked.code) {
        return built_members(&asked, code);
    }
    let (mut profiles, of, Named { rule, .. }) = asked.open()?;
    let mut out = asked.listing(rule.version(), profiles.as_of());
    ask::keys(&mut profiles, &of, rule, asked.how, |key| out.push(key))?;
    out.end()
}

fn built_members(asked: &Asked, code: &str) -> Result<()> {
    let profiles = asked.ask.open()?;
    let snapshot = embedded(&profiles)?.snapshot().map_err(given::of_store)?;
    let (view, audience) = newest(snapshot.index().map_err(given::of_store)?, code)?;
    let mut out = asked.listing(&audience.build.version, audience.build.as_of);
    ask::built_keys(view, audience, |key| out.push(key))?;
    out.end()
}

/// The audience that was built last.
fn newest<'v>(view: Option<View<'v>>, code: &str) -> Result<(View<'v>, Audience)> {
    let audience = audience::newest(view, code).map_err(given::of_store)?;
    view.zip(audience).ok_or_else(|| {
        let failure = usage(format!("no audience of this segment was built: {}", shown(code)));
        failure.hint(format!("adprof segment build {}", shown(code))).into()
    })
}

impl Asked {
    fn listing(&self, version: &str, as_of: Millis) -> Listing {
        Listing {
            format: self.format,
            terminal: io::stdout().is_terminal(),
            behind: format!(",\"version\":\"{version}\",\"asOf\":{as_of}}}\n"),
            out: Vec::with_capacity(CHUNK + 1024),
        }
    }
}

/// Members on their way out.
struct Listing {
    format: Format,
    terminal: bool,
    behind: String,
    out: Vec<u8>,
}

impl Listing {
    fn push(&mut self, key: &Key) -> Result<()> {
        let out = &mut self.out;
        match self.format {
            Format::Ids => push_id(out, key, self.terminal),
            Format::Ndjson => {
                out.push(b'{');
                push_key(out, key);
                out.extend_from_slice(self.behind.as_bytes());
            }
        }
        if out.len() >= CHUNK {
            report::data(out)?;
            out.clear();
        }
        Ok(())
    }

    fn end(self) -> Result<()> {
        report::data(&self.out)
    }
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
    if let (true, Some(code)) = (asked.built, &asked.code) {
        let profiles = asked.ask.open()?;
        let snapshot = embedded(&profiles)?.snapshot().map_err(given::of_store)?;
        let build = newest(snapshot.index().map_err(given::of_store)?, code)?.1.build;
        return tell(asked.format, Some(code), &build.version, build.as_of, (build.size, build.of));
    }
    let (mut profiles, of, Named { rule, code }) = asked.open()?;
    let version = rule.version().to_string();
    let sizes = ask::count(&mut profiles, &of, rule, asked.how)?;
    tell(asked.format, code.as_deref(), &version, profiles.as_of(), sizes)
}

fn tell(format: Format, code: Option<&str>, version: &str, as_of: Millis, (size, all): (u64, u64)) -> Result<()> {
    match format {
        Format::Ids => {
            report::say(format_args!(
                "{}, version {version}, as of {}: {} of {}",
                code.unwrap_or("the rule"),
                time::show(as_of),
                grouped(size),
                grouped(all)
            ));
            report::data(format!("{size}\n").as_bytes())
        }
        Format::Ndjson => {
            let line = Line::new().optional("segment", code).text("version", version);
            report::data(line.json("asOf", as_of).json("size", size).json("of", all).line().as_bytes())
        }
    }
}

/// The error of a command that was given none.
pub fn no_rule() -> report::Failure {
    usage("no rule given").hint("name a segment, or write --where \"ltv_total >= 100\", or --rule @FILE")
}
