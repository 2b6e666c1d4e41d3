//! Buffers that objects export, and the contents of `bytes`.

use ferrio_object::{Buffer, BufferPlace, Obj, PlacedBuffer, bytes_of};
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyString};

use crate::{attached, references};

#[test]
fn bytes_of_bytes_alone() {
    attached(|py, _| {
        assert_eq!(bytes_of(&Obj::from(PyBytes::new(py, b"data"))), Some(&b"data"[..]));
        assert_eq!(bytes_of(&Obj::from(PyBytes::new(py, b""))), Some(&b""[..]));
        assert_eq!(bytes_of(&Obj::from(PyByteArray::new(py, b"data"))), None);
        assert_eq!(bytes_of(&Obj::from(PyString::new(py, "data"))), None);
        let sub = py.eval(c"type('B', (bytes,), {})(b'sub')", None, None).unwrap();
        assert_eq!(bytes_of(&Obj::from(sub)), Some(&b"sub"[..]));
    });
}

#[test]
fn read_and_written_in_place() {
    attached(|py, _| {
        let array = PyByteArray::new(py, b"hello");
        let buffer = Buffer::get(py, &Obj::from(&array), true).unwrap();
        assert_eq!((buffer.len(), buffer.is_empty()), (5, false));
        buffer.cells(py)[0].set(b'j');
        assert_eq!(buffer.to_vec(py), b"jello");
        assert!(buffer.with(py, |bytes| bytes == b"jello"));
        drop(buffer);
        assert_eq!(array.to_vec(), b"jello");
    });
}

#[test]
fn any_number_of_views_of_the_same_memory() {
    attached(|py, _| {
        let array = PyByteArray::new(py, b"hello");
        let obj = Obj::from(&array);
        let (one, other) = (Buffer::get(py, &obj, true).unwrap(), Buffer::get(py, &obj, true).unwrap());
        let (left, right) = (one.cells(py), other.cells(py));
        left[0].set(b'j');
        right[4].set(left[0].get());
        assert_eq!(one.fill(py, b"HELL and more"), 5);
        assert_eq!(other.fill(py, b"he"), 2);
        assert_eq!(right.iter().map(std::cell::Cell::get).collect::<Vec<_>>(), b"heLL ");
        drop((one, other));
        assert_eq!(array.to_vec(), b"heLL ");
    });
}

#[test]
fn held_until_dropped() {
    attached(|py, _| {
        let array = PyByteArray::new(py, b"hello");
        let before = references(&array);
        let buffer = Buffer::get(py, &Obj::from(&array), false).unwrap();
        let err = array.resize(10).unwrap_err();
        assert!(err.is_instance_of::<PyBufferError>(py), "{err}");
        drop(buffer);
        array.resize(10).unwrap();
        assert_eq!(references(&array), before);
    });
}

#[test]
fn one_place_serves_one_view_after_the_other() {
    attached(|py, _| {
        let array = PyByteArray::new(py, b"hello");
        let before = references(&array);
        let obj = Obj::from(&array);
        let mut place = BufferPlace::new();
        let buffer = PlacedBuffer::get_in(&mut place, py, &obj, true).unwrap();
        buffer.cells(py)[0].set(b'j');
        assert!(array.resize(10).is_err());
        drop(buffer);
        let refused = PlacedBuffer::get_in(&mut place, py, &Obj::none(py), false).err().unwrap();
        assert!(refused.is_instance_of::<PyTypeError>(py), "{refused}");
        let again = PlacedBuffer::get_in(&mut place, py, &obj, false).unwrap();
        assert_eq!(again.to_vec(py), b"jello");
        drop(again);
        drop(obj);
        array.resize(10).unwrap();
        assert_eq!(references(&array), before);
    });
}

#[test]
fn refused_with_the_errors_of_the_exporter() {
    attached(|py, _| {
        let none = Obj::none(py);
        let err = Buffer::get(py, &none, false).err().unwrap();
        assert!(err.is_instance_of::<PyTypeError>(py), "{err}");
        let bytes = Obj::from(PyBytes::new(py, b"constant"));
        let err = Buffer::get(py, &bytes, true).err().unwrap();
        assert!(err.is_instance_of::<PyBufferError>(py), "{err}");
        let strided = py.eval(c"memoryview(bytearray(8))[::2]", None, None).unwrap();
        let err = Buffer::get(py, &Obj::from(strided), false).err().unwrap();
        assert!(err.is_instance_of::<PyBufferError>(py), "{err}");
    });
}

#[test]
#[should_panic(expected = "a read-only buffer cannot be written")]
fn a_read_only_buffer_is_not_written() {
    attached(|py, _| {
        let bytes = Obj::from(PyBytes::new(py, b"constant"));
        Buffer::get(py, &bytes, false).unwrap().fill(py, b"");
    });
}

#[test]
fn empty_ones_have_no_memory() {
    attached(|py, _| {
        let empty = Buffer::get(py, &Obj::from(PyByteArray::new(py, b"")), true).unwrap();
        assert!(empty.is_empty() && empty.to_vec(py).is_empty());
        assert_eq!(empty.with(py, <[u8]>::len) + empty.cells(py).len(), 0);
    });
}
