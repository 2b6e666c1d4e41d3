//! Threads that the interpreter ends stay where they are.
//!
//! A thread that wants the GIL while the interpreter finalizes is ended, up to 3.13, by `pthread_exit`, which in glibc
//! unwinds its stack: any call into Python may so never return, and run the destructors of our frames on its way,
//! without the GIL, or meet a frame that is not to be unwound, and abort. From 3.14 on CPython lets such a thread wait
//! for ever instead, and so do we (the process is about to end).
//!
//! Where the unwinder comes to a frame of ours is known to one function: the personality routine of Rust's frames,
//! which it asks what there is to run. Its address is in a word that all our unwind tables refer to. We put our own
//! there, which lets everything pass but a forced unwind. It costs nothing where none happens.
//!
//! The C library musl does not unwind in `pthread_exit`.

#[cfg(all(target_os = "linux", target_env = "gnu", not(Py_3_14)))]
pub use glibc::stop_forced_unwinds;

/// Makes threads that are ended by a forced unwind stop before the first frame of this library is unwound.
#[cfg(not(all(target_os = "linux", target_env = "gnu", not(Py_3_14))))]
pub fn stop_forced_unwinds() {}

#[cfg(all(target_os = "linux", target_env = "gnu", not(Py_3_14)))]
mod glibc {
    use std::ffi::{c_int, c_void};
    use std::panic::catch_unwind;
    use std::ptr::{self, NonNull};
    use std::sync::atomic::{AtomicPtr, Ordering};

    /// A personality routine, as the Itanium C++ ABI has it: version, actions, class of the exception, exception,
    /// context.
    type Personality = unsafe extern "C" fn(c_int, c_int, u64, *mut c_void, *mut c_void) -> c_int;

    /// What the actions have when no frame may stop the unwinding.
    const FORCE_UNWIND: c_int = 8;

    /// Rust's own.
    static ORIGINAL: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

    unsafe extern "C" fn personality(
        version: c_int,
        actions: c_int,
        class: u64,
        exception: *mut c_void,
        context: *mut c_void,
    ) -> c_int {
        if actions & FORCE_UNWIND != 0 {
            loop {
                // SAFETY: takes nothing; returns when a signal handler has run.
                unsafe { libc::pause() };
            }
        }
        // SAFETY: written with a personality routine before this one was put in its place; the arguments are its.
        unsafe {
            let original: Personality = std::mem::transmute(ORIGINAL.load(Ordering::Relaxed));
            original(version, actions, class, exception, context)
        }
    }

    /// Makes threads that are ended by a forced unwind stop before the first frame of this library is unwound.
    ///
    /// Where the tables are not as expected (another architecture's or linker's), nothing is changed.
    pub fn stop_forced_unwinds() {
        let Some(slot) = personality_slot() else { return };
        if ORIGINAL.load(Ordering::Relaxed).is_null() && make_writable(slot) {
            // SAFETY: the word from which the unwinder takes the address of the personality routine, aligned, valid as
            // long as the library, and read by whole words.
            let slot = unsafe { AtomicPtr::from_ptr(slot.as_ptr()) };
            ORIGINAL.store(slot.load(Ordering::Relaxed), Ordering::Relaxed);
            slot.store(personality as *mut c_void, Ordering::Release);
        }
    }

    /// A function of which is known that it has something to do when it is unwound.
    #[inline(never)]
    fn with_landing_pad(f: fn()) -> bool {
        catch_unwind(f).is_ok()
    }

    /// `struct dwarf_eh_bases` of the compilers' unwind library.
    #[repr(C)]
    struct Bases {
        text: *mut c_void,
        data: *mut c_void,
        function: *mut c_void,
    }

    unsafe extern "C" {
        /// The unwind table's entry for the function that `pc` is in; null if there is none.
        fn _Unwind_Find_FDE(pc: *mut c_void, bases: *mut Bases) -> *const u8;
    }

    /// Where the address of our frames' personality routine is kept.
    fn personality_slot() -> Option<NonNull<*mut c_void>> {
        /// `DW_EH_PE_indirect | DW_EH_PE_pcrel | DW_EH_PE_sdata4`, and with `_sdata8`.
        const INDIRECT_4: u8 = 0x9b;
        const INDIRECT_8: u8 = 0x9c;

        let mut bases = Bases { text: ptr::null_mut(), data: ptr::null_mut(), function: ptr::null_mut() };
        let function: fn(fn()) -> bool = std::hint::black_box(with_landing_pad);
        // SAFETY: a place to write to, and any address will do. What is found is an entry as the Linux Standard Base
        // describes it (`.eh_frame`), which the reads below follow.
        unsafe {
            let entry = _Unwind_Find_FDE((function as *mut c_void).byte_add(1), &raw mut bases);
            if entry.is_null() {
                return None;
            }
            // Its second word is the distance back to the common entry: length, 0, version, augmentation string, …
            let distance_at = entry.add(4);
            let common = distance_at.offset(-(distance_at.cast::<i32>().read_unaligned() as isize));
            let mut at = Reader(common.add(8));
            let version = at.byte();
            if at.byte() != b'z' {
                return None;
            }
            let augmentation = at.0;
            while at.byte() != 0 {}
            at.leb128(); // code alignment
            at.leb128(); // data alignment
            // The register of the return address.
            if version == 1 {
                at.skip(1);
            } else {
                at.leb128();
            }
            at.leb128(); // length of what follows
            for i in 0.. {
                match augmentation.add(i).read() {
                    b'P' => break,
                    b'L' | b'R' => at.skip(1),
                    _ => return None,
                }
            }
            let encoding = at.byte();
            let distance = match encoding {
                INDIRECT_4 => at.0.cast::<i32>().read_unaligned() as isize,
                INDIRECT_8 => at.0.cast::<i64>().read_unaligned() as isize,
                _ => return None,
            };
            let slot = NonNull::new(at.0.offset(distance).cast_mut())?.cast::<*mut c_void>();
            slot.is_aligned().then_some(slot)
        }
    }

    /// Walks over a table.
    struct Reader(*const u8);

    impl Reader {
        /// # Safety
        /// There is a byte left.
        unsafe fn byte(&mut self) -> u8 {
            // SAFETY: by contract.
            unsafe {
                let byte = self.0.read();
                self.0 = self.0.add(1);
                byte
            }
        }

        /// # Safety
        /// There are as many bytes left.
        unsafe fn skip(&mut self, bytes: usize) {
            // SAFETY: by contract.
            self.0 = unsafe { self.0.add(bytes) };
        }

        /// Steps over a number of variable length.
        ///
        /// # Safety
        /// There is one.
        unsafe fn leb128(&mut self) {
            // SAFETY: by contract; the last byte has the top bit clear.
            while unsafe { self.byte() } & 0x80 != 0 {}
        }
    }

    /// Some linkers put the word among what is read-only once the library is loaded.
    fn make_writable(slot: NonNull<*mut c_void>) -> bool {
        // SAFETY: asks for a number; then the page of a variable of this library, of which only more is allowed.
        unsafe {
            let page = libc::sysconf(libc::_SC_PAGESIZE) as usize;
            let start = slot.as_ptr().cast::<c_void>().map_addr(|at| at & !(page - 1));
            libc::mprotect(start, page, libc::PROT_READ | libc::PROT_WRITE) == 0
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_tables_are_as_expected() {
            assert!(personality_slot().is_some());
        }

        #[test]
        fn panics_unwind_as_ever() {
            stop_forced_unwinds();
            assert!(!with_landing_pad(|| panic!("on purpose")));
        }
    }
}
