//! A reader that has had enough, as `head` has, is no failure: the verb ends quietly.

use std::io::{self, ErrorKind, Write};

/// Ends the process without a word when standard output or error is closed: `println!` would panic.
pub fn end_quietly_when_closed() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload();
        let said = said.downcast_ref::<String>().map(String::as_str).or_else(|| said.downcast_ref::<&str>().copied());
        if said.is_some_and(|said| said.starts_with("failed printing to ") && said.contains("Broken pipe")) {
            std::process::exit(0);
        }
        usual(panic);
    }));
}

/// Whether it is about a reader that has gone.
pub fn is_closed(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|it| it.kind() == ErrorKind::BrokenPipe)
}

/// Writes all of it to standard output.
pub fn print(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    Ok(out.flush()?)
}
