//! What all loads have in common: the plan, warm-up, the measured window, the report, the end.
//!
//! Wall clock and the server's CPU clock are read at the same two instants, so that warm-up belongs to neither.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use memmap2::MmapMut;
use mio::{Events, Poll};

use crate::cpu_clock::CpuClock;
use crate::stream::Layer;
use crate::{bulk, connect, echo, udp};

/// No progress within this time means that the server hangs: fail instead of waiting for ever.
pub const STALL: Duration = Duration::from_secs(5);

/// A server whose CPU clock stands still for so long is blocked; longer than the scheduler lets others run first.
const QUIET: Duration = Duration::from_millis(5);

/// What a connection does, in a closed loop.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Sends a message, waits until it came back whole, sends the next.
    Echo,
    /// Connects, has one message echoed, says that it will send no more, waits for the server's end.
    Connect,
    /// Sends as fast as the server receives.
    Send,
    /// Receives as fast as the server sends.
    Receive,
    /// As `Echo`, in datagrams.
    Udp,
}

/// What the name of a load stands for.
pub fn parse(name: &str) -> Option<(Kind, Layer)> {
    let (name, layer) = match name.strip_prefix("tls-") {
        Some("resume") => ("connect", Layer::Tls { resume: true }),
        Some(name) => (name, Layer::Tls { resume: false }),
        None => (name, Layer::Plain),
    };
    let kind = match (name, layer) {
        ("echo", _) => Kind::Echo,
        ("connect", _) => Kind::Connect,
        ("send", _) => Kind::Send,
        ("receive", _) => Kind::Receive,
        ("udp", Layer::Plain) => Kind::Udp,
        _ => return None,
    };
    Some((kind, layer))
}

/// What to run, from the command line.
pub struct Plan {
    pub kind: Kind,
    pub layer: Layer,
    pub address: SocketAddr,
    pub connections: usize,
    pub message_bytes: usize,
    warm_up: Duration,
    measure: Duration,
    server_pid: i32,
}

impl Plan {
    /// Reads the six positional arguments; `None` if one is not a number in range.
    pub fn parse(kind: Kind, layer: Layer, args: &[String]) -> Option<Self> {
        let [port, connections, message_bytes, warm_up, measure, server_pid] = args else { return None };
        Some(Self {
            kind,
            layer,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().ok()?)),
            connections: connections.parse().ok().filter(|&n| n > 0)?,
            message_bytes: message_bytes.parse().ok().filter(|&n| n > 0)?,
            warm_up: Duration::from_millis(warm_up.parse().ok()?),
            measure: Duration::from_millis(measure.parse().ok()?),
            server_pid: server_pid.parse().ok()?,
        })
    }

    /// The message that everybody sends. The newline lets the same load drive servers that read lines.
    pub fn message(&self) -> io::Result<MmapMut> {
        let mut message = MmapMut::map_anon(self.message_bytes)?;
        message.fill(b'x');
        message[self.message_bytes - 1] = b'\n';
        Ok(message)
    }
}

/// What was done so far.
#[derive(Default)]
pub struct Meter {
    /// Whole round trips, or connections, each with the time it took; empty for bulk.
    pub round_trips_ns: Vec<u64>,
    /// Bytes sent or received in bulk.
    pub bytes: u64,
}

impl Meter {
    pub fn round_trip(&mut self, since: Instant) {
        self.round_trips_ns.push(u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
}

/// A load that can be kept up for any time, again and again.
pub trait Load {
    /// Goes on until `until`, and counts what it does.
    fn run(&mut self, until: Instant, meter: &mut Meter) -> io::Result<()>;
}

/// Waits for events; an error if there are none for [`STALL`].
pub fn wait(poll: &mut Poll, events: &mut Events) -> io::Result<()> {
    loop {
        match poll.poll(events, Some(STALL)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(()) if events.is_empty() => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the server stopped answering"));
            }
            Ok(()) => return Ok(()),
        }
    }
}

/// Waits until the server is blocked. Other servers share its core, and are loaded next.
fn settle(clock: CpuClock) -> io::Result<()> {
    let latest = Instant::now() + STALL;
    let mut before = clock.now()?;
    loop {
        std::thread::sleep(QUIET);
        let now = clock.now()?;
        if now == before {
            return Ok(());
        }
        if Instant::now() > latest {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the server is busy though its connections have ended",
            ));
        }
        before = now;
    }
}

/// Connects, warms up, measures, ends the connections, and prints one line of JSON.
pub fn run(plan: &Plan) -> io::Result<()> {
    let clock = CpuClock::of(plan.server_pid)?;
    let mut load: Box<dyn Load> = match plan.kind {
        Kind::Echo => Box::new(echo::Echo::connect(plan)?),
        Kind::Connect => Box::new(connect::Connect::start(plan)?),
        Kind::Send | Kind::Receive => Box::new(bulk::Bulk::connect(plan)?),
        Kind::Udp => Box::new(udp::Udp::start(plan)?),
    };
    load.run(Instant::now() + plan.warm_up, &mut Meter::default())?;
    let mut meter = Meter { round_trips_ns: Vec::with_capacity(1 << 20), bytes: 0 };
    let (started, cpu_at_start) = (Instant::now(), clock.now()?);
    load.run(started + plan.measure, &mut meter)?;
    let wall = started.elapsed();
    let cpu = clock.now()?.saturating_sub(cpu_at_start);
    drop(load);
    settle(clock)?;
    report(meter, plan, wall, cpu)
}

#[allow(clippy::cast_precision_loss)] // far fewer than 2^52 messages
fn report(meter: Meter, plan: &Plan, wall: Duration, cpu: Duration) -> io::Result<()> {
    let mut round_trips = meter.round_trips_ns;
    let bulk = meter.bytes as f64 / plan.message_bytes as f64;
    let messages = if round_trips.is_empty() { bulk } else { round_trips.len() as f64 };
    if messages < 1.0 {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "no message got through in the measured window"));
    }
    round_trips.sort_unstable();
    let at = |per_cent: usize| match round_trips.len() {
        0 => 0,
        count => round_trips[(count - 1) * per_cent / 100],
    };
    println!(
        "{{\"messages\": {messages}, \"wall_ns\": {}, \"server_cpu_ns\": {}, \"p50_ns\": {}, \"p99_ns\": {}}}",
        wall.as_nanos(),
        cpu.as_nanos(),
        at(50),
        at(99),
    );
    Ok(())
}
