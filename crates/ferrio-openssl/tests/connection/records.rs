//! Records of every length, however they are cut.

use std::cell::Cell;
use std::ptr::NonNull;

use ferrio_openssl::{Connection, Read, Write};

use super::openssl::{TLS_1_2, TLS_1_3, openssl};
use super::pair::Pair;

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 7 + n / 251) as u8).collect()
}

#[test]
fn every_length_from_one_byte_to_17_kib_arrives() {
    for version in [TLS_1_2, TLS_1_3] {
        let pair = Pair::new(version);
        for len in (1..600).chain((600..17 * 1024).step_by(97)).chain(16 * 1024 - 40..16 * 1024 + 40) {
            let data = bytes(len);
            let records = pair.client.records(&data);
            let received = pair.server.connection.feed(&records, || pair.server.read_all());
            assert_eq!(received, (data, Read::WouldBlock), "{len}");
            assert_eq!(pair.server.connection.input_len(), 0);
        }
    }
}

#[test]
fn records_are_read_from_pieces_of_any_length() {
    let pair = Pair::new(TLS_1_3);
    let data = bytes(40_000);
    for piece in [1, 2, 3, 4, 5, 6, 7, 21, 22, 23, 1000, 16_383, 16_384, 16_385, 16_406, 17_408, 39_999] {
        let records = pair.client.records(&data);
        let mut received = Vec::new();
        for (number, piece) in records.chunks(piece).enumerate() {
            // Borrowed and copied input alternate.
            let (part, end) = if number % 2 == 0 {
                pair.server.connection.feed(piece, || pair.server.read_all())
            } else {
                pair.server.connection.push_input(piece);
                pair.server.read_all()
            };
            assert_eq!(end, Read::WouldBlock);
            received.extend(part);
        }
        assert!(received == data, "{piece}");
    }
}

#[test]
fn every_cut_of_two_records_is_the_same() {
    let pair = Pair::new(TLS_1_3);
    let mut cut = 0;
    loop {
        let records = [pair.client.records(b"first"), pair.client.records(b"second")].concat();
        if cut > records.len() {
            break;
        }
        let (before, after) = records.split_at(cut);
        let (mut data, _) = pair.server.connection.feed(before, || pair.server.read_all());
        data.extend(pair.server.connection.feed(after, || pair.server.read_all()).0);
        assert_eq!(data, b"firstsecond", "{cut}");
        cut += 1;
    }
}

#[test]
fn input_that_was_not_read_comes_first_next_time() {
    let pair = Pair::new(TLS_1_3);
    let connection = &pair.server.connection;
    let [one, two, three] = [b"one", b"two", b"333"].map(|data| pair.client.records(data));
    let mut buffer = [0; 100];
    connection.feed(&[one, two].concat(), || assert_eq!(connection.read(&mut buffer), Read::Data(3)));
    assert_eq!(&buffer[..3], b"one");
    assert!(connection.may_read());
    let rest = connection.feed(&three, || pair.server.read_all());
    assert_eq!(rest, (b"two333".to_vec(), Read::WouldBlock));
    assert!(!connection.may_read());
}

#[test]
fn a_feed_inside_of_a_feed_keeps_the_order() {
    let pair = Pair::new(TLS_1_3);
    let connection = &pair.server.connection;
    let [one, two, three] = [b"one", b"two", b"333"].map(|data| pair.client.records(data));
    let mut buffer = [0; 3];
    connection.feed(&[one, two].concat(), || {
        assert_eq!(connection.read(&mut buffer), Read::Data(3));
        connection.feed(&three, || {
            assert_eq!(connection.read(&mut buffer), Read::Data(3));
            assert_eq!(&buffer, b"two");
        });
        assert_eq!(connection.read(&mut buffer), Read::Data(3));
        assert_eq!(&buffer, b"333");
    });
    assert_eq!(connection.read(&mut buffer), Read::WouldBlock);
}

#[test]
fn a_panic_in_a_feed_ends_the_borrow() {
    let pair = Pair::new(TLS_1_3);
    let records = pair.client.records(b"kept");
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        pair.server.connection.feed(&records.clone(), || panic!("on purpose"));
    }));
    assert!(result.is_err());
    drop(records);
    assert_eq!(pair.server.read_all(), (b"kept".to_vec(), Read::WouldBlock));
}

