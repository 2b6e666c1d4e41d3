//! Which driver a loop has, and which ones this system has: `loop.driver` and `ferrio doctor`.

use ferrio_core::driver::files::{Files, FilesKind};
use ferrio_core::driver::{Availability, Driver, DriverKind, uring};
use ferrio_object::{Args, ClassBuilder, Obj};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::event_loop::Loop;
use crate::tls;

/// The driver that a loop made now would have, and why.
fn driver() -> String {
    let asked = std::env::var_os(DriverKind::ENV).filter(|name| !name.is_empty());
    match Driver::new() {
        Err(err) => err.to_string(),
        Ok(driver) => match asked {
            None => format!("{} (the default)", driver.name()),
            Some(asked) if asked == driver.name() => {
                format!("{} ({} asks for it)", driver.name(), DriverKind::ENV)
            }
            Some(asked) => {
                let asked = asked.to_string_lossy();
                format!("{}, since there is no {asked} here ({} asks for it)", driver.name(), DriverKind::ENV)
            }
        },
    }
}

fn io_uring() -> String {
    match uring::availability() {
        Availability::Available => "available".to_owned(),
        Availability::SwitchedOff => format!("switched off by {}", Availability::OFF),
        Availability::Refused(why) => format!("refused by the system: {why}"),
    }
}

fn files() -> String {
    match FilesKind::from_env().and_then(Files::new) {
        Ok(files) => files.name().to_owned(),
        Err(err) => err.to_string(),
    }
}

pub(crate) fn py_driver_report(py: Python<'_>, _args: Args<'_, '_>) -> PyResult<Obj> {
    let report = PyDict::new(py);
    report.set_item("driver", driver())?;
    report.set_item("io_uring", io_uring())?;
    report.set_item("files", files())?;
    report.set_item("tls", tls::report(py))?;
    Ok(report.into_any().into())
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class.getter(
        "driver",
        |this: &Obj<Loop>, _py: Python<'_>| this.open_driver().map(|driver| driver.name()),
        "What waits for descriptors: 'epoll' or 'io_uring'; None if the loop is closed. Not in asyncio.",
    );
    class.getter(
        "_files_engine",
        |this: &Obj<Loop>, _py: Python<'_>| this.files.name(),
        "What does file operations: 'io_uring' or 'pool'; None before the first file.",
    );
}
