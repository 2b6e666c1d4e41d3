//! What the tests of several backends do to a thread: forbid it a syscall, interrupt it with signals.

use std::{io, ptr, thread};

/// Makes the kernel answer `error` to a syscall, for the calling thread and for good.
pub(super) fn forbid(syscall: libc::c_long, error: i32) {
    let step = |code: u32, jump_if: u8, jump_else: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt: jump_if,
        jf: jump_else,
        k,
    };
    let mut filter = [
        // The syscall's number is the first word of what a filter sees.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, syscall as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | error as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program and its steps live through the call, which copies them.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let set = libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program);
        assert_eq!(set, 0, "{}", io::Error::last_os_error());
    }
}

/// Runs `wait` on a thread of its own and sends that signals until it comes back.
pub(super) fn interrupt<R: Send + 'static>(wait: impl FnOnce() -> R + Send + 'static) -> R {
    extern "C" fn ignore(_: i32) {}
    // SAFETY: an all-zero sigaction is a valid one (no flags, empty mask, default handler).
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = ignore as extern "C" fn(i32) as usize;
    // SAFETY: the handler does nothing, and nobody else uses this signal.
    assert_eq!(unsafe { libc::sigaction(libc::SIGUSR2, &raw const action, ptr::null_mut()) }, 0);

    let (send, recv) = std::sync::mpsc::channel();
    let waiting = thread::spawn(move || {
        // SAFETY: takes nothing.
        send.send(unsafe { libc::pthread_self() }).unwrap();
        wait()
    });
    let thread = recv.recv().unwrap();
    while !waiting.is_finished() {
        // A signal before the thread is in the call interrupts nothing, so it is sent until it does.
        // SAFETY: the thread has not been joined, so its id is still valid.
        unsafe { libc::pthread_kill(thread, libc::SIGUSR2) };
        thread::yield_now();
    }
    waiting.join().unwrap()
}
