//! `FutureCallGraph` and `FrameCallGraphEntry`: what asyncio has as frozen dataclasses with slots.
//!
//! They answer the `dataclasses` module as such, but do not load it before that: its import takes longer than ferrio's.

use ferrio_object::{Any, Args, Class, ClassBuilder, ClassDef, Obj, ObjCell, Signature};
use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::pyclass::CompareOp;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::imported;

/// A class whose instances are the values of its fields.
trait Record: Class {
    const NAMES: &'static [&'static str];
    /// `__name__`.
    const TITLE: &'static str;

    fn values(&self) -> &[ObjCell];
}

/// The contents of a `FutureCallGraph`.
pub struct FutureGraph {
    values: [ObjCell; 3],
}

/// The contents of a `FrameCallGraphEntry`.
pub struct FrameEntry {
    values: [ObjCell; 1],
}

impl Record for FutureGraph {
    const NAMES: &'static [&'static str] = &["future", "call_stack", "awaited_by"];
    const TITLE: &'static str = "FutureCallGraph";

    fn values(&self) -> &[ObjCell] {
        &self.values
    }
}

impl Record for FrameEntry {
    const NAMES: &'static [&'static str] = &["frame"];
    const TITLE: &'static str = "FrameCallGraphEntry";

    fn values(&self) -> &[ObjCell] {
        &self.values
    }
}

impl FutureGraph {
    /// The graph of a future: a tuple of `FrameCallGraphEntry`, and one of `FutureCallGraph`.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn create(
        py: Python<'_>,
        future: Obj,
        call_stack: Obj,
        awaited_by: Obj,
    ) -> PyResult<Obj<FutureGraph>> {
        let values = [ObjCell::new(future), ObjCell::new(call_stack), ObjCell::new(awaited_by)];
        Obj::create(py, ((), FutureGraph { values }))
    }

    /// The future, the frames, and the graphs of what awaits it.
    ///
    /// # Errors
    /// `AttributeError` for an object without contents.
    pub(super) fn parts(this: &Obj<Self>, py: Python<'_>) -> PyResult<(Obj, Obj, Obj)> {
        Ok((field::<Self, 0>(this, py)?, field::<Self, 1>(this, py)?, field::<Self, 2>(this, py)?))
    }
}

impl FrameEntry {
    /// The entry of a frame.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn create(py: Python<'_>, frame: Obj) -> PyResult<Obj<FrameEntry>> {
        Obj::create(py, ((), FrameEntry { values: [ObjCell::new(frame)] }))
    }

    /// The frame.
    ///
    /// # Errors
    /// `AttributeError` for an object without contents.
    pub(super) fn frame(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        field::<Self, 0>(this, py)
    }
}

fn field<T: Record, const AT: usize>(this: &Obj<T>, _py: Python<'_>) -> PyResult<Obj> {
    // An object that `__new__` alone has made.
    this.values()[AT].get().ok_or_else(|| PyAttributeError::new_err(T::NAMES[AT]))
}

fn tuple_of<'py, T: Record>(this: &Obj<T>, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
    let mut values = Vec::with_capacity(T::NAMES.len());
    for (cell, name) in this.values().iter().zip(T::NAMES) {
        values.push(cell.get().ok_or_else(|| PyAttributeError::new_err(*name))?);
    }
    PyTuple::new(py, values)
}

fn repr<T: Record>(this: &Obj<T>, py: Python<'_>) -> PyResult<String> {
    ferrio_object::ensure_stack(py)?;
    let mut fields = Vec::with_capacity(T::NAMES.len());
    for (value, name) in tuple_of(this, py)?.iter().zip(T::NAMES) {
        fields.push(format!("{name}={}", value.repr()?));
    }
    let class = this.bind(py).get_type().qualname()?;
    Ok(format!("{class}({})", fields.join(", ")))
}

fn compare<T: Record>(
    this: &Obj<T>,
    py: Python<'_>,
    other: &Bound<'_, PyAny>,
    op: CompareOp,
) -> PyResult<Option<bool>> {
    let negated = match op {
        CompareOp::Eq => false,
        CompareOp::Ne => true,
        _ => return Ok(None),
    };
    match Obj::<T>::from_bound(other) {
        Some(theirs) if other.get_type().is(this.bind(py).get_type()) => {
            Ok(Some(tuple_of(this, py)?.eq(tuple_of(theirs, py)?)? != negated))
        }
        _ => Ok(None),
    }
}

fn hash<T: Record>(this: &Obj<T>, py: Python<'_>) -> PyResult<isize> {
    tuple_of(this, py)?.hash()
}

/// Instances of the class itself are frozen; one derived from it has its fields frozen.
fn set_attribute<T: Record>(
    this: &Obj<T>,
    py: Python<'_>,
    name: &Bound<'_, PyAny>,
    value: Option<&Bound<'_, PyAny>>,
) -> PyResult<bool> {
    let is_field =
        name.cast::<PyString>().is_ok_and(|name| name.to_str().is_ok_and(|name| T::NAMES.contains(&name)));
    if !this.is_exact() && !is_field {
        return Ok(false);
    }
    let what = if value.is_some() { "assign to" } else { "delete" };
    let message = format!("cannot {what} field {}", name.repr()?);
    let class = imported::module(py, "dataclasses")?.getattr("FrozenInstanceError")?;
    Err(PyErr::from_value(class.call1((message,))?))
}

fn reduce<T: Record>(this: &Obj<T>, py: Python<'_>) -> PyResult<Obj> {
    Ok(PyTuple::new(py, [this.bind(py).get_type().into_any(), tuple_of(this, py)?.into_any()])?.into())
}

