//! Bytes of a connection that speaks syslog: the same messages in whatever pieces they come.

#![cfg_attr(fuzzing, no_main)]

mod door;

use door::event::Rejected;
use door::syslog::{Frames, event};

of_door!(|bytes: &[u8]| {
    let Some((piece, bytes)) = bytes.split_first() else { return };
    let whole = messages(bytes, bytes.len().max(1));
    assert_eq!(whole, messages(bytes, usize::from(*piece).max(1)));
    door::check(|arrival| whole.into_iter().map(|message| event(&message?, "192.0.2.1", arrival)).collect());
});

fn messages(bytes: &[u8], piece: usize) -> Vec<Result<Vec<u8>, Rejected>> {
    let (mut frames, mut messages) = (Frames::default(), Vec::new());
    bytes.chunks(piece).for_each(|piece| frames.add(piece, &mut messages));
    messages.extend(frames.end());
    messages
}
