//! When written bytes are sent: at once, or together with the next ones of the same step.
//!
//! asyncio's `write()` tries to send at once. A server that writes a head and a body in two calls pays for that with a
//! second system call and a second segment. So bytes are held back where nobody can reasonably notice: on a connection
//! whose last rounds each made several writes and were quick, and never longer than until the step that writes returns
//! to the loop.
//!
//! A *step* is one call that the loop makes: a step of a task or a callback. A *round* is the writes of one connection
//! in one step until something ends it: the step returns, the program drains or closes the connection, or another
//! connection is written to. [`WriteTiming`] belongs to one connection, [`Habit`] to the connections of a server
//! together. The owner reports each write and each end of a round, and does as it is answered. Nothing here reads a
//! clock: `now` is a function, because most writes need no time.

use std::str::FromStr;

/// Quick rounds in a row after which bytes are held back.
pub const USUAL: u16 = 8;
/// The same after bytes have waited too long: at most one round in so many is held up.
pub const CAUTIOUS: u16 = 1024;
/// Seconds that a round may last.
pub const QUICK: f64 = 1e-3;
/// Bytes that are held back at most; also never more than the high-water mark, so that only bytes that the kernel has
/// refused pause a protocol.
pub const HELD_MAX: usize = 32 * 1024;

/// Which bytes are held back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Gathering {
    /// None.
    Never,
    /// Those of connections with the habit, until the step that writes them returns.
    #[default]
    Learned,
    /// All, until the end of the loop's turn.
    Turn,
}

impl Gathering {
    /// The environment variable with the user's choice.
    pub const ENV: &str = "FERRIO_GATHER_WRITES";
}

/// A name that is none; displays what is wrong with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownGathering(String);

impl std::fmt::Display for UnknownGathering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(name) = self;
        write!(f, "unknown value {name:?} in {}: use 0 (never), 1 (the whole turn) or auto", Gathering::ENV)
    }
}

impl std::error::Error for UnknownGathering {}

impl FromStr for Gathering {
    type Err = UnknownGathering;

    fn from_str(name: &str) -> Result<Self, UnknownGathering> {
        match name {
            "" | "auto" => Ok(Self::Learned),
            "0" => Ok(Self::Never),
            "1" => Ok(Self::Turn),
            _ => Err(UnknownGathering(name.to_owned())),
        }
    }
}

/// A step of a loop: different from every other step of the same loop that is remembered anywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Step {
    /// The number of the turn.
    pub turn: u32,
    /// The place of the item in the turn.
    pub item: u32,
}

/// What the owner is to do with written bytes.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Offer everything that is queued, and them, to the kernel.
    Send,
    /// The same, and call [`WriteTiming::round_ended`] when the step returns.
    SendAndReport,
    /// Queue them; send them, and call [`WriteTiming::round_ended`], when the step returns (in [`Gathering::Turn`]: when
    /// the turn ends) or before.
    Hold,
}

/// What the connections of a server have shown together, or one connection alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Habit {
    /// Rounds in a row with several writes that were quick, up to [`CAUTIOUS`].
    streak: u16,
    /// As many are asked for before bytes are held back.
    needed: u16,
}

impl Default for Habit {
    fn default() -> Self {
        Self { streak: 0, needed: USUAL }
    }
}

/// How a round was.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Round {
    /// Several writes, and quick: to hold back the first ones saves work.
    Gathers,
    /// One write, or slow.
    Other,
    /// Bytes were held back for too long.
    HeldUp,
}

impl Habit {
    /// Whether enough rounds in a row were quick and made several writes.
    #[inline]
    pub(crate) const fn is_usual(self) -> bool {
        self.streak >= self.needed
    }

    pub(crate) fn note(&mut self, round: Round) {
        match round {
            Round::Gathers => {
                self.streak = (self.streak + 1).min(CAUTIOUS);
                if self.streak == CAUTIOUS {
                    self.needed = USUAL;
                }
            }
            Round::Other => self.streak = 0,
            Round::HeldUp => *self = Self { streak: 0, needed: CAUTIOUS },
        }
    }
}

/// What decides about the writes of one connection.
#[derive(Clone, Copy, Debug)]
pub struct WriteTiming {
    step: Step,
    /// Writes in the round so far: none, one, or two for several.
    writes: u8,
    /// As [`Habit::streak`], of this connection; it begins with what its server's have shown.
    streak: u16,
    /// Bytes that are held back.
    held: u32,
    /// When the round began, as far as somebody wants to know.
    began: Option<f64>,
}

/// What a write depends on besides the connection.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub gathering: Gathering,
    /// The step that writes; `None` if nobody would report when it returns.
    pub step: Option<Step>,
    /// The connection's high-water mark, in bytes.
    pub high: usize,
}

