//! A closed loop over N connections: each sends a message, waits until it came back whole, sends the next.
//!
//! Closed, because an open loop at a fixed rate says nothing about a server that keeps up, and a pipelined one
//! lets the server batch reads, which hides the cost per message that is the thing compared here. Wall clock
//! and the server's CPU clock are read at the same two instants, so that warm-up belongs to neither.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::cpu_clock::CpuClock;

/// No reply within this time means that the server hangs: fail instead of waiting for ever.
const STALL: Duration = Duration::from_secs(5);

/// What to run, from the command line.
pub struct Plan {
    port: u16,
    connections: usize,
    message_bytes: usize,
    warm_up: Duration,
    measure: Duration,
    server_pid: i32,
}

impl Plan {
    /// Reads the six positional arguments; `None` if one is not a number in range.
    pub fn parse(args: &[String]) -> Option<Self> {
        let [port, connections, message_bytes, warm_up, measure, server_pid] = args else { return None };
        Some(Self {
            port: port.parse().ok()?,
            connections: connections.parse().ok().filter(|&n| n > 0)?,
            message_bytes: message_bytes.parse().ok().filter(|&n| n > 0)?,
            warm_up: Duration::from_millis(warm_up.parse().ok()?),
            measure: Duration::from_millis(measure.parse().ok()?),
            server_pid: server_pid.parse().ok()?,
        })
    }
}

struct Connection {
    stream: TcpStream,
    sent_at: Instant,
    received: usize,
}

impl Connection {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.sent_at = Instant::now();
        // One message is outstanding at a time, so the socket buffer is empty and the write is never short.
        self.stream.write_all(message)
    }

    /// Reads what has arrived; true once the message is whole. After a whole message nothing more can be on
    /// its way, so the edge-triggered poll needs no read up to `WouldBlock`.
    fn receive(&mut self, scratch: &mut [u8], message_bytes: usize) -> io::Result<bool> {
        while self.received < message_bytes {
            match self.stream.read(scratch) {
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
        if self.received > message_bytes {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the server sent more than it received"));
        }
        self.received = 0;
        Ok(true)
    }
}

/// Round-trip times and the two clocks over one window.
struct Window {
    started: Instant,
    cpu_at_start: Duration,
    round_trips_ns: Vec<u64>,
}

/// Connects, warms up, measures, and prints one line of JSON.
pub fn run(plan: &Plan) -> io::Result<()> {
    let clock = CpuClock::of(plan.server_pid)?;
    let mut poll = Poll::new()?;
    let mut connections = connect(plan, &poll)?;
    // The newline lets the same load drive servers that read lines.
    let mut message = vec![b'x'; plan.message_bytes];
    message[plan.message_bytes - 1] = b'\n';
    for connection in &mut connections {
        connection.send(&message)?;
    }
    let warm_until = Instant::now() + plan.warm_up;
    exchange(&mut poll, &mut connections, &message, warm_until, None)?;

    let mut window = Window {
        started: Instant::now(),
        cpu_at_start: clock.now()?,
        round_trips_ns: Vec::with_capacity(1 << 20),
    };
    let until = window.started + plan.measure;
    exchange(&mut poll, &mut connections, &message, until, Some(&mut window))?;
    let wall = window.started.elapsed();
    let cpu = clock.now()?.saturating_sub(window.cpu_at_start);
    report(window, wall, cpu)
}

fn connect(plan: &Plan, poll: &Poll) -> io::Result<Vec<Connection>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, plan.port));
    (0..plan.connections)
        .map(|index| {
            // Blocking connect: the handshakes are over before the first message, and none is measured.
            let blocking = std::net::TcpStream::connect_timeout(&address, STALL)?;
            blocking.set_nodelay(true)?;
            blocking.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(blocking);
            poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
            Ok(Connection { stream, sent_at: Instant::now(), received: 0 })
        })
        .collect()
}

fn exchange(
    poll: &mut Poll,
    connections: &mut [Connection],
    message: &[u8],
    until: Instant,
    mut window: Option<&mut Window>,
) -> io::Result<()> {
    let mut events = Events::with_capacity(1024);
    let mut scratch = vec![0_u8; 64 * 1024];
    while Instant::now() < until {
        match poll.poll(&mut events, Some(STALL)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            outcome => outcome?,
        }
        if events.is_empty() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the server stopped answering"));
        }
        for event in &events {
            let connection = &mut connections[event.token().0];
            if connection.receive(&mut scratch, message.len())? {
                if let Some(window) = window.as_deref_mut() {
                    let nanos = connection.sent_at.elapsed().as_nanos();
                    window.round_trips_ns.push(u64::try_from(nanos).unwrap_or(u64::MAX));
                }
                connection.send(message)?;
            }
        }
    }
    Ok(())
}

fn report(window: Window, wall: Duration, cpu: Duration) -> io::Result<()> {
    let mut round_trips = window.round_trips_ns;
    if round_trips.is_empty() {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "no message came back in the measured window"));
    }
    round_trips.sort_unstable();
    let at = |per_cent: usize| round_trips[(round_trips.len() - 1) * per_cent / 100];
    println!(
        "{{\"messages\": {}, \"wall_ns\": {}, \"server_cpu_ns\": {}, \"p50_ns\": {}, \"p99_ns\": {}}}",
        round_trips.len(),
        wall.as_nanos(),
        cpu.as_nanos(),
        at(50),
        at(99),
    );
    Ok(())
}
