//! What is asked of a store: the flags that query, segment and export share, and the profiles they mean.
//!
//! The instant is read once, here: a named one stays, `now` is told as such.

mod rule;

use crate::given::{self, DefinitionArgs, StoreArgs};
use crate::redis::RedisArgs;
use crate::report::{self, Exit, Failure};
use adprof::key::{Key, USER};
use adprof::limits::{FIELD_MAX, USER_ID_MAX};
use adprof::ndjson::shown;
use adprof::parallel;
use adprof::patch::is_hidden;
use adprof::profiles::index::Indexed;
use adprof::profiles::{AsOf, Profile, Profiles};
use adprof::segment::Rule;
use adprof::segment::audience::{self, Audience};
use adprof::segment::index::Members;
use adprof::store::embedded::View;
use adprof::store::{self, Location};
use adprof::tag::{Definitions, Update};
use anyhow::Result;
use jiff::tz::TimeZone;
pub use rule::{Named, RuleArgs, doubts, named, typed};
use std::sync::Arc;

#[derive(clap::Args, Clone)]
pub struct AskArgs {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    definitions: DefinitionArgs,
    /// The instant asked about: milliseconds, RFC 3339, a date (UTC), `now`, or 2h for two hours ago [default: now]
    #[arg(long, value_name = "T")]
    as_of: Option<String>,
    /// Keys of this entity of the definitions; one of several parts is typed as in Redis: a:b [default: user]
    #[arg(long, value_name = "NAME")]
    entity: Option<String>,
}

/// Whose keys are asked for.
#[derive(Clone, Debug)]
pub struct Of {
    /// The entity's place in the definitions.
    pub place: usize,
    pub name: String,
    /// Parts of a key.
    pub width: usize,
}

impl Of {
    pub fn users() -> Of {
        Of { place: 0, name: USER.into(), width: 1 }
    }

    /// The entity that `--entity` names: users without it.
    pub fn named(entity: Option<&str>, definitions: &Definitions) -> Result<Of> {
        let Some(name) = entity else { return Ok(Of::users()) };
        match definitions.entity(name) {
            Some(place) => {
                let entity = &definitions.entities[place];
                Ok(Of { place, name: entity.name.to_string(), width: entity.width() })
            }
            None => {
                let names: Vec<&str> = definitions.entities.iter().map(|entity| &*entity.name).collect();
                let failure = usage(format!("--entity: unknown entity: {}", shown(name)));
                Err(failure.hint(format!("there are {}", names.join(", "))).into())
            }
        }
    }

    pub fn is_users(&self) -> bool {
        self.place == 0
    }

    /// Bytes of the longest text that can be a key.
    pub fn longest(&self) -> usize {
        // Each byte may be escaped.
        if self.is_users() { USER_ID_MAX } else { (3 * FIELD_MAX + 4) * self.width }
    }

    /// The key that a text means; the error says why it is none.
    pub fn key(&self, text: &str) -> Result<Key, String> {
        if text.is_empty() {
            return Err("it is empty".into());
        }
        if text.len() > self.longest() {
            return Err(format!("it is longer than {} bytes", self.longest()));
        }
        if text.contains(char::is_control) {
            return Err(format!("it holds a control character: {}", shown(text)));
        }
        let key = Key::typed("", &self.name, self.width, text);
        key.filter(|key| key.parts().all(|part| !part.is_empty())).ok_or_else(|| {
            format!(
                "a key of `{}` has {} parts, joined by `:` (`%3A` for one inside): {}",
                self.name,
                self.width,
                shown(text)
            )
        })
    }

    /// The key that a line of input means: of several parts also as a JSON array.
    pub fn key_of_line(&self, line: &str) -> Result<Key, String> {
        if self.width == 1 || !line.starts_with('[') {
            return self.key(line);
        }
        let parts: Vec<String> =
            serde_json::from_str(line).map_err(|_| format!("not an array of strings: {}", shown(line)))?;
        let good = |part: &String| !part.is_empty() && !part.contains(char::is_control);
        if parts.len() != self.width || !parts.iter().all(good) {
            return Err(format!(
                "a key of `{}` has {} parts, and none is empty: {}",
                self.name,
                self.width,
                shown(line)
            ));
        }
        Ok(Key::new("", &self.name, parts.iter().map(String::as_str)))
    }
}

impl AskArgs {
    /// Whose keys are asked for.
    pub fn of(&self, definitions: &Definitions) -> Result<Of> {
        Of::named(self.entity.as_deref(), definitions)
    }

    /// Whether somebody names an entity, whose keys cannot be read without the definitions.
    pub fn names_entity(&self) -> bool {
        self.entity.is_some()
    }

    /// How a Redis is reached.
    pub fn redis(&self) -> &RedisArgs {
        &self.store.redis
    }

