//! One way, as fast as it goes: the socket buffers are what bounds the loop.
//!
//! Bytes are counted here, not in the server: what is in the buffers at the beginning and at the end of a
//! measurement is about the same, and small against what goes through in between.

use std::io::{self, Read, Write};
use std::time::Instant;

use memmap2::MmapMut;
use mio::{Events, Poll};

use crate::drive::{Kind, Load, Meter, Plan, wait};
use crate::echo::connect_all;
use crate::stream::Stream;

/// Calls on one connection before the others have their turn.
const BURST: usize = 16;

/// All connections, and which of them the kernel has not refused since it last reported them.
pub struct Bulk {
    poll: Poll,
    events: Events,
    sends: bool,
    buffer: MmapMut,
    connections: Vec<(Stream, bool)>,
}

impl Bulk {
    pub fn connect(plan: &Plan) -> io::Result<Self> {
        let poll = Poll::new()?;
        let sends = plan.kind == Kind::Send;
        let connections =
            connect_all(plan, &poll, |_| Ok(()))?.into_iter().map(|stream| (stream, true)).collect();
        let buffer = if sends { plan.message()? } else { MmapMut::map_anon(256 * 1024)? };
        Ok(Self { poll, events: Events::with_capacity(1024), sends, buffer, connections })
    }

    /// A burst on one connection.
    fn burst(&mut self, index: usize, meter: &mut Meter) -> io::Result<()> {
        let (stream, able) = &mut self.connections[index];
        for _ in 0..BURST {
            let done = if self.sends { stream.write(&self.buffer) } else { stream.read(&mut self.buffer) };
            match done {
                Ok(0) => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the server closed a connection",
                    ));
                }
                Ok(n) => meter.bytes += n as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    *able = false;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Load for Bulk {
    fn run(&mut self, until: Instant, meter: &mut Meter) -> io::Result<()> {
        while Instant::now() < until {
            if self.connections.iter().any(|(_, able)| *able) {
                // Without waiting: somebody can go on anyway.
                self.poll.poll(&mut self.events, Some(std::time::Duration::ZERO))?;
            } else {
                wait(&mut self.poll, &mut self.events)?;
            }
            for event in &self.events {
                if if self.sends { event.is_writable() } else { event.is_readable() } {
                    self.connections[event.token().0].1 = true;
                }
            }
            for index in 0..self.connections.len() {
                if self.connections[index].1 {
                    self.burst(index, meter)?;
                }
            }
        }
        Ok(())
    }
}
