//! `WriteTiming` with real queues, a kernel that takes what it likes, and any order of events.

use std::cell::Cell;

use ferrio_core::write_queue::{FlowControl, WaterMarks, WriteQueue};
use ferrio_core::write_timing::{
    Answer, CAUTIOUS, Gathering, HELD_MAX, Habit, Moment, QUICK, Step, USUAL, WriteTiming,
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Event {
    /// The loop calls a step: what the one before held back must be gone.
    Begin,
    Write(usize, usize),
    /// As `drain()`, `abort()`, `close()`, `get_write_buffer_size()`, a fork.
    Flush(usize),
    Wait(f64),
    /// How many bytes the kernel takes from now on until it has room again.
    Room(usize, usize),
    /// The kernel has room for everything.
    Writable(usize),
    /// A write from outside of any step of the loop, as from another thread.
    Outside(usize, usize),
    /// A new connection of the same server takes the place of another.
    Replace(usize),
}

const CONNECTIONS: usize = 3;

fn events() -> impl Strategy<Value = Vec<Event>> {
    let which = 0..CONNECTIONS;
    let len = prop_oneof![6 => 1..100_usize, 1 => 10_000..40_000_usize, 1 => Just(HELD_MAX)];
    let event = prop_oneof![
        30 => Just(Event::Begin),
        // Mostly the same one, or nothing is ever learned.
        50 => (Just(0_usize), 1..100_usize).prop_map(|(at, len)| Event::Write(at, len)),
        8 => (which.clone(), len.clone()).prop_map(|(at, len)| Event::Write(at, len)),
        3 => which.clone().prop_map(Event::Flush),
        3 => prop_oneof![Just(QUICK / 4.0), Just(QUICK * 2.0)].prop_map(Event::Wait),
        2 => (which.clone(), 0..200_usize).prop_map(|(at, room)| Event::Room(at, room)),
        3 => which.clone().prop_map(Event::Writable),
        2 => (which.clone(), len).prop_map(|(at, len)| Event::Outside(at, len)),
        1 => which.prop_map(Event::Replace),
    ];
    prop::collection::vec(event, 0..400)
}

struct Connection {
    timing: WriteTiming,
    queue: WriteQueue<Vec<u8>>,
    flow: FlowControl,
    room: usize,
    sent: Vec<u8>,
    written: Vec<u8>,
}

struct World {
    gathering: Gathering,
    habit: Habit,
    connections: Vec<Connection>,
    now: f64,
    clock_reads: Cell<usize>,
    step: Step,
    /// Whose end of step is waited for.
    reporting: Option<usize>,
    byte: u8,
}

impl Connection {
    fn new(habit: Habit) -> Self {
        Self {
            timing: WriteTiming::new(habit),
            queue: WriteQueue::new(),
            flow: FlowControl::new(WaterMarks::new(Some(HELD_MAX / 2), None).unwrap()),
            room: usize::MAX,
            sent: Vec::new(),
            written: Vec::new(),
        }
    }

    fn is_blocked(&self) -> bool {
        !self.queue.is_empty() && !self.timing.holds()
    }

    fn offer(&mut self) {
        let all: Vec<u8> = self.queue.iter().flatten().copied().collect();
        let taken = all.len().min(self.room);
        self.room -= if self.room == usize::MAX { 0 } else { taken };
        self.sent.extend(&all[..taken]);
        self.queue.advance(taken);
    }
}

impl World {
    fn end_round(&mut self, at: usize) {
        let connection = &mut self.connections[at];
        let held = connection.timing.holds();
        connection.timing.round_ended(&mut self.habit, || self.now);
        if held {
            connection.offer();
        }
    }

    fn step_returns(&mut self) -> Result<(), TestCaseError> {
        if let Some(at) = self.reporting.take() {
            self.end_round(at);
        }
        self.check_nothing_is_held()
    }

    fn check_nothing_is_held(&self) -> Result<(), TestCaseError> {
        for connection in &self.connections {
            prop_assert!(!connection.timing.holds(), "bytes are held across a return to the loop");
            prop_assert!(
                connection.queue.is_empty() || connection.room == 0,
                "bytes wait for a kernel that takes them"
            );
        }
        Ok(())
    }

    fn write(&mut self, at: usize, len: usize, step: Option<Step>) -> Result<(), TestCaseError> {
        if let Some(other) = self.reporting.filter(|other| *other != at) {
            self.reporting = None;
            self.end_round(other);
        }
        self.byte = self.byte.wrapping_add(1);
        let data = vec![self.byte; len];
        let connection = &mut self.connections[at];
        connection.written.extend(&data);
        if connection.is_blocked() {
            connection.queue.push(data);
            return Ok(());
        }
        let high = connection.flow.marks().high();
        let moment = Moment { gathering: self.gathering, step, high };
        let answer = connection.timing.write(len, moment, &mut self.habit, || {
            self.clock_reads.set(self.clock_reads.get() + 1);
            self.now
        });
        connection.queue.push(data);
        match answer {
            Answer::Hold => {
                prop_assert_eq!(self.gathering, Gathering::Learned);
                prop_assert!(step.is_some(), "held, and nobody would send it");
                prop_assert!(connection.queue.len() <= HELD_MAX.min(high));
                // Only a pause that the kernel has caused is one.
                prop_assert!(connection.flow.after_push(connection.queue.len()).is_none());
                self.reporting = Some(at);
            }
            Answer::SendAndReport => {
                prop_assert_eq!(self.gathering, Gathering::Learned);
                connection.offer();
                self.reporting = Some(at);
            }
            Answer::Send => {
                if connection.timing.holds() {
                    self.reporting = None;
                    self.end_round(at);
                } else {
                    connection.offer();
                }
            }
        }
        Ok(())
    }
}

fn play(gathering: Gathering, events: Vec<Event>) -> Result<World, TestCaseError> {
    let habit = Habit::default();
    let mut world = World {
        gathering,
        habit,
        connections: (0..CONNECTIONS).map(|_| Connection::new(habit)).collect(),
        now: 0.0,
        clock_reads: Cell::new(0),
        step: Step::default(),
        reporting: None,
        byte: 0,
    };
    for event in events {
        match event {
            Event::Begin => {
                world.step_returns()?;
                world.step.item += 1;
            }
            Event::Write(at, len) => world.write(at, len, Some(world.step))?,
            Event::Outside(at, len) => {
                world.write(at, len, None)?;
                prop_assert!(!world.connections[at].timing.holds());
            }
            Event::Flush(at) => {
                if world.connections[at].timing.is_in_round() {
                    world.end_round(at);
                }
                prop_assert!(!world.connections[at].timing.holds());
            }
            Event::Wait(seconds) => world.now += seconds,
            // One that has refused bytes reports room with `Writable`.
            Event::Room(at, _) if world.connections[at].is_blocked() => {}
            Event::Room(at, room) => world.connections[at].room = room,
            Event::Writable(at) => {
                let connection = &mut world.connections[at];
                connection.room = usize::MAX;
                if connection.is_blocked() {
                    connection.offer();
                    prop_assert!(connection.queue.is_empty());
                }
            }
            Event::Replace(at) => {
                if world.reporting == Some(at) {
                    world.reporting = None;
                    world.end_round(at);
                }
                world.connections[at] = Connection::new(world.habit);
            }
        }
        for connection in &world.connections {
            // In order, and nothing twice.
            prop_assert!(connection.written.starts_with(&connection.sent));
            prop_assert_eq!(connection.sent.len() + connection.queue.len(), connection.written.len());
        }
    }
    world.step_returns()?;
    Ok(world)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_is_held_across_a_return_to_the_loop(events in events()) {
        play(Gathering::Learned, events)?;
    }

    #[test]
    fn nothing_is_ever_held_where_that_is_switched_off(events in events()) {
        let world = play(Gathering::Never, events)?;
        prop_assert_eq!(world.clock_reads.get(), 0);
    }

    /// Any rounds of one connection, each of some writes and as long as it likes.
    #[test]
    fn held_only_after_quick_rounds_of_several_writes(
        rounds in prop::collection::vec((1..4_usize, prop::bool::weighted(0.02)), 0..200),
        multiplied in 1..60_usize,
    ) {
        let mut habit = Habit::default();
        let mut timing = WriteTiming::new(habit);
        let mut history: Vec<bool> = Vec::new();
        let (mut turn, mut now) = (0, 0.0);
        let mut needed = usize::from(USUAL);
        for (writes, slow) in rounds {
            for _ in 0..if writes > 1 && !slow { multiplied } else { 1 } {
                turn += 1;
                let moment = Moment {
                    gathering: Gathering::Learned,
                    step: Some(Step { turn, item: 0 }),
                    high: 1 << 16,
                };
                let quick = history.iter().rev().take_while(|round| **round).count();
                let expected = quick >= needed;
                let mut held = false;
                for write in 0..writes {
                    held = timing.write(1, moment, &mut habit, || now) == Answer::Hold;
                    prop_assert_eq!(held, expected, "write {} after {} quick rounds", write, quick);
                }
                if slow {
                    now += QUICK * 1.5;
                }
                timing.round_ended(&mut habit, || now);
                history.push(writes > 1 && !slow);
                if held && slow {
                    needed = usize::from(CAUTIOUS);
                    history.clear();
                } else if history.iter().rev().take_while(|round| **round).count() >= usize::from(CAUTIOUS) {
                    needed = usize::from(USUAL);
                }
            }
        }
    }
}

/// In `Turn` everything that fits waits for the flush at the end of the turn.
#[test]
fn the_whole_turn_is_gathered_where_that_is_asked_for() {
    let mut habit = Habit::default();
    let mut timing = WriteTiming::new(habit);
    for item in 0..10 {
        let moment =
            Moment { gathering: Gathering::Turn, step: Some(Step { turn: 1, item }), high: usize::MAX };
        let answer = timing.write(1000, moment, &mut habit, || panic!("the clock is read"));
        assert_eq!(answer, Answer::Hold);
    }
    assert!(timing.holds());
    timing.round_ended(&mut habit, || panic!("the clock is read"));
    assert!(!timing.holds());
}
