//! Writing an event: bytes into a vector, nothing else on the way.

use super::session::{CATEGORIES, Kind, Session, Step};
use crate::time::Millis;

/// Appends the event as one line, its newline included.
pub fn push_event(out: &mut Vec<u8>, id: u64, order: u64, at: Millis, session: &Session, step: &Step) {
    out.extend_from_slice(b"{\"eventId\":\"e-");
    push_hex(out, id);
    out.extend_from_slice(b"\",\"userId\":\"u-");
    push_number(out, session.user, 7);
    out.extend_from_slice(b"\",\"eventType\":\"");
    out.extend_from_slice(step.kind.name().as_bytes());
    out.extend_from_slice(b"\",\"timestamp\":");
    push_number(out, at.unsigned_abs(), 1);
    if session.named {
        out.extend_from_slice(b",\"sessionId\":\"s-");
        push_number(out, session.number, 8);
        out.push(b'"');
    }
    if step.kind != Kind::Login {
        push_item(out, step);
    }
    if step.kind == Kind::Purchase {
        out.extend_from_slice(b",\"orderId\":\"o-");
        push_number(out, order, 9);
        out.extend_from_slice(b"\",\"amount\":");
        push_number(out, step.cents / 100, 1);
        out.push(b'.');
        push_number(out, step.cents % 100, 2);
    }
    if step.kind == Kind::View {
        out.extend_from_slice(b",\"properties\":{\"duration\":");
        push_number(out, step.duration, 1);
        out.push(b'}');
    }
    out.extend_from_slice(b"}\n");
}

fn push_item(out: &mut Vec<u8>, step: &Step) {
    out.extend_from_slice(b",\"category\":\"");
    out.extend_from_slice(CATEGORIES[step.category].as_bytes());
    out.extend_from_slice(b"\",\"itemId\":\"i-");
    push_number(out, step.item, 6);
    out.push(b'"');
    if step.campaign > 0 {
        out.extend_from_slice(b",\"campaignId\":\"c-");
        push_number(out, step.campaign, 3);
        out.push(b'"');
    }
}

/// Appends `n` in decimal, with zeros before it up to `width`.
pub fn push_number(out: &mut Vec<u8>, mut n: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    while n > 0 {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
    }
    out.extend_from_slice(&digits[at.min(digits.len() - width)..]);
}

fn push_hex(out: &mut Vec<u8>, n: u64) {
    let mut digits = [0; 16];
    for (place, digit) in digits.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(n >> (60 - 4 * place)) as usize & 15];
    }
    out.extend_from_slice(&digits);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_library_writes_them() {
        for n in [0, 1, 9, 10, 99, 1_735_689_600_000, u64::MAX] {
            for width in [1, 2, 7, 9] {
                let mut out = Vec::new();
                push_number(&mut out, n, width);
                assert_eq!(String::from_utf8(out).expect("digits"), format!("{n:0width$}"));
            }
            let mut out = Vec::new();
            push_hex(&mut out, n);
            assert_eq!(String::from_utf8(out).expect("digits"), format!("{n:016x}"));
        }
    }
}
