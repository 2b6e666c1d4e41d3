//! What this crate keeps for each thread: where its stack ends, which destructors wait on it, its state while a loop runs,
//! and one object for the crate above.
//!
//! Native code that calls itself through the interpreter (a `wait_for` in a `wait_for` in a …) is as deep as the user
//! makes it, and up to 3.13 CPython counts calls instead of looking at the stack. So the trampolines ask
//! [`has_room`], and raise `RecursionError` where the stack is nearly used up.
//!
//! A thread-local variable of a shared library costs a call, and so does `PyThreadState_Get()`. Instead the record of the
//! thread that asked last is at hand in a static, and the stack pointer says whether it is this thread's: stacks do not
//! overlap.

use std::cell::Cell;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use pyo3::exceptions::PyRecursionError;
use pyo3::{PyErr, PyResult, Python, ffi};

use crate::call::ThreadState;
use crate::obj::Obj;
use crate::trash::Trash;

/// A thread's record. It is never freed, because [`CURRENT`] may still name it when the thread has ended; the next
/// thread takes it over.
pub(crate) struct Thread {
    /// From here on, for `span` bytes, a frame has room below it.
    limit: AtomicUsize,
    span: AtomicUsize,
    /// Where the stack begins, for `limit` and what is below it.
    low: AtomicUsize,
    taken: AtomicBool,
    next: AtomicPtr<Thread>,
    trash: Trash,
    /// The thread's state while loops run on it, else null; and how many of them there are.
    state: Cell<*mut ffi::PyThreadState>,
    loops: Cell<usize>,
    /// A reference, or null.
    object: Cell<*mut ffi::PyObject>,
}

// SAFETY: the cells are touched by the thread that has taken the record alone, or, in `NOBODY`, by attached threads.
unsafe impl Sync for Thread {}

/// The record that says yes to no address; also that of threads whose own is gone already, as they end.
static NOBODY: Thread = Thread::new();

/// The record of the thread that was attached when it was last asked for.
static CURRENT: AtomicPtr<Thread> = AtomicPtr::new((&raw const NOBODY).cast_mut());

/// `limit` and `span` of that record. Attached threads write all three, one after the other; besides them a thread that
/// ends may set the span to 0, which at worst has the next one look its record up.
static LIMIT: AtomicUsize = AtomicUsize::new(0);
static SPAN: AtomicUsize = AtomicUsize::new(0);

/// All records but `NOBODY`.
static ALL: AtomicPtr<Thread> = AtomicPtr::new(ptr::null_mut());

/// The most that is kept free: what lies between two questions has to do with it. Besides our own frames those are
/// the interpreter's, and what reports an error from down there.
const MARGIN_MAX: usize = 128 * 1024;
const MARGIN_MIN: usize = 16 * 1024;

/// How much of a stack of `size` bytes is kept free.
const fn margin(size: usize) -> usize {
    let quarter = size / 4;
    if quarter > MARGIN_MAX {
        MARGIN_MAX
    } else if quarter < MARGIN_MIN {
        MARGIN_MIN
    } else {
        quarter
    }
}

impl Thread {
    const fn new() -> Self {
        Thread {
            limit: AtomicUsize::new(0),
            span: AtomicUsize::new(0),
            low: AtomicUsize::new(0),
            taken: AtomicBool::new(true),
            next: AtomicPtr::new(ptr::null_mut()),
            trash: Trash::new(),
            state: Cell::new(ptr::null_mut()),
            loops: Cell::new(0),
            object: Cell::new(ptr::null_mut()),
        }
    }

    /// The destructors that wait on this thread.
    #[inline]
    pub(crate) fn trash(&self) -> &Trash {
        &self.trash
    }

    #[cfg(test)]
    fn has_room_at(&self, address: usize) -> bool {
        address.wrapping_sub(self.limit.load(Ordering::Relaxed)) < self.span.load(Ordering::Relaxed)
    }

    /// Whether a frame at `address` has room; asked when [`is_current`] has said no. What is on no stack that
    /// we know (a library may have its own) is let through. Destructors may use most of the margin: what they call
    /// (the report of a coroutine that was never awaited) has nobody to raise an error to.
    fn may_have_room_at(&self, address: usize) -> bool {
        let (low, limit) = (self.low.load(Ordering::Relaxed), self.limit.load(Ordering::Relaxed));
        !(low..limit).contains(&address) || (self.trash.is_in_use() && address - low > (limit - low) / 4)
    }

