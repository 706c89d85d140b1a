//! `skiff-compare DIRECTORY` reads a tree and writes it to standard output, for
//! [`Tree::from_bytes`] on another machine: so a tree is read inside an emulated device.
//!
//! Exit codes: 0 written, 1 not read or not written, 2 wrong usage.

use skiff_compare::Tree;
use std::error::Error;
use std::io::{Write, stdout};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(directory), None) = (arguments.next(), arguments.next()) else {
        eprintln!("skiff-compare: it takes one argument, the directory to read");
        return ExitCode::from(2);
    };
    match write(Path::new(&directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let source = error.source().map_or_else(String::new, |source| format!(": {source}"));
            eprintln!("skiff-compare: {error}{source}");
            ExitCode::FAILURE
        }
    }
}

fn write(directory: &Path) -> Result<(), Box<dyn Error>> {
    let bytes = Tree::read(directory)?.to_bytes()?;
    let mut output = stdout().lock();
    output
        .write_all(&bytes)
        .and_then(|()| output.flush())
        .map_err(|e| format!("can't write to standard output: {e}").into())
}
