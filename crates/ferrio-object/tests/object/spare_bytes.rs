//! `bytes` objects that are made out of those that nobody has kept.

use ferrio_object::{Obj, SpareBytes, bytes_of};
use pyo3::prelude::*;

use super::attached;

fn contents(bytes: &Obj) -> &[u8] {
    bytes_of(bytes).unwrap()
}

#[test]
fn one_that_nobody_kept_is_written_anew() {
    attached(|py, _| {
        let spare = SpareBytes::new();
        let first = spare.bytes(py, &[1; 1024]).unwrap();
        let hash = first.bind(py).hash().unwrap();
        let at = first.as_ptr();
        drop(first);
        spare.rewind();
        let second = spare.bytes(py, &[2; 1024]).unwrap();
        assert_eq!((second.as_ptr(), contents(&second)), (at, &[2; 1024][..]));
        assert_ne!(second.bind(py).hash().unwrap(), hash);
    });
}

#[test]
fn one_that_is_kept_is_left_alone() {
    attached(|py, _| {
        let spare = SpareBytes::new();
        let first = spare.bytes(py, &[1; 1024]).unwrap();
        spare.rewind();
        let second = spare.bytes(py, &[2; 1024]).unwrap();
        assert_eq!((contents(&first), contents(&second)), (&[1; 1024][..], &[2; 1024][..]));
        // It holds on to the last one only.
        assert_eq!((first.refcount(), second.refcount()), (1, 2));
    });
}

#[test]
fn one_of_another_length_is_not_used() {
    attached(|py, _| {
        let spare = SpareBytes::new();
        for len in [1024, 1023, 1025, 513, 4096] {
            let bytes = spare.bytes(py, &vec![7; len]).unwrap();
            assert_eq!(contents(&bytes).len(), len);
            drop(bytes);
            spare.rewind();
        }
    });
}

#[test]
fn the_small_and_the_large_are_not_held() {
    attached(|py, _| {
        let spare = SpareBytes::new();
        for len in [2, 512, 4097, 100_000] {
            assert_eq!(spare.bytes(py, &vec![7; len]).unwrap().refcount(), 1, "{len}");
        }
        assert_eq!(contents(&spare.bytes(py, b"").unwrap()), b"");
        assert_eq!(contents(&spare.bytes(py, b"x").unwrap()), b"x");
    });
}

#[test]
fn as_many_are_held_as_there_is_room_for() {
    attached(|py, _| {
        let spare = SpareBytes::new();
        let all: Vec<_> = (0..200).map(|_| spare.bytes(py, &[7; 1024]).unwrap()).collect();
        let held = |all: &[Obj]| all.iter().filter(|bytes| bytes.refcount() == 2).count();
        assert_eq!(held(&all), 64);
        spare.clear();
        assert_eq!(held(&all), 0);
        assert_eq!(spare.bytes(py, &[7; 1024]).unwrap().refcount(), 2);
    });
}
