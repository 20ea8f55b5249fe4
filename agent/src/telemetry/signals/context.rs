//! Where a span stands in a trace, and how a caller says so (W3C Trace Context).

/// A span's place. Ids are never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    pub trace: u128,
    pub span: u64,
    /// Whether the trace is to be kept; the caller may have decided against it.
    pub is_sampled: bool,
}

impl Context {
    /// A new span below `parent`; without one the first of a new trace.
    pub fn below(parent: Option<Context>) -> Context {
        let span = rand::random_range(1..=u64::MAX);
        match parent {
            Some(parent) => Context { span, ..parent },
            None => Context { trace: rand::random_range(1..=u128::MAX), span, is_sampled: true },
        }
    }
}

/// What a `traceparent` header says; `None` if it is malformed, which is to be treated like none at all.
pub fn parse_traceparent(text: &str) -> Option<Context> {
    let mut parts = text.trim().split('-');
    let version = hex(parts.next()?, 2)?;
    let (trace, span, flags) = (hex(parts.next()?, 32)?, hex(parts.next()?, 16)?, hex(parts.next()?, 2)?);
    // Version 0 has these four parts; a later one may have more.
    if version == 255 || trace == 0 || span == 0 || (version == 0 && parts.next().is_some()) {
        return None;
    }
    Some(Context { trace, span: u64::try_from(span).ok()?, is_sampled: flags & 1 == 1 })
}

fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_lower_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == digits && text.bytes().all(is_lower_hex)).then(|| u128::from_str_radix(text, 16).ok()).flatten()
}