#[test]
fn a_record_is_read_in_parts_of_the_callers_size() {
    let pair = Pair::new(TLS_1_3);
    let connection = &pair.server.connection;
    connection.push_input(&pair.client.records(&bytes(1000)));
    let mut data = Vec::new();
    let mut part = [0; 7];
    while connection.may_read() {
        match connection.read(&mut part) {
            Read::Data(count) => data.extend_from_slice(&part[..count]),
            end => assert_eq!(end, Read::WouldBlock),
        }
    }
    assert_eq!(data, bytes(1000));
    assert_eq!(connection.read(&mut []), Read::Data(0));

    connection.push_input(&pair.client.records(b"into cells"));
    let cells = [const { Cell::new(0) }; 6];
    assert_eq!(connection.read_cells(&cells), Read::Data(6));
    assert_eq!(cells.map(|cell| cell.get()), *b"into c");
}

#[test]
fn output_goes_into_the_buffer_that_was_lent() {
    let pair = Pair::new(TLS_1_3);
    let connection = &pair.client.connection;
    let mut scratch = Vec::with_capacity(64 * 1024);
    let address = scratch.as_ptr();
    connection.swap_output(&mut scratch);
    pair.client.write_all(b"hello");
    assert!(connection.output_len() > 5);
    connection.swap_output(&mut scratch);
    assert_eq!((scratch.as_ptr(), connection.output_len()), (address, 0));
    let received = pair.server.connection.feed(&scratch, || pair.server.read_all());
    assert_eq!(received.0, b"hello");
}

#[test]
fn a_key_update_is_answered() {
    const REQUEST_UPDATE: i32 = 1;
    let pair = Pair::new(TLS_1_3);
    for (one, other) in [(&pair.client, &pair.server), (&pair.server, &pair.client)] {
        // SAFETY: a live SSL.
        assert_eq!(one.call(|openssl, ssl| unsafe { (openssl.ssl_key_update)(ssl, REQUEST_UPDATE) }), 1);
        let records = one.records(b"under a new key");
        let received = other.connection.feed(&records, || other.read_all());
        assert_eq!(received, (b"under a new key".to_vec(), Read::WouldBlock));
        // The answer waits for the next write.
        let records = other.records(b"and back");
        assert_eq!(one.connection.feed(&records, || one.read_all()).0, b"and back");
    }
}

/// An `SSL` may outlive its connection: a program keeps `ssl_object` after the transport is gone, and reads on another
/// thread.
#[test]
fn what_is_left_can_be_read_without_the_connection() {
    let pair = Pair::new(TLS_1_3);
    let records = pair.client.records(b"left behind");
    pair.server.connection.push_input(&records);
    let (openssl, _) = openssl();
    let ssl = pair.server.ssl.addr();
    // SAFETY: the BIO of a live SSL, of which a reference is taken.
    let bio = unsafe {
        let bio = (openssl.ssl_bio)(pair.server.ssl);
        assert_eq!((openssl.bio_up_ref)(bio), 1);
        bio
    };
    let server = std::mem::ManuallyDrop::new(pair.server);
    // SAFETY: dropped once, and not used after.
    unsafe { std::ptr::drop_in_place((&raw const server.connection).cast_mut()) };
    let data = std::thread::spawn(move || {
        let mut buffer = [0; 100];
        // SAFETY: the SSL is alive, and used by this thread alone.
        let count = unsafe {
            (openssl.ssl_read)(std::ptr::with_exposed_provenance_mut(ssl), buffer.as_mut_ptr().cast(), 100)
        };
        buffer[..usize::try_from(count).unwrap()].to_vec()
    });
    assert_eq!(data.join().unwrap(), b"left behind");
    // SAFETY: the last reference to the SSL; then our own to the BIO, which still works.
    unsafe {
        (openssl.ssl_free)(server.ssl);
        assert_eq!((openssl.bio_write)(bio, b"abc".as_ptr().cast(), 3), 3);
        assert_eq!((openssl.bio_free)(bio), 1);
    }
}

