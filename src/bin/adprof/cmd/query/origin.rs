//! What is to be said of a live state besides its values: its base, its own part, and the tags that are not whole yet.

use crate::ask::Of;
use crate::report;
use adprof::engine::tail::Tail;
use adprof::ledger::Warming;
use adprof::ndjson::push_str;
use adprof::profiles::Profiles;
use adprof::time::show_day;

pub struct Told {
    tail: Option<Tail>,
    /// By code.
    warming: Vec<(String, Warming)>,
}

impl Told {
    /// Of the chosen tags; where none are chosen, of all of those whose keys are asked for.
    pub fn of(profiles: &Profiles, of: &Of, chosen: Option<&[usize]>) -> Told {
        let definitions = profiles.definitions();
        let own = |tag: &usize| definitions.tags[*tag].entity == of.place && !definitions.tags[*tag].is_hidden();
        let all: Vec<usize> = (0..definitions.tags.len()).filter(own).collect();
        let tags = chosen.unwrap_or(&all).iter();
        let code = |tag: usize| definitions.tags[tag].code.to_string();
        let warming = tags.filter_map(|tag| Some((code(*tag), profiles.warming(*tag)?))).collect();
        Told { tail: profiles.tail(), warming }
    }

    /// Says it on stderr; nothing where there is nothing to say.
    pub fn note(&self) {
        if let Some(tail) = self.tail.filter(|tail| tail.base.is_some() || tail.from.is_some()) {
            report::detail(format_args!("live state: {tail}"));
        }
        for (code, warming) in &self.warming {
            report::say(format_args!("warming: {code} {warming}"));
        }
    }

    /// Puts it into the line that was appended last.
    pub fn push(&self, out: &mut Vec<u8>) {
        let whole = out.strip_suffix(b"}\n").map(<[u8]>::len);
        out.truncate(whole.unwrap_or(out.len()));
        let day = |day: Option<i32>| day.map_or("null".to_string(), |day| format!("\"{}\"", show_day(day)));
        let (base, from) = self.tail.map_or((None, None), |tail| (tail.base, tail.from));
        out.extend_from_slice(
            format!(",\"origin\":{{\"base\":{},\"tailFrom\":{},\"warming\":{{", day(base), day(from)).as_bytes(),
        );
        for (i, (code, warming)) in self.warming.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            push_str(out, code);
            let until = warming.until.map_or("null".to_string(), |until| until.to_string());
            let (since, base) = (warming.since, show_day(warming.base()));
            out.extend_from_slice(format!(":{{\"since\":{since},\"base\":\"{base}\",\"until\":{until}}}").as_bytes());
        }
        out.extend_from_slice(b"}}}\n");
    }
}
