//! Native threads for calls that block (`getaddrinfo`, `waitpid`), so that no Python thread is needed for them.
//!
//! Threads are made when a job finds none idle, up to a bound, and leave after being idle for a while: a program
//! that resolves one name at start does not keep a thread for it. A job that panics takes nobody with it.
//!
//! # After a fork
//!
//! A child inherits the pool's memory but none of its threads, and its lock in whatever state another thread had it.
//! So the child must not touch what it inherited: the pool keeps a chain of generations, one per fork, and works on
//! the last. A new generation begins with [`BlockingPool::reset_after_fork`], or by itself with the first call that
//! finds the process id changed. The inherited generation is never looked at again; its queued jobs belong to the
//! parent, and are leaked rather than dropped.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A blocking call. What comes of it is its own business: it sends it somewhere and wakes the loop.
pub type Job = Box<dyn FnOnce() + Send>;

/// How a pool is set up.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// The most threads at a time (at least one).
    pub max_threads: usize,
    /// How long an idle thread stays.
    pub keep_alive: Duration,
    /// What the threads are called in debuggers; Linux shows 15 bytes of it.
    pub name: String,
}

/// The process's pool, for callers that need no other. Never shut down: what still runs at exit has nobody to tell.
pub fn shared() -> &'static BlockingPool {
    static POOL: OnceLock<BlockingPool> = OnceLock::new();
    POOL.get_or_init(|| BlockingPool::with_options(PoolOptions::default()))
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self { max_threads: 32, keep_alive: Duration::from_secs(10), name: "ferrio-blocking".to_owned() }
    }
}

/// Threads for blocking calls. May be used from any thread, and kept in a `static`.
#[derive(Debug)]
pub struct BlockingPool {
    options: PoolOptions,
    first: Generation,
}

/// The pool as one process sees it.
#[derive(Debug)]
struct Generation {
    process: u32,
    shared: Arc<Shared>,
    /// Set in a forked child. A `OnceLock`, because reading it takes no lock that the fork might have caught.
    next: OnceLock<Box<Generation>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// A job was queued, or the pool is closing. Waited on by idle threads.
    work: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    /// Threads that wait for `work`. One that was notified counts until it runs again, and so does its job in
    /// `queue`: there are too few threads if the queue is longer than this number.
    idle: usize,
    /// All threads, by a number of ours. A thread that leaves takes its own handle out, unless it is waited for.
    threads: HashMap<u64, JoinHandle<()>>,
    next_thread: u64,
    closed: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("queued", &self.queue.len())
            .field("idle", &self.idle)
            .field("threads", &self.threads.len())
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

impl Generation {
    fn new() -> Self {
        Self { process: process::id(), shared: Arc::default(), next: OnceLock::new() }
    }
}

impl Shared {
    /// No job runs and nothing panics while the lock is held, so a poisoned lock guards a consistent state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlockingPool {
    /// A pool of at most `max_threads`. Starts none.
    pub fn new(max_threads: usize) -> Self {
        Self::with_options(PoolOptions { max_threads, ..PoolOptions::default() })
    }

    pub fn with_options(mut options: PoolOptions) -> Self {
        options.max_threads = options.max_threads.max(1);
        Self { options, first: Generation::new() }
    }

    /// Has `job` run on a thread of the pool, in the order of the calls as far as threads are free. Errors: the pool
    /// is shut down (`BrokenPipe`), or it has no thread and the system refuses one; the job is then dropped.
    pub fn spawn(&self, job: Job) -> io::Result<()> {
        let shared = &self.current().shared;
        let mut state = shared.lock();
        if state.closed {
            drop(state);
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the pool is shut down"));
        }
        state.queue.push_back(job);
        if state.queue.len() > state.idle
            && state.threads.len() < self.options.max_threads
            && let Err(error) = self.add_thread(shared, &mut state)
            // Otherwise the threads there are will come to it.
            && state.threads.is_empty()
        {
            let job = state.queue.pop_back();
            drop(state);
            drop(job);
            return Err(error);
        }
        drop(state);
        shared.work.notify_one();
        Ok(())
    }

    /// How many threads there are; none once the pool is shut down, even if some still finish their jobs.
    pub fn thread_count(&self) -> usize {
        self.current().shared.lock().threads.len()
    }

