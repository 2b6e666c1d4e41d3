//! Connections that live for one message: N at a time connect, have a message echoed, say that they will send no
//! more, wait for the server to close, and begin again. What is counted is connections.
//!
//! This side ends first, so the ports that wait out `TIME_WAIT` are its own; some 28,000 are there for one server's
//! port, which is enough for all slices of a round.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::time::Instant;

use memmap2::MmapMut;
use mio::{Events, Interest, Poll, Registry, Token};

use crate::drive::{Load, Meter, Plan, wait};
use crate::echo::Exchange;
use crate::stream::{Connector, Stream};

enum State {
    Connecting,
    Handshaking,
    Echoing,
    Ending,
}

struct Visit {
    stream: Stream,
    state: State,
    started: Instant,
    exchange: Exchange,
}

impl Visit {
    fn begin(
        registry: &Registry,
        index: usize,
        address: SocketAddr,
        connector: &Connector,
    ) -> io::Result<Self> {
        let started = Instant::now();
        let mut stream = connector.connect(address)?;
        registry.register(stream.tcp(), Token(index), Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { stream, state: State::Connecting, started, exchange: Exchange::new() })
    }

    /// Goes on as far as it can; true at the end.
    fn advance(&mut self, scratch: &mut [u8], message: &[u8]) -> io::Result<bool> {
        if let State::Connecting = self.state {
            if let Some(error) = self.stream.tcp().take_error()? {
                return Err(error);
            }
            self.stream.tcp().set_nodelay(true)?;
            self.state = State::Handshaking;
        }
        if let State::Handshaking = self.state {
            if !self.stream.handshake()? {
                return Ok(false);
            }
            self.exchange.begin(&mut self.stream, message)?;
            self.state = State::Echoing;
        }
        if let State::Echoing = self.state {
            self.exchange.send(&mut self.stream, message)?;
            if !self.exchange.receive(&mut self.stream, scratch, message)? {
                return Ok(false);
            }
            self.stream.end()?;
            self.state = State::Ending;
        }
        match self.stream.read(scratch) {
            Ok(0) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
            Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "the server sent more than it received")),
        }
    }
}

/// All that are under way.
pub struct Connect {
    poll: Poll,
    events: Events,
    scratch: MmapMut,
    message: MmapMut,
    address: SocketAddr,
    connector: Connector,
    visits: Vec<Visit>,
}

impl Connect {
    pub fn start(plan: &Plan) -> io::Result<Self> {
        let poll = Poll::new()?;
        let connector = Connector::new(plan.layer)?;
        let visits = (0..plan.connections)
            .map(|index| Visit::begin(poll.registry(), index, plan.address, &connector))
            .collect::<io::Result<_>>()?;
        Ok(Self {
            poll,
            events: Events::with_capacity(1024),
            scratch: MmapMut::map_anon(64 * 1024)?,
            message: plan.message()?,
            address: plan.address,
            connector,
            visits,
        })
    }
}

impl Load for Connect {
    fn run(&mut self, until: Instant, meter: &mut Meter) -> io::Result<()> {
        while Instant::now() < until {
            wait(&mut self.poll, &mut self.events)?;
            for event in &self.events {
                let visit = &mut self.visits[event.token().0];
                if let State::Connecting = visit.state
                    && !event.is_writable()
                {
                    continue;
                }
                if visit.advance(&mut self.scratch, &self.message)? {
                    meter.round_trip(visit.started);
                    *visit =
                        Visit::begin(self.poll.registry(), event.token().0, self.address, &self.connector)?;
                }
            }
        }
        Ok(())
    }
}
