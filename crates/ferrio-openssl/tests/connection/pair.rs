//! A client and a server that have shaken hands.

use std::ffi::{c_int, c_long};
use std::ptr::NonNull;

use ferrio_openssl::{Connection, Read, Write};

use super::openssl::{Context, Pointer, openssl};

/// One end: the `SSL`, and the connection that drives it.
pub struct Peer {
    pub ssl: Pointer,
    pub connection: Connection,
}

impl Peer {
    pub fn new(context: &Context, is_server: bool) -> Peer {
        let (openssl, library) = openssl();
        // SAFETY: a live context; the SSL lives as long as the peer, which holds the connection too, on one thread.
        unsafe {
            let ssl = (openssl.ssl_new)(context.0);
            let start = if is_server { openssl.ssl_accepts } else { openssl.ssl_connects };
            start(ssl);
            let connection = Connection::adopt(library, NonNull::new(ssl).unwrap()).unwrap();
            Peer { ssl, connection }
        }
    }

    /// Goes on with the handshake; true when it is done.
    pub fn shake(&self) -> bool {
        self.call(|openssl, ssl| {
            // SAFETY: a live SSL.
            unsafe { (openssl.ssl_handshake)(ssl) }
        }) == 1
    }

    pub fn call(&self, body: impl FnOnce(&super::openssl::OpenSsl, Pointer) -> c_int) -> c_int {
        body(openssl().0, self.ssl)
    }

    /// Writes all of `data`.
    pub fn write_all(&self, mut data: &[u8]) {
        while !data.is_empty() {
            let Write::Taken(count) = self.connection.write(data) else { panic!("not taken") };
            assert!((1..=data.len().min(16 * 1024)).contains(&count));
            data = &data[count..];
        }
    }

    /// Reads until there is no more; also reports what ended it.
    pub fn read_all(&self) -> (Vec<u8>, Read) {
        let mut data = Vec::new();
        let mut buffer = [0; 5000];
        loop {
            match self.connection.read(&mut buffer) {
                Read::Data(count) => data.extend_from_slice(&buffer[..count]),
                end => return (data, end),
            }
        }
    }

    /// The bytes of one write, as records.
    pub fn records(&self, data: &[u8]) -> Vec<u8> {
        self.write_all(data);
        self.connection.take_output()
    }

    pub fn shutdown(&self) -> c_int {
        // SAFETY: a live SSL.
        self.call(|openssl, ssl| unsafe { (openssl.ssl_shutdown)(ssl) })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // SAFETY: the reference that `new` made; a connection does not touch its SSL when it is dropped.
        unsafe { (openssl().0.ssl_free)(self.ssl) };
    }
}

pub struct Pair {
    pub client: Peer,
    pub server: Peer,
}

impl Pair {
    pub fn new(version: c_long) -> Pair {
        let context = Context::shared(version);
        let pair = Pair { client: Peer::new(context, false), server: Peer::new(context, true) };
        let mut done = (false, false);
        for _ in 0..10 {
            if done == (true, true) {
                break;
            }
            done.0 = done.0 || pair.client.shake();
            pair.server.connection.push_input(&pair.client.connection.take_output());
            done.1 = done.1 || pair.server.shake();
            pair.client.connection.push_input(&pair.server.connection.take_output());
        }
        assert_eq!(done, (true, true));
        // The tickets that a server sends after the handshake.
        assert_eq!(pair.client.read_all(), (vec![], Read::WouldBlock));
        assert_eq!(pair.server.read_all(), (vec![], Read::WouldBlock));
        pair
    }
}