    /// Takes no more jobs. Those queued are still run, then the threads leave; with `wait`, returns after that. A job
    /// that calls this is not waited for.
    pub fn shutdown(&self, wait: bool) {
        let shared = &self.current().shared;
        let mut state = shared.lock();
        state.closed = true;
        // From here on handles stay out of the map, so that no thread throws away the one that is waited for.
        let threads = std::mem::take(&mut state.threads);
        drop(state);
        shared.work.notify_all();
        if wait {
            let this = thread::current().id();
            for handle in threads.into_values().filter(|handle| handle.thread().id() != this) {
                // A thread ends by panic only if a panic's own payload panics while it is dropped, which the panic
                // hook has reported.
                drop(handle.join());
            }
        }
    }

    /// For the child of a fork, while it has one thread: begins anew, without threads, and open.
    pub fn reset_after_fork(&self) {
        // Refused only if another thread has just done the same, which is as good.
        drop(self.last().next.set(Box::new(Generation::new())));
    }

    fn last(&self) -> &Generation {
        let mut generation = &self.first;
        while let Some(next) = generation.next.get() {
            generation = next;
        }
        generation
    }

    /// The generation of this process. Of several threads that come here first after a fork, one makes it.
    fn current(&self) -> &Generation {
        let last = self.last();
        if last.process == process::id() {
            last
        } else {
            last.next.get_or_init(|| Box::new(Generation::new()))
        }
    }