/// `copy.replace()`.
fn replace<T: Record>(this: &Obj<T>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    if !args.is_empty() {
        return Err(PyTypeError::new_err("__replace__() takes keyword arguments only"));
    }
    let keywords = PyDict::new(py);
    for (value, name) in tuple_of(this, py)?.iter().zip(T::NAMES) {
        keywords.set_item(name, value)?;
    }
    args.each_keyword(|name, value| keywords.set_item(name, value))?;
    Ok(this.bind(py).get_type().call((), Some(&keywords))?.into())
}

fn define<T: Record>(class: &mut ClassBuilder<T>) {
    class
        .repr(repr::<T>)
        .compare(compare::<T>, hash::<T>)
        .setattr(set_attribute::<T>)
        .method0("__reduce__", reduce::<T>, "")
        .method("__replace__", replace::<T>, "");
}

fn fill<const N: usize>(cells: &[ObjCell; N], given: [Option<&Bound<'_, PyAny>>; N]) {
    for (cell, value) in cells.iter().zip(given) {
        let old = cell.replace(value.map(Obj::from));
        drop(old);
    }
}

fn init_graph(this: &Obj<FutureGraph>, _py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    const SIGNATURE: Signature<3> =
        Signature::new("FutureCallGraph.__init__", ["future", "call_stack", "awaited_by"]);
    fill(&this.values, args.bind(&SIGNATURE)?);
    Ok(())
}

fn init_entry(this: &Obj<FrameEntry>, _py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    const SIGNATURE: Signature<1> = Signature::new("FrameCallGraphEntry.__init__", ["frame"]);
    fill(&this.values, args.bind(&SIGNATURE)?);
    Ok(())
}

impl Class for FutureGraph {
    type Base = Any;
    ferrio_object::fields!(FutureGraph { values });
    const NAME: &'static str = "asyncio.graph.FutureCallGraph";
    const DOC: &'static str = "FutureCallGraph(future, call_stack, awaited_by)\n--\n\n\
        A future or task, the frames in which it stands, innermost first, and the graphs of what awaits it.\n\n\
        Two tuples: of FrameCallGraphEntry and of FutureCallGraph. A future that is met again on the way up, because\n\
        tasks await each other, has an empty `awaited_by` there. (Since 3.14)";

    fn blank() -> Self {
        FutureGraph { values: [ObjCell::empty(), ObjCell::empty(), ObjCell::empty()] }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        define(class);
        class
            .init(init_graph)
            .getter("future", field::<Self, 0>, "The future or task.")
            .getter("call_stack", field::<Self, 1>, "The frames in which it stands, innermost first.")
            .getter("awaited_by", field::<Self, 2>, "The graphs of what awaits it.");
    }
}

impl Class for FrameEntry {
    type Base = Any;
    ferrio_object::fields!(FrameEntry { values });
    const NAME: &'static str = "asyncio.graph.FrameCallGraphEntry";
    const DOC: &'static str = "FrameCallGraphEntry(frame)\n--\n\n\
        A frame of a call graph; for a native coroutine an object with the attributes of a frame. (Since 3.14)";

    fn blank() -> Self {
        FrameEntry { values: [ObjCell::empty()] }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        define(class);
        class.init(init_entry).getter(
            "frame",
            field::<Self, 0>,
            "The frame, or an object with its attributes.",
        );
    }
}

/// What `dataclasses` looks for on a class, made when it is looked for.
pub struct LateAttribute {
    title: &'static str,
    fields: &'static [&'static str],
    attribute: &'static str,
    made: ObjCell,
}

impl LateAttribute {
    fn get(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        if let Some(made) = this.made.get() {
            return Ok(made);
        }
        let keywords = PyDict::new(py);
        keywords.set_item("frozen", true)?;
        keywords.set_item("slots", true)?;
        let twin = imported::module(py, "dataclasses")?.call_method(
            "make_dataclass",
            (this.title, this.fields),
            Some(&keywords),
        )?;
        let made = Obj::from(twin.getattr(this.attribute)?);
        this.made.set(Some(made.clone()));
        Ok(made)
    }
}

impl Class for LateAttribute {
    type Base = Any;
    ferrio_object::fields!(LateAttribute { title, fields, attribute, made });
    const NAME: &'static str = "ferrio._ferrio._late_attribute";
    const DOC: &'static str = "";
    const SUBCLASS: bool = false;
    const NEW: bool = false;

    fn blank() -> Self {
        LateAttribute { title: "", fields: &[], attribute: "", made: ObjCell::empty() }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class.descriptor(Self::get);
    }
}

fn add_record<T: Record>(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    ClassDef::add::<T>(module)?;
    let class = ClassDef::type_object::<T>(py);
    let class = class.bind(py);
    for attribute in ["__dataclass_fields__", "__dataclass_params__"] {
        let late = LateAttribute { title: T::TITLE, fields: T::NAMES, attribute, made: ObjCell::empty() };
        class.setattr(attribute, Obj::<LateAttribute>::create(py, ((), late))?)?;
    }
    let names = PyTuple::new(py, T::NAMES)?;
    class.setattr("__match_args__", &names)?;
    class.setattr("__slots__", names)
}

/// Adds the classes to the extension.
///
/// # Errors
/// `MemoryError`.
pub(super) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<LateAttribute>(module)?;
    add_record::<FrameEntry>(module)?;
    add_record::<FutureGraph>(module)
}
