//! Arguments of a call, and how they are bound to parameter names.
//!
//! Methods get their arguments as the interpreter passes them (a slice and a tuple of keyword names) and bind them to
//! a constant [`Signature`] in one pass, without a dict.

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use smallvec::SmallVec;

/// The arguments of one call, borrowed from the caller.
#[derive(Clone, Copy)]
pub struct Args<'a, 'py: 'a> {
    positional: &'a [*mut ffi::PyObject],
    keywords: Keywords<'a>,
    py: Python<'py>,
}

#[derive(Clone, Copy)]
enum Keywords<'a> {
    None,
    /// A tuple of names, and the values that follow the positional arguments.
    Names(*mut ffi::PyObject, &'a [*mut ffi::PyObject]),
}

/// The parameters of a method: names in order, how many may be passed by position, how many must be given.
///
/// Required parameters come first among the positional ones; keyword-only parameters are optional unless
/// [`Signature::require_keywords`] says so.
pub struct Signature<const N: usize> {
    function: &'static str,
    names: [&'static str; N],
    positional: usize,
    unnamed: usize,
    required: usize,
    required_keywords: bool,
}

impl<const N: usize> Signature<N> {
    /// `function` is the name used in error messages. All parameters may be passed by position and are required.
    pub const fn new(function: &'static str, names: [&'static str; N]) -> Self {
        Signature { function, names, positional: N, unnamed: 0, required: N, required_keywords: false }
    }

    /// Only the first `n` may be passed by position; the others are keyword-only and optional.
    #[must_use]
    pub const fn positional(mut self, n: usize) -> Self {
        self.positional = n;
        if self.required > n {
            self.required = n;
        }
        self
    }

    /// The first `n` may only be passed by position; their names serve for error messages.
    #[must_use]
    pub const fn unnamed(mut self, n: usize) -> Self {
        self.unnamed = n;
        self
    }

    /// Only the first `n` have to be given.
    #[must_use]
    pub const fn required(mut self, n: usize) -> Self {
        self.required = n;
        self
    }

    /// The keyword-only parameters have to be given.
    #[must_use]
    pub const fn require_keywords(mut self) -> Self {
        self.required_keywords = true;
        self
    }

    /// Whether the arguments are all given by position, and are those that have to be given: nearly every call.
    #[inline]
    fn is_met_by_position(&self, args: &Args<'_, '_>) -> bool {
        !args.has_keywords()
            && !self.required_keywords
            && (self.required..=self.positional).contains(&args.positional.len())
    }
}

type Rest<'a, 'py> = SmallVec<[&'a Bound<'py, PyAny>; 4]>;

