//! Property tests: each state machine beside a naive model that is obviously right.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io::IoSlice;

use ferrio_core::read_buffer::{LimitOverrun, OverrunKind, ReadBuffer, Search, SearchState};
use ferrio_core::registry::Registry;
use ferrio_core::timers::{TimerKey, Timers};
use ferrio_core::write_queue::WriteQueue;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Slot {
    Insert,
    /// Of any token ever given out, stale or not.
    Remove(prop::sample::Index),
    Drain,
}

fn slots() -> impl Strategy<Value = Vec<Slot>> {
    let step = prop_oneof![
        5 => Just(Slot::Insert),
        4 => any::<prop::sample::Index>().prop_map(Slot::Remove),
        1 => Just(Slot::Drain),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn a_token_means_its_value_or_nothing(steps in slots()) {
        let mut registry = Registry::new();
        let mut given = Vec::new();
        let mut live = BTreeMap::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Slot::Insert => {
                    let token = registry.insert(number);
                    live.insert(number, token);
                    given.push((number, token));
                }
                Slot::Remove(_) if given.is_empty() => {}
                Slot::Remove(index) => {
                    let (number, token) = *index.get(&given);
                    prop_assert_eq!(registry.remove(token), live.remove(&number).map(|_| number));
                }
                Slot::Drain => {
                    let mut drained: Vec<_> = registry.drain().collect();
                    drained.sort_unstable();
                    prop_assert!(drained.iter().eq(live.keys()));
                    live.clear();
                }
            }
            prop_assert_eq!(registry.len(), live.len());
            for (number, token) in &given {
                prop_assert_eq!(registry.get(*token), live.get(number).map(|_| number));
            }
            let mut all: Vec<_> = registry.iter().map(|(token, value)| (*value, token)).collect();
            all.sort_unstable_by_key(|(value, _)| *value);
            prop_assert!(all.into_iter().eq(live.iter().map(|(number, token)| (*number, *token))));
        }
        prop_assert_eq!(given.iter().map(|(_, token)| token).collect::<HashSet<_>>().len(), given.len());
    }
}

#[derive(Clone, Debug)]
enum Timer {
    Set(f64),
    /// Many at once, so that there is something to thin.
    Burst(Vec<f64>),
    Cancel(prop::sample::Index),
    /// Cancels all but each n-th of those that wait: enough dead entries at once for a rebuild.
    Thin(usize),
    Next,
    Fire(f64),
    FireAll(f64),
    Drain,
}

fn deadline() -> impl Strategy<Value = f64> {
    // Few different ones, so that many are equal.
    prop_oneof![
        8 => (-3_i32..20).prop_map(|n| f64::from(n) / 4.0),
        1 => prop::num::f64::NORMAL | prop::num::f64::INFINITE | prop::num::f64::ZERO,
    ]
}

