//! Lines of JSON on standard output.

use std::io::{self, Write};

use anyhow::Context;
use serde::Serialize;

use crate::text;

/// Writes a value as one line. Control and format characters are escaped, because the line may go to a terminal.
pub(super) fn write_line(output: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    text::write_json(&mut *output, value)?;
    output.write_all(b"\n")
}

/// The result of writing all lines. A closed pipe is not an error.
pub(super) fn written(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("standard output cannot be written"),
    }
}
