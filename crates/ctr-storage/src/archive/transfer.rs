//! A tree copied into another: written as a tar on one thread, unpacked from it on another, with a pipe between them.

use std::io::{self, Read};
use std::os::fd::BorrowedFd;

use super::apply::{Applied, ApplyError, Limits, Purpose, unpack};
use super::export::ExportError;

/// Why a tree could not be copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// It cannot be read.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// It cannot be written.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// There is no pipe to be had.
    #[error("make a pipe")]
    Pipe(#[source] io::Error),
}

/// Unpacks below `to` what `write` writes as a tar.
///
/// # Errors
/// The reason why one side stopped first.
pub fn transfer(
    write: impl FnOnce(io::PipeWriter) -> Result<(), ExportError> + Send,
    to: BorrowedFd<'_>,
    purpose: Purpose,
) -> Result<Applied, TransferError> {
    piped(write, |input| {
        unpack(input, to, purpose, &Limits::default()).map_err(TransferError::from)
    })
}

/// Reads with `read` what `write` writes as a tar.
///
/// # Errors
/// The reason why one side stopped first.
pub fn piped<T, E: From<TransferError>>(
    write: impl FnOnce(io::PipeWriter) -> Result<(), ExportError> + Send,
    read: impl FnOnce(&mut dyn Read) -> Result<T, E>,
) -> Result<T, E> {
    let (mut input, out) = io::pipe().map_err(|error| E::from(TransferError::Pipe(error)))?;
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || write(out));
        let outcome = read(&mut input);
        // What comes behind the end of the archive is padding; closed early, the pipe would break under it.
        let rest = io::copy(&mut input, &mut io::sink());
        drop(input);
        let written = writer.join().unwrap_or_else(|_panic| {
            Err(ExportError::Write(io::Error::other("the thread panicked")))
        });
        match (outcome, written) {
            (Ok(value), Ok(())) if rest.is_ok() => Ok(value),
            // A reader that was cut short complains about the consequence; the cause is the writer's.
            (_, Err(error)) if !is_broken_pipe(&error) => Err(TransferError::Export(error).into()),
            (Err(error), _) => Err(error),
            (Ok(_), Err(error)) => Err(TransferError::Export(error).into()),
            (Ok(_), Ok(())) => Err(TransferError::Pipe(io::ErrorKind::BrokenPipe.into()).into()),
        }
    })
}

fn is_broken_pipe(error: &ExportError) -> bool {
    matches!(error, ExportError::Write(source) if source.kind() == io::ErrorKind::BrokenPipe)
}
