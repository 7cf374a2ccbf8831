//! Comparisons: which constants an expression compares a name with, for those who look for misspelt ones.

use super::node::{Comparison, Literal, Node, What};

/// The string constants that `slot` is compared with by `=`, `<>` or IN, in the order they are written.
pub(super) fn texts(node: &Node, slot: usize) -> Vec<&str> {
    let mut out = Vec::new();
    collect(node, slot, &mut out);
    out
}

fn collect<'n>(node: &'n Node, slot: usize, out: &mut Vec<&'n str>) {
    match &node.what {
        What::Compare(Comparison::Eq | Comparison::Ne, a, b) if is(a, slot) => out.extend(text(b)),
        What::Compare(Comparison::Eq | Comparison::Ne, a, b) if is(b, slot) => out.extend(text(a)),
        What::In { node, list, .. } if is(node, slot) => out.extend(list.iter().filter_map(text)),
        What::Case { operand: Some(operand), branches, .. } if is(operand, slot) => {
            out.extend(branches.iter().filter_map(|(when, _)| text(when)));
        }
        _ => {}
    }
    node.children().into_iter().for_each(|child| collect(child, slot, out));
}

fn is(node: &Node, slot: usize) -> bool {
    matches!(node.what, What::Slot { slot: found, .. } if found == slot)
}

fn text(node: &Node) -> Option<&str> {
    match &node.what {
        What::Literal(Literal::Str(text)) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::expr::{Names, parse};
    use crate::value::Type;

    struct OneField;

    impl Names for OneField {
        fn resolve(&mut self, name: &str) -> Option<(usize, Type)> {
            match name {
                "kind" => Some((0, Type::String)),
                "other" => Some((1, Type::String)),
                _ => None,
            }
        }

        fn known(&self) -> Vec<String> {
            vec!["kind".into(), "other".into()]
        }
    }

    #[test]
    fn constants_are_found_wherever_they_are_compared_with_the_field() {
        for (text, want) in [
            ("kind = 'a'", &["a"][..]),
            ("'a' <> kind OR kind IN ('b', 'c')", &["a", "b", "c"]),
            ("CASE kind WHEN 'a' THEN other = 'z' ELSE NOT (kind = 'b') END", &["a", "b"]),
            ("other = 'z' AND kind > 'a' AND kind LIKE 'b%'", &[]),
        ] {
            let expr = parse(text, &mut OneField).expect(text);
            assert_eq!(expr.texts_compared_with(0), want, "{text}");
        }
    }
}
