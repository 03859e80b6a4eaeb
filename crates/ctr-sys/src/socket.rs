//! Message sockets between an engine and a monitor: `SOCK_SEQPACKET` keeps boundaries (unix(7)), so a message is
//! whole or absent; descriptors travel with messages.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

use crate::error::{Context as _, SysError};

/// Most descriptors one message carries.
pub const MAX_FDS: usize = 4;

/// A connected message socket.
#[derive(Debug)]
pub struct MessageSocket(OwnedFd);

/// One received message.
#[derive(Debug)]
pub struct Received {
    /// Its length; 0 means the other side is gone.
    pub length: usize,
    /// Descriptors that came with it, close-on-exec.
    pub fds: Vec<OwnedFd>,
}

impl MessageSocket {
    /// Two ends that talk to each other.
    pub fn pair() -> Result<(Self, Self), SysError> {
        let (a, b) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .context("socketpair", || "SOCK_SEQPACKET")?;
        Ok((Self(a), Self(b)))
    }

    /// Connects to a listening socket. The path may be longer than `sun_path`: it is reached through its
    /// directory's descriptor (semantics.md M7).
    pub fn connect(path: &Path) -> Result<Self, SysError> {
        let shown = || path.display().to_string();
        let socket = new_socket()?;
        let (address, _directory) = address_of(path)?;
        rustix::net::connect(&socket, &address).context("connect to", shown)?;
        Ok(Self(socket))
    }

