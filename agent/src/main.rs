//! The command line: one verb, one exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    streamgauge::cli::main()
}
