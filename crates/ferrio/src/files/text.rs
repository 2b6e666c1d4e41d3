//! A text file: a binary one, with characters decoded ahead of it.
//!
//! Bytes become characters, and characters bytes, through Python's own incremental codecs, and universal newlines through
//! `io.IncrementalNewlineDecoder`, as in `io.TextIOWrapper`; that class itself reads when it likes and cannot be asked
//! to wait. Its arguments are checked by making one of it.
//!
//! To tell where one is, the state of the decoder before the bytes that were decoded last is kept, with those bytes
//! (`snapshot`). Characters are taken out of `decoded` only when an operation has all that it needs, so a cancelled one
//! takes none.

use std::cell::{Cell, RefCell};

use ferrio_object::{Obj, ObjCell, WeakList};
use pyo3::exceptions::{PyOSError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PySlice, PyString};

use super::file::{File, unsupported};
use super::methods::write_bytes;
use super::opening::{self, Request};
use crate::coro::{Co, Kept, Local};

/// The arguments of `open()` that are only for text.
#[derive(Clone, Default)]
pub(super) struct Options {
    pub(super) encoding: Option<Obj>,
    pub(super) errors: Option<Obj>,
    pub(super) newline: Option<Obj>,
}

ferrio_object::traverse!(struct Options { encoding, errors, newline });

/// The `newline` argument.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Newline {
    /// `None`: every newline is read as `\n`.
    Translated,
    /// `''`: every newline ends a line, and is left as it is.
    Universal,
    Lf,
    Cr,
    CrLf,
}

impl Newline {
    fn of(py: Python<'_>, given: Option<&Obj>) -> PyResult<Self> {
        let Some(given) = given else { return Ok(Newline::Translated) };
        Ok(match given.bind(py).extract::<String>()?.as_str() {
            "" => Newline::Universal,
            "\r" => Newline::Cr,
            "\r\n" => Newline::CrLf,
            _ => Newline::Lf,
        })
    }

    fn text(self) -> &'static str {
        match self {
            Newline::Cr => "\r",
            Newline::CrLf => "\r\n",
            _ => "\n",
        }
    }
}

/// Where decoding began: the decoder's state there, and the bytes that it was given since.
pub(super) struct Snapshot {
    flags: u64,
    bytes: Vec<u8>,
    /// It was told that these are the last.
    at_end: bool,
}

/// The contents of a text file.
pub struct Text {
    pub(super) file: ObjCell<File>,
    pub(super) mode: RefCell<String>,
    pub(super) encoding: ObjCell,
    pub(super) errors: ObjCell,
    pub(super) newline: Cell<Newline>,
    pub(super) line_buffering: Cell<bool>,
    pub(super) decoder: ObjCell,
    pub(super) encoder: ObjCell,
    pub(super) decoded: ObjCell,
    /// How many of the decoded characters have been read.
    pub(super) used: Cell<usize>,
    pub(super) snapshot: RefCell<Option<Snapshot>>,
    pub(super) weaklist: WeakList,
}

impl Text {
    pub(super) fn blank() -> Self {
        Text {
            file: ObjCell::empty(),
            mode: RefCell::default(),
            encoding: ObjCell::empty(),
            errors: ObjCell::empty(),
            newline: Cell::new(Newline::Translated),
            line_buffering: Cell::new(false),
            decoder: ObjCell::empty(),
            encoder: ObjCell::empty(),
            decoded: ObjCell::empty(),
            used: Cell::new(0),
            snapshot: RefCell::new(None),
            weaklist: WeakList::new(),
        }
    }

    /// The binary file below.
    ///
    /// # Errors
    /// `ValueError` if there is none any more.
    pub(super) fn file(&self) -> PyResult<Obj<File>> {
        self.file.get().ok_or_else(super::file::closed_error)
    }