impl WriteTiming {
    /// A connection that begins with what others have shown.
    pub fn new(habit: Habit) -> Self {
        Self { step: Step::default(), writes: 0, streak: habit.streak, held: 0, began: None }
    }

    /// Whether bytes are held back.
    #[inline]
    pub const fn holds(&self) -> bool {
        self.held > 0
    }

    /// Whether there is a round that has not ended.
    #[inline]
    pub const fn is_in_round(&self) -> bool {
        self.writes > 0 || self.held > 0
    }

    /// `len` bytes are written, not zero, while the kernel takes what it is offered: nothing is queued but what is held.
    /// `now` gives the time in seconds.
    #[inline]
    pub fn write(
        &mut self,
        len: usize,
        moment: Moment,
        habit: &mut Habit,
        now: impl FnOnce() -> f64,
    ) -> Answer {
        let fits = self.held as usize + len <= HELD_MAX.min(moment.high);
        let Some(step) = moment.step else { return Answer::Send };
        match moment.gathering {
            Gathering::Turn if fits => self.hold(len),
            Gathering::Never | Gathering::Turn => Answer::Send,
            Gathering::Learned if self.writes == 0 || self.step != step => {
                self.first(len, step, fits, habit, now)
            }
            Gathering::Learned => self.next(len, fits, now),
        }
    }

    fn hold(&mut self, len: usize) -> Answer {
        // At most `HELD_MAX`.
        self.held += len as u32;
        Answer::Hold
    }

    /// The first write of a round.
    #[inline]
    fn first(
        &mut self,
        len: usize,
        step: Step,
        fits: bool,
        habit: &mut Habit,
        now: impl FnOnce() -> f64,
    ) -> Answer {
        if self.writes > 0 {
            // The round before made one write, or its end would have been reported.
            self.note(Round::Other, habit);
        }
        self.step = step;
        self.writes = 1;
        // Most connections write once in each round; they need no clock.
        self.began = (self.streak > 0).then(now);
        if self.streak >= habit.needed && fits { self.hold(len) } else { Answer::Send }
    }

    /// Any further one.
    fn next(&mut self, len: usize, fits: bool, now: impl FnOnce() -> f64) -> Answer {
        let second = self.writes == 1;
        self.writes = 2;
        if self.held > 0 {
            return if fits { self.hold(len) } else { Answer::Send };
        }
        self.began.get_or_insert_with(now);
        if second { Answer::SendAndReport } else { Answer::Send }
    }

    /// Ends the round: what is held back is about to be sent, or the step returns, or a write ends with nothing more to
    /// come. `now` gives the time in seconds.
    #[inline]
    pub fn round_ended(&mut self, habit: &mut Habit, now: impl FnOnce() -> f64) {
        if self.writes > 0 {
            let slow = self.began.is_some_and(|began| now() - began > QUICK);
            self.note(
                match (slow, self.held > 0, self.writes > 1) {
                    (true, true, _) => Round::HeldUp,
                    (false, _, true) => Round::Gathers,
                    _ => Round::Other,
                },
                habit,
            );
            self.writes = 0;
        }
        self.held = 0;
    }

    /// Ends a round of one write on a connection without a habit, whose server has none either: the usual one, of which
    /// there is nothing to note. False if [`Self::round_ended`] has to be called.
    #[inline]
    pub fn lone_round_ended(&mut self, habit: Habit) -> bool {
        let lone = self.writes == 1 && self.held == 0 && self.streak == 0 && habit.streak == 0;
        if lone {
            self.writes = 0;
        }
        lone
    }

