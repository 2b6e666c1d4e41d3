//! A snapshot as bytes: counts first, then each list in turn, little-endian.
//!
//! Both ends are ferrio, but not necessarily the same one: the first line names the version of the form. What comes in is
//! not trusted: every count is held against the bytes that are there, every index against its list.

use std::io::{self, Read, Write};
use std::ops::Range;

use super::snapshot::{Frame, Name, Snapshot, State, Task, Waits};

/// What a listing begins with.
pub(super) const HEAD: &[u8; 16] = b"ferrio tasks 1\n\0";

const NUMBER: u8 = 0;
const GIVEN: u8 = 1;

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not a listing of tasks: {what}"))
}

/// Writes a snapshot.
///
/// # Errors
/// Those of the writer.
pub fn encode(snapshot: &Snapshot, out: &mut impl Write) -> io::Result<()> {
    let Snapshot { pid, tasks, frames, places, parents, texts, longest_hold, holds } = snapshot;
    out.write_all(HEAD)?;
    for count in [
        u64::from(*pid),
        *longest_hold,
        u64::from(*holds),
        frames.len() as u64,
        places.len() as u64,
        parents.len() as u64,
        texts.len() as u64,
        tasks.len() as u64,
    ] {
        out.write_all(&count.to_le_bytes())?;
    }
    for frame in frames {
        out.write_all(&frame.line.to_le_bytes())?;
        for text in [&frame.name, &frame.file] {
            out.write_all(&(text.len() as u32).to_le_bytes())?;
            out.write_all(text.as_bytes())?;
        }
    }
    for place in places {
        out.write_all(&place.to_le_bytes())?;
    }
    for parent in parents {
        out.write_all(&parent.to_le_bytes())?;
    }
    out.write_all(texts.as_bytes())?;
    for task in tasks {
        let (kind, start, end) = match &task.name {
            Name::Number(number) => (NUMBER, *number as u32, (*number >> 32) as u32),
            Name::Given(range) => (GIVEN, range.start, range.end),
        };
        let state = match task.state {
            State::Running => 0,
            State::Ready => 1,
            State::Waiting => 2,
        };
        let (waits, target) = match task.waits {
            Waits::ForNothing => (0, 0),
            Waits::ForFuture(id) => (1, id),
            Waits::ForTask(id) => (2, id),
            Waits::ForGather(id) => (3, id),
        };
        out.write_all(&[kind, state, waits, 0])?;
        for word in [start, end, task.stack.start, task.stack.end, task.awaited_by.start, task.awaited_by.end]
        {
            out.write_all(&word.to_le_bytes())?;
        }
        for word in [task.id, task.thread, target] {
            out.write_all(&word.to_le_bytes())?;
        }
    }
    Ok(())
}

/// What a task takes.
const TASK: usize = 4 + 6 * 4 + 3 * 8;

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(|| invalid("it is cut short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    fn word(&mut self) -> io::Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn long(&mut self) -> io::Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn text(&mut self, length: usize) -> io::Result<String> {
        let bytes = self.bytes(length)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| invalid("a text is not UTF-8"))
    }

    /// A count of things that take `size` bytes at least.
    fn count(&mut self, size: usize) -> io::Result<usize> {
        let count = usize::try_from(self.long()?).map_err(|_| invalid("a count is too great"))?;
        if count.checked_mul(size).is_none_or(|total| total > self.0.len()) {
            return Err(invalid("a count is too great"));
        }
        Ok(count)
    }

    fn range(&mut self, length: usize) -> io::Result<Range<u32>> {
        let (start, end) = (self.word()?, self.word()?);
        if start > end || end as usize > length {
            return Err(invalid("a range is outside of its list"));
        }
        Ok(start..end)
    }
}

/// Reads a snapshot to the end of `bytes`.
///
/// # Errors
/// `InvalidData` for anything else.
pub fn decode(bytes: &[u8]) -> io::Result<Snapshot> {
    let mut reader = Reader(bytes);
    if reader.bytes(HEAD.len())? != HEAD {
        return Err(invalid("it begins otherwise; is the other ferrio of another version?"));
    }
    let pid = u32::try_from(reader.long()?).map_err(|_| invalid("no process has this number"))?;
    let longest_hold = reader.long()?;
    let holds = u32::try_from(reader.long()?).map_err(|_| invalid("a count is too great"))?;
    let frame_count = reader.count(12)?;
    let place_count = reader.count(4)?;
    let parent_count = reader.count(8)?;
    let text_length = reader.count(1)?;
    let task_count = reader.count(TASK)?;
    let mut snapshot = Snapshot { pid, longest_hold, holds, ..Snapshot::default() };
    for _ in 0..frame_count {
        let line = reader.word()?;
        let length = reader.word()? as usize;
        let name = reader.text(length)?;
        let length = reader.word()? as usize;
        let file = reader.text(length)?;
        snapshot.frames.push(Frame { name, file, line });
    }
    for _ in 0..place_count {
        let place = reader.word()?;
        if place as usize >= frame_count {
            return Err(invalid("a frame is not in its list"));
        }
        snapshot.places.push(place);
    }
    for _ in 0..parent_count {
        snapshot.parents.push(reader.long()?);
    }
    snapshot.texts = reader.text(text_length)?;
    for _ in 0..task_count {
        snapshot.tasks.push(task(&mut reader, &snapshot)?);
    }
    if reader.0.is_empty() { Ok(snapshot) } else { Err(invalid("something follows it")) }
}

