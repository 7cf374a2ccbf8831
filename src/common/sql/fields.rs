//! Fields of a line of JSON: which are typed by the form of an event, and which by the definition file.

use crate::expr::engine::Engine;
use crate::rows::Field;
use crate::tag::fixed_field;
use crate::value::Type;

/// The type of a field that every event may have, which a valid line keeps to.
pub fn known(field: &Field) -> Option<Type> {
    match &field.path[..] {
        [name] => fixed_field(name),
        _ => None,
    }
}

/// Whether there can be such a field: nothing is inside a text or a number.
pub fn is_known(field: &Field) -> bool {
    known(field).is_some() || fixed_field(&field.path[0]).is_none()
}

/// Typed fields as they nest.
#[derive(Default)]
pub struct Tree {
    nodes: Vec<(String, Node)>,
}

enum Node {
    Leaf(String),
    Inner(Tree),
}

impl Tree {
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The error: a field would be a value and an object at once.
    pub fn insert(&mut self, path: &[String], ty: &str) -> Result<(), String> {
        let Some((name, below)) = path.split_first() else { return Ok(()) };
        let overlap = || Err(format!("`{name}` is declared both as a value and as what other fields are in"));
        let place = self.nodes.iter().position(|(known, _)| known == name);
        match (place.map(|place| &mut self.nodes[place].1), below.is_empty()) {
            (None, true) => self.nodes.push((name.clone(), Node::Leaf(ty.to_string()))),
            (None, false) => {
                let mut inner = Tree::default();
                inner.insert(below, ty)?;
                self.nodes.push((name.clone(), Node::Inner(inner)));
            }
            (Some(Node::Inner(inner)), false) => return inner.insert(below, ty),
            (Some(Node::Leaf(known)), true) if known == ty => {}
            (Some(_), _) => return overlap(),
        }
        Ok(())
    }

    /// `name type, name STRUCT<…>`, with the brackets of the engine.
    pub fn written(&self, open: &str, close: &str, engine: Engine) -> String {
        let node = |(name, node): &(String, Node)| {
            let ty = match node {
                Node::Leaf(ty) => ty.clone(),
                Node::Inner(tree) => format!("{open}{}{close}", tree.written(open, close, engine)),
            };
            format!("{} {ty}", engine.ident(name))
        };
        self.nodes.iter().map(node).collect::<Vec<_>>().join(", ")
    }
}
