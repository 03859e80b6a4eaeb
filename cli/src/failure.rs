//! Messages and exit codes, as podman's: 125 the engine, 126 the program cannot be executed, 127 it is not there.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use ctr_core::{EngineError, ErrorKind};

use crate::output;

/// The engine failed, or was asked for something senseless.
pub(crate) const ENGINE: u8 = 125;

/// Tells of a command line that cannot be parsed, or shows the help that was asked for.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // Help and version; nobody to show them to is no failure.
        let _gone = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(first);
    // What is missing, or meant, stands in the next lines; then comes the usage, which `--help` shows.
    let more: Vec<&str> = lines
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .collect();
    let more = if more.is_empty() {
        String::new()
    } else {
        format!(" {}", more.join(" "))
    };
    output::note(&format!("Error: {first}{more} (see --help)"));
    ExitCode::from(ENGINE)
}

/// What kind of failure it is, when it is the engine's.
pub(crate) fn kind(error: &anyhow::Error) -> Option<ErrorKind> {
    error
        .chain()
        .find_map(|cause| cause.downcast_ref::<EngineError>())
        .map(EngineError::kind)
}

/// The exit code of a failed command.
pub(crate) fn code(error: &anyhow::Error) -> u8 {
    let own = [
        (ErrorKind::ProgramNotFound, 127),
        (ErrorKind::ProgramNotExecutable, 126),
    ];
    let kind = kind(error);
    own.into_iter()
        .find(|(own, _)| Some(*own) == kind)
        .map_or(ENGINE, |(_, code)| code)
}

/// The exit code that a command has for some kinds, and the usual one for the others.
pub(crate) fn code_of(error: &anyhow::Error, kinds: &[(ErrorKind, u8)]) -> u8 {
    let kind = kind(error);
    let own = kinds.iter().find(|(own, _)| Some(*own) == kind);
    own.map_or_else(|| code(error), |(_, code)| *code)
}

/// Tells what has gone wrong, in one line.
pub(crate) fn tell(error: &anyhow::Error) {
    output::note(&format!("Error: {}", ctr_core::error_chain(error.as_ref())));
}

/// Tells what has gone wrong, and gives the exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        // As if the signal had done it; nobody is there to be told.
        return ExitCode::from(141);
    }
    tell(error);
    ExitCode::from(code(error))
}

/// The reader of standard output has gone.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |cause: &(dyn Error + 'static)| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    };
    error.chain().any(broken)
}

/// Does something to each of several objects. A failure is told and does not keep the others from their turn; the exit code
/// is the worst of `code`.
pub(crate) fn for_each<T>(
    objects: impl IntoIterator<Item = T>,
    mut work: impl FnMut(T) -> anyhow::Result<()>,
    code: impl Fn(&anyhow::Error) -> u8,
) -> ExitCode {
    let mut worst = 0;
    for object in objects {
        if let Err(error) = work(object) {
            if is_broken_pipe(&error) {
                return ExitCode::from(141);
            }
            tell(&error);
            worst = worst.max(code(&error));
        }
    }
    ExitCode::from(worst)
}