fn timer_steps() -> impl Strategy<Value = Vec<Timer>> {
    let step = prop_oneof![
        40 => deadline().prop_map(Timer::Set),
        3 => prop::collection::vec(deadline(), 100..300).prop_map(Timer::Burst),
        20 => any::<prop::sample::Index>().prop_map(Timer::Cancel),
        3 => (2_usize..20).prop_map(Timer::Thin),
        5 => Just(Timer::Next),
        5 => deadline().prop_map(Timer::Fire),
        5 => deadline().prop_map(Timer::FireAll),
        1 => Just(Timer::Drain),
    ];
    prop::collection::vec(step, 0..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn timers_fire_by_deadline_then_by_age(steps in timer_steps()) {
        let mut timers = Timers::new();
        // In the order they were set, so that a stable minimum is the next to fire.
        let mut model: Vec<(f64, usize, TimerKey)> = Vec::new();
        let mut keys = Vec::new();
        let first = |model: &[(f64, usize, TimerKey)]| {
            let at = (0..model.len()).min_by(|a, b| model[*a].0.partial_cmp(&model[*b].0).unwrap())?;
            Some((at, model[at].0))
        };
        for step in steps {
            let step = if let Timer::Set(deadline) = step { Timer::Burst(vec![deadline]) } else { step };
            match step {
                Timer::Set(_) => unreachable!(),
                Timer::Burst(deadlines) => {
                    for deadline in deadlines {
                        let number = keys.len();
                        let key = timers.insert(deadline, number);
                        prop_assert_eq!(TimerKey::from_u64(key.to_u64()), key);
                        model.push((deadline, number, key));
                        keys.push((number, key));
                    }
                }
                Timer::Cancel(_) if keys.is_empty() => {}
                Timer::Cancel(index) => {
                    let (number, key) = *index.get(&keys);
                    let waiting = model.iter().position(|(_, other, _)| *other == number);
                    prop_assert_eq!(timers.get(key).copied(), waiting.map(|_| number));
                    prop_assert_eq!(timers.cancel(key), waiting.map(|at| model.remove(at).1));
                }
                Timer::Thin(every) => {
                    let mut at = 0;
                    let all = std::mem::take(&mut model);
                    for entry in all {
                        at += 1;
                        if at % every == 0 {
                            model.push(entry);
                        } else {
                            prop_assert_eq!(timers.cancel(entry.2), Some(entry.1));
                        }
                    }
                }
                Timer::Next => {
                    prop_assert_eq!(timers.next_deadline(), first(&model).map(|(_, deadline)| deadline));
                }
                Timer::Fire(now) => loop {
                    let due = first(&model).filter(|(_, deadline)| *deadline <= now);
                    let expected = due.map(|(at, deadline)| (deadline, model.remove(at).1));
                    prop_assert_eq!(timers.pop_due(now), expected);
                    if expected.is_none() {
                        break;
                    }
                },
                Timer::FireAll(now) => {
                    let mut fired = Vec::new();
                    timers.drain_due(now, |deadline, number| fired.push((deadline, number)));
                    let mut due: Vec<_> =
                        model.extract_if(.., |(deadline, ..)| *deadline <= now).map(|(at, number, _)| (at, number)).collect();
                    due.sort_by(|one, other| one.0.partial_cmp(&other.0).unwrap());
                    prop_assert_eq!(fired, due);
                }
                Timer::Drain => {
                    let mut drained: Vec<_> = timers.drain().collect();
                    drained.sort_unstable();
                    prop_assert!(drained.into_iter().eq(model.drain(..).map(|(_, number, _)| number)));
                }
            }
            prop_assert_eq!(timers.len(), model.len());
            prop_assert_eq!(timers.is_empty(), model.is_empty());
        }
        let mut values: Vec<_> = timers.iter().copied().collect();
        values.sort_unstable();
        prop_assert!(values.into_iter().eq(model.iter().map(|(_, number, _)| *number)));
    }

    #[test]
    fn what_is_pushed_is_what_is_sent(
        steps in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..20), 0_usize..50, 0_usize..6), 0..100),
    ) {
        let mut queue = WriteQueue::new();
        let mut model: VecDeque<u8> = VecDeque::new();
        let mut pushed = Vec::new();
        let mut done = Vec::new();
        for (chunk, taken, room) in steps {
            model.extend(&chunk);
            if !chunk.is_empty() {
                pushed.push(chunk.clone());
            }
            queue.push(chunk);
            let mut out = [IoSlice::new(&[]); 6];
            let filled = queue.slices(&mut out[..room]);
            let shown: Vec<u8> = out[..filled].iter().flat_map(|slice| slice.iter().copied()).collect();
            prop_assert!(shown.iter().eq(model.iter().take(shown.len())));
            prop_assert!(out[..filled].iter().all(|slice| !slice.is_empty()));
            prop_assert_eq!(filled, room.min(queue.chunk_count()));

            let taken = taken.min(shown.len());
            queue.advance_into(taken, &mut done);
            model.drain(..taken);
            prop_assert_eq!(queue.len(), model.len());
            prop_assert_eq!(queue.is_empty(), queue.chunk_count() == 0);
            prop_assert!(queue.iter().flatten().eq(model.iter()));
        }
        done.extend(queue.take_all());
        prop_assert_eq!(done, pushed);
        prop_assert_eq!(queue.len(), 0);
    }
}

