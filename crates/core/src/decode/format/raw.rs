//! Text as it is.

use super::super::error::DecodeError;
use super::super::wanted::{Sink, Wanted};
use super::Format;
use crate::value::Value;

/// All of the text is the field `message`.
#[derive(Debug)]
pub(super) struct Raw(pub Wanted);

impl Format for Raw {
    fn read<'a>(&mut self, event: &'a str, sink: &mut Sink<'a, '_>) -> Result<(), DecodeError> {
        if let Some(message) = self.0.child(0, "message") {
            sink.set(&self.0.nodes[message], Value::Str(event));
        }
        Ok(())
    }
}
