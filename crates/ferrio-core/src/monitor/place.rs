//! Where the socket of a process is: in a directory that its user alone can enter.
//!
//! `/run/user/UID/ferrio` where the system has made that user a directory, `/tmp/ferrio-UID` elsewhere. Anybody may make a
//! directory in `/tmp` first, so what is found is looked at: a directory and no link, of this user, closed to all others.
//! It is opened once and then named by its descriptor, so that nobody puts another one in its place.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// An open directory that is private.
#[derive(Debug)]
pub struct Place {
    directory: File,
    path: PathBuf,
}

/// Where the socket of a process of this user may be; the first one that can be used is.
pub fn directories(uid: u32) -> [PathBuf; 2] {
    [PathBuf::from(format!("/run/user/{uid}/ferrio")), PathBuf::from(format!("/tmp/ferrio-{uid}"))]
}

fn refused(path: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, format!("{} {why}", path.display()))
}

impl Place {
    /// The directory for this process: `asked`, or the first of [`directories`] that there can be.
    ///
    /// # Errors
    /// `PermissionDenied` for a directory of another user's or one that others can enter; those of the system.
    pub fn open(asked: Option<&Path>) -> io::Result<Place> {
        let uid = rustix::process::geteuid().as_raw();
        if let Some(asked) = asked {
            return Self::private(asked, uid);
        }
        let [in_run, in_tmp] = directories(uid);
        let parent = in_run.parent().unwrap_or(&in_run);
        if fs::symlink_metadata(parent).is_ok_and(|parent| parent.is_dir() && parent.uid() == uid) {
            return Self::private(&in_run, uid);
        }
        Self::private(&in_tmp, uid)
    }

    fn private(path: &Path, uid: u32) -> io::Result<Place> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let flags = (OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC).bits();
        let directory = OpenOptions::new().read(true).custom_flags(flags as i32).open(path).map_err(
            |error| match error.raw_os_error() {
                Some(code) if code == libc::ENOTDIR || code == libc::ELOOP => {
                    refused(path, "is no directory")
                }
                _ => error,
            },
        )?;
        let found = directory.metadata()?;
        if found.uid() != uid {
            return Err(refused(path, &format!("belongs to user {}, not to {uid}", found.uid())));
        }
        if found.mode() & 0o077 != 0 {
            return Err(refused(path, "can be entered by other users (chmod 700 it)"));
        }
        Ok(Place { directory, path: path.to_owned() })
    }

    /// What a socket in it is called, for people.
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The same for the system, by the descriptor.
    pub(super) fn reach(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.directory.as_raw_fd()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("ferrio-place-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        path
    }

    #[test]
    fn it_is_made_for_this_user_alone() {
        let scratch = scratch("made");
        let path = scratch.join("d");
        for _ in 0..2 {
            Place::open(Some(&path)).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        }
        fs::remove_dir_all(scratch).unwrap();
    }

    #[test]
    fn what_others_can_enter_or_change_is_refused() {
        let scratch = scratch("refused");
        let open = scratch.join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o711)).unwrap();
        let link = scratch.join("link");
        let private = scratch.join("private");
        Place::open(Some(&private)).unwrap();
        symlink(&private, &link).unwrap();
        let file = scratch.join("file");
        fs::write(&file, b"").unwrap();
        for path in [open, link, file] {
            let error = Place::open(Some(&path)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
        }
        fs::remove_dir_all(scratch).unwrap();
    }
}
