//! The socket of a process that is looked into, and those that ask.
//!
//! One request, one answer: `tasks\n`, and a listing (`wire.rs`) up to the end of the connection. The other end is the
//! same user or root, or gets nothing, not even a reason. No end may keep the other: a request has [`REQUEST`] to come,
//! a write [`STALL`] to get on, an answer [`ANSWER`] in all, and so many are served at once.

use std::io::{self, BufWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::socket_peercred;

use super::place::Place;
use super::wire::read_up_to;

const REQUEST: Duration = Duration::from_secs(2);
const STALL: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(60);
const AT_ONCE: usize = 4;

const TASKS: &[u8] = b"tasks\n";

/// More than any listing has.
const MOST: u64 = 4 << 30;

/// The process at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Peer {
    pid: u32,
    uid: u32,
}

impl Peer {
    fn of(stream: &UnixStream) -> io::Result<Peer> {
        let credentials = socket_peercred(stream)?;
        Ok(Peer { pid: credentials.pid.as_raw_nonzero().get().unsigned_abs(), uid: credentials.uid.as_raw() })
    }

    fn may_ask(self) -> bool {
        self.uid == 0 || self.uid == rustix::process::geteuid().as_raw()
    }
}

/// A stream that gives up at a time.
struct Timed<'a> {
    stream: &'a UnixStream,
    end: Instant,
    /// For how long one call may wait.
    stall: Duration,
}

impl Timed<'_> {
    fn limit(&self) -> io::Result<Option<Duration>> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(Some(left.min(self.stall)))
    }
}

fn timed_out<T>(result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| match error.kind() {
        // What a socket with a timeout says.
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    })
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.limit()?)?;
        timed_out((&mut &*self.stream).read(buffer))
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.limit()?)?;
        timed_out((&mut &*self.stream).write(data))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a listing.
pub type Answer = Arc<dyn Fn(&mut dyn Write) -> io::Result<()> + Send + Sync>;

/// The socket of this process.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
}

