//! The closed echo loop in datagrams: N sockets, each with one message on its way.
//!
//! A datagram that does not fit into a receive buffer is lost without a word, so what is not answered in time is
//! sent again. It is counted when an answer comes; that it took longer shows in the round-trip times.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use memmap2::MmapMut;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use crate::drive::{Load, Meter, Plan, STALL};

/// Far longer than any server takes over a full receive buffer.
const LOST_AFTER: Duration = Duration::from_millis(100);

struct Peer {
    socket: UdpSocket,
    sent_at: Instant,
}

/// All sockets.
pub struct Udp {
    poll: Poll,
    events: Events,
    scratch: MmapMut,
    message: MmapMut,
    peers: Vec<Peer>,
    answered_at: Instant,
}

impl Udp {
    /// Makes the sockets, and sends the first message from each.
    pub fn start(plan: &Plan) -> io::Result<Self> {
        let (poll, message) = (Poll::new()?, plan.message()?);
        let mut peers = Vec::new();
        for index in 0..plan.connections {
            let mut socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
            socket.connect(plan.address)?;
            poll.registry().register(&mut socket, Token(index), Interest::READABLE)?;
            socket.send(&message)?;
            peers.push(Peer { socket, sent_at: Instant::now() });
        }
        let (events, scratch) = (Events::with_capacity(1024), MmapMut::map_anon(64 * 1024)?);
        Ok(Self { poll, events, scratch, message, peers, answered_at: Instant::now() })
    }

    fn send_lost(&mut self) -> io::Result<()> {
        if self.answered_at.elapsed() > STALL {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the server stopped answering"));
        }
        for peer in &mut self.peers {
            if peer.sent_at.elapsed() > LOST_AFTER {
                peer.socket.send(&self.message)?;
                peer.sent_at = Instant::now();
            }
        }
        Ok(())
    }
}

impl Load for Udp {
    fn run(&mut self, until: Instant, meter: &mut Meter) -> io::Result<()> {
        let mut looked_at = Instant::now();
        while Instant::now() < until {
            match self.poll.poll(&mut self.events, Some(LOST_AFTER)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                outcome => outcome?,
            }
            for event in &self.events {
                let peer = &mut self.peers[event.token().0];
                match peer.socket.recv(&mut self.scratch) {
                    Ok(n) if n == self.message.len() => {}
                    Ok(_) => {
                        return Err(io::Error::new(
                            io::ErrorKind::InvalidData,
                            "the server sent something else",
                        ));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                    Err(error) => return Err(error),
                }
                meter.round_trip(peer.sent_at);
                peer.sent_at = Instant::now();
                self.answered_at = peer.sent_at;
                peer.socket.send(&self.message)?;
            }
            if looked_at.elapsed() > LOST_AFTER {
                self.send_lost()?;
                looked_at = Instant::now();
            }
        }
        Ok(())
    }
}