    /// Opens a text file.
    ///
    /// # Errors
    /// What the builtin `open()` raises; what is thrown in.
    pub(super) async fn open(co: &Co, request: &Kept<Request>) -> PyResult<Obj<Text>> {
        let this = {
            // Before anything is created or truncated, the arguments are looked at.
            let (py, request) = (co.py(), request.get());
            let this = Self::blank();
            let io = py.import("io")?;
            let Options { encoding, errors, newline } = &request.text;
            let checked = io.getattr("TextIOWrapper")?.call1((
                io.call_method0("BytesIO")?,
                encoding.as_ref(),
                errors.as_ref(),
                newline.as_ref(),
            ))?;
            this.encoding.set(Some((&checked.getattr("encoding")?).into()));
            this.errors.set(Some((&checked.getattr("errors")?).into()));
            this.newline.set(Newline::of(py, newline.as_ref())?);
            co.hold::<Text>(Obj::create(py, ((), this))?)
        };
        let file = opening::open(co, request).await?;
        let (py, this, request) = (co.py(), this.get(), request.get());
        this.line_buffering
            .set(request.buffering_is_by_line() || (request.buffering_is_default() && file.isatty(py)?));
        this.mode.borrow_mut().clone_from(&request.mode_given);
        this.make_codecs(py, &file)?;
        this.file.set(Some(file));
        Ok(this)
    }

    fn make_codecs(&self, py: Python<'_>, file: &File) -> PyResult<()> {
        let codecs = py.import("codecs")?;
        let (encoding, errors) = (self.encoding.get(), self.errors.get());
        if file.readable() {
            let make = codecs.call_method1("getincrementaldecoder", (&encoding,))?;
            let mut decoder = make.call1((&errors,))?;
            if matches!(self.newline.get(), Newline::Translated | Newline::Universal) {
                let translate = self.newline.get() == Newline::Translated;
                let wrap = py.import("io")?.getattr("IncrementalNewlineDecoder")?;
                decoder = wrap.call1((decoder, translate))?;
            }
            self.decoder.set(Some((&decoder).into()));
        }
        if file.writable() {
            let make = codecs.call_method1("getincrementalencoder", (&encoding,))?;
            let encoder = make.call1((&errors,))?;
            // In the middle of a file goes no byte order mark.
            if file.seekable.get() && file.position()? != 0 {
                encoder.call_method1("setstate", (0,))?;
            }
            self.encoder.set(Some((&encoder).into()));
        }
        Ok(())
    }

