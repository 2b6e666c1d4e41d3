//! What fails, how it is reported, and that the error is the owner's to report.

use ferrio_openssl::{Read, Write};

use super::openssl::{TLS_1_2, TLS_1_3, has_errors, leave_error, openssl, queued_errors};
use super::pair::{Pair, Peer};

const SSL_ERROR_SSL: i32 = 1;

/// What the owner sees when it makes the same call: OpenSSL's verdict, and the last error of the queue.
fn owner_reads(peer: &Peer) -> (i32, Option<String>) {
    let mut byte = 0_u8;
    let (openssl, _) = openssl();
    // SAFETY: a live SSL, and one byte.
    let verdict = unsafe {
        let result = (openssl.ssl_read)(peer.ssl, (&raw mut byte).cast(), 1);
        (openssl.ssl_error)(peer.ssl, result)
    };
    (verdict, queued_errors().pop())
}

fn owner_writes(peer: &Peer) -> (i32, Option<String>) {
    let (openssl, _) = openssl();
    // SAFETY: a live SSL, and one byte.
    let verdict = unsafe {
        let result = (openssl.ssl_write)(peer.ssl, b"x".as_ptr().cast(), 1);
        (openssl.ssl_error)(peer.ssl, result)
    };
    (verdict, queued_errors().pop())
}

fn failed(text: &str) -> (i32, Option<String>) {
    (SSL_ERROR_SSL, Some(text.to_owned()))
}

/// An error that the connection runs into is the one that the owner reports if it reads itself, as it does without us.
#[test]
fn the_owner_reports_what_it_would_report_without_us() {
    for version in [TLS_1_2, TLS_1_3] {
        let reports = [true, false].map(|directly| {
            let pair = Pair::new(version);
            let mut records = pair.client.records(b"hello");
            *records.last_mut().unwrap() ^= 1;
            pair.server.connection.push_input(&records);
            if directly {
                assert_eq!(pair.server.read_all(), (vec![], Read::Failed));
                assert!(has_errors());
            }
            let changed = owner_reads(&pair.server);

            // The alert says so to the peer.
            pair.client.connection.push_input(&pair.server.connection.take_output());
            if directly {
                assert_eq!(pair.client.read_all(), (vec![], Read::Failed));
                assert!(has_errors());
            }
            (changed, owner_reads(&pair.client))
        });
        assert_eq!(reports[0], reports[1]);
        let ((verdict, changed), (peers_verdict, alert)) = reports[0].clone();
        assert_eq!((verdict, peers_verdict), (SSL_ERROR_SSL, SSL_ERROR_SSL));
        // The words are another's in later versions of OpenSSL.
        assert!(
            ["decryption failed or bad record mac", "record layer failure"].contains(&&*changed.unwrap())
        );
        assert!(alert.unwrap().ends_with(" alert bad record mac"));
    }
}

#[test]
fn something_else_than_tls_fails() {
    let pair = Pair::new(TLS_1_3);
    let received = pair.server.connection.feed(b"GET / HTTP/1.1\r\n\r\n", || pair.server.read_all());
    assert_eq!(received, (vec![], Read::Failed));
    let (verdict, text) = owner_reads(&pair.server);
    assert_eq!(verdict, SSL_ERROR_SSL);
    assert!(text.is_some());
}

#[test]
fn errors_that_others_left_are_not_ours() {
    let pair = Pair::new(TLS_1_3);
    leave_error();
    let records = pair.client.records(b"hello");
    assert!(!has_errors());
    let mut buffer = [0; 10];
    leave_error();
    pair.server.connection.push_input(&records);
    assert_eq!(pair.server.connection.read(&mut buffer), Read::Data(5));
    assert!(!has_errors());
    leave_error();
    assert_eq!(pair.server.connection.read(&mut buffer), Read::WouldBlock);
    assert!(!has_errors());
    pair.client.shutdown();
    pair.server.connection.push_input(&pair.client.connection.take_output());
    leave_error();
    assert_eq!(pair.server.connection.read(&mut buffer), Read::Closed);
    assert!(!has_errors());
}

