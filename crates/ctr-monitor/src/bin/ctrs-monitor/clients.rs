//! Who is connected, and what they are still to be sent.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use ctr_monitor::protocol::Reply;
use ctr_sys::socket::MessageSocket;
use rustix::io::Errno;

/// How long a client that does not want to be waited for may hold the container up (reliability.md F36).
const STALL: Duration = Duration::from_secs(1);

/// Tells one client from another, also after others have left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientId(u64);

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: ClientId,
    pub(crate) socket: MessageSocket,
    /// It gets output; whether the container waits for it.
    attached: Option<bool>,
    /// It cleans up.
    pub(crate) foreground: bool,
    /// It is the engine that has started this monitor.
    pub(crate) engine: bool,
    /// Output that its queue had no room for, since when.
    pending: Option<(Vec<u8>, Instant)>,
    gone: bool,
}

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    all: Vec<Client>,
    next: u64,
}

impl Clients {
    pub(crate) fn add(&mut self, socket: MessageSocket, engine: bool) {
        if socket.set_nonblocking(true).is_err() {
            return;
        }
        self.next += 1;
        self.all.push(Client {
            id: ClientId(self.next),
            socket,
            attached: None,
            foreground: false,
            engine,
            pending: None,
            gone: false,
        });
    }

    pub(crate) fn ids(&self) -> Vec<ClientId> {
        self.all.iter().map(|client| client.id).collect()
    }

    pub(crate) fn get(&mut self, id: ClientId) -> Option<&mut Client> {
        self.all
            .iter_mut()
            .find(|client| client.id == id && !client.gone)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Client> {
        self.all.iter()
    }

    /// Sends a reply if the client is still there. Replies are few and small: a queue too full for one belongs to a
    /// client that does not read, which loses it.
    pub(crate) fn reply(&mut self, id: ClientId, reply: &Reply, fds: &[BorrowedFd<'_>]) {
        if let Some(client) = self.get(id)
            && client.socket.send(&reply.encode(), fds).is_err()
        {
            client.gone = true;
        }
    }

    pub(crate) fn attach(&mut self, id: ClientId, lossless: bool) {
        if let Some(client) = self.get(id) {
            client.attached = Some(lossless);
        }
    }

    /// Sends output to everybody who wants it.
    pub(crate) fn output(&mut self, stream: u8, data: &[u8]) {
        if !self
            .all
            .iter()
            .any(|client| client.attached.is_some() && !client.gone)
        {
            return;
        }
        let message = Reply::Output {
            stream,
            data: data.to_vec(),
        }
        .encode();
        for client in self
            .all
            .iter_mut()
            .filter(|client| client.attached.is_some())
        {
            match client.socket.send(&message, &[]) {
                Ok(()) => {}
                Err(Errno::AGAIN) => client.pending = Some((message.clone(), Instant::now())),
                Err(_) => client.gone = true,
            }
        }
    }

    /// Whether somebody still has to be sent output, so that no more may be read.
    pub(crate) fn is_behind(&self) -> bool {
        self.all
            .iter()
            .any(|client| client.pending.is_some() && !client.gone)
    }

    /// When somebody's patience ends.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.all
            .iter()
            .filter(|client| client.attached == Some(false))
            .filter_map(|client| client.pending.as_ref().map(|(_, since)| *since + STALL))
            .min()
    }

    /// Tries pending output again, and drops those that stall the container.
    pub(crate) fn flush(&mut self) {
        for client in &mut self.all {
            let Some((message, since)) = client.pending.take() else {
                continue;
            };
            match client.socket.send(&message, &[]) {
                Ok(()) => {}
                Err(Errno::AGAIN) if client.attached == Some(true) || since.elapsed() < STALL => {
                    client.pending = Some((message, since));
                }
                Err(_) => client.gone = true,
            }
        }
    }

    /// Tells everybody.
    pub(crate) fn broadcast(&mut self, reply: &Reply) {
        for id in self.ids() {
            self.reply(id, reply, &[]);
        }
    }

    pub(crate) fn mark_gone(&mut self, id: ClientId) {
        if let Some(client) = self.get(id) {
            client.gone = true;
        }
    }

    /// Forgets those that have left.
    pub(crate) fn sweep(&mut self) {
        self.all.retain(|client| !client.gone);
    }

    /// Takes nothing more from anybody, and forgets what has come: a socket closed with something unread resets the connection
    /// (unix(7)), and the other side would not hear the last words.
    pub(crate) fn close(&mut self, buffer: &mut [u8]) {
        for client in &self.all {
            let _gone = rustix::net::shutdown(&client.socket, rustix::net::Shutdown::Read);
            while client
                .socket
                .receive(buffer)
                .is_ok_and(|received| received.length > 0)
            {}
        }
        self.all.clear();
    }

    /// Whether somebody connected cleans up.
    pub(crate) fn has_foreground(&self) -> bool {
        self.all
            .iter()
            .any(|client| client.foreground && !client.gone)
    }

    /// Whether the engine that started this monitor is connected.
    pub(crate) fn has_engine(&self) -> bool {
        self.all.iter().any(|client| client.engine && !client.gone)
    }
}

impl Client {
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub(crate) fn is_behind(&self) -> bool {
        self.pending.is_some()
    }
}