impl Listener {
    /// A socket called `name` in `place`, in place of one that a process before has left.
    ///
    /// # Errors
    /// Those of the system.
    pub fn open(place: &Place, name: &str) -> io::Result<Listener> {
        let path = place.reach(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(Listener { socket })
    }

    /// The descriptor, which a forked child has to close.
    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Serves what connects, until the process ends.
    pub fn serve(self, answer: Answer) {
        let busy = Arc::new(AtomicUsize::new(0));
        loop {
            let Ok((stream, _)) = self.socket.accept() else {
                // The process may be out of descriptors; what connects waits.
                thread::sleep(Duration::from_millis(100));
                continue;
            };
            if !Peer::of(&stream).is_ok_and(Peer::may_ask) || busy.load(Ordering::Relaxed) >= AT_ONCE {
                continue;
            }
            busy.fetch_add(1, Ordering::Relaxed);
            let (answer, left) = (Arc::clone(&answer), Arc::clone(&busy));
            let serving = thread::Builder::new().name("ferrio-monitor".to_owned()).spawn(move || {
                // A client that has gone or misbehaves gets nothing more, and nobody is told.
                drop(serve_one(&stream, &answer));
                left.fetch_sub(1, Ordering::Relaxed);
            });
            if serving.is_err() {
                busy.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

fn serve_one(stream: &UnixStream, answer: &Answer) -> io::Result<()> {
    let mut request = Timed { stream, end: Instant::now() + REQUEST, stall: REQUEST };
    let mut line = [0; TASKS.len()];
    request.read_exact(&mut line)?;
    if line != TASKS {
        return Err(io::ErrorKind::InvalidData.into());
    }
    write_answer(stream, answer)
}

fn write_answer(stream: &UnixStream, answer: &Answer) -> io::Result<()> {
    // The time for the answer begins with its first byte: taking the tasks down may wait for the program.
    let mut out = Late { stream, timed: None };
    let mut buffered = BufWriter::with_capacity(64 * 1024, &mut out);
    answer(&mut buffered)?;
    buffered.flush()
}

/// A stream whose time begins with the first write.
struct Late<'a> {
    stream: &'a UnixStream,
    timed: Option<Timed<'a>>,
}

impl Write for Late<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let stream = self.stream;
        self.timed
            .get_or_insert_with(|| Timed { stream, end: Instant::now() + ANSWER, stall: STALL })
            .write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends a listing to the socket at `path`, where somebody waits for it.
///
/// # Errors
/// Those of the system.
pub fn send_to(path: &Path, answer: &Answer) -> io::Result<()> {
    write_answer(&UnixStream::connect(path)?, answer)
}

/// A connection to the socket of a process.
#[derive(Debug)]
pub struct Client(UnixStream);

impl Client {
    /// Connects to the process `pid` at `path`.
    ///
    /// # Errors
    /// Those of the system; `PermissionDenied` if another process listens there.
    pub fn connect(path: &Path, pid: u32) -> io::Result<Client> {
        let stream = UnixStream::connect(path)?;
        check_pid(&stream, pid)?;
        Ok(Client(stream))
    }
}

fn check_pid(stream: &UnixStream, pid: u32) -> io::Result<()> {
    let peer = Peer::of(stream)?;
    if peer.pid == pid {
        return Ok(());
    }
    let message = format!("the process at the other end of the socket is {}, not {pid}", peer.pid);
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

/// Asks a process for its tasks; `patience` is how long it may be silent.
///
/// # Errors
/// `TimedOut`, `UnexpectedEof` for an empty answer, those of the system.
pub fn ask(client: &Client, patience: Duration) -> io::Result<Vec<u8>> {
    let mut timed = Timed { stream: &client.0, end: Instant::now() + patience + ANSWER, stall: patience };
    timed.write_all(TASKS)?;
    read_all(timed)
}

fn read_all(mut timed: Timed<'_>) -> io::Result<Vec<u8>> {
    let answer = read_up_to(&mut timed, MOST)?;
    if answer.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(answer) }
}

/// Waits until the process `pid` connects to `listener`, and takes the listing that it sends.
///
/// # Errors
/// As [`ask`].
pub fn receive(listener: &Listener, pid: u32, patience: Duration) -> io::Result<Vec<u8>> {
    let limit = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: i64::from(patience.subsec_nanos()) };
    let mut wanted = [PollFd::from_borrowed_fd(listener.socket.as_fd(), PollFlags::IN)];
    if rustix::io::retry_on_intr(|| poll(&mut wanted, Some(&limit)))? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let (stream, _) = listener.socket.accept()?;
    check_pid(&stream, pid)?;
    read_all(Timed { stream: &stream, end: Instant::now() + patience + ANSWER, stall: patience })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        /// A process's socket whose answer is `answer`.
        fn serving(name: &str, answer: Answer) -> (Scratch, PathBuf) {
            let path = std::env::temp_dir().join(format!("ferrio-monitor-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            let place = Place::open(Some(&path)).unwrap();
            let listener = Listener::open(&place, "s").unwrap();
            thread::spawn(move || listener.serve(answer));
            (Scratch(path.clone()), path.join("s"))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn says(text: &'static [u8]) -> Answer {
        Arc::new(move |out: &mut dyn Write| out.write_all(text))
    }

    #[test]
    fn a_question_is_answered() {
        let (_scratch, path) = Scratch::serving("answered", says(b"hello"));
        for _ in 0..10 {
            let client = Client::connect(&path, std::process::id()).unwrap();
            assert_eq!(ask(&client, Duration::from_secs(30)).unwrap(), b"hello");
        }
        assert!(Client::connect(&path, 1).is_err());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_no_question_gets_no_answer() {
        let (_scratch, path) = Scratch::serving("none", says(b"hello"));
        for request in [&b"task\n!"[..], b"", b"tasks", b"\0\0\0\0\0\0\0\0", &[0xff; 5000]] {
            let mut stream = UnixStream::connect(&path).unwrap();
            // It may close before all of it is written.
            let _ = stream.write_all(request);
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            // Closed with bytes unread it is a reset.
            let _ = stream.read_to_end(&mut answer);
            assert_eq!(answer, b"", "{request:?}");
        }
        let client = Client::connect(&path, std::process::id()).unwrap();
        assert_eq!(ask(&client, Duration::from_secs(30)).unwrap(), b"hello");
    }

    #[test]
    fn silent_clients_are_let_go_and_others_served_meanwhile() {
        let (_scratch, path) = Scratch::serving("silent", says(b"hello"));
        let mut silent = UnixStream::connect(&path).unwrap();
        let client = Client::connect(&path, std::process::id()).unwrap();
        assert_eq!(ask(&client, Duration::from_secs(30)).unwrap(), b"hello");
        // Its own end: the deadline of a request has passed.
        assert_eq!(silent.read(&mut [0; 8]).unwrap(), 0);
    }

    #[test]
    fn a_writer_that_does_not_get_on_gives_up() {
        let (here, _there) = UnixStream::pair().unwrap();
        let mut timed = Timed {
            stream: &here,
            end: Instant::now() + Duration::from_secs(30),
            stall: Duration::from_millis(10),
        };
        let error = timed.write_all(&vec![0; 16 << 20]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        timed.end = Instant::now();
        assert_eq!(timed.write_all(b"x").unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_listing_that_is_sent_is_received() {
        let path = std::env::temp_dir().join(format!("ferrio-monitor-sent-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        let place = Place::open(Some(&path)).unwrap();
        let listener = Listener::open(&place, "s").unwrap();
        let sender = {
            let path = path.join("s");
            thread::spawn(move || send_to(&path, &says(b"hello")).unwrap())
        };
        assert_eq!(receive(&listener, std::process::id(), Duration::from_secs(30)).unwrap(), b"hello");
        sender.join().unwrap();
        let error = receive(&listener, std::process::id(), Duration::from_millis(1)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        fs::remove_dir_all(path).unwrap();
    }
}
