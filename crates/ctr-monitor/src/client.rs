//! The engine's side of the conversation.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use ctr_sys::SysError;
use ctr_sys::socket::MessageSocket;
use rustix::io::Errno;

use crate::DecodeError;
use crate::protocol::{CHUNK, MESSAGE, Reply, Request};

/// Why a conversation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The socket failed, or nobody listens.
    #[error(transparent)]
    Sys(#[from] SysError),
    /// The monitor went away.
    #[error("the monitor ended without an answer")]
    Gone,
    /// It did not answer in time.
    #[error("the monitor did not answer within {0:?}")]
    Timeout(Duration),
    /// It said no.
    #[error("{0}")]
    Refused(String),
    /// It said something unexpected.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
}

/// A connection to a monitor.
#[derive(Debug)]
pub struct MonitorClient {
    socket: MessageSocket,
    buffer: Vec<u8>,
}

impl MonitorClient {
    /// Connects to the monitor that listens at `socket`.
    pub fn connect(socket: &Path) -> Result<Self, ClientError> {
        Ok(Self::over(MessageSocket::connect(socket)?))
    }

    /// Talks over a socket that is connected already (the handshake's).
    pub fn over(socket: MessageSocket) -> Self {
        Self {
            socket,
            buffer: vec![0; CHUNK + 64],
        }
    }

    fn sys(action: &'static str, error: Errno) -> ClientError {
        match error {
            Errno::PIPE | Errno::CONNRESET => ClientError::Gone,
            error => SysError::new(action, "monitor", error).into(),
        }
    }

    /// Sends a request with descriptors.
    pub fn send(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<(), ClientError> {
        self.send_bytes(&request.encode(), fds)
    }

    /// Sends a message as it is (the configuration).
    pub fn send_bytes(&self, message: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), ClientError> {
        if message.len() > MESSAGE {
            return Err(Self::sys("send to", Errno::MSGSIZE));
        }
        self.socket
            .send(message, fds)
            .map_err(|error| Self::sys("send to", error))
    }

    /// Waits for the next reply, at most `patience`; none waits for ever.
    ///
    /// # Errors
    /// [`ClientError::Gone`] when the monitor has closed the connection.
    pub fn receive(
        &mut self,
        patience: Option<Duration>,
    ) -> Result<(Reply, Vec<OwnedFd>), ClientError> {
        if let Some(patience) = patience {
            let ready = self.socket.wait_readable(patience);
            if !ready.map_err(|error| Self::sys("wait for", error))? {
                return Err(ClientError::Timeout(patience));
            }
        }
        let received = self
            .socket
            .receive(&mut self.buffer)
            .map_err(|error| Self::sys("receive from", error))?;
        if received.length == 0 {
            return Err(ClientError::Gone);
        }
        let message = self.buffer.get(..received.length).unwrap_or_default();
        Ok((Reply::decode(message)?, received.fds))
    }

    /// Asks for something and waits for the answer.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the monitor's reason.
    pub fn call(&mut self, request: &Request, patience: Duration) -> Result<(), ClientError> {
        self.send(request, &[])?;
        match self.receive(Some(patience))?.0 {
            Reply::Ok => Ok(()),
            Reply::Error(text) => Err(ClientError::Refused(text)),
            Reply::Created { .. }
            | Reply::Output { .. }
            | Reply::Exited { .. }
            | Reply::Restarting { .. }
            | Reply::Sessions(_)
            | Reply::ExecStarted { .. }
            | Reply::ExecExited { .. } => Err(DecodeError("it is no answer").into()),
        }
    }
}

impl AsFd for MonitorClient {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
