//! The bare server over TLS: epoll and OpenSSL, and nothing else.
//!
//! OpenSSL reads ahead, so that a record costs one `recv`; a short one says that the socket is empty.

use std::ffi::{c_int, c_void};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};

use foreign_types::ForeignTypeRef;
use memmap2::MmapMut;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use openssl::ssl::{Ssl, SslContext, SslFiletype, SslMethod, SslStream, SslVersion};

use crate::drive::Kind;
use crate::stream::tls::advanced;

const LISTENER: Token = Token(usize::MAX - 1);
const SCRATCH_LEN: usize = 256 * 1024;

/// A socket that remembers whether the last read left anything.
struct Socket {
    stream: TcpStream,
    emptied: bool,
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let outcome = self.stream.read(buffer);
        self.emptied = match &outcome {
            Ok(count) => *count < buffer.len(),
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        outcome
    }
}

impl Write for Socket {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.stream.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Connection {
    stream: SslStream<Socket>,
    handshaken: bool,
    unsent: Vec<u8>,
}

/// Listens on a free loopback port, prints it, serves for ever: echoes, or takes what comes, or sends without end.
pub fn run(kind: Kind, certificate: &str, key: &str) -> io::Result<()> {
    let mut context = SslContext::builder(SslMethod::tls_server())?;
    context.set_min_proto_version(Some(SslVersion::TLS1_3))?;
    context.set_certificate_chain_file(certificate)?;
    context.set_private_key_file(key, SslFiletype::PEM)?;
    context.set_read_ahead(true);
    let context = context.build();

    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("{}", listener.local_addr()?.port());

    let mut events = Events::with_capacity(1024);
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
                accept(&poll, &listener, &context, &mut connections, &mut free)?;
                continue;
            }
            let index = event.token().0;
            let Some(connection) = &mut connections[index] else { continue };
            if !serve(connection, kind, &mut scratch) {
                connections[index] = None;
                free.push(index);
            }
        }
    }
}

fn accept(
    poll: &Poll,
    listener: &TcpListener,
    context: &SslContext,
    connections: &mut Vec<Option<Connection>>,
    free: &mut Vec<usize>,
) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((mut stream, _)) => {
                stream.set_nodelay(true)?;
                let index = free.pop().unwrap_or(connections.len());
                let interest = Interest::READABLE | Interest::WRITABLE;
                poll.registry().register(&mut stream, Token(index), interest)?;
                let socket = Socket { stream, emptied: false };
                let stream = SslStream::new(Ssl::new(context)?, socket)?;
                let connection = Some(Connection { stream, handshaken: false, unsent: Vec::new() });
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

/// Goes on with a connection that is readable or writable; false when it is over.
fn serve(connection: &mut Connection, kind: Kind, scratch: &mut [u8]) -> bool {
    if !connection.handshaken {
        match advanced(connection.stream.accept()) {
            Ok(done) => connection.handshaken = done,
            Err(_) => return false,
        }
        if !connection.handshaken {
            return true;
        }
    }
    match kind {
        Kind::Receive => send(&mut connection.stream, &scratch[..64 * 1024]),
        Kind::Send => receive(&mut connection.stream, scratch, |_, _| true),
        _ => {
            let unsent = &mut connection.unsent;
            while !unsent.is_empty() {
                match connection.stream.write(unsent) {
                    Ok(count) => drop(unsent.drain(..count)),
                    Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
                }
            }
            receive(&mut connection.stream, scratch, |stream, data| echo(stream, unsent, data))
        }
    }
}

/// Hands on all that has arrived; false when the connection is over. One record at a time is decrypted, and as many as
/// fit are handed on together.
fn receive(
    stream: &mut SslStream<Socket>,
    scratch: &mut [u8],
    mut take: impl FnMut(&mut SslStream<Socket>, &[u8]) -> bool,
) -> bool {
    let mut filled = 0;
    let alive = loop {
        if filled == scratch.len() {
            if !take(stream, &scratch[..filled]) {
                return false;
            }
            filled = 0;
        }
        match stream.read(&mut scratch[filled..]) {
            Ok(0) => {
                // close_notify is answered with ours.
                let _ = stream.shutdown();
                break false;
            }
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break true,
            Err(_) => break false,
        }
        if stream.get_ref().emptied && !has_record(stream) {
            break true;
        }
    };
    (filled == 0 || take(stream, &scratch[..filled])) && alive
}

/// Whether OpenSSL has something that was not handed out.
fn has_record(stream: &SslStream<Socket>) -> bool {
    unsafe extern "C" {
        fn SSL_has_pending(ssl: *const c_void) -> c_int;
    }
    // SAFETY: OpenSSL's function of this signature, and a connection that lives.
    unsafe { SSL_has_pending(stream.ssl().as_ptr().cast()) == 1 }
}

/// Sends data back; false when the connection is over.
fn echo(stream: &mut SslStream<Socket>, unsent: &mut Vec<u8>, data: &[u8]) -> bool {
    let mut sent = 0;
    while unsent.is_empty() && sent < data.len() {
        match stream.write(&data[sent..]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(_) => return false,
        }
    }
    unsent.extend_from_slice(&data[sent..]);
    true
}

/// Sends until the kernel takes no more; false when the connection is over.
fn send(stream: &mut SslStream<Socket>, message: &[u8]) -> bool {
    loop {
        match stream.write(message) {
            // All bytes are alike: what is left of a message is as good as the next.
            Ok(count) if count > 0 => {}
            Ok(_) => return false,
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}