impl<'a, 'py: 'a> Args<'a, 'py> {
    /// # Safety
    /// `args` points at `nargs` valid objects followed by as many as `kwnames` (a tuple of strings, or null) has.
    pub(crate) unsafe fn from_fastcall(
        py: Python<'py>,
        args: *const *mut ffi::PyObject,
        nargs: usize,
        kwnames: *mut ffi::PyObject,
    ) -> Self {
        // SAFETY: by contract; a null pointer only comes with a length of zero.
        unsafe {
            let positional = if nargs == 0 { &[] } else { std::slice::from_raw_parts(args, nargs) };
            let count = if kwnames.is_null() { 0 } else { ffi::PyTuple_GET_SIZE(kwnames) as usize };
            let keywords = if count == 0 {
                Keywords::None
            } else {
                Keywords::Names(kwnames, std::slice::from_raw_parts(args.add(nargs), count))
            };
            Args { positional, keywords, py }
        }
    }

    /// Calls `f` with the arguments of a `tp_call`/`tp_init`: a tuple, and a dict or null. They are laid out as a
    /// FASTCALL would, so that there is one way to bind them.
    ///
    /// # Safety
    /// `args` is a tuple and `kwargs` a dict or null.
    pub(crate) unsafe fn with_tuple<R>(
        py: Python<'py>,
        args: *mut ffi::PyObject,
        kwargs: *mut ffi::PyObject,
        f: impl FnOnce(Args<'_, 'py>) -> PyResult<R>,
    ) -> PyResult<R> {
        // SAFETY: by contract. The caller of the slot keeps tuple and dict, and so their items, until it returns.
        unsafe {
            let count = ffi::PyTuple_GET_SIZE(args);
            let mut flat: SmallVec<[*mut ffi::PyObject; 8]> =
                (0..count).map(|i| ffi::PyTuple_GET_ITEM(args, i)).collect();
            if kwargs.is_null() || ffi::PyDict_Size(kwargs) == 0 {
                return f(Args::from_fastcall(py, flat.as_ptr(), count as usize, std::ptr::null_mut()));
            }
            // The dict belongs to a C caller that might let somebody change it meanwhile: the values are held.
            let mut held: SmallVec<[Bound<'py, PyAny>; 8]> = SmallVec::new();
            let names = ffi::PyTuple_New(ffi::PyDict_Size(kwargs));
            let names: Bound<'py, PyAny> = Bound::from_owned_ptr_or_err(py, names)?;
            let (mut pos, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
            while ffi::PyDict_Next(kwargs, &raw mut pos, &raw mut key, &raw mut value) != 0 {
                ffi::Py_INCREF(key);
                ffi::PyTuple_SET_ITEM(names.as_ptr(), held.len() as ffi::Py_ssize_t, key);
                held.push(Bound::from_borrowed_ptr(py, value));
                flat.push(value);
            }
            f(Args::from_fastcall(py, flat.as_ptr(), count as usize, names.as_ptr()))
        }
    }

    /// How many arguments were passed by position.
    #[inline]
    pub fn len(&self) -> usize {
        self.positional.len()
    }

    /// Whether no argument was passed by position.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.positional.is_empty()
    }

    /// Whether arguments were passed by keyword.
    #[inline]
    pub fn has_keywords(&self) -> bool {
        !matches!(self.keywords, Keywords::None)
    }

    /// The `i`-th argument passed by position.
    #[inline]
    pub fn get(&self, i: usize) -> Option<&'a Bound<'py, PyAny>> {
        // SAFETY: valid objects for `'a` by the contract of the constructors.
        self.positional.get(i).map(|arg| unsafe { Bound::ref_from_ptr(self.py, arg) })
    }

    /// All arguments passed by position.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a Bound<'py, PyAny>> + use<'a, 'py> {
        let py = self.py;
        // SAFETY: valid objects for `'a` by the contract of the constructors.
        self.positional.iter().map(move |arg| unsafe { Bound::ref_from_ptr(py, arg) })
    }

    /// Binds the arguments to the parameters of `signature`; parameters that were not given are `None`.
    ///
    /// # Errors
    /// `TypeError` for too many, missing, unknown or doubly given arguments.
    #[inline]
    pub fn bind<const N: usize>(
        &self,
        signature: &Signature<N>,
    ) -> PyResult<[Option<&'a Bound<'py, PyAny>>; N]> {
        if signature.is_met_by_position(self) {
            return Ok(std::array::from_fn(|i| self.get(i)));
        }
        self.bind_slowly(signature)
    }

    #[inline(never)]
    fn bind_slowly<const N: usize>(
        &self,
        signature: &Signature<N>,
    ) -> PyResult<[Option<&'a Bound<'py, PyAny>>; N]> {
        let mut bound = [None; N];
        if self.positional.len() > signature.positional {
            return Err(too_many(signature.function, signature.positional, self.positional.len()));
        }
        for (slot, arg) in bound.iter_mut().zip(self.positional) {
            // SAFETY: as in `get`.
            *slot = Some(unsafe { Bound::ref_from_ptr(self.py, arg) });
        }
        if self.has_keywords() {
            self.bind_keywords(signature, &mut bound, None)?;
        }
        check_required(signature, &bound)?;
        Ok(bound)
    }

    /// As [`Args::bind`] for a signature with `*args` after its positional parameters: gives those too.
    ///
    /// # Errors
    /// `TypeError` as [`Args::bind`], but never for too many.
    pub fn bind_rest<const N: usize>(
        &self,
        signature: &Signature<N>,
    ) -> PyResult<([Option<&'a Bound<'py, PyAny>>; N], Rest<'a, 'py>)> {
        let mut bound = [None; N];
        let named = self.positional.len().min(signature.positional);
        for (slot, arg) in bound.iter_mut().zip(&self.positional[..named]) {
            // SAFETY: as in `get`.
            *slot = Some(unsafe { Bound::ref_from_ptr(self.py, arg) });
        }
        if self.has_keywords() {
            self.bind_keywords(signature, &mut bound, None)?;
        }
        check_required(signature, &bound)?;
        Ok((bound, self.iter().skip(named).collect()))
    }

    /// As [`Args::bind_rest`] for a signature with `*args, **kwargs`: unknown keywords are gathered in a dict.
    ///
    /// # Errors
    /// `TypeError` for missing or doubly given arguments.
    #[allow(clippy::type_complexity)] // the three parts of a Python call
    pub fn bind_all<const N: usize>(
        &self,
        signature: &Signature<N>,
    ) -> PyResult<([Option<&'a Bound<'py, PyAny>>; N], Rest<'a, 'py>, Option<Bound<'py, PyDict>>)> {
        let mut bound = [None; N];
        let named = self.positional.len().min(signature.positional);
        for (slot, arg) in bound.iter_mut().zip(&self.positional[..named]) {
            // SAFETY: as in `get`.
            *slot = Some(unsafe { Bound::ref_from_ptr(self.py, arg) });
        }
        let mut extra = None;
        if self.has_keywords() {
            // SAFETY: attached; a new dict or null. (PyO3's own panics when memory is short.)
            let dict = unsafe { Bound::from_owned_ptr_or_err(self.py, ffi::PyDict_New())? };
            let dict = dict.cast_into::<PyDict>()?;
            self.bind_keywords(signature, &mut bound, Some(&dict))?;
            extra = (!dict.is_empty()).then_some(dict);
        }
        check_required(signature, &bound)?;
        Ok((bound, self.iter().skip(named).collect(), extra))
    }

    /// Refuses more positional arguments than `signature` has; for signatures with `**kwargs` and without `*args`.
    ///
    /// # Errors
    /// `TypeError` if there are more.
    pub fn at_most<const N: usize>(&self, signature: &Signature<N>) -> PyResult<()> {
        if self.positional.len() > signature.positional {
            return Err(too_many(signature.function, signature.positional, self.positional.len()));
        }
        Ok(())
    }

    /// Refuses any argument.
    ///
    /// # Errors
    /// `TypeError` if there is one.
    pub fn none(&self, function: &'static str) -> PyResult<()> {
        self.bind(&Signature::new(function, [])).map(|_| ())
    }

    /// Calls `f` with every keyword argument.
    ///
    /// # Errors
    /// What `f` raises.
    pub fn each_keyword(
        &self,
        mut f: impl FnMut(&Bound<'py, PyAny>, &'a Bound<'py, PyAny>) -> PyResult<()>,
    ) -> PyResult<()> {
        match self.keywords {
            Keywords::None => Ok(()),
            Keywords::Names(names, values) => {
                for (i, value) in values.iter().enumerate() {
                    // SAFETY: `names` is a tuple of as many strings as there are values, alive for `'a`.
                    let (name, value) = unsafe {
                        let name = ffi::PyTuple_GET_ITEM(names, i as ffi::Py_ssize_t);
                        (Bound::from_borrowed_ptr(self.py, name), Bound::ref_from_ptr(self.py, value))
                    };
                    f(&name, value)?;
                }
                Ok(())
            }
        }
    }

    fn bind_keywords<const N: usize>(
        &self,
        signature: &Signature<N>,
        bound: &mut [Option<&'a Bound<'py, PyAny>>; N],
        extra: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<()> {
        let Signature { function, names, unnamed, .. } = signature;
        self.each_keyword(|name, value| {
            let Ok(text) = name.cast::<PyString>() else {
                return Err(PyTypeError::new_err("keywords must be strings"));
            };
            // Surrogates are in nobody's parameter names.
            let text = text.to_string_lossy();
            let text = text.as_ref();
            if let Some(i) = names.iter().position(|known| *known == text).filter(|i| i >= unnamed) {
                if bound[i].is_some() {
                    return Err(PyTypeError::new_err(format!(
                        "{function}() got multiple values for argument '{text}'"
                    )));
                }
                bound[i] = Some(value);
                Ok(())
            } else if let Some(extra) = extra {
                extra.set_item(name, value)
            } else {
                Err(PyTypeError::new_err(format!("{function}() got an unexpected keyword argument '{text}'")))
            }
        })
    }
}

#[inline]
fn check_required<const N: usize>(
    signature: &Signature<N>,
    bound: &[Option<&Bound<'_, PyAny>>; N],
) -> PyResult<()> {
    let positional = bound[..signature.required].iter().all(Option::is_some);
    let keywords = !signature.required_keywords || bound[signature.positional..].iter().all(Option::is_some);
    if positional && keywords {
        return Ok(());
    }
    let missing: Vec<String> = bound
        .iter()
        .enumerate()
        .filter(|(i, value)| {
            value.is_none()
                && (*i < signature.required || (signature.required_keywords && *i >= signature.positional))
        })
        .map(|(i, _)| format!("'{}'", signature.names[i]))
        .collect();
    let plural = if missing.len() == 1 { "" } else { "s" };
    Err(PyTypeError::new_err(format!(
        "{}() missing {} required argument{plural}: {}",
        signature.function,
        missing.len(),
        missing.join(" and ")
    )))
}

#[cold]
fn too_many(function: &str, allowed: usize, given: usize) -> PyErr {
    let plural = if allowed == 1 { "" } else { "s" };
    PyTypeError::new_err(format!(
        "{function}() takes {allowed} positional argument{plural} but {given} were given"
    ))
}
