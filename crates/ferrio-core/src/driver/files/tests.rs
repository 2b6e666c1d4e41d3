//! Both engines, on real files.

use std::ffi::CString;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

struct Engine(Files);

impl Engine {
    fn wait_readable(&self) {
        let mut poll = libc::pollfd { fd: self.0.fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one record, which lives through the call.
        assert_eq!(unsafe { libc::poll(&raw mut poll, 1, 600_000) }, 1);
    }

    fn completed(&mut self) -> Completed {
        loop {
            if let Some(completed) = self.0.completed() {
                return completed;
            }
            self.wait_readable();
            self.0.acknowledge();
        }
    }

    fn run(&mut self, operation: Operation) -> Completed {
        let id = self.0.submit(operation).unwrap();
        let completed = self.completed();
        assert_eq!(completed.id, id);
        completed
    }

    fn open(&mut self, path: &std::path::Path, flags: i32) -> io::Result<Arc<Handle>> {
        let path = CString::new(path.as_os_str().as_bytes()).unwrap();
        match self.run(Operation::Open { path, flags, mode: 0o600 }).result? {
            Value::Opened(fd) => Ok(Arc::new(Handle::owned(fd))),
            other => panic!("{other:?}"),
        }
    }
}

/// The name of a file that is removed at the end.
struct Path(PathBuf);

impl Path {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("ferrio-files-{}-{number}", std::process::id())))
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

fn on_both_engines(test: impl Fn(&mut Engine)) {
    for kind in [FilesKind::IoUring, FilesKind::Pool] {
        test(&mut Engine(Files::new(kind).unwrap()));
    }
}

