//! The statement: what every engine is told in the same words.
//!
//! `events` are read, `once` has the first of each identity, `counted` what each event brings to each tag as of the
//! instant, `folded` a row per key, and derived tags follow in steps, each after those it names.

use super::dialect::{Dialect, Fold, Folded, ID, POSITION, Step, TIME};
use super::form::{Columns, Form, Instant, Source};
use super::keys::{Touched, all_of, key_columns};
use crate::engine::plan::{Counter, Derivation};
use crate::expr::Expr;
use crate::expr::engine::Engine;
use crate::expr::print::{AsOf, Printer};
use crate::pane::{Sliding, Window};
use crate::tag::{EntityPart, Kind, Part, Problem};
use crate::time;
use crate::value::{Type, Value};

/// The definitions as SQL, with a semicolon at the end.
pub fn write<D: Dialect>(dialect: &D, form: &Form<'_>) -> Result<String, Vec<Problem>> {
    Writer { dialect, form, columns: Columns::of(form.plan), problems: Vec::new() }.write()
}

pub struct Writer<'f, D> {
    dialect: &'f D,
    pub form: &'f Form<'f>,
    pub columns: Columns,
    problems: Vec<Problem>,
}

impl<D: Dialect> Writer<'_, D> {
    fn write(mut self) -> Result<String, Vec<Problem>> {
        self.check_names();
        let mut steps = match self.dialect.events(&self.form.source, &self.columns) {
            Ok(steps) => steps,
            Err(why) => {
                self.problem_of_all(why);
                Vec::new()
            }
        };
        steps.push(Step::new("once", self.once()));
        if self.form.instant == Instant::Last {
            let timestamp = self.ident("timestamp");
            let body = format!("SELECT MAX({timestamp}) AS {} FROM once", self.ident("as of"));
            steps.push(Step::new("instant", body));
        }
        let touched = self.touched(&mut steps);
        steps.push(self.counted(touched));
        self.fold(&mut steps);
        self.derive(&mut steps);
        if !self.problems.is_empty() {
            self.problems.sort_by_key(|problem| (problem.line, problem.column));
            return Err(self.problems);
        }
        Ok(self.text(&steps))
    }

    fn text(&self, steps: &[Step]) -> String {
        let mut out = self.header();
        for before in self.dialect.before(self.form, &self.columns) {
            out += &before;
            out.push_str("\n\n");
        }
        let start = out.len();
        for (i, step) in steps.iter().enumerate() {
            let word = if i == 0 { "WITH " } else { ", " };
            out += &format!("{word}{} AS (\n    {}\n)", step.name, step.body);
        }
        let last = steps.last().map_or("", |step| &step.name);
        let tags = self.form.plan.outputs.iter().map(|tag| format!(", {}", self.ident(self.code(*tag))));
        let into = self.dialect.into(self.form).map(|into| format!("{into}\n")).unwrap_or_default();
        out.insert_str(start, &into);
        out += &format!(
            "\nSELECT {}{}\nFROM {last}{};\n",
            self.key().join(", "),
            tags.collect::<String>(),
            self.dialect.after()
        );
        out
    }

    fn header(&self) -> String {
        let as_of = match self.form.instant {
            Instant::At(t) => format!("as of {} ({t})", time::show(t)),
            Instant::Last => "as of the last event".to_string(),
            Instant::Live => "as events come".to_string(),
        };
        let source = self.form.plan.definitions.source.replace('\n', " ");
        let entity = self.form.plan.entity();
        let of = if entity.is_declared() { format!("`{}` in {source}", entity.name) } else { source };
        format!("-- adprof: the tags of {of}, {as_of}, for {}\n", D::ENGINE.name())
    }

    /// The columns of the key, in quotes.
    fn key(&self) -> Vec<String> {
        key_columns(self.form.plan).iter().map(|name| self.ident(name)).collect()
    }

    pub fn ident(&self, name: &str) -> String {
        D::ENGINE.ident(name)
    }

    fn code(&self, tag: usize) -> &str {
        &self.form.plan.definitions.tags[tag].code
    }

    /// The instant, as an expression.
    fn as_of(&self) -> String {
        match self.form.instant {
            Instant::At(t) => D::ENGINE.int(t),
            Instant::Last => format!("(SELECT {} FROM instant)", self.ident("as of")),
            Instant::Live => D::ENGINE.null(Type::Int),
        }
    }

    // ---- the steps ----------------------------------------------------------

    /// Of each identity the first, before the instant is looked at: an event hides its duplicates even when it lies after it.
    fn once(&self) -> String {
        let names =
            |paths: &[&str]| paths.iter().map(|p| self.ident(self.columns.named(p))).collect::<Vec<_>>().join(", ");
        let order = match &self.form.source {
            Source::Log(_) if self.dialect.knows_order() => self.ident(POSITION),
            Source::Table { order: Some(_), .. } | Source::Topic(_) => self.ident(POSITION),
            // No order is known. By all there is, so that the same events give the same rows.
            _ => {
                let timestamp = self.columns.named("timestamp");
                let rest = self.columns.all.iter().map(|column| column.name.as_str()).filter(|name| *name != timestamp);
                std::iter::once(timestamp).chain(rest).map(|name| self.ident(name)).collect::<Vec<_>>().join(", ")
            }
        };
        let all = self.columns.all.iter().map(|column| self.ident(&column.name)).collect::<Vec<_>>().join(", ");
        let (rank, identity) = (self.ident("copy number"), names(&["tenantId", "userId", "eventId"]));
        format!(
            "SELECT {all} FROM (\n        SELECT *, ROW_NUMBER() OVER (PARTITION BY {identity} ORDER BY {order}) AS {rank}\n        \
             FROM events{}\n    ) AS ranked WHERE {rank} = 1",
            self.closed_set()
        )
    }

    /// An event of a type that is not declared is none at all.
    fn closed_set(&self) -> String {
        match &self.form.plan.definitions.event_types {
            None => String::new(),
            Some(types) => {
                let types: Vec<String> = types.iter().map(|name| D::ENGINE.string(name)).collect();
                format!(" WHERE {} IN ({})", self.ident(self.columns.named("eventType")), types.join(", "))
            }
        }
    }

    /// Up to when events count.
    pub fn until(&self) -> Vec<String> {
        let timestamp = self.ident(self.columns.named("timestamp"));
        match self.form.instant {
            Instant::Live => Vec::new(),
            Instant::At(_) | Instant::Last => vec![format!("e.{timestamp} <= {}", self.as_of())],
        }
    }

    fn counted(&mut self, touched: Touched) -> Step {
        let Touched { mut columns, from, conditions } = touched;
        for (name, alias) in [("timestamp", TIME), ("eventId", ID)] {
            columns.push(format!("e.{} AS {}", self.ident(self.columns.named(name)), self.ident(alias)));
        }
        for counter in self.form.plan.own_counters() {
            match self.argument(counter) {
                Ok(argument) => columns.push(format!("{argument} AS {}", self.ident(self.code(counter.tag)))),
                Err(problem) => self.problems.push(problem),
            }
        }
        Step::select("counted", &columns, &format!("{from} AS e{}", all_of(&conditions)))
    }

    /// What an event brings to a tag; NULL when it does not count.
    fn argument(&self, counter: &Counter) -> Result<String, Problem> {
        let slot = |slot: usize| format!("e.{}", self.ident(self.columns.of_slot(slot)));
        let printer = Printer { engine: D::ENGINE, slot: &slot, as_of: AsOf::Of("") };
        let print = |expr: &Expr, part: Part| printer.expr(expr).map_err(|why| self.problem(counter.tag, part, why));
        let value = match counter.args.first() {
            None => D::ENGINE.int(1),
            Some(arg) => print(arg, Part::Value)?,
        };
        let filter = counter.filter.as_ref().map(|filter| print(filter, Part::Where)).transpose()?;
        // Older events than the entity remembers are not there.
        let retain = self.form.plan.entity().retain.map(|retain| retain.window);
        let own = counter.window.filter(|window| Some(*window) != retain);
        let window = own.map(|window| self.since(window)).transpose();
        let window = window.map_err(|why| self.problem(counter.tag, Part::Window, why))?;
        let conditions: Vec<String> = filter.into_iter().chain(window).collect();
        let value = match conditions.is_empty() {
            true => value,
            false => format!("CASE WHEN {} THEN {value} END", conditions.join(" AND ")),
        };
        // A condition is a number to ClickHouse.
        let is_bool = counter.args.first().is_some_and(|arg| arg.ty == Type::Bool);
        Ok(if is_bool && D::ENGINE == Engine::ClickHouse { D::ENGINE.cast(&value, Type::Bool) } else { value })
    }

    /// `floor(T/r) - floor(ts/r) < w/r`, solved for ts.
    pub fn since(&self, window: Window) -> Result<String, String> {
        let timestamp = format!("e.{}", self.ident(self.columns.named("timestamp")));
        match self.form.instant {
            Instant::At(t) => Ok(format!("{timestamp} >= {}", D::ENGINE.int(window.since(t)))),
            Instant::Last => {
                let Window::Sliding(Sliding { span, resolution: r }) = window else {
                    return Err(format!(
                        "a window of the calendar as of the last event in {}: with --as-of its first instant is known",
                        D::ENGINE.name()
                    ));
                };
                let (t, rest) = (self.as_of(), span - r);
                Ok(format!("{timestamp} >= {t} - {t} % {r} - {rest}"))
            }
            Instant::Live => Err(self.only_by_time("a window")),
        }
    }

    pub fn only_by_time(&self, what: &str) -> String {
        format!(
            "{what} in {}: its values change by time alone, which a job tells only as of an instant",
            D::ENGINE.name()
        )
    }

    fn fold(&mut self, steps: &mut Vec<Step>) {
        let key = self.key();
        let (time, id) = (format!("c.{}", self.ident(TIME)), format!("c.{}", self.ident(ID)));
        let of = |table: &str| key.iter().map(|name| format!("{table}.{name} AS {name}")).collect::<Vec<_>>();
        let (mut parts, mut values, mut plain) = (of("c"), of("f"), true);
        for counter in self.form.plan.own_counters() {
            let code = self.code(counter.tag).to_string();
            let arg = format!("c.{}", self.ident(&code));
            let ty = counter.args.first().map_or(Type::Int, |arg| arg.ty);
            let fold = Fold {
                function: counter.form.function,
                arg: &arg,
                ty,
                constant: constant_of(counter),
                time: &time,
                id: &id,
                // Two users may have an event of one id and instant.
                ties: self.form.plan.entity().is_declared(),
            };
            let folded = match counter.form.by {
                true => Err("a map of aggregates".to_string()),
                false => self.dialect.fold(&fold),
            };
            let Folded { parts: aggregates, value } = match folded {
                Ok(folded) => folded,
                Err(why) => {
                    let what = format!("{} in {}: {why}", counter.form.function.name(), D::ENGINE.name());
                    self.problems.push(self.problem(counter.tag, Part::Value, what));
                    continue;
                }
            };
            let mut value = value;
            plain &= value == "{0}" && counter.gives == counter.ty;
            for (i, aggregate) in aggregates.iter().enumerate() {
                let name = self.ident(&if i == 0 { code.clone() } else { format!("{code} {}", i + 1) });
                value = value.replace(&format!("{{{i}}}"), &format!("f.{name}"));
                parts.push(format!("{aggregate} AS {name}"));
            }
            match self.widened(value, counter.gives, counter.ty) {
                Ok(value) => values.push(format!("{value} AS {}", self.ident(&code))),
                Err(why) => self.problems.push(self.problem(counter.tag, Part::Value, why)),
            }
        }
        let keys: Vec<String> = key.iter().map(|name| format!("c.{name}")).collect();
        steps.push(Step::select("folded", &parts, &format!("counted AS c GROUP BY {}", keys.join(", "))));
        if !plain {
            steps.push(Step::select("valued", &values, "folded AS f"));
        }
    }

    /// The value as the type the tag is declared to have.
    pub fn widened(&self, value: String, from: Type, to: Type) -> Result<String, String> {
        let printer = Printer { engine: D::ENGINE, slot: &|_| String::new(), as_of: AsOf::Of("") };
        printer.text_as(value, from, to)
    }

    fn derive(&mut self, steps: &mut Vec<Step>) {
        let mut depth = vec![0usize; self.form.plan.definitions.tags.len()];
        let mut levels: Vec<Vec<&Derivation>> = Vec::new();
        for derivation in &self.form.plan.derivations {
            let level = derivation.inputs.iter().map(|input| depth[*input]).max().unwrap_or(0);
            depth[derivation.tag] = level + 1;
            if levels.len() <= level {
                levels.resize_with(level + 1, Vec::new);
            }
            levels[level].push(derivation);
        }
        for (level, derivations) in levels.into_iter().enumerate() {
            let mut columns = vec!["t.*".to_string()];
            for derivation in derivations {
                let slot = |slot: usize| format!("t.{}", self.ident(self.code(derivation.inputs[slot])));
                let text = self.as_of();
                let as_of = if let Instant::At(t) = self.form.instant { AsOf::At(t) } else { AsOf::Of(&text) };
                let printer = Printer { engine: D::ENGINE, slot: &slot, as_of };
                let code = self.ident(self.code(derivation.tag));
                if self.form.instant == Instant::Live && derivation.expr.uses_as_of() {
                    self.problems.push(self.problem(derivation.tag, Part::Value, self.only_by_time("as_of()")));
                    continue;
                }
                match printer.expr(&derivation.expr) {
                    Ok(value) => columns.push(format!("{} AS {code}", D::ENGINE.cast(&value, derivation.expr.ty))),
                    Err(why) => self.problems.push(self.problem(derivation.tag, Part::Value, why)),
                }
            }
            let last = steps.last().map_or(String::new(), |step| step.name.clone());
            steps.push(Step::select(&format!("derived_{}", level + 1), &columns, &format!("{last} AS t")));
        }
    }

    // ---- problems -----------------------------------------------------------

    fn problem(&self, tag: usize, part: Part, why: String) -> Problem {
        self.form.plan.definitions.problem(tag, part, why)
    }

    pub fn problem_of_entity(&mut self, part: EntityPart, why: String, hint: Option<&str>) {
        let plan = self.form.plan;
        let mut problem = plan.definitions.problem_of_entity(plan.entity, part, why);
        problem.hint = hint.map(str::to_string);
        self.problems.push(problem);
    }

    /// What stands in the way of every tag is told at the first.
    fn problem_of_all(&mut self, why: String) {
        let first = self.form.plan.outputs.first().copied().unwrap_or(0);
        self.problems.push(self.problem(first, Part::Code, why));
    }

    /// Every tag is a column, and so is each part of the key.
    fn check_names(&mut self) {
        let plan = self.form.plan;
        let same = |a: &str, b: &str| if self.dialect.folds_case() { a.eq_ignore_ascii_case(b) } else { a == b };
        let needed = plan.definitions.needed(&plan.outputs);
        let needed: Vec<usize> = (0..needed.len()).filter(|tag| needed[*tag]).collect();
        let (key, mut problems) = (key_columns(plan), Vec::new());
        let whose = if plan.entity().is_declared() { "the key" } else { "the user" };
        for (i, &tag) in needed.iter().enumerate() {
            let code = self.code(tag);
            if let Kind::Imported = plan.definitions.tags[tag].kind {
                problems.push(self.problem(
                    tag,
                    Part::Code,
                    format!("`{code}` is imported: no event gives its values"),
                ));
            }
            let other = needed[..i].iter().find(|other| same(self.code(**other), code));
            let why = match other {
                Some(other) => format!("`{}` and `{code}` are one column in {}", self.code(*other), D::ENGINE.name()),
                None if key.iter().any(|name| same(code, name)) => {
                    format!("`{code}` is the column of {whose} in {}", D::ENGINE.name())
                }
                None => continue,
            };
            problems.push(self.problem(tag, Part::Code, why));
        }
        self.problems.extend(problems);
    }
}

/// What a function takes besides the value of the event.
fn constant_of(counter: &Counter) -> i64 {
    match counter.args.get(1).and_then(Expr::constant) {
        Some(Some(Value::Int(n))) => n,
        _ => 0,
    }
}

/// The events of a table whose columns are named as the fields are, a dotted path being a field of a struct.
pub fn table(engine: Engine, name: &str, order: Option<&str>, columns: &Columns) -> Step {
    let order = order.map(|order| format!("s.{} AS {}", engine.ident(order), engine.ident(POSITION)));
    let fields = columns.all.iter().map(|column| {
        let path: Vec<String> = column.field.path.iter().map(|part| engine.ident(part)).collect();
        let mut value = engine.cast(&format!("s.{}", path.join(".")), column.field.ty);
        if column.field.path == ["tenantId"] {
            value = format!("COALESCE({value}, '')");
        }
        format!("{value} AS {}", engine.ident(&column.name))
    });
    Step::select("events", &order.into_iter().chain(fields).collect::<Vec<_>>(), &format!("{name} AS s"))
}
