//! The TLS arguments of the loop's methods, and what is wrong with them.

use ferrio_object::Obj;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBool;

use crate::tls::{Side, TlsParams};

/// The TLS arguments of a method.
pub(super) struct Ssl {
    context: Option<Obj>,
    server_hostname: Option<Obj>,
    handshake_timeout: Option<Obj>,
    shutdown_timeout: Option<Obj>,
}

ferrio_object::traverse!(struct Ssl { context, server_hostname, handshake_timeout, shutdown_timeout });

impl Ssl {
    pub(super) fn new(
        ssl: Option<&Bound<'_, PyAny>>,
        server_hostname: Option<&Bound<'_, PyAny>>,
        handshake_timeout: Option<&Bound<'_, PyAny>>,
        shutdown_timeout: Option<&Bound<'_, PyAny>>,
    ) -> Self {
        Ssl {
            context: Obj::unless_none(ssl),
            server_hostname: Obj::unless_none(server_hostname),
            handshake_timeout: Obj::unless_none(handshake_timeout),
            shutdown_timeout: Obj::unless_none(shutdown_timeout),
        }
    }

    pub(super) fn context(&self) -> Option<Obj> {
        self.context.clone()
    }

    /// Whether TLS is asked for.
    fn wanted(&self, py: Python<'_>) -> PyResult<bool> {
        self.context.as_ref().map_or(Ok(false), |ssl| ssl.bind(py).is_truthy())
    }

    /// What a connection needs to know, if TLS is asked for. `host` is what a client connects to.
    ///
    /// # Errors
    /// What the truth of an argument raises.
    pub(super) fn params(
        &self,
        py: Python<'_>,
        side: Side,
        host: Option<&Obj>,
    ) -> PyResult<Option<TlsParams>> {
        if !self.wanted(py)? {
            return Ok(None);
        }
        Ok(Some(TlsParams {
            context: self.context.clone().filter(|ssl| !is_bool(ssl, py)),
            side,
            server_hostname: self.server_hostname.clone().or_else(|| host.cloned()),
            handshake_timeout: self.handshake_timeout.clone(),
            shutdown_timeout: self.shutdown_timeout.clone(),
        }))
    }

    /// # Errors
    /// `ValueError` for timeouts without TLS.
    pub(super) fn check_timeouts(&self, py: Python<'_>) -> PyResult<()> {
        if self.wanted(py)? {
            return Ok(());
        }
        if self.handshake_timeout.is_some() {
            return Err(PyValueError::new_err("ssl_handshake_timeout is only meaningful with ssl"));
        }
        if self.shutdown_timeout.is_some() {
            return Err(PyValueError::new_err("ssl_shutdown_timeout is only meaningful with ssl"));
        }
        Ok(())
    }

    /// The checks of a server's arguments.
    ///
    /// # Errors
    /// `TypeError` for a bool, `ValueError` for timeouts without TLS.
    pub(super) fn check_server(&self, py: Python<'_>) -> PyResult<()> {
        if self.context.as_ref().is_some_and(|ssl| is_bool(ssl, py)) {
            return Err(PyTypeError::new_err("ssl argument must be an SSLContext or None"));
        }
        self.check_timeouts(py)
    }

    /// The checks of a client's arguments.
    ///
    /// # Errors
    /// `ValueError` for arguments that do not fit.
    pub(super) fn check_client(&self, py: Python<'_>, host: Option<&Obj>) -> PyResult<()> {
        let wanted = self.wanted(py)?;
        if self.server_hostname.is_some() && !wanted {
            return Err(PyValueError::new_err("server_hostname is only meaningful with ssl"));
        }
        if wanted && self.server_hostname.is_none() {
            let named = host.map_or(Ok(false), |host| host.bind(py).is_truthy())?;
            if !named {
                return Err(PyValueError::new_err(
                    "You must set server_hostname when using ssl without a host",
                ));
            }
        }
        self.check_timeouts(py)
    }

    /// The checks of a client's arguments over a Unix socket, which has no name to check.
    ///
    /// # Errors
    /// `ValueError` for arguments that do not fit.
    pub(super) fn check_unix_client(&self, py: Python<'_>) -> PyResult<()> {
        if self.wanted(py)? {
            if self.server_hostname.is_none() {
                return Err(PyValueError::new_err("you have to pass server_hostname when using ssl"));
            }
        } else if self.server_hostname.is_some() {
            return Err(PyValueError::new_err("server_hostname is only meaningful with ssl"));
        }
        self.check_timeouts(py)
    }
}

/// Whether an `ssl` argument is a bool, which only a client may give.
fn is_bool(arg: &Obj, py: Python<'_>) -> bool {
    arg.bind(py).is_instance_of::<PyBool>()
}
