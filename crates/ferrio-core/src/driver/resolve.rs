//! `getaddrinfo` and `getnameinfo` of the C library, with its own codes and words for what went wrong.
//!
//! They wait for name servers, so they are called on the threads of [`blocking`](crate::blocking). With a host that is
//! a number, and a service that is one, they ask nobody and may be called anywhere.

use std::ffi::{CStr, c_char, c_int};
use std::io;
use std::ptr;

use super::address::{Address, Storage};

/// What addresses are wanted; zero is "any".
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Hints {
    pub family: i32,
    pub kind: i32,
    pub protocol: i32,
    /// `AI_*`.
    pub flags: i32,
}

/// One address of a host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Info {
    pub family: i32,
    pub kind: i32,
    pub protocol: i32,
    /// With `AI_CANONNAME`, in the first of the infos; else empty.
    pub canonical_name: Vec<u8>,
    pub address: Address,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// `EAI_*`, and what the C library calls it.
    Resolver { code: i32, message: String },
    /// `EAI_SYSTEM`: a system call failed.
    System(io::Error),
}

impl Failure {
    /// To be called right after the call that returned `code`: it may have to look at `errno`.
    fn new(code: c_int) -> Self {
        if code == libc::EAI_SYSTEM {
            return Self::System(io::Error::last_os_error());
        }
        // SAFETY: takes no pointers.
        let message = unsafe { libc::gai_strerror(code) };
        // SAFETY: a constant string of the C library.
        let message = unsafe { CStr::from_ptr(message) };
        Self::Resolver { code, message: message.to_string_lossy().into_owned() }
    }
}

/// The list that the C library made, given back to it when dropped.
struct List(*mut libc::addrinfo);

impl Drop for List {
    fn drop(&mut self) {
        // Not every C library takes a null pointer.
        if !self.0.is_null() {
            // SAFETY: a list that getaddrinfo made, freed once.
            unsafe { libc::freeaddrinfo(self.0) };
        }
    }
}

/// The addresses of `host` (all interfaces, or the loopback, if there is none) and `service` (port 0).
///
/// # Errors
/// What the resolver says.
pub fn addresses(host: Option<&CStr>, service: Option<&CStr>, hints: Hints) -> Result<Vec<Info>, Failure> {
    // SAFETY: an all-zero record asks for everything.
    let mut wanted: libc::addrinfo = unsafe { std::mem::zeroed() };
    wanted.ai_family = hints.family;
    wanted.ai_socktype = hints.kind;
    wanted.ai_protocol = hints.protocol;
    wanted.ai_flags = hints.flags;
    let mut list = List(ptr::null_mut());
    let or_null = |text: Option<&CStr>| text.map_or(ptr::null(), CStr::as_ptr);
    // SAFETY: live strings or none, a record to read, and a place for the list.
    let code =
        unsafe { libc::getaddrinfo(or_null(host), or_null(service), &raw const wanted, &raw mut list.0) };
    if code != 0 {
        return Err(Failure::new(code));
    }
    let mut infos = Vec::new();
    let mut next = list.0;
    while !next.is_null() {
        // SAFETY: a member of the list, which lives until it is dropped below.
        let info = unsafe { &*next };
        let canonical_name = if info.ai_canonname.is_null() {
            Vec::new()
        } else {
            // SAFETY: a string that belongs to the list.
            unsafe { CStr::from_ptr(info.ai_canonname) }.to_bytes().to_vec()
        };
        // SAFETY: the address belongs to the list, and is as long as it says.
        let address = unsafe { Storage::copy_of(info.ai_addr, info.ai_addrlen) }.decode();
        infos.push(Info {
            family: info.ai_family,
            kind: info.ai_socktype,
            protocol: info.ai_protocol,
            canonical_name,
            address,
        });
        next = info.ai_next;
    }
    drop(list);
    Ok(infos)
}

/// The names of a host and of a service. `flags` are `NI_*`.
///
/// # Errors
/// What the resolver says; `InvalidInput` for an address too long for its family.
pub fn names(address: &Address, flags: i32) -> Result<(Vec<u8>, Vec<u8>), Failure> {
    /// What the C library's headers recommend, which is what Python gives it.
    const MAX_SERVICE: usize = 32;
    let address = Storage::encode(address).map_err(Failure::System)?;
    let mut host: [c_char; libc::NI_MAXHOST as usize] = [0; _];
    let mut service: [c_char; MAX_SERVICE] = [0; _];
    // SAFETY: a live record, and places for the names with their lengths.
    let code = unsafe {
        libc::getnameinfo(
            address.as_ptr(),
            address.len,
            host.as_mut_ptr(),
            host.len() as libc::socklen_t,
            service.as_mut_ptr(),
            service.len() as libc::socklen_t,
            flags,
        )
    };
    if code != 0 {
        return Err(Failure::new(code));
    }
    Ok((text(&host), text(&service)))
}

/// A string up to its NUL.
fn text(chars: &[c_char]) -> Vec<u8> {
    chars.iter().take_while(|char| **char != 0).map(|char| *char as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(host: Option<&CStr>, service: Option<&CStr>, kind: i32) -> Result<Vec<Info>, Failure> {
        let flags = libc::AI_NUMERICHOST | libc::AI_NUMERICSERV;
        addresses(host, service, Hints { kind, flags, ..Hints::default() })
    }

    #[test]
    fn a_number_is_its_own_address() {
        let infos = numeric(Some(c"::1"), Some(c"80"), libc::SOCK_STREAM).unwrap();
        let expected = Info {
            family: libc::AF_INET6,
            kind: libc::SOCK_STREAM,
            protocol: libc::IPPROTO_TCP,
            canonical_name: Vec::new(),
            address: Address::Inet("[::1]:80".parse().unwrap()),
        };
        assert_eq!(infos, [expected]);
    }

    #[test]
    fn no_host_is_both_families() {
        let infos = numeric(None, Some(c"0"), libc::SOCK_DGRAM).unwrap();
        let mut families: Vec<i32> = infos.iter().map(|info| info.family).collect();
        families.sort_unstable();
        assert_eq!(families, [libc::AF_INET, libc::AF_INET6]);
    }

    #[test]
    fn failures_have_code_and_words() {
        match numeric(Some(c"not.a.number"), None, 0) {
            Err(Failure::Resolver { code, message }) => {
                assert_eq!(code, libc::EAI_NONAME);
                assert!(!message.is_empty());
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_of_numbers() {
        let address = Address::Inet("127.0.0.1:8080".parse().unwrap());
        let (host, service) = names(&address, libc::NI_NUMERICHOST | libc::NI_NUMERICSERV).unwrap();
        assert_eq!((&host[..], &service[..]), (&b"127.0.0.1"[..], &b"8080"[..]));
    }
}
