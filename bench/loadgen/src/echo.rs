//! A closed loop over N connections: each sends a message, waits until it came back whole, sends the next.
//!
//! Closed, because an open loop at a fixed rate says nothing about a server that keeps up, and a pipelined one
//! lets the server batch reads, which hides the cost per message that is the thing compared here.

use std::io::{self, Read, Write};
use std::time::Instant;

use memmap2::MmapMut;
use mio::{Events, Interest, Poll, Token};

use crate::drive::{Load, Meter, Plan, STALL, wait};
use crate::stream::{Connector, Stream};

/// Connections that are made before the server has to have accepted them.
const GREETED_AT_ONCE: usize = 16;

/// One end of an echoed message's way.
pub struct Exchange {
    pub sent_at: Instant,
    sent: usize,
    received: usize,
}

impl Exchange {
    pub fn new() -> Self {
        Self { sent_at: Instant::now(), sent: 0, received: 0 }
    }

    pub fn begin(&mut self, stream: &mut Stream, message: &[u8]) -> io::Result<()> {
        *self = Self::new();
        self.send(stream, message)
    }

    /// Sends what is left of the message, as far as the kernel takes it.
    pub fn send(&mut self, stream: &mut Stream, message: &[u8]) -> io::Result<()> {
        while self.sent < message.len() {
            match stream.write(&message[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what has arrived; true once the message is whole. After a whole message nothing more can be on
    /// its way, so the edge-triggered poll needs no read up to `WouldBlock`.
    pub fn receive(&mut self, stream: &mut Stream, scratch: &mut [u8], message: &[u8]) -> io::Result<bool> {
        while self.received < message.len() {
            match stream.read(scratch) {
                Ok(0) => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the server closed a connection",
                    ));
                }
                Ok(n) => self.received += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.received > message.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the server sent more than it received"));
        }
        Ok(true)
    }
}

/// Connects all, some at a time; blocking, so that the handshakes are over before the first message and none is
/// measured. `greet` is what those that have just connected are put through before the next do.
pub fn connect_all(
    plan: &Plan,
    poll: &Poll,
    greet: impl Fn(&mut [Stream]) -> io::Result<()>,
) -> io::Result<Vec<Stream>> {
    let connector = Connector::new(plan.layer)?;
    let mut streams = Vec::new();
    while streams.len() < plan.connections {
        let count = GREETED_AT_ONCE.min(plan.connections - streams.len());
        let (mut new, mut modes) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let stream = std::net::TcpStream::connect_timeout(&plan.address, STALL)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(STALL))?;
            stream.set_write_timeout(Some(STALL))?;
            modes.push(stream.try_clone()?);
            new.push(connector.connected(stream)?);
        }
        greet(&mut new)?;
        for (mut stream, mode) in new.into_iter().zip(modes) {
            mode.set_nonblocking(true)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(stream.tcp(), Token(streams.len()), interest)?;
            streams.push(stream);
        }
    }
    Ok(streams)
}

/// Has a message echoed on each, while no other connection sends.
fn exchange_once(streams: &mut [Stream], message: &[u8]) -> io::Result<()> {
    for stream in &mut *streams {
        stream.write_all(message)?;
    }
    let mut reply = vec![0; message.len()];
    for stream in streams {
        stream.read_exact(&mut reply).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => {
                io::Error::new(io::ErrorKind::TimedOut, "the server does not answer a new connection")
            }
            _ => error,
        })?;
    }
    Ok(())
}

/// All connections.
pub struct Echo {
    poll: Poll,
    events: Events,
    scratch: MmapMut,
    message: MmapMut,
    connections: Vec<(Stream, Exchange)>,
}

impl Echo {
    /// Connects, and sends the first message everywhere.
    ///
    /// Each connection has a message echoed before the next few connect. Some servers accept one connection in each
    /// turn of their loop; under load, with hundreds still to be accepted, that takes them seconds.
    pub fn connect(plan: &Plan) -> io::Result<Self> {
        let poll = Poll::new()?;
        let message = plan.message()?;
        let greet = |new: &mut [Stream]| exchange_once(new, &message);
        let mut connections = Vec::new();
        for mut stream in connect_all(plan, &poll, greet)? {
            let mut exchange = Exchange::new();
            exchange.begin(&mut stream, &message)?;
            connections.push((stream, exchange));
        }
        let (events, scratch) = (Events::with_capacity(1024), MmapMut::map_anon(256 * 1024)?);
        Ok(Self { poll, events, scratch, message, connections })
    }
}

impl Load for Echo {
    fn run(&mut self, until: Instant, meter: &mut Meter) -> io::Result<()> {
        while Instant::now() < until {
            wait(&mut self.poll, &mut self.events)?;
            for event in &self.events {
                let (stream, exchange) = &mut self.connections[event.token().0];
                if event.is_writable() {
                    exchange.send(stream, &self.message)?;
                }
                if event.is_readable() && exchange.receive(stream, &mut self.scratch, &self.message)? {
                    meter.round_trip(exchange.sent_at);
                    exchange.begin(stream, &self.message)?;
                }
            }
        }
        Ok(())
    }
}
