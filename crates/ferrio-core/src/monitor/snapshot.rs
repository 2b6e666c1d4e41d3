//! The tasks of a process, copied.

use std::collections::HashMap;
use std::ops::Range;

/// A place in Python code, or a native coroutine, which has a name alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// The qualified name of the function.
    pub name: String,
    /// Empty for native code.
    pub file: String,
    pub line: u32,
}

impl Frame {
    /// Whether it is a place in a file.
    pub fn is_in_file(&self) -> bool {
        self.line != 0
    }
}

/// What a task is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// `Task-N`.
    Number(u64),
    /// The bytes of a text in [`Snapshot::texts`].
    Given(Range<u32>),
}

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its loop steps it.
    Running,
    /// It waits for nothing: it is to be stepped in this turn or the next.
    Ready,
    Waiting,
}

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    ForNothing,
    /// The object with this address: a future that is no task.
    ForFuture(u64),
    /// The task with this address.
    ForTask(u64),
    /// A `gather()`.
    ForGather(u64),
}

/// One task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// `id(task)`.
    pub id: u64,
    pub name: Name,
    /// The thread of its loop, as `threading.get_ident()` has it; 0 while the loop does not run.
    pub thread: u64,
    pub state: State,
    pub waits: Waits,
    /// Its frames, the innermost first: indexes in [`Snapshot::places`].
    pub stack: Range<u32>,
    /// The tasks that await it: indexes in [`Snapshot::parents`].
    pub awaited_by: Range<u32>,
}

/// The tasks of a process that are not done.
///
/// They are taken down some thousand at a time, between which the program runs on: a task that ends meanwhile may be named
/// as what awaits another, and not be listed itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub pid: u32,
    pub tasks: Vec<Task>,
    /// Each distinct place once.
    pub frames: Vec<Frame>,
    /// The stacks of all tasks, one after the other: indexes in `frames`.
    pub places: Vec<u32>,
    /// `id(task)` of what awaits each task, one after the other.
    pub parents: Vec<u64>,
    /// The names that were given to tasks.
    pub texts: String,
    /// For how long the program was held up at most, in nanoseconds, and how often.
    pub longest_hold: u64,
    pub holds: u32,
}

impl Snapshot {
    /// The name of a task.
    pub fn name(&self, task: &Task) -> String {
        match &task.name {
            Name::Number(number) => format!("Task-{number}"),
            Name::Given(range) => self
                .texts
                .get(range.start as usize..range.end as usize)
                .map_or_else(String::new, ToOwned::to_owned),
        }
    }

    /// The frames of a task, the innermost first.
    pub fn stack(&self, task: &Task) -> impl DoubleEndedIterator<Item = &Frame> + Clone {
        let range = task.stack.start as usize..task.stack.end as usize;
        self.places.get(range).unwrap_or_default().iter().filter_map(|at| self.frames.get(*at as usize))
    }

    /// The addresses of what awaits a task.
    pub fn awaited_by(&self, task: &Task) -> &[u64] {
        self.parents.get(task.awaited_by.start as usize..task.awaited_by.end as usize).unwrap_or_default()
    }

    /// Where each task stands in `tasks`, by its address.
    pub fn index(&self) -> HashMap<u64, u32> {
        self.tasks.iter().enumerate().map(|(at, task)| (task.id, at as u32)).collect()
    }

    /// Notes a name that was given to a task.
    pub fn add_text(&mut self, text: &str) -> Name {
        let start = self.texts.len() as u32;
        self.texts.push_str(text);
        Name::Given(start..self.texts.len() as u32)
    }
}
