//! An echo server with nothing in it but epoll, read and write: the limit that an event loop can approach.
//!
//! It prints its port and serves until it is killed.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX - 1);

/// Listens on a free loopback port, prints it, echoes for ever.
pub fn run() -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("{}", listener.local_addr()?.port());

    let mut events = Events::with_capacity(1024);
    let mut scratch = vec![0_u8; 64 * 1024];
    // Tokens index this table and are never reused: a benchmark opens a few dozen connections in all.
    let mut connections: Vec<Option<TcpStream>> = Vec::new();
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            outcome => outcome?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&poll, &listener, &mut connections)?;
                continue;
            }
            let slot = &mut connections[event.token().0];
            if let Some(stream) = slot
                && !echo(stream, &mut scratch)
            {
                *slot = None;
            }
        }
    }
}

fn accept(poll: &Poll, listener: &TcpListener, connections: &mut Vec<Option<TcpStream>>) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((mut stream, _)) => {
                stream.set_nodelay(true)?;
                poll.registry().register(&mut stream, Token(connections.len()), Interest::READABLE)?;
                connections.push(Some(stream));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Sends back all that has arrived; false when the connection is over. A read that does not fill the buffer
/// has emptied the socket, and epoll reports the next arrival (epoll(7), "edge-triggered").
fn echo(stream: &mut TcpStream, scratch: &mut [u8]) -> bool {
    loop {
        match stream.read(scratch) {
            Ok(0) => return false,
            Ok(n) => {
                if stream.write_all(&scratch[..n]).is_err() {
                    return false;
                }
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
