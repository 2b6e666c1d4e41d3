//! The bare echo server for datagrams: `recvfrom` and `sendto` alternately until nothing is there.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use memmap2::MmapMut;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

/// Binds to a free loopback port, prints it, echoes for ever.
pub fn run() -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    poll.registry().register(&mut socket, Token(0), Interest::READABLE)?;
    println!("{}", socket.local_addr()?.port());
    let mut events = Events::with_capacity(8);
    let mut scratch = MmapMut::map_anon(64 * 1024)?;
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            outcome => outcome?,
        }
        loop {
            match socket.recv_from(&mut scratch) {
                // A full send buffer loses the datagram, as the network would.
                Ok((n, sender)) => drop(socket.send_to(&scratch[..n], sender)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
    }
}
