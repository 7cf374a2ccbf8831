//! Who is exported: everybody, the members of a rule, or who is in any of several segments; and how their ids leave.

use crate::ask::{self, AskArgs, HowArgs, Named, Of, RuleArgs, doubts, usage};
use crate::report;
use adprof::export::{Asked, By, Hmac, Ids, Row, Text};
use adprof::ndjson::shown;
use adprof::profiles::{Profile, Profiles};
use adprof::segment::Rule;
use adprof::tag::{Definitions, Status};
use anyhow::Result;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Longest key of HMAC, in bytes.
const SALT_MAX: u64 = 4096;
/// So many rules are told by name.
const TOLD: usize = 3;

#[derive(clap::Args)]
pub struct WhoArgs {
    /// The members of this segment of the definition file; given several times: who is in any of them
    #[arg(long = "segment", value_name = "CODE", conflicts_with_all = ["sql", "rule"])]
    segments: Vec<String>,
    #[command(flatten)]
    rule: RuleArgs,
    #[command(flatten)]
    how: HowArgs,
    #[command(flatten)]
    hash: HashArgs,
}

#[derive(clap::Args)]
struct HashArgs {
    /// Write the SHA-256 of each id in its place: without blanks around it, in lower case, as ad platforms want e-mail addresses
    #[arg(long, value_name = "sha256", value_parser = ["sha256"], hide_possible_values = true)]
    hash: Option<String>,
    /// Hash the bytes of the id as they are
    #[arg(long, requires = "hash")]
    hash_raw: bool,
    /// Hash under the key in this file, by HMAC-SHA256; a newline at its end is no part of it
    #[arg(long, value_name = "FILE", requires = "hash")]
    salt_file: Option<PathBuf>,
}

/// Who is exported.
pub struct Audience {
    pub of: Of,
    who: Who,
    how: HowArgs,
    pub ids: Ids,
}

enum Who {
    All,
    One(Named),
    /// Segments, by place in the definitions.
    Any(Vec<(usize, Rule)>),
}

impl WhoArgs {
    /// Who is meant. `by_segment`: everybody is told with segments, which are all active ones where none is named.
    pub fn read(&self, ask: &AskArgs, definitions: &Definitions, by_segment: bool) -> Result<Audience> {
        let of = ask.of(definitions)?;
        let ids = self.hash.ids()?;
        let who = match &self.segments[..] {
            [] if by_segment => Who::Any(active(definitions, &of)?),
            [] => self.rule.read(None, definitions, &of)?.map_or(Who::All, Who::One),
            [code] if !by_segment => Who::One(ask::named(definitions, code, &of)?),
            codes => Who::Any(several(codes, definitions, &of)?),
        };
        Ok(Audience { of, who, how: self.how, ids })
    }

    pub fn names_rule(&self) -> bool {
        self.rule.is_given()
    }
}

fn active(definitions: &Definitions, of: &Of) -> Result<Vec<(usize, Rule)>> {
    let active = definitions.segments.iter().filter(|segment| segment.status == Status::Active);
    let codes: Vec<&str> = active.map(|segment| &*segment.code).collect();
    if codes.is_empty() {
        let failure = usage(format!("no segment is active in {}", definitions.source));
        return Err(failure.hint("OpenRTB tells segments: write [[segment]] in the definition file").into());
    }
    several(&codes, definitions, of)
}

/// The rules of segments, each once, in the order of the definitions.
fn several<S: AsRef<str>>(codes: &[S], definitions: &Definitions, of: &Of) -> Result<Vec<(usize, Rule)>> {
    let mut rules = Vec::with_capacity(codes.len());
    for code in codes.iter().map(AsRef::as_ref) {
        let named = ask::named(definitions, code, of)?;
        let place = definitions.segments.iter().position(|segment| *segment.code == *code);
        rules.push((place.expect("it was just found"), named.rule));
    }
    rules.sort_by_key(|(place, _)| *place);
    rules.dedup_by_key(|(place, _)| *place);
    Ok(rules)
}