/// `StreamReader.readuntil` as asyncio's documentation has it, on the whole buffer at once.
fn naive_search(data: &[u8], separators: &[Vec<u8>], limit: usize, eof: bool) -> Search {
    let mut best: Option<(usize, usize)> = None;
    for end in 0..=data.len() {
        for separator in separators {
            if data[..end].ends_with(separator) && best.is_none_or(|(_, start)| start < end - separator.len())
            {
                best = Some((end, end - separator.len()));
            }
        }
        if let Some((end, start)) = best {
            return if start > limit {
                Search::Overrun(LimitOverrun { kind: OverrunKind::Found, consumed: start })
            } else {
                Search::Found { end }
            };
        }
    }
    let longest = separators.iter().map(Vec::len).max().unwrap();
    let consumed = (data.len() + 1).saturating_sub(longest);
    if consumed > limit {
        Search::Overrun(LimitOverrun { kind: OverrunKind::NotFound, consumed })
    } else if eof {
        Search::Incomplete
    } else {
        Search::NeedMore
    }
}

fn few_letters(len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    // Two letters and a newline, so that separators occur, overlap and are cut by the ends of reads.
    prop::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(b'\n')], len)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// A search that is resumed after every read, with other readers in between, finds what one look would.
    #[test]
    fn a_resumed_search_finds_what_a_fresh_one_does(
        separators in prop::collection::vec(few_letters(1..4), 1..4),
        reads in prop::collection::vec((few_letters(0..8), 0_usize..3, any::<bool>()), 1..20),
        limit in 0_usize..30,
    ) {
        let mut buffer = ReadBuffer::new();
        let mut model = Vec::new();
        let mut state = SearchState::new();
        let last = reads.len() - 1;
        for (number, (read, stolen, straight)) in reads.into_iter().enumerate() {
            if straight {
                buffer.reserve_spare(read.len())[..read.len()].copy_from_slice(&read);
                buffer.commit(read.len());
            } else {
                buffer.extend_from_slice(&read);
            }
            model.extend_from_slice(&read);
            let stolen = stolen.min(model.len());
            let expected: Vec<_> = model.drain(..stolen).collect();
            prop_assert_eq!(buffer.consume(stolen), expected);
            prop_assert_eq!(buffer.as_slice(), &model[..]);

            let eof = number == last;
            let found = buffer.find_until(&separators, limit, eof, &mut state);
            prop_assert_eq!(found, naive_search(&model, &separators, limit, eof));
            match found {
                Search::Found { end } => {
                    prop_assert_eq!(buffer.take(end), model.drain(..end).collect::<Vec<_>>());
                    state = SearchState::new();
                }
                Search::Overrun(overrun) if overrun.kind == OverrunKind::Found => {
                    buffer.consume(overrun.consumed);
                    model.drain(..overrun.consumed);
                    state = SearchState::new();
                }
                _ => {}
            }
        }
    }

    #[test]
    fn lines_are_messages_that_end_with_a_newline(data in few_letters(0..40), limit in 0_usize..20, eof: bool) {
        let mut buffer = ReadBuffer::new();
        buffer.extend_from_slice(&data);
        let found = buffer.find_line(limit, eof, &mut SearchState::new());
        prop_assert_eq!(found, naive_search(&data, &[b"\n".to_vec()], limit, eof));
        if let Search::Overrun(overrun) = found {
            buffer.discard_line(overrun);
            let rest = match data.iter().position(|byte| *byte == b'\n') {
                Some(newline) => &data[newline + 1..],
                None => &[],
            };
            prop_assert_eq!(buffer.as_slice(), rest);
        }
    }
}
