//! Plans: one for each entity whose tags are told, in the order of entities, users first.

use super::plan::Plan;
use crate::tag::{Definitions, Entity};
use std::sync::Arc;

/// The plans of one set of definitions; never none. Clones share them.
#[derive(Clone)]
pub struct Plans(Arc<[Arc<Plan>]>);

impl Plans {
    /// Plans that tell the tags `outputs` and compute all that events can tell. For a whole log.
    pub fn new(definitions: &Arc<Definitions>, outputs: &[usize]) -> Plans {
        Plans::each(definitions, outputs, |definitions, own, _| Plan::new(definitions, own))
    }

    /// Plans of the live path: of what `outputs` need they compute the realtime tags only.
    pub fn live(definitions: &Arc<Definitions>, outputs: &[usize]) -> Plans {
        Plans::watching(definitions, outputs, &[])
    }

    /// The same, which also know the values of the tags `watched`, told or not.
    pub fn watching(definitions: &Arc<Definitions>, outputs: &[usize], watched: &[usize]) -> Plans {
        let of = |tags: &[usize], entity: usize| -> Vec<usize> {
            tags.iter().copied().filter(|tag| definitions.tags[*tag].entity == entity).collect()
        };
        Plans::each(definitions, &[outputs, watched].concat(), |definitions, own, entity| {
            let told: Vec<usize> = own.iter().copied().filter(|tag| outputs.contains(tag)).collect();
            Plan::watching(definitions, &told, &of(watched, entity))
        })
    }

    fn each(
        definitions: &Arc<Definitions>,
        tags: &[usize],
        plan: impl Fn(Arc<Definitions>, &[usize], usize) -> Plan,
    ) -> Plans {
        let of = |entity: usize| {
            let own: Vec<usize> = tags.iter().copied().filter(|tag| definitions.tags[*tag].entity == entity).collect();
            (!own.is_empty()).then(|| Arc::new(plan(definitions.clone(), &own, entity)))
        };
        let mut plans: Vec<Arc<Plan>> = (0..definitions.entities.len()).filter_map(of).collect();
        if plans.is_empty() {
            plans.push(Arc::new(plan(definitions.clone(), &[], 0)));
        }
        Plans(plans.into())
    }

    pub fn definitions(&self) -> &Arc<Definitions> {
        &self.0[0].definitions
    }

    /// The place of the plan for an entity, by its name.
    pub fn place(&self, entity: &str) -> Option<usize> {
        self.iter().position(|plan| *plan.entity().name == *entity)
    }

    /// The plan for an entity, by its name.
    pub fn of(&self, entity: &str) -> Option<&Arc<Plan>> {
        self.place(entity).map(|place| &self.0[place])
    }
}

impl std::ops::Deref for Plans {
    type Target = [Arc<Plan>];

    fn deref(&self) -> &[Arc<Plan>] {
        &self.0
    }
}

impl From<Arc<Plan>> for Plans {
    fn from(plan: Arc<Plan>) -> Plans {
        Plans(Arc::new([plan]))
    }
}

impl Plan {
    /// What its tags are of.
    pub fn entity(&self) -> &Entity {
        &self.definitions.entities[self.entity]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_plan_for_each_entity_told_and_users_come_first() {
        let text = "[[entity]]\nname = 'b'\nkey = 'itemId'\n[[entity]]\nname = 'a'\nkey = 'category'\nretain = '7d'\n";
        let tag =
            |code: &str, entity: &str| format!("[[tag]]\ncode = '{code}'\nentity = '{entity}'\nvalue = 'count(*)'\n");
        let text = format!("{text}{}{}{}{}", tag("x", "a"), tag("y", "b"), tag("z", "user"), tag("w", "b"));
        let definitions = Arc::new(Definitions::parse(&text, "d").expect("right"));
        let told = |tags: &[usize]| {
            let plans = Plans::new(&definitions, tags);
            plans.iter().map(|plan| (plan.entity().name.to_string(), plan.outputs.clone())).collect::<Vec<_>>()
        };
        let want = [("user", vec![2]), ("b", vec![1, 3]), ("a", vec![0])];
        assert_eq!(told(&[3, 0, 2, 1]), want.map(|(name, tags)| (name.to_string(), tags)));
        assert_eq!(told(&[1]), [("b".to_string(), vec![1])]);
        assert_eq!(told(&[]), [("user".to_string(), vec![])]);
        let plans = Plans::new(&definitions, &[0, 1, 2]);
        let hidden: Vec<Option<usize>> = plans.iter().map(|plan| plan.hidden()).collect();
        assert_eq!(hidden, [None, None, Some(1)]);
        assert_eq!(plans.of("a").map(|plan| plan.entity), Some(2));
    }
}
