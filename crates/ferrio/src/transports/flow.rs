//! Back-pressure: when the protocol is told to pause and to resume writing.

use std::cell::Cell;

use ferrio_core::write_queue::{FlowControl, WaterMarks};
use ferrio_object::{Args, Class, ClassBuilder, Obj, Signature};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;

use super::attached::Attached;

/// A transport that buffers what it cannot send.
pub(super) trait Flow: Class + Sized {
    fn attached(&self) -> &Attached;

    fn flow(&self) -> &Cell<FlowControl>;

    /// Bytes that were offered to the kernel and not taken.
    fn pending(&self) -> usize;

    /// Offers the kernel what it has not been offered, before somebody looks at what is pending.
    ///
    /// # Errors
    /// `KeyboardInterrupt`, `SystemExit`.
    fn offer(_this: &Obj<Self>, _py: Python<'_>) -> PyResult<()> {
        Ok(())
    }

    /// After something was queued.
    fn pause_protocol(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let mut flow = this.flow().get();
        let pause = flow.after_push(this.pending());
        this.flow().set(flow);
        match pause {
            Some(_) => this.attached().tell(py, this, intern!(py, "pause_writing")),
            None => Ok(()),
        }
    }

    /// After something was sent. The protocol may write again in here.
    fn resume_protocol(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let mut flow = this.flow().get();
        let resume = flow.after_drain(this.pending());
        this.flow().set(flow);
        match resume {
            Some(_) => this.attached().tell(py, this, intern!(py, "resume_writing")),
            None => Ok(()),
        }
    }

    fn set_limits(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<2> =
            Signature::new("set_write_buffer_limits", ["high", "low"]).required(0);
        let [high, low] = args.bind(&SIGNATURE)?;
        let limit = |arg: Option<&Bound<'_, PyAny>>| {
            arg.filter(|arg| !arg.is_none()).map(PyAnyMethods::extract::<i128>).transpose()
        };
        let marks = WaterMarks::with_default(limit(high)?, limit(low)?, WaterMarks::DEFAULT_HIGH)
            .map_err(|bad| PyValueError::new_err(bad.to_string()))?;
        Self::offer(this, py)?;
        let mut flow = this.flow().get();
        let pause = flow.set_marks(marks, this.pending());
        this.flow().set(flow);
        match pause {
            Some(_) => this.attached().tell(py, this, intern!(py, "pause_writing")),
            None => Ok(()),
        }
    }

    fn define_flow(class: &mut ClassBuilder<Self>) {
        class
            .method(
                "set_write_buffer_limits",
                Self::set_limits,
                "set_write_buffer_limits($self, /, high=None, low=None)\n--\n\n\
                 Set the marks, in bytes, at which the protocol is told to pause and to resume writing.\n\n\
                 Raises ValueError unless high >= low >= 0.",
            )
            .method0(
                "get_write_buffer_limits",
                |this: &Obj<Self>, py: Python<'_>| -> PyResult<Obj> {
                    let marks = this.flow().get().marks();
                    Ok((marks.low(), marks.high()).into_pyobject(py)?.into_any().into())
                },
                "get_write_buffer_limits($self, /)\n--\n\nThe marks as (low, high), in bytes (since 3.4.2).",
            )
            .method0(
                "get_write_buffer_size",
                |this: &Obj<Self>, py: Python<'_>| -> PyResult<usize> {
                    Self::offer(this, py)?;
                    Ok(this.pending())
                },
                "get_write_buffer_size($self, /)\n--\n\nThe number of bytes that are buffered.",
            )
            .getter("_protocol_paused", |this: &Obj<Self>, _py: Python<'_>| this.flow().get().is_paused(), "")
            .getter("_high_water", |this: &Obj<Self>, _py: Python<'_>| this.flow().get().marks().high(), "")
            .getter("_low_water", |this: &Obj<Self>, _py: Python<'_>| this.flow().get().marks().low(), "");
    }
}
