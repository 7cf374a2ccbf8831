//! LIKE: patterns of `%` (any text) and `_` (one character), case-sensitive.
//!
//! Characters are Unicode scalar values. There is no escape character unless `ESCAPE` names one.

/// A pattern made ready. Equal to matching the pattern's text step by step, only faster.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Pattern {
    Exact(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Contains(Box<str>),
    Steps(Vec<Step>),
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Step {
    Char(char),
    /// `_`
    One,
    /// `%`
    Many,
}

impl Pattern {
    /// `None` when the pattern ends in its escape character: it escapes nothing.
    pub fn new(pattern: &str, escape: Option<char>) -> Option<Pattern> {
        let steps = steps(pattern, escape)?;
        let text = |part: &[Step]| -> Option<Box<str>> {
            part.iter()
                .map(|step| if let Step::Char(c) = step { Some(*c) } else { None })
                .collect::<Option<String>>()
                .map(String::into)
        };
        let simple = match &steps[..] {
            [Step::Many, inner @ .., Step::Many] => text(inner).map(Pattern::Contains),
            [inner @ .., Step::Many] => text(inner).map(Pattern::Prefix),
            [Step::Many, inner @ ..] => text(inner).map(Pattern::Suffix),
            all => text(all).map(Pattern::Exact),
        };
        Some(simple.unwrap_or(Pattern::Steps(steps)))
    }

    pub fn matches(&self, text: &str) -> bool {
        match self {
            Pattern::Exact(part) => text == &**part,
            Pattern::Prefix(part) => text.starts_with(&**part),
            Pattern::Suffix(part) => text.ends_with(&**part),
            Pattern::Contains(part) => text.contains(&**part),
            Pattern::Steps(steps) => matches(text, steps),
        }
    }
}

pub(super) fn steps(pattern: &str, escape: Option<char>) -> Option<Vec<Step>> {
    let mut steps = Vec::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        let step = match c {
            c if Some(c) == escape => Step::Char(chars.next()?),
            '%' => Step::Many,
            '_' => Step::One,
            c => Step::Char(c),
        };
        // `%%` is `%`: keeps the matcher from trying the same thing twice.
        if step != Step::Many || steps.last() != Some(&Step::Many) {
            steps.push(step);
        }
    }
    Some(steps)
}

/// Only the last `%` seen is ever tried again, so the cost is at most text × pattern.
fn matches(text: &str, steps: &[Step]) -> bool {
    let mut rest = text.chars();
    let mut at = 0;
    let mut retry: Option<(std::str::Chars<'_>, usize)> = None;
    loop {
        match steps.get(at) {
            Some(Step::Many) => {
                at += 1;
                retry = Some((rest.clone(), at));
                continue;
            }
            Some(step) => {
                if let Some(c) = rest.next()
                    && (*step == Step::One || *step == Step::Char(c))
                {
                    at += 1;
                    continue;
                }
            }
            None if rest.as_str().is_empty() => return true,
            None => {}
        }
        // This way it does not go: let the last `%` take one character more.
        let Some((from, after)) = &mut retry else { return false };
        if from.next().is_none() {
            return false;
        }
        rest = from.clone();
        at = *after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_by_characters() {
        for (text, pattern, want) in [
            ("sports", "sports", true),
            ("sports", "Sports", false),
            ("sports", "spo%", true),
            ("sports", "%rts", true),
            ("sports", "%por%", true),
            ("sports", "s%t_", true),
            ("sports", "s_t%", false),
            ("", "%", true),
            ("", "", true),
            ("", "_", false),
            ("é", "_", true),
            ("日本語", "__語", true),
            ("aXbXc", "a%X_", true),
            ("aaab", "%a%ab", true),
            ("abc", "%%_%%c", true),
        ] {
            assert_eq!(Pattern::new(pattern, None).expect("whole").matches(text), want, "{text} LIKE {pattern}");
            let steps = Pattern::Steps(steps(pattern, None).expect("whole"));
            assert_eq!(steps.matches(text), want, "{text} LIKE {pattern} step by step");
        }
        assert!(Pattern::new("100!%", Some('!')).expect("whole").matches("100%"));
        assert!(!Pattern::new("100!%", Some('!')).expect("whole").matches("1000"));
        assert_eq!(Pattern::new("100!", Some('!')), None);
    }

    #[test]
    fn a_hostile_pattern_costs_no_more_than_text_times_pattern() {
        let text = "a".repeat(2000);
        let pattern = "%a".repeat(500) + "%b";
        assert!(!Pattern::new(&pattern, None).expect("whole").matches(&text));
    }
}
