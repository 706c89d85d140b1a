//! The program `skiff`. Everything is in the library: what two crates use is in the binary twice.

use std::process::ExitCode;

fn main() -> ExitCode {
    skiff::command::main()
}
