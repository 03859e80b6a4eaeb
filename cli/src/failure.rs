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
    let shown = error.print();
    if error.use_stderr() || shown.is_err() {
        return ExitCode::from(ENGINE);
    }
    ExitCode::SUCCESS
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
    match kind(error) {
        Some(ErrorKind::ProgramNotFound) => 127,
        Some(ErrorKind::ProgramNotExecutable) => 126,
        Some(
            ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::Denied
            | ErrorKind::InUse
            | ErrorKind::Invalid
            | ErrorKind::System
            | ErrorKind::Damaged,
        )
        | None => ENGINE,
    }
}

/// Tells what has gone wrong, in one line.
pub(crate) fn tell(error: &anyhow::Error) {
    output::note(&format!("Error: {}", one_line(error)));
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

/// The chain of causes; one that repeats what the one before has said is left out.
fn one_line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text.replace('\n', " ")
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
