//! `get_extra_info()` of transports over sockets: `'socket'`, `'sockname'`, `'peername'`, and what was given besides.
//!
//! Each entry is made when it is first asked for, since many connections are never asked. The addresses are taken at the
//! beginning, though: a connection that was reset has no peer any more.

use std::cell::{Cell, RefCell};

use ferrio_core::driver::Address;
use ferrio_object::{Obj, ObjCell};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::address;
use super::held_socket::HeldSocket;
use crate::trsock::TransportSocket;

/// The three entries, as bits.
const SOCKET: u8 = 1;
const SOCKNAME: u8 = 2;
const PEERNAME: u8 = 4;
const ALL: u8 = SOCKET | SOCKNAME | PEERNAME;

/// asyncio's `_extra`.
#[derive(Default)]
pub(super) struct ExtraInfo {
    /// The mapping that was given, or a dict of ours from when somebody asks.
    mapping: ObjCell,
    /// Entries that are not in the mapping yet.
    missing: Cell<u8>,
    local: RefCell<Option<Address>>,
    peer: RefCell<Option<Address>>,
}

ferrio_object::traverse!(struct ExtraInfo { mapping, missing, local, peer });

impl ExtraInfo {
    /// Takes over what was given, and the addresses.
    ///
    /// # Errors
    /// What the mapping raises.
    pub(super) fn begin(
        &self,
        py: Python<'_>,
        given: Option<Obj>,
        local: Option<Address>,
        peer: Option<Address>,
    ) -> PyResult<()> {
        let has_peer = match &given {
            Some(given) => given.bind(py).contains(intern!(py, "peername"))?,
            None => false,
        };
        self.missing.set(if has_peer { SOCKET | SOCKNAME } else { ALL });
        self.mapping.set(given);
        *self.local.borrow_mut() = local;
        *self.peer.borrow_mut() = peer;
        Ok(())
    }

    /// `get_extra_info(name, default)`.
    ///
    /// # Errors
    /// What making the entry raises, and what the mapping raises.
    pub(super) fn get(
        &self,
        py: Python<'_>,
        sock: &HeldSocket,
        name: &Bound<'_, PyAny>,
        default: &Bound<'_, PyAny>,
    ) -> PyResult<Obj> {
        // Whatever is not a string may be equal to one.
        let bits = name.cast::<PyString>().ok().and_then(|name| name.to_str().ok()).map_or(ALL, bit_of);
        if bits & self.missing.get() == 0 {
            return match self.mapping.get() {
                Some(mapping) => look_up(mapping.bind(py), name, default),
                None => Ok(default.into()),
            };
        }
        look_up(&self.with(py, sock, bits)?, name, default)
    }

    /// The mapping with every entry in it.
    ///
    /// # Errors
    /// What making an entry raises.
    pub(super) fn whole<'py>(&self, py: Python<'py>, sock: &HeldSocket) -> PyResult<Bound<'py, PyAny>> {
        self.with(py, sock, ALL)
    }

    /// Puts another mapping in the place of all.
    pub(super) fn replace(&self, mapping: Option<Obj>) {
        self.missing.set(0);
        self.mapping.set(mapping);
    }

    fn with<'py>(&self, py: Python<'py>, sock: &HeldSocket, wanted: u8) -> PyResult<Bound<'py, PyAny>> {
        let mapping = match self.mapping.get() {
            Some(mapping) => mapping.into_bound(py),
            None => {
                let made = PyDict::new(py).into_any();
                self.mapping.set(Some((&made).into()));
                made
            }
        };
        for bit in [SOCKET, SOCKNAME, PEERNAME] {
            if wanted & self.missing.get() & bit == 0 {
                continue;
            }
            let (name, value) = match bit {
                SOCKET => (intern!(py, "socket"), TransportSocket::wrap(py, &sock.object(py)?)?.into_any()),
                SOCKNAME => {
                    let local = self.local.borrow().clone();
                    (intern!(py, "sockname"), shown(py, sock, local, intern!(py, "getsockname"))?)
                }
                _ => {
                    let peer = self.peer.borrow().clone();
                    (intern!(py, "peername"), shown(py, sock, peer, intern!(py, "getpeername"))?)
                }
            };
            mapping.set_item(name, value)?;
            self.missing.set(self.missing.get() & !bit);
        }
        Ok(mapping)
    }
}

/// `mapping.get(name, default)`, of anything that was given for a dict.
///
/// # Errors
/// What the mapping raises.
pub(super) fn look_up(
    mapping: &Bound<'_, PyAny>,
    name: &Bound<'_, PyAny>,
    default: &Bound<'_, PyAny>,
) -> PyResult<Obj> {
    match mapping.cast_exact::<PyDict>() {
        Ok(mapping) => Ok(mapping.get_item(name)?.map_or_else(|| default.into(), Obj::from)),
        Err(_) => Ok(mapping.call_method1(intern!(mapping.py(), "get"), (name, default))?.into()),
    }
}

/// Which entry a name is for, if any.
fn bit_of(name: &str) -> u8 {
    match name {
        "socket" => SOCKET,
        "sockname" => SOCKNAME,
        "peername" => PEERNAME,
        _ => 0,
    }
}

/// An address as Python shows it; `method` of the socket is asked for those that only Python's own module can show.
fn shown(
    py: Python<'_>,
    sock: &HeldSocket,
    found: Option<Address>,
    method: &Bound<'_, PyString>,
) -> PyResult<Obj> {
    let Some(found) = found else { return Ok(Obj::none(py)) };
    match address::shown(py, &found)? {
        Some(shown) => Ok(shown),
        None => Ok(sock.object(py)?.bind(py).call_method0(method).map_or_else(
            |err| {
                // Not connected, or a family without addresses: asyncio shows None.
                ferrio_object::swallow(py, err);
                Obj::none(py)
            },
            Obj::from,
        )),
    }
}