impl HashArgs {
    fn ids(&self) -> Result<Ids> {
        if self.hash.is_none() {
            return Ok(Ids::Plain);
        }
        let by = match &self.salt_file {
            None => By::Sha256,
            Some(path) => By::Hmac(Box::new(Hmac::new(&salt(path)?))),
        };
        Ok(Ids::Hashed { by, text: if self.hash_raw { Text::Raw } else { Text::Normal } })
    }
}

fn salt(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| report::io(path, &e))?;
    file.take(SALT_MAX + 1).read_to_end(&mut bytes).map_err(|e| report::io(path, &e))?;
    let ends = |end: &[u8]| bytes.ends_with(end).then_some(end.len());
    bytes.truncate(bytes.len() - ends(b"\r\n").or_else(|| ends(b"\n")).unwrap_or(0));
    match bytes.len() as u64 {
        0 => Err(usage(format!("{}: there is no key in it", path.display()))
            .hint("head -c 32 /dev/urandom | base64 > FILE makes one")
            .into()),
        1..=SALT_MAX => Ok(bytes),
        _ => Err(usage(format!("{}: a key is at most {SALT_MAX} bytes long", path.display())).into()),
    }
}

impl Audience {
    /// Whether its segments are to be told beside each profile.
    pub fn is_of_several(&self) -> bool {
        matches!(self.who, Who::Any(_))
    }

    /// The rules whose members they are; none for everybody.
    pub fn asked(&self, definitions: &Definitions) -> Vec<Asked> {
        match &self.who {
            Who::All => Vec::new(),
            Who::One(Named { rule, code }) => vec![Asked { segment: code.clone(), version: rule.version().into() }],
            Who::Any(rules) => {
                let asked = |(place, rule): &(usize, Rule)| {
                    let code = definitions.segments[*place].code.to_string();
                    Asked { segment: Some(code), version: rule.version().into() }
                };
                rules.iter().map(asked).collect()
            }
        }
    }

    /// Gives each of them to `each`, its id as it leaves. How many there were, and how many profiles there are.
    pub fn each(self, profiles: &mut Profiles, mut each: impl FnMut(&Row<'_>) -> Result<()>) -> Result<(u64, u64)> {
        let (Audience { of, who, how, ids }, mut rows) = (self, 0);
        let mut leave = |mut profile: Profile, segments: &[usize]| {
            rows += 1;
            profile.key = ids.leave(profile.key);
            each(&Row { profile: &profile, segments })
        };
        let all = match who {
            Who::All => ask::members(profiles, &of, None, how, |profile| leave(profile, &[]))?,
            Who::One(named) => ask::members(profiles, &of, Some(named.rule), how, |profile| leave(profile, &[]))?,
            Who::Any(mut rules) => {
                for (_, rule) in &rules {
                    doubts(profiles, rule)?;
                }
                let (as_of, mut segments) = (profiles.as_of(), Vec::new());
                ask::members(profiles, &of, None, how, |profile| {
                    segments.clear();
                    let is_in = |(place, rule): &mut (usize, Rule)| rule.matches(&profile, as_of).then_some(*place);
                    segments.extend(rules.iter_mut().filter_map(is_in));
                    if segments.is_empty() { Ok(()) } else { leave(profile, &segments) }
                })?
            }
        };
        Ok((rows, all))
    }
}

/// `sports_fans, version 931eebfe07a1, `: the rules in a line for people; nothing for everybody.
pub fn told(rules: &[Asked]) -> String {
    let each = |asked: &Asked| {
        let name = asked.segment.as_deref().unwrap_or("the rule");
        format!("{}, version {}", shown(name), asked.version)
    };
    match rules {
        [] => String::new(),
        few if few.len() <= TOLD => few.iter().map(each).collect::<Vec<_>>().join("; ") + ", ",
        many => format!("{} segments, ", many.len()),
    }
}