    /// Notes where the stack of the calling thread lies.
    fn measure(&self) {
        let (low, high) = stack_of_this_thread().unwrap_or((0, 0));
        let limit = (low + margin(high - low)).min(high);
        self.low.store(low, Ordering::Relaxed);
        self.limit.store(limit, Ordering::Relaxed);
        self.span.store(high - limit, Ordering::Relaxed);
        self.trash.fit(high - low);
    }

    /// A record that nobody has, or a new one.
    fn take() -> &'static Thread {
        let mut next = ALL.load(Ordering::Acquire);
        // SAFETY: null or a record, and records are never freed.
        while let Some(thread) = unsafe { next.as_ref() } {
            if thread.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                return thread;
            }
            next = thread.next.load(Ordering::Acquire);
        }
        let thread: &'static Thread = Box::leak(Box::new(Thread::new()));
        let place = ptr::from_ref(thread).cast_mut();
        let mut first = ALL.load(Ordering::Acquire);
        loop {
            thread.next.store(first, Ordering::Relaxed);
            match ALL.compare_exchange(first, place, Ordering::Release, Ordering::Acquire) {
                Ok(_) => return thread,
                Err(other) => first = other,
            }
        }
    }
}

/// A thread's claim to its record.
struct Lease(&'static Thread);

impl Drop for Lease {
    fn drop(&mut self) {
        let place = ptr::from_ref(self.0).cast_mut();
        let nobody = (&raw const NOBODY).cast_mut();
        // The stack may become another thread's, with other bounds.
        if CURRENT.compare_exchange(place, nobody, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            SPAN.store(0, Ordering::Relaxed);
        }
        self.0.span.store(0, Ordering::Relaxed);
        self.0.state.set(ptr::null_mut());
        self.0.loops.set(0);
        // Leaked: its destructor would run without the GIL.
        self.0.object.set(ptr::null_mut());
        self.0.taken.store(false, Ordering::Release);
    }
}

thread_local! {
    static OWN: Lease = {
        let thread = Thread::take();
        thread.measure();
        Lease(thread)
    };
}

/// The stack pointer, or an address near it.
#[inline(always)]
fn here() -> usize {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        let here: usize;
        // SAFETY: reads a register. (The address of a local variable gives each caller a frame.)
        unsafe { std::arch::asm!("mov {}, rsp", out(reg) here, options(nomem, nostack, preserves_flags)) };
        here
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    {
        let here: usize;
        // SAFETY: as above.
        unsafe { std::arch::asm!("mov {}, sp", out(reg) here, options(nomem, nostack, preserves_flags)) };
        here
    }
    #[cfg(any(not(any(target_arch = "x86_64", target_arch = "aarch64")), miri))]
    {
        let local = MaybeUninit::<u8>::uninit();
        (&raw const local) as usize
    }
}

/// Whether [`CURRENT`] is the record of this thread, and its stack has room.
#[inline(always)]
fn is_current() -> bool {
    here().wrapping_sub(LIMIT.load(Ordering::Relaxed)) < SPAN.load(Ordering::Relaxed)
}

/// The record of this thread.
#[inline(always)]
pub(crate) fn current(_py: Python<'_>) -> &'static Thread {
    if is_current() {
        // SAFETY: a record, and records are never freed.
        unsafe { &*CURRENT.load(Ordering::Relaxed) }
    } else {
        own()
    }
}

/// Whether there is stack left to go deeper.
#[inline(always)]
pub(crate) fn has_room(_py: Python<'_>) -> bool {
    is_current() || has_room_after_all()
}

#[cold]
#[inline(never)]
fn has_room_after_all() -> bool {
    let here = here();
    let thread = own();
    here.wrapping_sub(thread.limit.load(Ordering::Relaxed)) < thread.span.load(Ordering::Relaxed)
        || thread.may_have_room_at(here)
}

/// Looks this thread's record up, and leaves it at hand.
#[cold]
#[inline(never)]
fn own() -> &'static Thread {
    let thread = OWN.try_with(|lease| lease.0).unwrap_or(&NOBODY);
    CURRENT.store(ptr::from_ref(thread).cast_mut(), Ordering::Relaxed);
    LIMIT.store(thread.limit.load(Ordering::Relaxed), Ordering::Relaxed);
    SPAN.store(thread.span.load(Ordering::Relaxed), Ordering::Relaxed);
    thread
}

/// Has the thread's state at hand while a loop runs. It cannot end meanwhile: what runs the loop was called in it.
#[must_use]
pub struct StateAtHand(&'static Thread);

impl StateAtHand {
    /// To be dropped on the same thread, in whatever order with others (greenlets).
    #[inline]
    pub fn begin(py: Python<'_>) -> Self {
        let thread = current(py);
        if thread.loops.get() == 0 && !ptr::eq(thread, &raw const NOBODY) {
            // SAFETY: attached.
            thread.state.set(unsafe { ffi::PyThreadState_Get() });
        }
        thread.loops.set(thread.loops.get() + 1);
        StateAtHand(thread)
    }
}

impl Drop for StateAtHand {
    fn drop(&mut self) {
        let left = self.0.loops.get().saturating_sub(1);
        self.0.loops.set(left);
        if left == 0 {
            self.0.state.set(ptr::null_mut());
        }
    }
}

impl ThreadState {
    /// The state of this thread.
    #[inline(always)]
    pub(crate) fn get(py: Python<'_>) -> *mut ffi::PyThreadState {
        let state = current(py).state.get();
        if state.is_null() {
            // SAFETY: attached.
            return unsafe { ffi::PyThreadState_Get() };
        }
        // SAFETY: attached.
        debug_assert!(ptr::eq(state, unsafe { ffi::PyThreadState_Get() }), "the state of another thread");
        state
    }

    /// The object that was given to [`ThreadState::replace_object`] on this thread.
    #[inline]
    pub fn object(py: Python<'_>) -> Option<Obj> {
        let object = current(py).object.get();
        // SAFETY: null, or an object of which the record owns a reference.
        (!object.is_null()).then(|| unsafe { Obj::from_borrowed(object) })
    }

    /// Keeps an object for this thread, and hands out the one before. When the thread ends it is leaked.
    pub fn replace_object(py: Python<'_>, object: Option<Obj>) -> Option<Obj> {
        let object = object.map_or(ptr::null_mut(), Obj::into_ptr);
        let before = current(py).object.replace(object);
        // SAFETY: null, or the record's reference, which it has just given up.
        (!before.is_null()).then(|| unsafe { Obj::from_owned(before) })
    }
}

/// What a call that would leave too little stack raises.
#[cold]
pub(crate) fn out_of_stack() -> PyErr {
    PyRecursionError::new_err("maximum recursion depth exceeded: the stack of this thread is used up")
}

/// For recursion in Rust that does not pass through the interpreter.
///
/// # Errors
/// `RecursionError` if the thread's stack is nearly used up.
#[inline]
pub fn ensure_stack(py: Python<'_>) -> PyResult<()> {
    if has_room(py) { Ok(()) } else { Err(out_of_stack()) }
}

/// Lowest and highest address of the calling thread's stack, without its guard pages.
fn stack_of_this_thread() -> Option<(usize, usize)> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let (mut low, mut size, mut guard) = (ptr::null_mut::<c_void>(), 0, 0);
    // SAFETY: the attributes are written by the first call, read while it has succeeded, and given back once.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
            return None;
        }
        let known = libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut low, &raw mut size) == 0
            && libc::pthread_attr_getguardsize(attributes.as_ptr(), &raw mut guard) == 0;
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        // Some versions of the C library count the guard pages in.
        known.then(|| (low as usize + guard.min(size), low as usize + size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_where_its_variables_are() {
        for size in [64 * 1024, 256 * 1024, 2 * 1024 * 1024] {
            std::thread::Builder::new()
                .stack_size(size)
                .spawn(|| {
                    let (low, high) = stack_of_this_thread().unwrap();
                    assert!((low..high).contains(&here()));
                    let thread = Thread::new();
                    thread.measure();
                    assert!(thread.has_room_at(here()));
                    assert!(!thread.has_room_at(low + 1) && !thread.may_have_room_at(low + 1));
                    assert!(!thread.has_room_at(high) && thread.may_have_room_at(high));
                })
                .unwrap()
                .join()
                .unwrap();
        }
    }

    #[test]
    fn the_next_thread_takes_the_record_of_one_that_has_ended() {
        let record = || std::thread::spawn(|| ptr::from_ref(own()) as usize).join().unwrap();
        let first = record();
        assert!((0..8).map(|_| record()).any(|again| again == first));
    }
}
