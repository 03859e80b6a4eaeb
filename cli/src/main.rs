//! The `ctrs` program: podman's and docker's command line over [`ctr_core`].
//!
//! | module | what |
//! |---|---|
//! | [`args`] | the command line, as clap sees it |
//! | [`options`] | options of containers, and the values they take |
//! | [`commands`] | a file for each verb |
//! | [`output`] | tables, JSON, what goes to standard output |
//! | [`streams`] | the terminal and signals while a program is in the foreground |
//! | [`failure`] | messages and exit codes |
#![forbid(unsafe_code)]

mod args;
mod commands;
mod context;
mod failure;
mod options;
mod output;
mod streams;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return failure::usage(&error),
    };
    match commands::run(cli) {
        Ok(code) => code,
        Err(error) => failure::report(&error),
    }
}
