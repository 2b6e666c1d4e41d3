//! The numbers of the calls that set users and groups: on some machines there are older ones with 16 bits.

use std::ffi::c_long;

#[cfg(not(any(target_arch = "x86", target_arch = "arm")))]
mod numbers {
    pub use libc::{SYS_setgroups as SETGROUPS, SYS_setregid as SETREGID, SYS_setreuid as SETREUID};
}

#[cfg(any(target_arch = "x86", target_arch = "arm"))]
mod numbers {
    pub use libc::{SYS_setgroups32 as SETGROUPS, SYS_setregid32 as SETREGID, SYS_setreuid32 as SETREUID};
}

pub(super) const SETGROUPS: c_long = numbers::SETGROUPS;
pub(super) const SETREGID: c_long = numbers::SETREGID;
pub(super) const SETREUID: c_long = numbers::SETREUID;
