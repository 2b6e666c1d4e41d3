//! Any order of writes, feeds, reads and key updates delivers what was written.

use std::ffi::c_long;

use ferrio_openssl::Read;
use proptest::prelude::*;

use super::openssl::{TLS_1_2, TLS_1_3, has_errors, queued_errors};
use super::pair::{Pair, Peer};

#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    /// So many bytes go over, borrowed; then so many reads with a buffer of that size.
    Feed(usize, usize, usize),
    Push(usize),
    Read(usize),
    UpdateKey,
    Close,
}

fn step() -> impl Strategy<Value = (bool, Step)> {
    let len = prop_oneof![4 => 1..100_usize, 2 => 100..20_000_usize, 1 => 16_380..16_390_usize];
    let step = prop_oneof![
        3 => len.clone().prop_map(Step::Write),
        3 => (len.clone(), 0..4_usize, len.clone()).prop_map(|(a, b, c)| Step::Feed(a, b, c)),
        1 => len.clone().prop_map(Step::Push),
        2 => len.prop_map(Step::Read),
        1 => Just(Step::UpdateKey),
        1 => Just(Step::Close),
    ];
    (any::<bool>(), step)
}

/// One direction: what was written, what is under way, what has arrived.
#[derive(Default)]
struct Direction {
    written: Vec<u8>,
    under_way: Vec<u8>,
    arrived: Vec<u8>,
    closed: bool,
    end_seen: bool,
}

impl Direction {
    fn read(&mut self, to: &Peer, size: usize) -> bool {
        let mut buffer = vec![0; size];
        match to.connection.read(&mut buffer) {
            Read::Data(count) => self.arrived.extend_from_slice(&buffer[..count]),
            Read::WouldBlock => return false,
            // Failed without an error: both directions have ended.
            Read::Closed | Read::Failed => {
                assert!(!has_errors());
                self.end_seen = true;
                return false;
            }
        }
        true
    }

    fn collect(&mut self, from: &Peer) {
        self.under_way.extend(from.connection.take_output());
    }

    fn run(&mut self, step: &Step, from: &Peer, to: &Peer, version: c_long) {
        match *step {
            Step::Write(len) if !self.closed => {
                let data: Vec<u8> = (0..len).map(|n| (self.written.len() + n * 3) as u8).collect();
                from.write_all(&data);
                self.written.extend(data);
            }
            Step::UpdateKey if !self.closed && version == TLS_1_3 => {
                // Refused while the one before waits for a write.
                // SAFETY: a live SSL.
                from.call(|openssl, ssl| unsafe { (openssl.ssl_key_update)(ssl, 1) });
                queued_errors();
            }
            Step::Close if !self.closed => {
                // Refused while a key update waits for a write.
                self.closed = from.shutdown() >= 0;
                queued_errors();
            }
            Step::Feed(len, reads, size) => {
                self.collect(from);
                let piece: Vec<u8> = self.under_way.drain(..len.min(self.under_way.len())).collect();
                to.connection.feed(&piece, || {
                    for _ in 0..reads {
                        self.read(to, size);
                    }
                });
            }
            Step::Push(len) => {
                self.collect(from);
                let piece: Vec<u8> = self.under_way.drain(..len.min(self.under_way.len())).collect();
                to.connection.push_input(&piece);
            }
            Step::Read(size) => {
                self.read(to, size);
            }
            Step::Write(_) | Step::UpdateKey | Step::Close => {}
        }
    }

    fn finish(&mut self, from: &Peer, to: &Peer) {
        self.collect(from);
        let rest = std::mem::take(&mut self.under_way);
        to.connection.feed(&rest, || while self.read(to, 16 * 1024) {});
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_written_arrives(old in any::<bool>(), steps in prop::collection::vec(step(), 1..60)) {
        let version = if old { TLS_1_2 } else { TLS_1_3 };
        let Pair { client, server } = Pair::new(version);
        let (mut there, mut back) = (Direction::default(), Direction::default());
        for (from_client, step) in &steps {
            if *from_client {
                there.run(step, &client, &server, version);
            } else {
                back.run(step, &server, &client, version);
            }
        }
        // Twice, because reading may produce output.
        for _ in 0..2 {
            there.finish(&client, &server);
            back.finish(&server, &client);
        }
        for (direction, to) in [(there, &server), (back, &client)] {
            prop_assert!(direction.arrived == direction.written);
            // Nothing is read behind close_notify.
            prop_assert_eq!(direction.end_seen, direction.closed);
            prop_assert!(direction.closed || to.connection.input_len() == 0);
        }
    }
}