    fn decoder<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.decoder
            .get()
            .map(|decoder| decoder.into_bound(py))
            .ok_or_else(|| unsupported(py, "not readable"))
    }

    fn decoded<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.decoded.get().map_or_else(|| PyString::intern(py, "").into_any(), |text| text.into_bound(py))
    }

    /// How many characters are ahead.
    fn ahead(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.decoded(py).len()? - self.used.get())
    }

    /// Takes characters.
    pub(super) fn take(&self, py: Python<'_>, count: usize) -> PyResult<Obj> {
        let (decoded, used) = (self.decoded(py), self.used.get());
        let len = decoded.len()?;
        let end = used.saturating_add(count).min(len);
        self.used.set(end);
        if used == 0 && end == len {
            return Ok(decoded.into());
        }
        Ok(decoded.get_item(PySlice::new(py, used as isize, end as isize, 1))?.into())
    }

    fn forget_decoded(&self) {
        self.decoded.set(None);
        self.used.set(0);
        let snapshot = self.snapshot.take();
        drop(snapshot);
    }

    /// The decoder's state: bytes that it holds back, and a number.
    fn state(&self, py: Python<'_>) -> PyResult<(Vec<u8>, u64)> {
        self.decoder(py)?.call_method0(intern!(py, "getstate"))?.extract()
    }

    /// Decodes more; whether there was more.
    ///
    /// # Errors
    /// `UnicodeDecodeError`; as [`File::fill`].
    async fn decode_more(co: &Co, this: &Local<Text>) -> PyResult<bool> {
        let file = co.hold(this.get().file()?);
        if file.get().unread.borrow().len() == 0 {
            File::fill(co, &file, 1).await?;
        }
        let (py, this, file) = (co.py(), this.get(), file.get());
        let (held_back, flags) = this.state(py)?;
        let input = file.unread.borrow_mut().take(usize::MAX, <[u8]>::to_vec);
        let at_end = input.is_empty();
        let decoder = this.decoder(py)?;
        let bytes = PyBytes::new(py, &input);
        let text = decoder.call_method1(intern!(py, "decode"), (bytes, at_end))?;
        let mut snapshot = this.snapshot.borrow_mut();
        match &mut *snapshot {
            // What is still to be read was decoded from the bytes before: all of it is kept.
            Some(snapshot) if this.ahead(py)? > 0 => {
                snapshot.bytes.extend_from_slice(&input);
                snapshot.at_end = at_end;
                let joined = this.decoded(py).add(text)?;
                this.decoded.set(Some((&joined).into()));
            }
            _ => {
                let mut bytes = held_back;
                bytes.extend_from_slice(&input);
                *snapshot = Some(Snapshot { flags, bytes, at_end });
                this.decoded.set(Some((&text).into()));
                this.used.set(0);
            }
        }
        Ok(!at_end)
    }

    /// Reads up to `count` characters, or to the end.
    ///
    /// # Errors
    /// As [`Text::decode_more`].
    pub(super) async fn read(co: &Co, this: &Local<Text>, count: Option<usize>) -> PyResult<Obj> {
        if let Some(count) = count {
            while this.get().ahead(co.py())? < count && Self::decode_more(co, this).await? {}
            return this.get().take(co.py(), count);
        }
        let file = co.hold(this.get().file()?);
        File::fill_to_end(co, &file).await?;
        let (py, this, file) = (co.py(), this.get(), file.get());
        let input = file.unread.borrow_mut().take(usize::MAX, |bytes| PyBytes::new(py, bytes));
        let text = this.decoder(py)?.call_method1(intern!(py, "decode"), (input, true))?;
        let text = this.take(py, usize::MAX)?.bind(py).add(text)?;
        this.forget_decoded();
        Ok(text.into())
    }

    /// How many of the characters ahead make up a line; `None` if its end is not among them.
    fn line_len(&self, py: Python<'_>) -> PyResult<Option<usize>> {
        let (decoded, used) = (self.decoded(py), self.used.get());
        let find = |what: &str| -> PyResult<Option<usize>> {
            let found = decoded.call_method1(intern!(py, "find"), (what, used))?.extract::<isize>()?;
            Ok(usize::try_from(found).ok())
        };
        let newline = self.newline.get();
        if newline != Newline::Universal {
            let found = find(newline.text())?;
            return Ok(found.map(|at| at + newline.text().len() - used));
        }
        let (lf, cr) = (find("\n")?, find("\r")?);
        Ok(match (lf, cr) {
            (Some(lf), Some(cr)) if lf == cr + 1 => Some(lf + 1 - used),
            (Some(at), None) | (None, Some(at)) => Some(at + 1 - used),
            (Some(lf), Some(cr)) => Some(lf.min(cr) + 1 - used),
            (None, None) => None,
        })
    }

    /// Decodes until a line is ahead, and gives its length: what there is, at the end or from `limit` on.
    ///
    /// # Errors
    /// As [`Text::decode_more`].
    pub(super) async fn line(co: &Co, this: &Local<Text>, limit: Option<usize>) -> PyResult<usize> {
        let limit = limit.unwrap_or(usize::MAX);
        loop {
            if let Some(len) = this.get().line_len(co.py())? {
                return Ok(len.min(limit));
            }
            let ahead = this.get().ahead(co.py())?;
            if ahead >= limit {
                return Ok(limit);
            }
            if !Self::decode_more(co, this).await? {
                // The end may have let out what the decoder held back.
                let this = this.get();
                let ahead = this.ahead(co.py())?;
                if ahead == 0 {
                    // So that the end of an empty file is its beginning, where a byte order mark belongs.
                    this.forget_decoded();
                }
                return Ok(this.line_len(co.py())?.unwrap_or(ahead).min(limit));
            }
        }
    }

    /// A line.
    ///
    /// # Errors
    /// As [`Text::decode_more`].
    pub(super) async fn read_line(co: &Co, this: &Local<Text>, limit: Option<usize>) -> PyResult<Obj> {
        let len = Self::line(co, this, limit).await?;
        this.get().take(co.py(), len)
    }

    /// Encodes text for writing.
    ///
    /// # Errors
    /// `TypeError` if it is none, `UnicodeEncodeError`.
    fn encoded(&self, py: Python<'_>, text: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
        if !text.is_instance_of::<PyString>() {
            let name = text.get_type().name()?;
            return Err(PyTypeError::new_err(format!("write() argument must be str, not {name}")));
        }
        let newline = self.newline.get().text();
        let text = if newline == "\n" {
            text.clone()
        } else {
            text.call_method1(intern!(py, "replace"), ("\n", newline))?
        };
        let Some(encoder) = self.encoder.get() else { return Err(unsupported(py, "not writable")) };
        encoder.bind(py).call_method1(intern!(py, "encode"), (text,))?.extract()
    }

    /// Writes text; gives its length.
    ///
    /// # Errors
    /// As [`Text::encoded`]; `OSError`; what is thrown in.
    pub(super) async fn write(co: &Co, this: &Local<Text>, text: &Local) -> PyResult<usize> {
        let file = co.hold(this.get().file()?);
        let (data, len, flush) = {
            let (py, this, text) = (co.py(), this.get(), text.get());
            let given = text.bind(py);
            let data = this.encoded(py, given)?;
            this.forget_decoded();
            if let Some(decoder) = this.decoder.get() {
                decoder.bind(py).call_method0(intern!(py, "reset"))?;
            }
            let flush = this.line_buffering.get() && (given.contains("\n")? || given.contains("\r")?);
            (data, given.len()?, flush)
        };
        write_bytes(co, &file, &data).await?;
        if flush {
            File::write_out(co, &file).await?;
        }
        Ok(len)
    }

    /// Where we are, as a number that [`Text::seek`] understands: the position in bytes if the next character begins
    /// there and decoding can begin there, else with what has to be decoded and skipped in its upper digits.
    ///
    /// # Errors
    /// `OSError` for what has no position.
    pub(super) fn tell(&self, py: Python<'_>) -> PyResult<Obj> {
        let file = self.file()?;
        let position = file.position()?;
        let snapshot = self.snapshot.borrow();
        let Some(snapshot) = &*snapshot else { return Cookie::at(position, 0).number(py) };
        let begin = position - snapshot.bytes.len() as u64;
        let used = self.used.get();
        if used == 0 {
            return Cookie::at(begin, snapshot.flags).number(py);
        }
        let decoder = self.decoder(py)?;
        let state = decoder.call_method0(intern!(py, "getstate"))?;
        let found = self.byte_of(py, snapshot, used);
        decoder.call_method1(intern!(py, "setstate"), (state,))?;
        match found? {
            Some((bytes, flags)) => Cookie::at(begin + bytes as u64, flags).number(py),
            None => Cookie {
                position: begin,
                flags: snapshot.flags,
                bytes: snapshot.bytes.len() as u64,
                skip: used as u64,
                at_end: snapshot.at_end,
            }
            .number(py),
        }
    }

    /// After how many bytes of the snapshot there are exactly `used` characters and the decoder holds nothing back,
    /// and its state there. Changes the decoder's state.
    fn byte_of(&self, py: Python<'_>, snapshot: &Snapshot, used: usize) -> PyResult<Option<(usize, u64)>> {
        let decoder = self.decoder(py)?;
        let chars = |count: usize| -> PyResult<usize> {
            let start = (PyBytes::new(py, b""), snapshot.flags);
            decoder.call_method1(intern!(py, "setstate"), (start,))?;
            let bytes = PyBytes::new(py, &snapshot.bytes[..count]);
            decoder.call_method1(intern!(py, "decode"), (bytes,))?.len()
        };
        // More bytes never make fewer characters.
        let (mut low, mut high) = (0, snapshot.bytes.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if chars(middle)? < used { low = middle + 1 } else { high = middle }
        }
        let exact = chars(low)? == used;
        let (held_back, flags) = self.state(py)?;
        Ok((exact && held_back.is_empty()).then_some((low, flags)))
    }

    fn set_encoder(&self, py: Python<'_>, at_beginning: bool) -> PyResult<()> {
        let Some(encoder) = self.encoder.get() else { return Ok(()) };
        let encoder = encoder.bind(py);
        if at_beginning {
            encoder.call_method0(intern!(py, "reset"))?;
        } else {
            encoder.call_method1(intern!(py, "setstate"), (0,))?;
        }
        Ok(())
    }

    /// Goes to where [`Text::tell`] was asked, to the end, or stays.
    ///
    /// # Errors
    /// `io.UnsupportedOperation`, `ValueError` for what is no such place; `OSError`; what is thrown in.
    pub(super) async fn seek(co: &Co, this: &Local<Text>, cookie: &Local, whence: i32) -> PyResult<Obj> {
        let file = co.hold(this.get().file()?);
        File::write_out(co, &file).await?;
        let place = {
            let (py, this, file, cookie) = (co.py(), this.get(), file.get(), cookie.get());
            if !file.seekable.get() {
                return Err(unsupported(py, "underlying stream is not seekable"));
            }
            let zero = cookie.bind(py).eq(0)?;
            let place = match whence {
                0 => Some(cookie),
                1 if zero => Some(this.tell(py)?),
                2 if zero => None,
                1 => return Err(unsupported(py, "can't do nonzero cur-relative seeks")),
                2 => return Err(unsupported(py, "can't do nonzero end-relative seeks")),
                _ => {
                    return Err(PyValueError::new_err(format!(
                        "invalid whence ({whence}, should be 0, 1 or 2)"
                    )));
                }
            };
            match place {
                Some(cookie) => Some((Cookie::of(py, &cookie)?, co.hold(cookie))),
                None => None,
            }
        };
        let Some((place, cookie)) = place else {
            let end = File::seek_to(co, &file, 0, 2).await?;
            let (py, this) = (co.py(), this.get());
            this.forget_decoded();
            if let Some(decoder) = this.decoder.get() {
                decoder.bind(py).call_method0(intern!(py, "reset"))?;
            }
            this.set_encoder(py, end == 0)?;
            return Ok(end.into_pyobject(py)?.into_any().into());
        };
        let offset =
            i64::try_from(place.position).map_err(|_| PyOverflowError::new_err("position too large"))?;
        File::seek_to(co, &file, offset, 0).await?;
        this.get().forget_decoded();
        if place.skip > 0 {
            File::fill_to(co, &file, place.bytes as usize).await?;
        }
        let (py, this, file) = (co.py(), this.get(), file.get());
        if let Some(decoder) = this.decoder.get() {
            let decoder = decoder.bind(py);
            if place.position == 0 && place.flags == 0 {
                decoder.call_method0(intern!(py, "reset"))?;
            } else {
                decoder.call_method1(intern!(py, "setstate"), ((PyBytes::new(py, b""), place.flags),))?;
            }
            let bytes = file.unread.borrow_mut().take(place.bytes as usize, <[u8]>::to_vec);
            if place.skip > 0 {
                let input = PyBytes::new(py, &bytes);
                let text = decoder.call_method1(intern!(py, "decode"), (input, place.at_end))?;
                if (text.len()? as u64) < place.skip {
                    return Err(PyOSError::new_err("can't restore logical file position"));
                }
                this.decoded.set(Some((&text).into()));
                this.used.set(place.skip as usize);
            }
            // Also where nothing is decoded: tell() is to name the decoder's state with the position.
            let snapshot = Snapshot { flags: place.flags, bytes, at_end: place.at_end };
            drop(this.snapshot.replace(Some(snapshot)));
        }
        this.set_encoder(py, place.position == 0 && place.flags == 0)?;
        Ok(cookie.get())
    }

    /// Closes the file.
    ///
    /// # Errors
    /// As [`File::close`].
    pub(super) async fn close(co: &Co, this: &Local<Text>) -> PyResult<()> {
        let file = this.get().file.get().map(|file| co.hold(file));
        match file {
            Some(file) => File::close(co, &file).await,
            None => Ok(()),
        }
    }
}