    /// The instant that is meant.
    pub fn instant(&self) -> Result<AsOf> {
        Ok(match self.as_of.as_deref() {
            None | Some("now") => AsOf::Now(given::now()),
            Some(text) => AsOf::At(given::instant(text, &TimeZone::UTC)?),
        })
    }

    /// Opens the store that somebody names; where nobody does, the definitions alone.
    pub fn open_if_named(&self, as_of: AsOf) -> Result<Asked> {
        let definitions = self.definitions.find()?;
        match self.store.named(definitions.as_ref())? {
            Some(location) => Asked::open(location, definitions, as_of),
            None => Ok(Asked::Nowhere(Arc::new(definitions.unwrap_or_else(Definitions::built_in)))),
        }
    }

    /// Opens the store that is meant, named or not.
    pub fn open_at(&self, as_of: AsOf) -> Result<Asked> {
        let definitions = self.definitions.find()?;
        Asked::open(self.store.choose(definitions.as_ref())?, definitions, as_of)
    }

    /// Opens the store that is meant, as of the instant that is meant.
    pub fn open(&self) -> Result<Profiles> {
        self.open_as_of(self.instant()?)
    }

    /// The same, as of another instant.
    pub fn open_as_of(&self, as_of: AsOf) -> Result<Profiles> {
        self.open_with(&self.definitions, as_of)
    }

    /// The store that is meant, read with the definitions of another file.
    pub fn open_with(&self, definitions: &DefinitionArgs, as_of: AsOf) -> Result<Profiles> {
        let own = self.definitions.find()?;
        let location = self.store.choose(own.as_ref())?;
        Profiles::open(&location, definitions.find()?, as_of).map_err(|e| given::of_store(e).into())
    }

    /// The store that is meant, read with the definitions that its stream runs with.
    pub fn open_kept(&self, as_of: AsOf) -> Result<Profiles> {
        let location = self.store.choose(self.definitions.find()?.as_ref())?;
        Profiles::open(&location, None, as_of).map_err(|e| given::of_store(e).into())
    }
}

/// Whom there is to ask.
pub enum Asked {
    Store(Box<Profiles>, Location),
    Nowhere(Arc<Definitions>),
}

impl Asked {
    pub fn definitions(&self) -> &Arc<Definitions> {
        match self {
            Asked::Store(profiles, _) => profiles.definitions(),
            Asked::Nowhere(definitions) => definitions,
        }
    }

    fn open(location: Location, definitions: Option<Definitions>, as_of: AsOf) -> Result<Asked> {
        let profiles = Profiles::open(&location, definitions, as_of).map_err(given::of_store)?;
        Ok(Asked::Store(Box::new(profiles), location))
    }
}

#[derive(clap::Args, Clone)]
pub struct TagArgs {
    /// The tags to show: all, or codes [default: all]
    #[arg(long, value_name = "all|CODE,...", value_delimiter = ',')]
    tags: Vec<String>,
    /// Show the tags that rules of segments are kept by, too
    #[arg(long)]
    hidden: bool,
}

/// The tags that somebody wants to see.
#[derive(Clone, Default)]
pub struct Chosen {
    /// Places in the order of the definitions; `None` for everything there is.
    pub tags: Option<Vec<usize>>,
    /// Whether everything has the hidden tags in it.
    pub hidden: bool,
}

impl Chosen {
    /// Whether the tag of this code is one of them.
    pub fn keeps(&self, definitions: &Definitions, code: &str) -> bool {
        match &self.tags {
            Some(tags) => tags.iter().any(|tag| &*definitions.tags[*tag].code == code),
            None => self.hidden || !is_hidden(code),
        }
    }
}

impl TagArgs {
    /// Whether somebody names some.
    pub fn is_given(&self) -> bool {
        self.hidden || !self.tags.is_empty()
    }

    /// The tags that are meant.
    pub fn choose(&self, definitions: &Definitions, of: &Of) -> Result<Chosen> {
        Ok(Chosen { tags: self.named(definitions, of)?, hidden: self.hidden })
    }

    fn named(&self, definitions: &Definitions, of: &Of) -> Result<Option<Vec<usize>>> {
        match &self.tags[..] {
            [] => Ok(None),
            [all] if all == "all" => Ok(None),
            codes => {
                let mut tags = given::tags(definitions, codes, Update::Realtime)?;
                of_entity(&tags, definitions, of)?;
                tags.sort_unstable();
                tags.dedup();
                Ok(Some(tags))
            }
        }
    }
}

/// Refuses tags of others than whose keys are asked for.
pub fn of_entity(tags: &[usize], definitions: &Definitions, of: &Of) -> Result<()> {
    let Some(&tag) = tags.iter().find(|tag| definitions.tags[**tag].entity != of.place) else { return Ok(()) };
    let (code, entity) = (&definitions.tags[tag].code, &definitions.entity_of(tag).name);
    Err(usage(format!("`{code}` is of `{entity}`, not of `{}`", of.name)).hint(format!("--entity {entity}")).into())
}