    fn add_thread(&self, shared: &Arc<Shared>, state: &mut State) -> io::Result<()> {
        let number = state.next_thread;
        let keep_alive = self.options.keep_alive;
        let theirs = Arc::clone(shared);
        let handle = thread::Builder::new()
            .name(self.options.name.clone())
            .spawn(move || work(&theirs, number, keep_alive))?;
        state.next_thread += 1;
        state.threads.insert(number, handle);
        Ok(())
    }
}

impl Drop for BlockingPool {
    fn drop(&mut self) {
        self.shutdown(false);
    }
}

/// A thread's life. It begins while its maker holds the lock, so its handle is in the map before it looks there.
fn work(shared: &Shared, number: u64, keep_alive: Duration) {
    let mut state = shared.lock();
    loop {
        if let Some(job) = state.queue.pop_front() {
            drop(state);
            run(job);
            state = shared.lock();
        } else if state.closed {
            break;
        } else {
            state.idle += 1;
            let (guard, timeout) =
                shared.work.wait_timeout(state, keep_alive).unwrap_or_else(PoisonError::into_inner);
            state = guard;
            state.idle -= 1;
            if timeout.timed_out() && state.queue.is_empty() {
                break;
            }
        }
    }
    let handle = state.threads.remove(&number);
    drop(state);
    drop(handle);
}

/// Runs a job; a panic, which the panic hook reports, ends only the job.
fn run(job: Job) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(job)) {
        // Dropping what was thrown is the program's code too.
        drop(catch_unwind(AssertUnwindSafe(move || drop(payload))));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn pool(max_threads: usize, keep_alive: Duration) -> BlockingPool {
        BlockingPool::with_options(PoolOptions { max_threads, keep_alive, ..PoolOptions::default() })
    }

    #[test]
    fn threads_grow_with_demand_up_to_the_bound() {
        let pool = pool(3, Duration::from_secs(60));
        assert_eq!(pool.thread_count(), 0);
        let (started, starts) = mpsc::channel();
        let mut releases = Vec::new();
        for number in 0..5 {
            let started = started.clone();
            let (release, released) = mpsc::channel::<()>();
            releases.push(release);
            pool.spawn(Box::new(move || {
                started.send(number).unwrap();
                released.recv().unwrap_err();
            }))
            .unwrap();
        }
        let mut running: Vec<i32> = (0..3).map(|_| starts.recv().unwrap()).collect();
        running.sort_unstable();
        assert_eq!(running, [0, 1, 2]);
        assert_eq!(pool.thread_count(), 3);
        assert!(starts.try_recv().is_err());
        drop(releases);
        let mut rest = [starts.recv().unwrap(), starts.recv().unwrap()];
        rest.sort_unstable();
        assert_eq!(rest, [3, 4]);
        pool.shutdown(true);
    }

    #[test]
    fn one_after_the_other_needs_one_thread() {
        let pool = pool(8, Duration::from_secs(60));
        for _ in 0..50 {
            let (done, finished) = mpsc::channel();
            pool.spawn(Box::new(move || done.send(()).unwrap())).unwrap();
            finished.recv().unwrap();
            // The thread is idle again only a little after its job has told us.
            while pool.last().shared.lock().idle == 0 {
                thread::yield_now();
            }
        }
        assert_eq!(pool.thread_count(), 1);
    }

    /// An idle thread that was notified has not taken its job yet: the next job must not count on it too.
    #[test]
    fn one_idle_thread_is_not_promised_twice() {
        let pool = pool(2, Duration::from_millis(1));
        for _ in 0..200 {
            pool.spawn(Box::new(|| ())).unwrap();
            let meet = Arc::new(std::sync::Barrier::new(2));
            let (done, finished) = mpsc::channel();
            for _ in 0..2 {
                let (meet, done) = (Arc::clone(&meet), done.clone());
                pool.spawn(Box::new(move || {
                    meet.wait();
                    done.send(()).unwrap();
                }))
                .unwrap();
            }
            drop(done);
            assert_eq!(finished.iter().count(), 2);
        }
    }

    #[test]
    fn idle_threads_leave_and_come_back() {
        let pool = pool(4, Duration::from_millis(1));
        for _ in 0..3 {
            let (done, finished) = mpsc::channel();
            pool.spawn(Box::new(move || done.send(()).unwrap())).unwrap();
            finished.recv().unwrap();
            while pool.thread_count() != 0 {
                thread::yield_now();
            }
        }
    }

    #[test]
    fn a_panic_ends_the_job_only() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("in the payload");
            }
        }
        let pool = pool(1, Duration::from_secs(60));
        pool.spawn(Box::new(|| panic!("in the job"))).unwrap();
        pool.spawn(Box::new(|| std::panic::panic_any(Bomb))).unwrap();
        let (done, finished) = mpsc::channel();
        pool.spawn(Box::new(move || done.send(thread::current().id()).unwrap())).unwrap();
        finished.recv().unwrap();
        assert_eq!(pool.thread_count(), 1);
    }

    #[test]
    fn shutdown_runs_what_is_queued_and_refuses_the_rest() {
        let pool = pool(2, Duration::from_secs(60));
        let (done, finished) = mpsc::channel();
        for number in 0..100 {
            let done = done.clone();
            pool.spawn(Box::new(move || done.send(number).unwrap())).unwrap();
        }
        drop(done);
        pool.shutdown(true);
        assert_eq!(finished.try_iter().count(), 100);
        let error = pool.spawn(Box::new(|| unreachable!())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        pool.shutdown(true);
    }

    #[test]
    fn shutdown_from_a_job_does_not_wait_for_itself() {
        let pool = Arc::new(pool(1, Duration::from_secs(60)));
        let (done, finished) = mpsc::channel();
        let theirs = Arc::clone(&pool);
        pool.spawn(Box::new(move || {
            theirs.shutdown(true);
            done.send(()).unwrap();
        }))
        .unwrap();
        finished.recv().unwrap();
    }

    /// The lock of the inherited generation may be held by a thread that does not exist any more.
    #[test]
    fn a_forked_child_does_not_touch_the_inherited_state() {
        let pool = pool(1, Duration::from_secs(60));
        let inherited = Arc::clone(&pool.first.shared);
        let held = inherited.lock();
        pool.reset_after_fork();
        let (done, finished) = mpsc::channel();
        pool.spawn(Box::new(move || done.send(()).unwrap())).unwrap();
        finished.recv().unwrap();
        assert_eq!(pool.thread_count(), 1);
        pool.shutdown(true);
        drop(pool);
        drop(held);
    }

    #[test]
    fn a_changed_process_is_noticed_without_being_told() {
        let mut pool = pool(1, Duration::from_secs(60));
        pool.first.process = 0;
        pool.shutdown(false);
        assert!(pool.spawn(Box::new(|| ())).is_err());
        assert!(!pool.first.shared.lock().closed);
        assert_eq!(pool.last().process, process::id());
    }
}