#[test]
fn close_notify_ends_reading_and_not_writing() {
    for version in [TLS_1_2, TLS_1_3] {
        let pair = Pair::new(version);
        let mut records = pair.client.records(b"last words");
        assert_eq!(pair.client.shutdown(), 0);
        records.extend(pair.client.connection.take_output());
        let received = pair.server.connection.feed(&records, || pair.server.read_all());
        assert_eq!(received, (b"last words".to_vec(), Read::Closed));
        assert_eq!(pair.server.read_all(), (vec![], Read::Closed));
        pair.server.connection.end_input();
        assert_eq!(pair.server.read_all(), (vec![], Read::Closed));

        let records = pair.server.records(b"answer");
        let received = pair.client.connection.feed(&records, || pair.client.read_all());
        assert_eq!(received, (b"answer".to_vec(), Read::WouldBlock));
        assert_eq!(pair.server.shutdown(), 1);
        // Both directions have ended: Python has SSLZeroReturnError for that, without an error in the queue.
        assert_eq!(pair.server.read_all(), (vec![], Read::Failed));
        assert!(!has_errors());
    }
}

#[test]
fn writing_after_the_shutdown_fails() {
    let pair = Pair::new(TLS_1_3);
    pair.client.shutdown();
    assert_eq!(pair.client.connection.write(b"late"), Write::Failed);
    assert_eq!(owner_writes(&pair.client), failed("protocol is shutdown"));
    assert_eq!(pair.client.connection.write(b""), Write::Taken(0));
}

#[test]
fn the_end_of_the_stream_without_close_notify_fails() {
    for version in [TLS_1_2, TLS_1_3] {
        let pair = Pair::new(version);
        let mut records = pair.client.records(b"whole");
        records.extend(&pair.client.records(b"cut off")[..10]);
        let connection = &pair.server.connection;
        let received = connection.feed(&records, || pair.server.read_all());
        assert_eq!(received, (b"whole".to_vec(), Read::WouldBlock));
        connection.end_input();
        assert!(connection.may_read());
        assert_eq!(pair.server.read_all(), (vec![], Read::Failed));
        assert_eq!(owner_reads(&pair.server), failed("unexpected eof while reading"));
    }
}

#[test]
fn a_renegotiation_that_is_refused_leaves_the_connection_usable() {
    let pair = Pair::new(TLS_1_2);
    // SAFETY: a live SSL.
    assert_eq!(pair.client.call(|openssl, ssl| unsafe { (openssl.ssl_renegotiate)(ssl) }), 1);
    assert!(!pair.client.shake());
    let hello = pair.client.connection.take_output();
    let received = pair.server.connection.feed(&hello, || pair.server.read_all());
    assert_eq!(received, (vec![], Read::WouldBlock));
    // The refusal is a warning to the server's side; the client takes it as an error.
    let answer = pair.server.connection.take_output();
    let received = pair.client.connection.feed(&answer, || pair.client.read_all());
    assert_eq!(received, (vec![], Read::Failed));
    assert_eq!(owner_reads(&pair.client), failed("no renegotiation"));
    assert!(!has_errors());
}

#[test]
fn writing_waits_while_the_peer_wants_a_handshake() {
    let pair = Pair::new(TLS_1_2);
    // The server asks for a new handshake; the client is told at its next read, and answers.
    // SAFETY: a live SSL.
    assert_eq!(pair.server.call(|openssl, ssl| unsafe { (openssl.ssl_renegotiate)(ssl) }), 1);
    assert!(pair.server.shake());
    let request = pair.server.connection.take_output();
    let received = pair.client.connection.feed(&request, || pair.client.read_all());
    assert_eq!(received, (vec![], Read::WouldBlock));
    assert_eq!(pair.client.connection.write(b"in between"), Write::WouldBlock);
    assert!(!has_errors());
    for _ in 0..4 {
        pair.server.connection.push_input(&pair.client.connection.take_output());
        assert_eq!(pair.server.read_all(), (vec![], Read::WouldBlock));
        pair.client.connection.push_input(&pair.server.connection.take_output());
        assert_eq!(pair.client.read_all(), (vec![], Read::WouldBlock));
    }
    let records = pair.client.records(b"afterwards");
    assert_eq!(pair.server.connection.feed(&records, || pair.server.read_all()).0, b"afterwards");
}
