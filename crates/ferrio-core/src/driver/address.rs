//! Socket addresses between the kernel's `sockaddr` and plain data.
//!
//! Not `std::net::SocketAddr` alone, because the sockets that Python hands us come in families that std has no words
//! for; what is not understood here is passed on as bytes for Python's own socket module to read.

use std::io;
use std::mem::{self, MaybeUninit, offset_of};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// The address of a socket or of its peer.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Address {
    /// IPv4 or IPv6. `flowinfo` is in host order, as Python shows it.
    Inet(SocketAddr),
    /// A Unix path without its closing NUL, an abstract name with its leading NUL, or nothing (unnamed).
    Unix(Vec<u8>),
    /// Any other family, with the bytes that follow the family in the kernel's record.
    Other { family: i32, data: Vec<u8> },
}

/// An IPv4 address in dotted decimals, as Rust and the C library write it. A server of datagrams shows one to its protocol
/// for each, and Rust's formatting would be a fifth of what ferrio and the interpreter do for it.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4Text {
    text: [u8; Self::LONGEST],
    len: usize,
}

impl Ipv4Text {
    const LONGEST: usize = "255.255.255.255".len();

    /// The text of an address.
    #[must_use]
    pub fn of(ip: Ipv4Addr) -> Self {
        let mut this = Self { text: [0; Self::LONGEST], len: 0 };
        for (place, octet) in ip.octets().into_iter().enumerate() {
            if place > 0 {
                this.push(b'.');
            }
            if octet >= 100 {
                this.push(b'0' + octet / 100);
            }
            if octet >= 10 {
                this.push(b'0' + octet / 10 % 10);
            }
            this.push(b'0' + octet % 10);
        }
        this
    }

    fn push(&mut self, byte: u8) {
        self.text[self.len] = byte;
        self.len += 1;
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // It is ASCII.
        std::str::from_utf8(&self.text[..self.len]).unwrap_or_default()
    }
}

/// A kernel address record with room for every family.
pub(super) struct Storage {
    record: MaybeUninit<libc::sockaddr_storage>,
    pub(super) len: libc::socklen_t,
}

impl Storage {
    /// Empty, for the kernel to fill.
    pub(super) fn new() -> Self {
        Self { record: MaybeUninit::zeroed(), len: 0 }
    }

    /// A copy of the first `len` bytes of a record, which may be none, and of no more than there is room for.
    ///
    /// # Safety
    /// `record` points to `len` initialised bytes.
    pub(super) unsafe fn copy_of(record: *const libc::sockaddr, len: libc::socklen_t) -> Self {
        let mut storage = Self::new();
        let len = (len as usize).min(size_of::<libc::sockaddr_storage>());
        if len > 0 {
            // SAFETY: as the caller promises; ours has room for the largest record, and is somewhere else.
            unsafe {
                std::ptr::copy_nonoverlapping(record.cast::<u8>(), storage.record.as_mut_ptr().cast(), len);
            }
        }
        storage.len = len as libc::socklen_t;
        storage
    }

    pub(super) fn as_ptr(&self) -> *const libc::sockaddr {
        self.record.as_ptr().cast()
    }

    /// The record, for a header that names it; it has room for every family.
    pub(super) fn as_mut_ptr(&mut self) -> *mut libc::sockaddr {
        self.record.as_mut_ptr().cast()
    }

    /// Has a syscall fill the record: `call` gets the record and its length, which tells the kernel how much room
    /// there is and comes back as what it filled.
    pub(super) fn fill_by<T>(
        &mut self,
        call: impl FnOnce(*mut libc::sockaddr, *mut libc::socklen_t) -> T,
    ) -> T {
        self.len = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        call(self.record.as_mut_ptr().cast(), &raw mut self.len)
    }

    /// The record as bytes, cut to what the kernel says it filled (which may be more than it had room for).
    fn bytes(&self) -> &[u8] {
        let len = (self.len as usize).min(size_of::<libc::sockaddr_storage>());
        // SAFETY: the record was zeroed when made, so all of its bytes are initialised, and `len` is within it.
        unsafe { std::slice::from_raw_parts(self.record.as_ptr().cast(), len) }
    }