/// What OpenSSL and libraries above it ask of a BIO.
#[test]
fn the_bio_answers_as_a_memory_bio_does() {
    const RESET: i32 = 1;
    const EOF: i32 = 2;
    const PUSH: i32 = 6;
    const PENDING: i32 = 10;
    const FLUSH: i32 = 11;
    const DUP: i32 = 12;
    const WPENDING: i32 = 13;
    let pair = Pair::new(TLS_1_3);
    let connection = &pair.client.connection;
    let (openssl, _) = openssl();
    // SAFETY: the BIO of a live SSL.
    let bio = unsafe { (openssl.ssl_bio)(pair.client.ssl) };
    // SAFETY: a live BIO; none of these commands takes a pointer.
    let ask = |command| unsafe { (openssl.bio_control)(bio, command, 0, std::ptr::null_mut()) };
    let read = || {
        let mut buffer = [0; 10];
        // SAFETY: a live BIO, and a buffer of ten bytes.
        unsafe { (openssl.bio_read)(bio, buffer.as_mut_ptr().cast(), 10) }
    };
    assert_eq!([EOF, PENDING, WPENDING, FLUSH, DUP, PUSH, RESET].map(ask), [0, 0, 0, 1, 1, 0, 0]);
    assert!(read() <= 0);
    connection.push_input(b"abc");
    // SAFETY: a live BIO, and two bytes.
    assert_eq!(unsafe { (openssl.bio_write)(bio, b"xy".as_ptr().cast(), 2) }, 2);
    connection.end_input();
    assert_eq!([EOF, PENDING, WPENDING].map(ask), [0, 3, 2]);
    assert_eq!(read(), 3);
    assert_eq!([EOF, PENDING].map(ask), [1, 0]);
    assert_eq!(read(), 0);
    assert_eq!(connection.take_output(), b"xy");
}

/// As Python's objects have it, with a `MemoryBIO` for each direction.
#[test]
fn a_connection_that_was_released_goes_on_with_the_memory_it_had() {
    let (openssl, library) = openssl();
    let pair = Pair::new(TLS_1_3);
    let ssl = pair.client.ssl;
    // SAFETY: a live SSL takes over two BIOs, of which a reference stays with us.
    let bios = unsafe {
        let bios = [(); 2].map(|()| (openssl.bio_new)((openssl.bio_memory)()));
        for bio in bios {
            assert_eq!((openssl.bio_up_ref)(bio), 1);
        }
        (openssl.ssl_set_bio)(ssl, bios[0], bios[1]);
        bios
    };
    // SAFETY: the SSL lives as long as the pair.
    let connection = unsafe { Connection::adopt(library, NonNull::new(ssl).unwrap()) }.unwrap();
    let [one, two, three] = [b"one", b"two", b"333"].map(|data| pair.server.records(data));
    let mut buffer = [0; 3];
    // A record was read, of the next a part, the rest is borrowed, or has not come.
    connection.feed(&[&one, &two[..10]].concat(), || {
        assert_eq!(connection.read(&mut buffer), Read::Data(3));
        assert_eq!(connection.read(&mut buffer), Read::WouldBlock);
    });
    assert_eq!(connection.write(b"written"), Write::Taken(7));
    connection.feed(&two[10..], || connection.release());
    connection.release();
    drop(connection);

    let call = |size: usize| {
        let mut buffer = vec![0_u8; size];
        // SAFETY: a live SSL, and a buffer of that size.
        let count = unsafe { (openssl.ssl_read)(ssl, buffer.as_mut_ptr().cast(), size as i32) };
        buffer.truncate(usize::try_from(count).unwrap_or(0));
        buffer
    };
    assert_eq!(call(10), b"two");
    assert_eq!(call(10), b"");
    // SAFETY: live BIOs, and buffers of the sizes that are given.
    unsafe {
        assert_eq!(
            (openssl.bio_write)(bios[0], three.as_ptr().cast(), three.len() as i32),
            three.len() as i32
        );
        assert_eq!(call(10), b"333");
        let mut output = vec![0_u8; 1000];
        let count = (openssl.bio_read)(bios[1], output.as_mut_ptr().cast(), 1000);
        output.truncate(usize::try_from(count).unwrap());
        assert_eq!(pair.server.connection.feed(&output, || pair.server.read_all()).0, b"written");
        for bio in bios {
            (openssl.bio_free)(bio);
        }
    }
}
