//! What is asked: which tags the store tells, by which plans, and at which instants the log has to tell them.

use super::sides::{Look, Of, Side, Told};
use super::{Cause, Difference, Job, Report};
use crate::engine::plan::{Counter, HIDDEN, Plan};
use crate::engine::plans::Plans;
use crate::ledger::Ledger;
use crate::run::batch::several::Ask;
use crate::tag::{Definitions, Kind, Update};
use crate::time::Millis;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Instants of patches that are told by the one reading of the log; keys with others are looked at one by one.
const INSTANTS: usize = 4;

/// Tags that are told at one instant.
pub struct Group {
    pub of: Of,
    pub at: Millis,
    pub plans: Vec<Arc<Plan>>,
    /// By plan, what the log is asked for: aggregations alone, from which all else follows.
    counted: Vec<Arc<Plan>>,
}

impl Group {
    fn new(definitions: &Arc<Definitions>, of: Of, at: Millis, plans: &Plans, entities: &[usize]) -> Group {
        let plans: Vec<Arc<Plan>> = plans.iter().filter(|plan| entities.contains(&plan.entity)).cloned().collect();
        let counted = |plan: &Arc<Plan>| {
            let tags: Vec<usize> = plan.own_counters().iter().map(|counter| counter.tag).collect();
            debug_assert!(!tags.contains(&HIDDEN));
            // Of no tags nobody knows whose they would be.
            if tags.is_empty() && plan.entity != 0 {
                plan.clone()
            } else {
                Arc::new(Plan::new(definitions.clone(), &tags))
            }
        };
        let counted = plans.iter().map(counted).collect();
        Group { of, at, plans, counted }
    }

    pub fn asks(&self) -> impl Iterator<Item = Ask> {
        self.counted.iter().map(|plan| Ask { plan: plan.clone(), as_of: self.at })
    }
}

impl Job<'_> {
    /// Which tags the store tells, and how it comes to them.
    pub(super) fn told(
        &self,
        side: &Side<'_>,
        look: &Look,
        entities: &[usize],
        at: Millis,
        daily: Millis,
        report: &mut Report,
    ) -> Told {
        let definitions = self.definitions;
        let redis = matches!(side, Side::Redis(..));
        let kept = |tag: usize| look.kept.contains_key(&tag);
        let live = match side.state().and_then(|state| state.plans.clone()) {
            Some(plans) => Some(plans),
            None if redis => {
                let seen = definitions.by_update(Update::Realtime).into_iter().filter(|tag| kept(*tag));
                Some(Plans::new(definitions, &seen.collect::<Vec<_>>()))
            }
            None => None,
        };
        let outputs: Vec<usize> =
            live.iter().flat_map(|plans| plans.iter().flat_map(|plan| plan.outputs.clone())).collect();
        let mut dated = BTreeMap::new();
        for (tag, definition) in definitions.tags.iter().enumerate() {
            let wanted = self.tags.as_ref().is_none_or(|tags| tags.contains(&tag));
            let hidden = redis && definition.is_hidden();
            if !wanted || hidden || !entities.contains(&definition.entity) || outputs.contains(&tag) {
                continue;
            }
            if matches!(definition.kind, Kind::Imported) {
                report.left_out.push((tag, "it is imported: the log has no values of it"));
            } else if let Some(instants) = look.kept.get(&tag) {
                let usual = instants.iter().max_by_key(|(at, n)| (**n, **at)).map_or(at, |(at, _)| *at);
                dated.insert(tag, if redis { daily } else { usual });
            } else if self.tags.is_some() && (redis || definition.update == Update::Daily) {
                dated.insert(tag, if definition.update == Update::Realtime { at } else { daily });
            } else {
                report.left_out.push((tag, "the store keeps none of it"));
            }
        }
        Told { definitions: definitions.clone(), live, dated, chosen: self.tags.clone() }
    }

    /// The tags that the state counts under another definition than ours.
    pub(super) fn other_definitions(
        &self,
        ledger: Option<&Ledger>,
        told: &Told,
        entities: &[usize],
        at: Millis,
    ) -> Vec<Difference> {
        let (Some(ledger), Some(live)) = (ledger, &told.live) else { return Vec::new() };
        let definitions = self.definitions;
        let mut found = Vec::new();
        for tag in definitions.by_update(Update::Realtime) {
            let wanted = self.tags.as_ref().is_none_or(|tags| tags.contains(&tag));
            let held = live.iter().any(|plan| plan.outputs.contains(&tag));
            if held || !wanted || !entities.contains(&definitions.tags[tag].entity) {
                continue;
            }
            let plan = Plan::live(definitions.clone(), &[tag]);
            let unknown = plan.counters.iter().filter(|c| ledger.complete_since(c.fingerprint).is_none());
            let other = |counter: &Counter| {
                let code = &definitions.tags.get(counter.tag)?.code;
                Some((code.clone(), counter.fingerprint, ledger.known_as(code)?))
            };
            let Some((code, ours, theirs)) = unknown.filter_map(other).next() else { continue };
            let why = format!("the state counts `{code}` under fingerprint {theirs:016x}, the file has {ours:016x}");
            let (key, store, log) = (None, None, None);
            found.push(Difference {
                key,
                tag: Some(tag),
                segment: None,
                cause: Cause::OtherDefinition,
                as_of: at,
                store,
                log,
                why,
            });
        }
        found
    }

    pub(super) fn groups(&self, told: &Told, look: &Look, entities: &[usize], at: Millis) -> Vec<Group> {
        let definitions = self.definitions;
        let mut groups = Vec::new();
        if let Some(live) = told.live.as_ref().filter(|live| live.iter().any(|plan| !plan.outputs.is_empty())) {
            groups.push(Group::new(definitions, Of::Live, at, live, entities));
        }
        let tags: Vec<usize> = told.dated.keys().copied().collect();
        let mut instants: BTreeMap<Millis, u64> = BTreeMap::new();
        for (tag, usual) in &told.dated {
            // Redis says no instants: there the usual one is that of all.
            let known = look.kept.get(tag).filter(|kept| kept.contains_key(usual));
            match known {
                Some(known) => known.iter().for_each(|(at, n)| *instants.entry(*at).or_default() += n),
                None => *instants.entry(*usual).or_default() += 1,
            }
        }
        let mut instants: Vec<(Millis, u64)> = instants.into_iter().collect();
        instants.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        if !tags.is_empty() {
            let plans = Plans::new(definitions, &tags);
            let of = |(at, _): &(Millis, u64)| Group::new(definitions, Of::At(*at), *at, &plans, entities);
            groups.extend(instants.iter().take(INSTANTS).map(of));
        }
        groups
    }
}
