//! The data path's syscalls on real sockets and pipes.

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};

use ferrio_core::driver::Address;
use ferrio_core::driver::socket::{self, FileKind};

fn flags(fd: RawFd) -> (bool, bool) {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
    let octal = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
    let flags = i32::from_str_radix(octal, 8).unwrap();
    (flags & libc::O_NONBLOCK != 0, flags & libc::O_CLOEXEC != 0)
}

#[test]
fn receive_and_end_of_stream() {
    let (a, b) = UnixStream::pair().unwrap();
    let fd = a.as_raw_fd();
    socket::set_nonblocking(fd).unwrap();
    assert_eq!(flags(fd), (true, true));
    let mut buffer = [0; 4];
    assert_eq!(socket::recv(fd, &mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
    (&b).write_all(b"abcdefghij").unwrap();
    assert_eq!(socket::recv(fd, &mut buffer).unwrap(), 4);
    assert_eq!(&buffer, b"abcd");
    let mut raw = [MaybeUninit::uninit(); 2];
    assert_eq!(socket::recv_into_uninit(fd, &mut raw).unwrap(), 2);
    let mut vec = Vec::with_capacity(64);
    vec.push(b'>');
    assert_eq!(socket::recv_uninit(fd, &mut vec).unwrap(), 4);
    assert_eq!(vec, b">ghij");
    socket::shutdown_write(b.as_raw_fd()).unwrap();
    assert_eq!(socket::recv_uninit(fd, &mut vec).unwrap(), 0);
    assert_eq!(socket::send(fd, b"still open").unwrap(), 10);
}

/// A closed peer must be an error and not a signal: the test process would die of it.
#[test]
fn a_closed_peer_is_an_error() {
    let (a, b) = UnixStream::pair().unwrap();
    drop(b);
    let fd = a.as_raw_fd();
    assert_eq!(socket::send(fd, b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    let slices = [IoSlice::new(b"x"), IoSlice::new(b"y")];
    assert_eq!(socket::send_vectored(fd, &slices).unwrap_err().kind(), ErrorKind::BrokenPipe);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(socket::write(writer.as_raw_fd(), b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn slices_arrive_in_order_however_many() {
    let chunks: Vec<Vec<u8>> = (0..3000_u32).map(|n| n.to_be_bytes()[2..].to_vec()).collect();
    let slices: Vec<_> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
    let (a, mut b) = UnixStream::pair().unwrap();
    assert_eq!(socket::send_vectored(a.as_raw_fd(), &slices).unwrap(), 2 * socket::MAX_SLICES);
    let (mut reader, writer) = std::io::pipe().unwrap();
    assert_eq!(socket::write_vectored(writer.as_raw_fd(), &slices).unwrap(), 2 * socket::MAX_SLICES);
    assert_eq!(socket::send_vectored(a.as_raw_fd(), &[]).unwrap(), 0);
    drop((a, writer));
    let expected = chunks[..socket::MAX_SLICES].concat();
    for source in [&mut b as &mut dyn Read, &mut reader] {
        let mut received = Vec::new();
        source.read_to_end(&mut received).unwrap();
        assert_eq!(received, expected);
    }
}

#[test]
fn a_full_socket_takes_part_and_then_nothing() {
    let (a, _b) = UnixStream::pair().unwrap();
    socket::set_nonblocking(a.as_raw_fd()).unwrap();
    let data = vec![0; 16 * 1024 * 1024];
    let taken = socket::send(a.as_raw_fd(), &data).unwrap();
    assert!(taken > 0 && taken < data.len());
    loop {
        match socket::send_vectored(a.as_raw_fd(), &[IoSlice::new(&data)]) {
            Ok(_) => {}
            Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
}

#[test]
fn pipes_read_and_write() {
    let (reader, writer) = std::io::pipe().unwrap();
    socket::set_nonblocking(reader.as_raw_fd()).unwrap();
    let mut buffer = [0; 3];
    assert_eq!(socket::read(reader.as_raw_fd(), &mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(socket::write(writer.as_raw_fd(), b"abcdef").unwrap(), 6);
    assert_eq!(socket::read(reader.as_raw_fd(), &mut buffer).unwrap(), 3);
    assert_eq!(&buffer, b"abc");
    let mut vec = Vec::with_capacity(10);
    assert_eq!(socket::read_uninit(reader.as_raw_fd(), &mut vec).unwrap(), 3);
    assert_eq!(vec, b"def");
    drop(writer);
    assert_eq!(socket::read_uninit(reader.as_raw_fd(), &mut vec).unwrap(), 0);
    // Socket calls on a pipe say so, rather than working by accident.
    assert_eq!(
        socket::recv(reader.as_raw_fd(), &mut buffer).unwrap_err().raw_os_error(),
        Some(libc::ENOTSOCK)
    );
}

#[test]
fn accepted_connections_are_nonblocking_and_closed_on_exec() {
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        // Not every machine of a CI has IPv6.
        let Ok(listener) = TcpListener::bind(bind) else { continue };
        let fd = listener.as_raw_fd();
        socket::set_nonblocking(fd).unwrap();
        assert_eq!(socket::accept(fd).unwrap_err().kind(), ErrorKind::WouldBlock);
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, peer) = socket::accept(fd).unwrap();
        let accepted = accepted.as_raw_fd();
        assert_eq!(flags(accepted), (true, true));
        assert_eq!(peer, Address::Inet(client.local_addr().unwrap()));
        assert_eq!(socket::local_address(accepted).unwrap(), Address::Inet(client.peer_addr().unwrap()));
        assert_eq!(socket::peer_address(accepted).unwrap(), peer);
        socket::set_nodelay(accepted).unwrap();
        assert_eq!(socket::peer_address(fd).unwrap_err().kind(), ErrorKind::NotConnected);
    }
}

#[test]
fn unix_peers_are_named_or_not() {
    let path = std::env::temp_dir().join(format!("ferrio-core-{}.sock", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let _client = UnixStream::connect(&path).unwrap();
    let (accepted, peer) = socket::accept(listener.as_raw_fd()).unwrap();
    assert_eq!(peer, Address::Unix(Vec::new()));
    let local = socket::local_address(accepted.as_raw_fd()).unwrap();
    assert_eq!(local, Address::Unix(path.to_str().unwrap().into()));
    std::fs::remove_file(path).unwrap();
    assert!(socket::set_nodelay(accepted.as_raw_fd()).is_err());
}

#[test]
fn datagrams_carry_their_sender() {
    let (a, b) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let to = Address::Inet(b.local_addr().unwrap());
    for data in [&b"hello"[..], b""] {
        assert_eq!(socket::send_to(a.as_raw_fd(), data, &to).unwrap(), data.len());
        let mut buffer = [0; 16];
        let (count, sender) = socket::recv_from(b.as_raw_fd(), &mut buffer).unwrap();
        assert_eq!(&buffer[..count], data);
        assert_eq!(sender, Address::Inet(a.local_addr().unwrap()));
    }
    let too_long = Address::Unix(vec![b'a'; 200]);
    assert_eq!(socket::send_to(a.as_raw_fd(), b"", &too_long).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_pending_error_is_taken_once() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // Connected to itself, it holds its port but takes no datagram of ours.
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    nobody.connect(address).unwrap();
    assert!(socket::take_error(socket.as_raw_fd()).unwrap().is_none());
    socket.connect(address).unwrap();
    socket.send(b"x").unwrap();
    // On the loopback the refusal is there before the send returns.
    let error = socket::take_error(socket.as_raw_fd()).unwrap().unwrap();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(socket::take_error(socket.as_raw_fd()).unwrap().is_none());
}

#[test]
fn kinds_of_files() {
    let (reader, _writer) = std::io::pipe().unwrap();
    let (a, _b) = UnixStream::pair().unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    assert_eq!(socket::file_kind(reader.as_raw_fd()).unwrap(), FileKind::Fifo);
    assert_eq!(socket::file_kind(file.as_raw_fd()).unwrap(), FileKind::Other);
    assert!(socket::is_fifo(reader.as_raw_fd()).unwrap());
    assert!(socket::is_socket(a.as_raw_fd()).unwrap());
    assert!(socket::is_char_device(null.as_raw_fd()).unwrap());
    assert!(!socket::is_socket(null.as_raw_fd()).unwrap());
    assert_eq!(socket::is_socket(-1).unwrap_err().raw_os_error(), Some(libc::EBADF));
}