fn count(completed: &Completed) -> u64 {
    match completed.result {
        Ok(Value::Count(count)) => count,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn names() {
    assert_eq!("".parse::<FilesKind>().unwrap(), FilesKind::IoUring);
    assert_eq!("pool".parse::<FilesKind>().unwrap(), FilesKind::Pool);
    assert_eq!("aio".parse::<FilesKind>().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert_eq!(Files::new(FilesKind::Pool).unwrap().name(), "pool");
    let expected = match super::super::uring::availability() {
        Availability::Available => "io_uring",
        _ => "pool",
    };
    assert_eq!(Files::new(FilesKind::IoUring).unwrap().name(), expected);
}

#[test]
fn a_system_without_a_ring_gets_the_pool() {
    let name = std::thread::spawn(|| {
        crate::driver::testing::forbid(libc::SYS_io_uring_setup, libc::EPERM);
        Files::new(FilesKind::IoUring).unwrap().name()
    });
    assert_eq!(name.join().unwrap(), "pool");
}

#[test]
fn a_files_life() {
    on_both_engines(|engine| {
        let path = Path::new();
        let file = engine.open(&path.0, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL).unwrap();
        // SAFETY: takes no pointers.
        assert_ne!(unsafe { libc::fcntl(file.fd(), libc::F_GETFD) } & libc::FD_CLOEXEC, 0);

        let data = b"0123456789".to_vec();
        let written = engine.run(Operation::Write { file: file.clone(), data, from: 4 });
        assert_eq!(count(&written), 6);
        assert!(matches!(written.operation, Operation::Write { from: 10, .. }));
        drop(written);
        assert_eq!(position(file.fd()).unwrap(), 6);
        assert_eq!(count(&engine.run(Operation::Sync { file: file.clone(), data_only: true })), 0);
        assert_eq!(count(&engine.run(Operation::Sync { file: file.clone(), data_only: false })), 0);
        assert_eq!(count(&engine.run(Operation::Truncate { file: file.clone(), len: 4 })), 0);

        let Ok(Value::Metadata(metadata)) = engine.run(Operation::Stat { file: file.clone() }).result else {
            panic!("no metadata")
        };
        assert_eq!((metadata.size, metadata.mode & 0o777), (4, 0o600));
        assert!(metadata.is_regular() && !metadata.is_directory() && metadata.block_size > 0);

        let sought = Operation::Seek { file: file.clone(), offset: -3, whence: libc::SEEK_END };
        assert_eq!(count(&engine.run(sought)), 1);
        let mut buffer = Vec::with_capacity(100);
        buffer.extend_from_slice(b"kept:");
        let read = engine.run(Operation::Read { file: file.clone(), buffer, len: 1 << 40 });
        assert_eq!(count(&read), 3);
        assert!(matches!(&read.operation, Operation::Read { buffer, .. } if buffer == b"kept:567"));
        drop(read);

        let fd = Arc::into_inner(file).unwrap().into_owned();
        assert_eq!(count(&engine.run(Operation::Close { fd })), 0);
    });
}

#[test]
fn errors_are_the_kernels() {
    on_both_engines(|engine| {
        let path = Path::new();
        let code = |result: io::Result<_>| result.map(|_: Arc<Handle>| ()).unwrap_err().raw_os_error();
        assert_eq!(code(engine.open(&path.0, libc::O_RDONLY)), Some(libc::ENOENT));
        let file = engine.open(&path.0, libc::O_WRONLY | libc::O_CREAT).unwrap();
        let read = engine.run(Operation::Read { file, buffer: Vec::with_capacity(9), len: 1 });
        assert_eq!(read.result.unwrap_err().raw_os_error(), Some(libc::EBADF));
    });
}

#[test]
fn the_end_of_a_loop_does_not_leave_buffers_to_the_kernel() {
    on_both_engines(|engine| {
        let (reader, mut writer) = io::pipe().unwrap();
        let file = Arc::new(Handle::owned(reader.into()));
        engine.0.submit(Operation::Read { file, buffer: Vec::with_capacity(9), len: 1 }).unwrap();
        // A thread cannot be stopped; it is given what it waits for.
        if engine.0.name() == "pool" {
            writer.write_all(b"x").unwrap();
        }
    });
}

#[test]
fn a_wait_for_a_pipe_can_be_cancelled_on_a_ring() {
    on_both_engines(|engine| {
        let (reader, mut writer) = io::pipe().unwrap();
        let file = Arc::new(Handle::owned(reader.into()));
        let id = engine
            .0
            .submit(Operation::Read { file: file.clone(), buffer: Vec::with_capacity(9), len: 4 })
            .unwrap();
        engine.0.cancel(id);
        if engine.0.name() == "pool" {
            writer.write_all(b"x").unwrap();
            assert_eq!(count(&engine.completed()), 1);
        } else {
            assert_eq!(engine.completed().result.unwrap_err().raw_os_error(), Some(libc::ECANCELED));
        }
        writer.write_all(b"next").unwrap();
        assert_eq!(count(&engine.run(Operation::Read { file, buffer: Vec::with_capacity(9), len: 4 })), 4);
    });
}

/// The kernel cancels what a thread has submitted when the thread ends.
#[test]
fn an_operation_outlives_the_thread_that_began_it() {
    on_both_engines(|engine| {
        let (reader, mut writer) = io::pipe().unwrap();
        let file = Arc::new(Handle::owned(reader.into()));
        std::thread::scope(|scope| {
            let engine = &mut *engine;
            scope.spawn(move || {
                engine.0.submit(Operation::Read { file, buffer: Vec::with_capacity(9), len: 4 }).unwrap();
            });
        });
        writer.write_all(b"late").unwrap();
        assert_eq!(count(&engine.completed()), 4);
    });
}

#[test]
fn opening_a_named_pipe_waits_for_the_other_end() {
    on_both_engines(|engine| {
        let path = Path::new();
        let name = CString::new(path.0.as_os_str().as_bytes()).unwrap();
        // SAFETY: a string with its NUL.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        engine.0.submit(Operation::Open { path: name, flags: libc::O_RDONLY, mode: 0 }).unwrap();
        let other = std::fs::File::options().write(true).open(&path.0).unwrap();
        let Ok(Value::Opened(fd)) = engine.completed().result else { panic!("not opened") };
        drop((fd, other));
    });
}

#[test]
fn many_at_once_all_come_back() {
    on_both_engines(|engine| {
        let path = Path::new();
        std::fs::write(&path.0, b"x").unwrap();
        let file = engine.open(&path.0, libc::O_RDONLY).unwrap();
        let mut waiting: std::collections::BTreeSet<u64> =
            (0..500).map(|_| engine.0.submit(Operation::Stat { file: file.clone() }).unwrap()).collect();
        while !waiting.is_empty() {
            assert!(waiting.remove(&engine.completed().id));
        }
    });
}

#[test]
fn what_nobody_waits_for_is_written_all_the_same() {
    on_both_engines(|engine| {
        let path = Path::new();
        let file = engine.open(&path.0, libc::O_WRONLY | libc::O_CREAT).unwrap();
        let data = vec![b'x'; 1 << 20];
        assert_eq!(count(&engine.run(Operation::Finish { file, data })), 0);
        assert_eq!(std::fs::metadata(&path.0).unwrap().len(), 1 << 20);
    });
}
