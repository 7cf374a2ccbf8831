//! Pointing: a problem found after the file was read, at the place of the definition it is about.

use super::keys::TOP;
use super::read::{Read, Reader};
use super::{Definitions, Problem};

/// A part of a tag's definition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    Code,
    Value,
    Where,
    Window,
    Entity,
}

impl Part {
    fn key(self) -> &'static str {
        match self {
            Part::Code => "code",
            Part::Value => "value",
            Part::Where => "where",
            Part::Window => "window",
            Part::Entity => "entity",
        }
    }
}

/// A part of an entity's definition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntityPart {
    Name,
    /// The expression of one part of its keys, from 0.
    Key(usize),
    Retain,
}

impl Definitions {
    /// A problem at a part of a declared entity.
    pub fn problem_of_entity(&self, entity: usize, part: EntityPart, message: impl Into<String>) -> Problem {
        let mut reader = Reader { source: &self.source, text: &self.text, problems: Vec::new() };
        let at = reader.file(&TOP).and_then(|file| {
            // Users are there without a table.
            let read = file.tables("entity").get(entity.checked_sub(1)?)?;
            let text = match part {
                EntityPart::Name => read.text("name"),
                EntityPart::Retain => read.text("retain"),
                EntityPart::Key(n) => read.list("key").and_then(|(texts, _)| texts.get(n)),
            }?;
            Some(reader.within(text, 0, text.value.len()))
        });
        Problem::new(&self.source, &self.text, at.unwrap_or(0..0), message)
    }

    /// A problem at a part of a tag, or at the code of one that has no such part.
    pub fn problem(&self, tag: usize, part: Part, message: impl Into<String>) -> Problem {
        let mut reader = Reader { source: &self.source, text: &self.text, problems: Vec::new() };
        let at = reader.file(&TOP).and_then(|file| {
            let text = match file.tables("tag").get(tag) {
                Some(read) => read.text(part.key()).or(read.text("code"))?,
                // A hidden tag stands in the rule it was made for.
                None => {
                    let line = self.tags.get(tag)?.line;
                    let begins = |read: &&Read| Problem::new("", &self.text, read.at.clone(), "").line == line;
                    file.tables("segment").iter().find(begins)?.text("rule")?
                }
            };
            Some(reader.within(text, 0, text.value.len()))
        });
        Problem::new(&self.source, &self.text, at.unwrap_or(0..0), message)
    }
}
