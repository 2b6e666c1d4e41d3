//! The client's end of a connection, with TLS or without.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};

use mio::net::TcpStream;

/// What is between the load and TCP.
#[derive(Clone, Copy)]
pub enum Layer {
    Plain,
    Tls {
        /// Whether a connection goes on with the session of the one before.
        #[cfg_attr(not(feature = "tls"), allow(dead_code))] // nothing is done with it there
        resume: bool,
    },
}

/// A connection.
pub enum Stream {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<openssl::ssl::SslStream<TcpStream>>),
}

impl Stream {
    pub fn tcp(&mut self) -> &mut TcpStream {
        match self {
            Stream::Plain(stream) => stream,
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.get_mut(),
        }
    }

    /// Goes on with the handshake; whether it is over.
    #[cfg_attr(not(feature = "tls"), allow(clippy::unnecessary_wraps, clippy::unused_self))] // there is none
    pub fn handshake(&mut self) -> io::Result<bool> {
        match self {
            Stream::Plain(_) => Ok(true),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => tls::advanced(stream.connect()),
        }
    }

    /// Says that nothing more will be sent.
    pub fn end(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.shutdown(Shutdown::Write),
            // The peer answers close_notify with its own, and ends.
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.shutdown().map(drop).map_err(io::Error::other),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.read(buffer),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.write(data),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.write(data),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes connections.
pub enum Connector {
    Plain,
    #[cfg(feature = "tls")]
    Tls(tls::Client),
}

impl Connector {
    pub fn new(layer: Layer) -> io::Result<Self> {
        match layer {
            Layer::Plain => Ok(Connector::Plain),
            #[cfg(feature = "tls")]
            Layer::Tls { resume } => tls::Client::new(resume).map(Connector::Tls),
            #[cfg(not(feature = "tls"))]
            Layer::Tls { .. } => Err(io::Error::other("built without TLS")),
        }
    }

    /// A connection over TCP that is there and blocks: the handshake is made at once.
    pub fn connected(&self, stream: std::net::TcpStream) -> io::Result<Stream> {
        let stream = TcpStream::from_std(stream);
        let mut stream = self.over(stream)?;
        if stream.handshake()? {
            return Ok(stream);
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "the server does not answer a handshake"))
    }

    /// Begins to connect, without waiting.
    pub fn connect(&self, address: SocketAddr) -> io::Result<Stream> {
        self.over(TcpStream::connect(address)?)
    }

    #[cfg_attr(not(feature = "tls"), allow(clippy::unnecessary_wraps))] // TLS can fail
    fn over(&self, stream: TcpStream) -> io::Result<Stream> {
        match self {
            Connector::Plain => Ok(Stream::Plain(stream)),
            #[cfg(feature = "tls")]
            Connector::Tls(client) => Ok(Stream::Tls(Box::new(client.over(stream)?))),
        }
    }
}

#[cfg(feature = "tls")]
pub mod tls {
    //! OpenSSL, as a client that believes every certificate.

    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};

    use mio::net::TcpStream;
    use openssl::ssl::{
        Error, ErrorCode, Ssl, SslContext, SslMethod, SslSession, SslSessionCacheMode, SslStream,
        SslVerifyMode, SslVersion,
    };

    /// The last session that a server has given.
    type LastSession = Arc<Mutex<Option<SslSession>>>;

    pub struct Client {
        context: SslContext,
        session: Option<LastSession>,
    }

    impl Client {
        pub fn new(resume: bool) -> io::Result<Self> {
            let mut context = SslContext::builder(SslMethod::tls_client())?;
            context.set_verify(SslVerifyMode::NONE);
            context.set_min_proto_version(Some(SslVersion::TLS1_3))?;
            let session = resume.then(LastSession::default);
            if let Some(last) = session.clone() {
                let mode = SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL;
                context.set_session_cache_mode(mode);
                context.set_new_session_callback(move |_, session| {
                    *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
                });
            }
            Ok(Self { context: context.build(), session })
        }

        pub fn over(&self, stream: TcpStream) -> io::Result<SslStream<TcpStream>> {
            let mut ssl = Ssl::new(&self.context)?;
            if let Some(last) = &self.session
                && let Some(session) = last.lock().unwrap_or_else(PoisonError::into_inner).take()
            {
                // SAFETY: the session was made with this very context.
                unsafe { ssl.set_session(&session)? };
            }
            Ok(SslStream::new(ssl, stream)?)
        }
    }

    /// Whether a step of the handshake was the last.
    pub fn advanced(outcome: Result<(), Error>) -> io::Result<bool> {
        match outcome {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.code(), ErrorCode::WANT_READ | ErrorCode::WANT_WRITE) => Ok(false),
            Err(error) => Err(error.into_io_error().unwrap_or_else(io::Error::other)),
        }
    }
}
