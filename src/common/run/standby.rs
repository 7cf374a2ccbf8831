//! Standing by: a second stream folds the same input in silence and takes over when the first is gone.
//!
//! The writer's token changes at least once a second, with what it publishes or as a sign of life. A token that
//! stands still for a span of this process's own clock has no writer that lives: no clocks are compared, and were the
//! writer only slow, then it is fenced by the claim, which changes the token.

use super::publish::Token;
use std::time::{Duration, Instant};

/// A token stands still at most this long while its writer lives and Redis answers.
pub const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// The least span that tells a writer that is gone from one that is busy.
pub const LEAST: Duration = Duration::from_secs(2);

/// A watch on the token of another stream.
pub struct Standby {
    span: Duration,
    /// The token as it was last read, and since when it stands still.
    seen: Option<(Option<String>, Instant)>,
    looked: Option<Instant>,
}

impl Standby {
    /// Takes over after a silence of `span`, at least [`LEAST`].
    pub fn new(span: Duration) -> Standby {
        Standby { span: span.max(LEAST), seen: None, looked: None }
    }

    /// Whether nothing has been seen yet.
    pub fn is_new(&self) -> bool {
        self.looked.is_none()
    }

    /// Whether it is time to read the token once more.
    pub fn is_due(&self, now: Instant) -> bool {
        self.looked.is_none_or(|looked| now.duration_since(looked) >= SIGN_OF_LIFE / 4)
    }

    /// Takes note of the token as it was read just now; true when its writer has left or is silent for too long.
    pub fn see(&mut self, text: Option<String>, now: Instant) -> bool {
        self.looked = Some(now);
        if text.as_deref().and_then(Token::parse).is_some_and(|token| token.left) {
            self.seen = Some((text, now));
            return true;
        }
        match &self.seen {
            Some((seen, since)) if *seen == text => now.duration_since(*since) >= self.span,
            _ => {
                self.seen = Some((text, now));
                false
            }
        }
    }

    /// Redis did not answer for a while, so that the writer had no means to give a sign: the silence counts from now.
    pub fn interrupted(&mut self) {
        self.seen = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(beat: u64, left: bool) -> Option<String> {
        Some(format!(r#"{{"state":"a","batch":1,"beat":{beat},"left":{left},"reached":{{}}}}"#))
    }

    #[test]
    fn it_takes_over_after_the_span_without_a_sign_of_life_and_not_before() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut standby = Standby::new(Duration::from_secs(3));
        assert!(standby.is_due(start));
        assert!(!standby.see(text(1, false), at(0)));
        assert!(!standby.is_due(at(100)) && standby.is_due(at(250)));
        assert!(!standby.see(text(1, false), at(2999)));
        assert!(!standby.see(text(2, false), at(3000)), "a sign of life");
        assert!(!standby.see(text(2, false), at(5999)));
        assert!(standby.see(text(2, false), at(6000)));
    }

    #[test]
    fn no_token_at_all_is_a_silence_too_and_one_that_was_left_needs_none() {
        let start = Instant::now();
        let mut standby = Standby::new(Duration::ZERO);
        assert!(!standby.see(None, start));
        assert!(!standby.see(None, start + LEAST - Duration::from_millis(1)), "the least span holds");
        assert!(standby.see(None, start + LEAST));
        assert!(standby.see(text(7, true), start + LEAST));
    }

    #[test]
    fn while_redis_was_away_nobody_could_give_a_sign() {
        let start = Instant::now();
        let mut standby = Standby::new(LEAST);
        assert!(!standby.see(text(1, false), start));
        standby.interrupted();
        assert!(!standby.see(text(1, false), start + LEAST * 2));
        assert!(standby.see(text(1, false), start + LEAST * 3));
    }
}