    /// What the record says. A record cut short (an unnamed Unix socket has only a family) is read as far as it
    /// goes: the rest is zero.
    pub(super) fn decode(&self) -> Address {
        const PATH: usize = offset_of!(libc::sockaddr_un, sun_path);
        let bytes = self.bytes();
        if bytes.len() < size_of::<libc::sa_family_t>() {
            // What a connectionless peer without an address leaves behind.
            return Address::Other { family: libc::AF_UNSPEC, data: Vec::new() };
        }
        // SAFETY: zeroed memory of the largest record, aligned for each of them, and all are plain integers.
        let family = i32::from(unsafe { (*self.record.as_ptr()).ss_family });
        match family {
            libc::AF_INET => {
                // SAFETY: as above.
                let record = unsafe { &*self.record.as_ptr().cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from(u32::from_be(record.sin_addr.s_addr));
                Address::Inet(SocketAddrV4::new(ip, u16::from_be(record.sin_port)).into())
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let record = unsafe { &*self.record.as_ptr().cast::<libc::sockaddr_in6>() };
                let ip = Ipv6Addr::from(record.sin6_addr.s6_addr);
                let port = u16::from_be(record.sin6_port);
                let flowinfo = u32::from_be(record.sin6_flowinfo);
                Address::Inet(SocketAddrV6::new(ip, port, flowinfo, record.sin6_scope_id).into())
            }
            libc::AF_UNIX => {
                let path = bytes.get(PATH..).unwrap_or_default();
                let path = match path.first() {
                    // An abstract name is as long as the record says, NULs included.
                    Some(0) => path,
                    _ => path.split(|byte| *byte == 0).next().unwrap_or_default(),
                };
                Address::Unix(path.to_vec())
            }
            _ => Address::Other { family, data: bytes[size_of::<libc::sa_family_t>()..].to_vec() },
        }
    }

    /// The kernel's record of `address`. Errors: `InvalidInput` for a name too long for its family.
    pub(super) fn encode(address: &Address) -> io::Result<Self> {
        let mut storage = Self::new();
        match address {
            Address::Inet(SocketAddr::V4(address)) => {
                // SAFETY: zeroed memory of the largest record, aligned for each of them, and exclusively ours.
                let record = unsafe { &mut *storage.record.as_mut_ptr().cast::<libc::sockaddr_in>() };
                record.sin_family = libc::AF_INET as libc::sa_family_t;
                record.sin_port = address.port().to_be();
                record.sin_addr.s_addr = u32::from(*address.ip()).to_be();
                storage.len = mem::size_of_val(record) as libc::socklen_t;
            }
            Address::Inet(SocketAddr::V6(address)) => {
                // SAFETY: as above.
                let record = unsafe { &mut *storage.record.as_mut_ptr().cast::<libc::sockaddr_in6>() };
                record.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                record.sin6_port = address.port().to_be();
                record.sin6_flowinfo = address.flowinfo().to_be();
                record.sin6_addr.s6_addr = address.ip().octets();
                record.sin6_scope_id = address.scope_id();
                storage.len = mem::size_of_val(record) as libc::socklen_t;
            }
            Address::Unix(path) => {
                // A path needs room for its closing NUL, an abstract name does not.
                let room = size_of::<libc::sockaddr_un>() - offset_of!(libc::sockaddr_un, sun_path);
                let pathname = path.first().is_some_and(|byte| *byte != 0);
                if path.len() + usize::from(pathname) > room {
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, "AF_UNIX path too long"));
                }
                storage.fill(libc::AF_UNIX, offset_of!(libc::sockaddr_un, sun_path), path);
                storage.len += libc::socklen_t::from(pathname);
            }
            Address::Other { family, data } => {
                if data.len() > size_of::<libc::sockaddr_storage>() - size_of::<libc::sa_family_t>() {
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, "address too long"));
                }
                storage.fill(*family, size_of::<libc::sa_family_t>(), data);
            }
        }
        Ok(storage)
    }

    /// Writes the family, and `data` at `offset`. The caller has checked that it fits.
    fn fill(&mut self, family: i32, offset: usize, data: &[u8]) {
        // SAFETY: zeroed memory, exclusively ours, seen as its own bytes.
        let bytes = unsafe {
            std::slice::from_raw_parts_mut(
                self.record.as_mut_ptr().cast::<u8>(),
                size_of::<libc::sockaddr_storage>(),
            )
        };
        bytes[offset..offset + data.len()].copy_from_slice(data);
        // SAFETY: the field lies within the record, which is zeroed and ours.
        unsafe { (*self.record.as_mut_ptr()).ss_family = family as libc::sa_family_t };
        self.len = (offset + data.len()) as libc::socklen_t;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(address: &Address) -> Address {
        Storage::encode(address).unwrap().decode()
    }

    #[test]
    fn the_text_of_an_ipv4_address_is_rusts() {
        for octet in 0..=u8::MAX {
            for octets in [[octet, 0, 10, 255], [1, octet, octet, 99], [255, 255, 255, octet]] {
                let ip = Ipv4Addr::from(octets);
                assert_eq!(Ipv4Text::of(ip).as_str(), ip.to_string());
            }
        }
    }

    #[test]
    fn every_family_survives_the_round_trip() {
        for address in [
            Address::Inet("127.0.0.1:8080".parse().unwrap()),
            Address::Inet(SocketAddrV6::new("fe80::1".parse().unwrap(), 443, 0x0123_4567, 7).into()),
            Address::Unix(b"/run/ferrio.sock".to_vec()),
            Address::Unix(b"\0abstract\0name".to_vec()),
            Address::Unix(Vec::new()),
            Address::Other { family: libc::AF_VSOCK, data: vec![0, 0, 1, 2, 3, 4] },
        ] {
            assert_eq!(there_and_back(&address), address);
        }
    }

    #[test]
    fn flowinfo_and_port_are_in_network_order_on_the_wire() {
        let address = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 0x1234, 0x0001_0203, 0);
        let storage = Storage::encode(&Address::Inet(address.into())).unwrap();
        assert_eq!(&storage.bytes()[2..8], &[0x12, 0x34, 0, 1, 2, 3]);
    }

    #[test]
    fn paths_have_the_length_the_kernel_allows() {
        let longest = Address::Unix(vec![b'a'; 107]);
        assert_eq!(there_and_back(&longest), longest);
        assert!(Storage::encode(&Address::Unix(vec![b'a'; 108])).is_err());
        let mut name = vec![b'a'; 108];
        name[0] = 0;
        assert_eq!(there_and_back(&Address::Unix(name.clone())), Address::Unix(name));
        assert!(Storage::encode(&Address::Other { family: 0, data: vec![0; 127] }).is_err());
    }

    #[test]
    fn a_record_without_even_a_family_is_unspecified() {
        assert_eq!(Storage::new().decode(), Address::Other { family: libc::AF_UNSPEC, data: vec![] });
    }
}