#[derive(clap::Args, Clone, Copy, Default)]
pub struct HowArgs {
    /// Look at every profile, though there is an index
    #[arg(long)]
    scan: bool,
}

/// Gives the key of every member of a built audience to `each`, in the order of keys.
pub fn built_keys(view: View<'_>, audience: Audience, mut each: impl FnMut(&Key) -> Result<()>) -> Result<()> {
    let listed = audience.members().keys(&audience::dictionary(view), |key| each(key).map_err(Stop::Other));
    listed.map_err(Stop::into_error)
}

/// How many profiles the rule is true of, and how many there are.
pub fn count(profiles: &mut Profiles, of: &Of, rule: Rule, how: HowArgs) -> Result<(u64, u64)> {
    doubts(profiles, &rule)?;
    if let Some(found) = by_index(profiles, of, &rule, how, |_, members| Ok((members.size, members.all)))? {
        return Ok(found);
    }
    let mut size = 0;
    let all = scan(profiles, of, Some(rule), |_| {
        size += 1;
        Ok(())
    })?;
    Ok((size, all))
}

/// Gives the key of every profile that the rule is true of to `each`. The number of all profiles.
pub fn keys(
    profiles: &mut Profiles,
    of: &Of,
    rule: Rule,
    how: HowArgs,
    mut each: impl FnMut(&Key) -> Result<()>,
) -> Result<u64> {
    doubts(profiles, &rule)?;
    let found = by_index(profiles, of, &rule, how, |indexed, members| {
        members.keys(&indexed.dictionary(), |key| each(key).map_err(Stop::Other))?;
        Ok(members.all)
    })?;
    match found {
        Some(all) => Ok(all),
        None => scan(profiles, of, Some(rule), |profile| each(&profile.key)),
    }
}

/// Gives every profile that the rule is true of to `each`. The number of all profiles.
pub fn members(
    profiles: &mut Profiles,
    of: &Of,
    rule: Option<Rule>,
    how: HowArgs,
    mut each: impl FnMut(Profile) -> Result<()>,
) -> Result<u64> {
    if let Some(rule) = &rule {
        doubts(profiles, rule)?;
        let found = by_index(profiles, of, rule, how, |indexed, members| {
            members.profiles(indexed, |profile| each(profile).map_err(Stop::Other))?;
            Ok(members.all)
        })?;
        if let Some(all) = found {
            return Ok(all);
        }
    }
    scan(profiles, of, rule, each)
}

/// Answers by the index, if there is one that can.
fn by_index<T>(
    profiles: &Profiles,
    of: &Of,
    rule: &Rule,
    how: HowArgs,
    answer: impl FnOnce(&Indexed<'_>, &Members) -> std::result::Result<T, Stop>,
) -> Result<Option<T>> {
    let Some(store) = profiles.embedded_store().filter(|_| !how.scan) else { return Ok(None) };
    let ask = || -> std::result::Result<Option<T>, Stop> {
        let snapshot = store.snapshot()?;
        let indexed = match profiles.indexed(snapshot.index()?, of.place)? {
            Ok(indexed) => indexed,
            Err(why) => {
                report::detail(format_args!("by a scan: of an index, {why}"));
                return Ok(None);
            }
        };
        let members = Members::find(&indexed, profiles.definitions(), &mut rule.clone(), parallel::cores())?;
        report::detail(format_args!("by the index, and {} keys one by one", given::grouped(members.looked_up)));
        answer(&indexed, &members).map(Some)
    };
    ask().map_err(Stop::into_error)
}

/// Gives every profile that the rule is true of to `each`, with a bar while it lasts. The number of all profiles.
fn scan(
    profiles: &mut Profiles,
    of: &Of,
    mut rule: Option<Rule>,
    mut each: impl FnMut(Profile) -> Result<()>,
) -> Result<u64> {
    let as_of = profiles.as_of();
    let about = profiles.about().map_err(given::of_store)?;
    let bar = report::counting(about.unwrap_or(0), if of.is_users() { "users" } else { "keys" });
    let mut all = 0;
    let outcome = profiles.scan(of.place, |profile| {
        all += 1;
        if all % 1024 == 0 {
            bar.inc(1024);
        }
        let member = rule.as_mut().is_none_or(|rule| rule.matches(&profile, as_of));
        if member { each(profile).map_err(Stop::Other) } else { Ok(()) }
    });
    bar.finish_and_clear();
    outcome.map(|()| all).map_err(Stop::into_error)
}

/// Why a scan ended early.
enum Stop {
    Store(store::Error),
    Other(anyhow::Error),
}

impl Stop {
    fn into_error(self) -> anyhow::Error {
        match self {
            Stop::Store(error) => given::of_store(error).into(),
            Stop::Other(error) => error,
        }
    }
}

impl From<store::Error> for Stop {
    fn from(error: store::Error) -> Stop {
        Stop::Store(error)
    }
}

/// A usage error.
pub fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, message)
}
