//! What was learned and how well it does: words on stderr, a report as JSON, the users that were held out.

use super::Found;
use super::list::number;
use crate::cmd::segment::line::{Line, array};
use crate::given::grouped;
use crate::report;
use adprof::key::Key;
use adprof::segment::lookalike::Model;
use adprof::segment::lookalike::encode::LeftOut;
use adprof::tag::Definitions;
use adprof::time;

/// `a, b`: the codes of tags.
pub fn codes(definitions: &Definitions, tags: &[usize]) -> String {
    let codes: Vec<&str> = tags.iter().map(|tag| &*definitions.tags[*tag].code).collect();
    codes.join(", ")
}

impl Found<'_> {
    pub fn tell(&self) {
        let (trained, measured) = (self.trained, &self.measured);
        report::say(format_args!(
            "seed: {}, version {}, {} of {} users, as of {}",
            self.seed.name(),
            self.seed.version(),
            grouped(self.sizes.0),
            grouped(self.sizes.0 + self.sizes.1),
            time::show(self.as_of)
        ));
        for (tags, why) in self.left_out() {
            report::say(format_args!("not learned from: {} ({why})", codes(self.definitions, &tags)));
        }
        report::say(format_args!(
            "learned from {} tags of {} users of the seed and {} others; {} and {} were held out",
            trained.model.columns.len(),
            grouped(trained.seed as u64),
            grouped(trained.others as u64),
            grouped(measured.seed),
            grouped(measured.others)
        ));
        report::say(format_args!(
            "held out: recall {} among the top {}, at most {}, at random {}",
            percent(measured.recall),
            grouped(measured.size),
            percent(measured.at_most),
            percent(measured.random)
        ));
        report::say(format_args!(
            "held out: lift {:.2}, with 95 % certainty {:.2} to {:.2}; AUC {:.3}",
            measured.lift, measured.lift_low, measured.lift_high, measured.auc
        ));
    }

    /// Tags that were not learned from, by reason.
    fn left_out(&self) -> Vec<(Vec<usize>, &'static str)> {
        let of = |why: LeftOut| {
            let those = self.trained.left_out.iter().filter(|(_, own)| *own == why);
            those.map(|(tag, _)| *tag).collect::<Vec<usize>>()
        };
        let all = vec![
            (self.repeats.to_vec(), "repeating the seed's rule: see --with-rule-tags"),
            (of(LeftOut::Identifier), "nearly every value is another one: an identifier"),
            (of(LeftOut::Missing), "no user has a value"),
            (of(LeftOut::Constant), "the same for all"),
        ];
        all.into_iter().filter(|(tags, _)| !tags.is_empty()).collect()
    }

    /// All of it as one JSON object.
    pub fn report(&self) -> String {
        let (trained, measured) = (self.trained, &self.measured);
        let code = |tag: usize| &*self.definitions.tags[tag].code;
        let left_out = self.repeats.iter().map(|tag| (*tag, "rule"));
        let left_out = left_out.chain(trained.left_out.iter().map(|(tag, why)| (*tag, why.name())));
        let held = Line::new()
            .json("seed", measured.seed)
            .json("others", measured.others)
            .json("seedWeight", number(trained.weight))
            .json("size", measured.size)
            .json("recall", number(measured.recall))
            .json("recallAtMost", number(measured.at_most))
            .json("recallAtRandom", number(measured.random))
            .json("lift", number(measured.lift))
            .json("liftLow", number(measured.lift_low))
            .json("liftHigh", number(measured.lift_high))
            .json("auc", number(measured.auc))
            .json("betterThanRandom", measured.is_better_than_random());
        Line::new()
            .optional("segment", self.seed.segment())
            .text("seed", &self.seed.name())
            .text("version", self.seed.version())
            .json("asOf", self.as_of)
            .json("size", self.args.size)
            .json("seedUsers", self.sizes.0)
            .json("otherUsers", self.sizes.1)
            .json("rngSeed", self.args.rng_seed)
            .json("heldOut", held.end())
            .json("learnedSeed", trained.seed)
            .json("learnedOthers", trained.others)
            .json("l2", number(self.args.l2))
            .json("steps", trained.steps)
            .json("intercept", number(trained.model.intercept))
            .json("tags", self.tags())
            .json(
                "leftOut",
                array(left_out.map(|(tag, why)| Line::new().text("tag", code(tag)).text("why", why).end())),
            )
            .line()
    }

    /// The weights, tag by tag.
    fn tags(&self) -> String {
        let model = &self.trained.model;
        array(model.columns.iter().map(|column| {
            let features = column.names().into_iter().zip(column.first as usize..).map(|(name, i)| {
                let line = Line::new().text("feature", &name);
                line.json("weight", number(model.weights[i])).json("mean", number(model.means[i])).end()
            });
            let features = array(features);
            Line::new().text("tag", &self.definitions.tags[column.tag].code).json("features", features).end()
        }))
    }
}

/// A line of a user who was held out.
pub fn held_out(key: &Key, is_seed: bool, logit: f64) -> String {
    Line::new()
        .text("userId", &key.text())
        .json("seed", is_seed)
        .json("score", number(Model::score(logit)))
        .json("logit", number(logit))
        .line()
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