    #[inline]
    fn note(&mut self, round: Round, habit: &mut Habit) {
        self.streak = if round == Round::Gathers { (self.streak + 1).min(CAUTIOUS) } else { 0 };
        habit.note(round);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(turn: u32) -> Moment {
        Moment { gathering: Gathering::Learned, step: Some(Step { turn, item: 0 }), high: 64 * 1024 }
    }

    /// One round of `writes` writes of one byte, which lasts `seconds`; the answers.
    fn round(
        timing: &mut WriteTiming,
        habit: &mut Habit,
        turn: u32,
        writes: usize,
        seconds: f64,
    ) -> Vec<Answer> {
        let answers = (0..writes).map(|_| timing.write(1, moment(turn), habit, || 0.0)).collect();
        timing.round_ended(habit, || seconds);
        assert!(!timing.is_in_round());
        answers
    }

    fn used(habit: &mut Habit) -> WriteTiming {
        let mut timing = WriteTiming::new(*habit);
        for turn in 0..u32::from(USUAL) {
            let answers = round(&mut timing, habit, turn, 2, 0.0);
            assert_eq!(answers, [Answer::Send, Answer::SendAndReport]);
        }
        timing
    }

    #[test]
    fn head_and_body_are_held_after_some_rounds() {
        let mut habit = Habit::default();
        let mut timing = used(&mut habit);
        assert_eq!(round(&mut timing, &mut habit, 100, 3, 0.0), [Answer::Hold; 3]);
    }

    #[test]
    fn one_write_in_a_round_ends_the_habit() {
        let mut habit = Habit::default();
        let mut timing = used(&mut habit);
        assert_eq!(round(&mut timing, &mut habit, 100, 1, 0.0), [Answer::Hold]);
        assert_eq!(round(&mut timing, &mut habit, 101, 2, 0.0), [Answer::Send, Answer::SendAndReport]);
    }

    #[test]
    fn rounds_of_one_write_need_no_report_and_no_clock() {
        let mut habit = Habit::default();
        let mut timing = WriteTiming::new(habit);
        for turn in 0..3 {
            let answer = timing.write(1, moment(turn), &mut habit, || panic!("the clock is read"));
            assert_eq!(answer, Answer::Send);
        }
        timing.round_ended(&mut habit, || panic!("the clock is read"));
    }

    #[test]
    fn a_lone_round_ends_as_any_other() {
        let mut habit = Habit::default();
        let mut lone = WriteTiming::new(habit);
        assert!(!lone.lone_round_ended(habit), "there is no round");
        let _ = lone.write(1, moment(0), &mut habit, || 0.0);
        let mut ended = lone;
        ended.round_ended(&mut habit, || 0.0);
        assert!(lone.lone_round_ended(habit));
        assert_eq!((lone.writes, lone.streak, lone.held), (ended.writes, ended.streak, ended.held));
        // What others have shown, one write in a round ends.
        let mut others = habit;
        used(&mut others);
        let _ = lone.write(1, moment(1), &mut habit, || 0.0);
        assert!(!lone.lone_round_ended(others));
        let _ = lone.write(1, moment(1), &mut habit, || 0.0);
        assert!(!lone.lone_round_ended(habit), "several writes are the beginning of a habit");
    }

    #[test]
    fn a_new_connection_of_a_server_need_not_learn() {
        let mut habit = Habit::default();
        used(&mut habit);
        let mut timing = WriteTiming::new(habit);
        assert_eq!(round(&mut timing, &mut habit, 100, 2, 0.0), [Answer::Hold; 2]);
    }

    #[test]
    fn a_slow_step_ends_the_habit_for_long() {
        let mut habit = Habit::default();
        let mut timing = used(&mut habit);
        assert_eq!(round(&mut timing, &mut habit, 100, 2, QUICK * 1.1), [Answer::Hold; 2]);
        for turn in 0..u32::from(CAUTIOUS) {
            assert_eq!(round(&mut timing, &mut habit, 200 + turn, 2, 0.0)[0], Answer::Send);
        }
        assert_eq!(round(&mut timing, &mut habit, 9999, 2, 0.0), [Answer::Hold; 2]);
        // That is forgiven then.
        assert_eq!(round(&mut timing, &mut habit, 10_000, 1, 0.0), [Answer::Hold]);
        for turn in 0..u32::from(USUAL) {
            assert_eq!(round(&mut timing, &mut habit, 11_000 + turn, 2, 0.0)[0], Answer::Send);
        }
        assert_eq!(round(&mut timing, &mut habit, 20_000, 2, 0.0), [Answer::Hold; 2]);
    }

    #[test]
    fn a_slow_step_while_learning_counts_for_nothing() {
        let mut habit = Habit::default();
        let mut timing = WriteTiming::new(habit);
        for turn in 0..100 {
            let answers = round(&mut timing, &mut habit, turn, 2, if turn % 2 == 0 { 0.0 } else { 1.0 });
            assert_eq!(answers, [Answer::Send, Answer::SendAndReport]);
        }
        assert_eq!(habit.needed, USUAL);
    }

    #[test]
    fn no_more_is_held_than_fits() {
        let mut habit = Habit::default();
        let mut timing = used(&mut habit);
        let mut write = |len, high| timing.write(len, Moment { high, ..moment(50) }, &mut habit, || 0.0);
        assert_eq!(write(HELD_MAX, 1 << 20), Answer::Hold);
        assert_eq!(write(1, 1 << 20), Answer::Send);
        timing.round_ended(&mut habit, || 0.0);
        assert_eq!(timing.write(11, Moment { high: 10, ..moment(51) }, &mut habit, || 0.0), Answer::Send);
    }

    #[test]
    fn values_of_the_variable() {
        assert_eq!("".parse(), Ok(Gathering::Learned));
        assert_eq!("0".parse(), Ok(Gathering::Never));
        assert_eq!("1".parse(), Ok(Gathering::Turn));
        let error = "yes".parse::<Gathering>().unwrap_err();
        assert!(error.to_string().contains("FERRIO_GATHER_WRITES"), "{error}");
    }
}
