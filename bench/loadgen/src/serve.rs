//! Servers with nothing in them but epoll, read and write: the limit that an event loop can approach.
//!
//! They print their port and serve until their standard input ends.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};

use memmap2::MmapMut;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::drive::Kind;

const LISTENER: Token = Token(usize::MAX - 1);
/// What an asyncio transport reads at most at once.
const SCRATCH_LEN: usize = 256 * 1024;

/// A connection, and what the kernel has not taken yet.
struct Connection {
    stream: TcpStream,
    unsent: Vec<u8>,
}

/// Listens on a free loopback port, prints it, serves for ever: echoes, or takes what comes, or sends without end.
pub fn run(kind: Kind) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("{}", listener.local_addr()?.port());

    let mut events = Events::with_capacity(1024);
    // Begins a page, as does what the kernel copies from (`ferrio-core/src/driver/page_buffer.rs`).
    let mut scratch = MmapMut::map_anon(SCRATCH_LEN)?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            outcome => outcome?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&poll, &listener, &mut connections, &mut free, kind)?;
                continue;
            }
            let index = event.token().0;
            // Taken out by an earlier event of the same poll.
            let Some(connection) = &mut connections[index] else { continue };
            let alive = match kind {
                Kind::Receive => send(&mut connection.stream, &scratch[..64 * 1024]),
                Kind::Send => discard(&mut connection.stream, &mut scratch),
                _ => {
                    (!event.is_writable() || flush(connection))
                        && (!event.is_readable() || echo(connection, &mut scratch))
                }
            };
            if !alive {
                connections[index] = None;
                free.push(index);
            }
        }
    }
}

fn accept(
    poll: &Poll,
    listener: &TcpListener,
    connections: &mut Vec<Option<Connection>>,
    free: &mut Vec<usize>,
    kind: Kind,
) -> io::Result<()> {
    // Waiting to write all the time costs nothing with an edge-triggered poll, and saves changing one's mind.
    let interest =
        if kind == Kind::Send { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
    loop {
        match listener.accept() {
            Ok((mut stream, _)) => {
                stream.set_nodelay(true)?;
                let index = free.pop().unwrap_or(connections.len());
                poll.registry().register(&mut stream, Token(index), interest)?;
                let connection = Some(Connection { stream, unsent: Vec::new() });
                if index == connections.len() {
                    connections.push(connection);
                } else {
                    connections[index] = connection;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Sends what an earlier write left over; false when the connection is over.
fn flush(connection: &mut Connection) -> bool {
    while !connection.unsent.is_empty() {
        match connection.stream.write(&connection.unsent) {
            Ok(n) => drop(connection.unsent.drain(..n)),
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
    true
}

/// Sends back all that has arrived; false when the connection is over. A read that does not fill the buffer
/// has emptied the socket, and epoll reports the next arrival (epoll(7), "edge-triggered").
fn echo(connection: &mut Connection, scratch: &mut [u8]) -> bool {
    loop {
        match connection.stream.read(scratch) {
            Ok(0) => return false,
            Ok(n) => {
                let mut sent = 0;
                while connection.unsent.is_empty() && sent < n {
                    match connection.stream.write(&scratch[sent..n]) {
                        Ok(count) => sent += count,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                        Err(_) => return false,
                    }
                }
                connection.unsent.extend_from_slice(&scratch[sent..n]);
                if n < scratch.len() {
                    return true;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}

/// Reads all that has arrived; false when the connection is over.
fn discard(stream: &mut TcpStream, scratch: &mut [u8]) -> bool {
    loop {
        match stream.read(scratch) {
            Ok(0) => return false,
            Ok(n) if n < scratch.len() => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

/// Sends until the kernel takes no more; false when the connection is over.
fn send(stream: &mut TcpStream, message: &[u8]) -> bool {
    loop {
        match stream.write(message) {
            // A short write is one that the next call would refuse.
            Ok(n) if n == message.len() => {}
            Ok(_) => return true,
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}