    /// Takes over a descriptor that is such a socket.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Sends one message whole, with descriptors. Waits while the other side's queue is full unless the socket is
    /// non-blocking (`EAGAIN`).
    pub fn send(&self, message: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(Errno::INVAL);
        }
        loop {
            let data = [IoSlice::new(message)];
            match rustix::net::sendmsg(&self.0, &data, &mut control, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Receives one message into `buffer`. A message longer than the buffer is an error (`EMSGSIZE`).
    pub fn receive(&self, buffer: &mut [u8]) -> Result<Received, Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let message = loop {
            let mut data = [IoSliceMut::new(buffer)];
            match rustix::net::recvmsg(&self.0, &mut data, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Ok(message) => break message,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        };
        let mut fds = Vec::new();
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = part {
                fds.extend(received);
            }
        }
        if message.flags.contains(ReturnFlags::TRUNC) {
            return Err(Errno::MSGSIZE);
        }
        Ok(Received {
            length: message.bytes,
            fds,
        })
    }

    /// Makes `send` and `receive` return `EAGAIN` instead of waiting, or wait again.
    pub fn set_nonblocking(&self, nonblocking: bool) -> Result<(), Errno> {
        rustix::io::ioctl_fionbio(&self.0, nonblocking)
    }

    /// Waits until a message can be received or the other side is gone; `false` when `patience` ran out first.
    pub fn wait_readable(&self, patience: std::time::Duration) -> Result<bool, Errno> {
        let deadline = std::time::Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            let timeout = rustix::event::Timespec::try_from(left).ok();
            let mut fds = [rustix::event::PollFd::new(
                &self.0,
                rustix::event::PollFlags::IN,
            )];
            match rustix::event::poll(&mut fds, timeout.as_ref()) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The descriptor itself.
    pub fn into_fd(self) -> OwnedFd {
        self.0
    }
}

impl AsFd for MessageSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A listening message socket.
#[derive(Debug)]
pub struct Listener(OwnedFd);

impl Listener {
    /// Listens at `path`, replacing a stale socket. The file's mode is 0600.
    pub fn bind(path: &Path) -> Result<Self, SysError> {
        let shown = || path.display().to_string();
        crate::fs::ensure_file_absent(path)?;
        let socket = new_socket()?;
        rustix::net::sockopt::set_socket_passcred(&socket, false).context("prepare", shown)?;
        // The mode of the descriptor becomes the mode of the socket file when it is bound (unix(7)).
        rustix::fs::fchmod(&socket, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)
            .context("chmod", shown)?;
        let (address, _directory) = address_of(path)?;
        rustix::net::bind(&socket, &address).context("bind", shown)?;
        rustix::net::listen(&socket, 64).context("listen at", shown)?;
        rustix::io::ioctl_fionbio(&socket, true).context("prepare", shown)?;
        Ok(Self(socket))
    }

    /// Accepts one connection; `EAGAIN` when there is none.
    pub fn accept(&self) -> Result<MessageSocket, Errno> {
        rustix::net::accept_with(&self.0, SocketFlags::CLOEXEC).map(MessageSocket)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A stream socket on which another program sends one descriptor: how an OCI runtime hands over a terminal
/// (runc's docs/terminals.md, "detached").
#[derive(Debug)]
pub struct DescriptorListener {
    socket: OwnedFd,
    path: PathBuf,
    directory: OwnedFd,
}

impl DescriptorListener {
    /// Listens at `path`, replacing a stale socket. The file's mode is 0600.
    pub fn bind(path: &Path) -> Result<Self, SysError> {
        let shown = || path.display().to_string();
        crate::fs::ensure_file_absent(path)?;
        let socket = socket_of(SocketType::STREAM)?;
        rustix::fs::fchmod(&socket, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)
            .context("chmod", shown)?;
        let (address, _directory) = address_of(path)?;
        rustix::net::bind(&socket, &address).context("bind", shown)?;
        rustix::net::listen(&socket, 1).context("listen at", shown)?;
        rustix::io::ioctl_fionbio(&socket, true).context("prepare", shown)?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        let directory = crate::fs::open_directory(parent)?;
        Ok(Self {
            socket,
            path: path.to_owned(),
            directory,
        })
    }

    /// A path by which another process reaches the socket however long its real path is (semantics.md M7). Valid while
    /// this process and this value live.
    pub fn reachable_path(&self) -> PathBuf {
        if SocketAddrUnix::new(&self.path).is_ok() {
            return self.path.clone();
        }
        let number = std::os::fd::AsRawFd::as_raw_fd(&self.directory);
        let name = self.path.file_name().unwrap_or_default();
        PathBuf::from(format!("/proc/{}/fd/{number}", std::process::id())).join(name)
    }

    /// Takes the descriptor if it has been sent; waits for it at most one second once somebody has connected.
    pub fn accept(&self) -> Result<Option<OwnedFd>, Errno> {
        let connection = match rustix::net::accept_with(&self.socket, SocketFlags::CLOEXEC) {
            Ok(connection) => MessageSocket(connection),
            Err(Errno::AGAIN) => return Ok(None),
            Err(error) => return Err(error),
        };
        connection.set_nonblocking(true)?;
        if !connection.wait_readable(std::time::Duration::from_secs(1))? {
            return Ok(None);
        }
        // The message's text is the terminal's name, of no use here.
        let mut buffer = [0; 4096];
        Ok(connection.receive(&mut buffer)?.fds.pop())
    }
}

impl AsFd for DescriptorListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for DescriptorListener {
    fn drop(&mut self) {
        // Best effort: the directory goes with the container.
        let _gone = crate::fs::ensure_file_absent(&self.path);
    }
}

fn new_socket() -> Result<OwnedFd, SysError> {
    socket_of(SocketType::SEQPACKET)
}

fn socket_of(kind: SocketType) -> Result<OwnedFd, SysError> {
    rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)
        .context("socket", || "AF_UNIX")
}

/// An address for `path`, and the directory descriptor it may lean on, which must outlive its use.
fn address_of(path: &Path) -> Result<(SocketAddrUnix, Option<OwnedFd>), SysError> {
    let shown = || path.display().to_string();
    if let Ok(address) = SocketAddrUnix::new(path) {
        return Ok((address, None));
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(SysError::new("address", shown(), Errno::INVAL));
    };
    let directory = crate::fs::open_directory(parent)?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&directory);
    let through = Path::new("/proc/self/fd")
        .join(number.to_string())
        .join(name);
    let address = SocketAddrUnix::new(&through).context("address", shown)?;
    Ok((address, Some(directory)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_keep_their_boundaries_and_carry_descriptors() {
        let (a, b) = MessageSocket::pair().unwrap();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        a.send(b"one", &[writer.as_fd()]).unwrap();
        a.send(b"two", &[]).unwrap();
        drop(writer);
        let mut buffer = [0_u8; 16];
        let first = b.receive(&mut buffer).unwrap();
        assert_eq!((&buffer[..first.length], first.fds.len()), (&b"one"[..], 1));
        rustix::io::write(&first.fds[0], b"x").unwrap();
        let mut byte = [0_u8; 1];
        assert_eq!(rustix::io::read(&reader, &mut byte).unwrap(), 1);
        assert_eq!(b.receive(&mut buffer).unwrap().length, 3);
        drop(a);
        assert_eq!(b.receive(&mut buffer).unwrap().length, 0, "the end is told");
    }

    #[test]
    fn m07_long_paths_work_and_the_socket_is_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120));
        crate::fs::ensure_directory(&deep, 0o700).unwrap();
        let path = deep.join("s");
        let listener = Listener::bind(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let client = MessageSocket::connect(&path).unwrap();
        let server = listener.accept().unwrap();
        client.send(b"hi", &[]).unwrap();
        let mut buffer = [0_u8; 2];
        assert_eq!(server.receive(&mut buffer).unwrap().length, 2);
        client.send(b"longer than two", &[]).unwrap();
        assert_eq!(server.receive(&mut buffer).unwrap_err(), Errno::MSGSIZE);
    }
}