/// A place in a text file, as one number: five fields of 64 bits each, the position lowest. This is
/// `io.TextIOWrapper`'s layout, so a place that one has told the other finds.
#[derive(Clone, Copy)]
struct Cookie {
    position: u64,
    flags: u64,
    bytes: u64,
    skip: u64,
    at_end: bool,
}

impl Cookie {
    const LEN: usize = 5 * 8;

    fn at(position: u64, flags: u64) -> Self {
        Cookie { position, flags, bytes: 0, skip: 0, at_end: false }
    }

    fn number(self, py: Python<'_>) -> PyResult<Obj> {
        if self.flags == 0 && self.skip == 0 {
            return Ok(self.position.into_pyobject(py)?.into_any().into());
        }
        let fields = [self.position, self.flags, self.bytes, self.skip, u64::from(self.at_end)];
        let bytes: Vec<u8> = fields.iter().flat_map(|field| field.to_le_bytes()).collect();
        let int = py.get_type::<pyo3::types::PyInt>();
        Ok(int.call_method1("from_bytes", (PyBytes::new(py, &bytes), "little"))?.into())
    }

    fn of(py: Python<'_>, number: &Obj) -> PyResult<Self> {
        let number = number.bind(py);
        if number.lt(0)? {
            return Err(PyValueError::new_err(format!("negative seek position {}", number.repr()?)));
        }
        let index = py.import("operator")?.call_method1("index", (number,))?;
        let bytes: Vec<u8> = index.call_method1("to_bytes", (Self::LEN, "little"))?.extract()?;
        let mut fields = bytes
            .chunks_exact(8)
            .map(|field| field.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
        let mut next = || fields.next().unwrap_or(0);
        Ok(Cookie { position: next(), flags: next(), bytes: next(), skip: next(), at_end: next() != 0 })
    }
}