fn task(reader: &mut Reader<'_>, snapshot: &Snapshot) -> io::Result<Task> {
    let [kind, state, waits, _] = reader.array()?;
    let name = match kind {
        NUMBER => Name::Number(u64::from(reader.word()?) | u64::from(reader.word()?) << 32),
        GIVEN => {
            let range = reader.range(snapshot.texts.len())?;
            if snapshot.texts.get(range.start as usize..range.end as usize).is_none() {
                return Err(invalid("a name begins within a letter"));
            }
            Name::Given(range)
        }
        _ => return Err(invalid("a name of no known kind")),
    };
    let state = match state {
        0 => State::Running,
        1 => State::Ready,
        2 => State::Waiting,
        _ => return Err(invalid("a state that is none")),
    };
    let stack = reader.range(snapshot.places.len())?;
    let awaited_by = reader.range(snapshot.parents.len())?;
    let (id, thread, target) = (reader.long()?, reader.long()?, reader.long()?);
    let waits = match waits {
        0 => Waits::ForNothing,
        1 => Waits::ForFuture(target),
        2 => Waits::ForTask(target),
        3 => Waits::ForGather(target),
        _ => return Err(invalid("it waits for nothing known")),
    };
    Ok(Task { id, name, thread, state, waits, stack, awaited_by })
}

/// All that `from` has, up to `most` bytes.
///
/// # Errors
/// Those of the reader, `InvalidData` if there is more.
pub(super) fn read_up_to(from: &mut impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(invalid("it does not end")) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Snapshot {
        let mut snapshot = Snapshot { pid: 7, longest_hold: 9, holds: 2, ..Snapshot::default() };
        snapshot.frames = vec![
            Frame { name: "sleep".into(), file: String::new(), line: 0 },
            Frame { name: "mäin".into(), file: "/a b.py".into(), line: 12 },
        ];
        snapshot.places = vec![0, 1, 1];
        snapshot.parents = vec![2];
        let given = snapshot.add_text("ü");
        snapshot.tasks = vec![
            Task {
                id: 1,
                name: given,
                thread: 5,
                state: State::Waiting,
                waits: Waits::ForFuture(3),
                stack: 0..2,
                awaited_by: 0..1,
            },
            Task {
                id: 2,
                name: Name::Number(1 << 40),
                thread: 0,
                state: State::Running,
                waits: Waits::ForNothing,
                stack: 2..3,
                awaited_by: 1..1,
            },
        ];
        snapshot
    }

    fn encoded() -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(&sample(), &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(decode(&encoded()).unwrap(), sample());
        assert_eq!(sample().name(&sample().tasks[0]), "ü");
        assert_eq!(sample().name(&sample().tasks[1]), format!("Task-{}", 1_u64 << 40));
    }

    #[test]
    fn what_is_cut_short_or_goes_on_is_refused() {
        let bytes = encoded();
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "{length}");
        }
        assert!(decode(&[&bytes[..], b"x"].concat()).is_err());
    }

    #[test]
    fn a_count_takes_no_memory_that_the_bytes_do_not_fill() {
        let mut bytes = encoded();
        bytes[16 + 7 * 8..16 + 8 * 8].copy_from_slice(&(u64::MAX / 4).to_le_bytes());
        assert!(decode(&bytes).is_err());
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode(&bytes);
            let _ = decode(&[&HEAD[..], &bytes].concat());
        }

        #[test]
        fn changed_bytes_give_an_error_or_a_snapshot_that_can_be_shown(at in 0..400_usize, to in any::<u8>()) {
            let mut bytes = encoded();
            let at = at % bytes.len();
            bytes[at] = to;
            if let Ok(snapshot) = decode(&bytes) {
                super::super::table(&snapshot, &mut Vec::new()).unwrap();
                super::super::json(&snapshot, &mut Vec::new()).unwrap();
                super::super::tree(&snapshot, &mut Vec::new()).unwrap();
            }
        }
    }
}
