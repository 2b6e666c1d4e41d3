//! The await tree: each task below what awaits it, with the frames in between.
//!
//! Not every graph of tasks is a tree. A task that several others await is shown in full once and referred to after that;
//! tasks that await each other in a circle have no root, so one of them is made one, and the way back to a task that is
//! above is marked. The walk keeps its own stack: chains of tasks are as long as the program makes them.

use std::collections::HashMap;
use std::io::{self, Write};

use super::render::{place, shown};
use super::snapshot::{Snapshot, Task};

/// What a task awaits: the tasks that name it as their parent.
struct Children {
    /// Where those of each task begin in `all`; one more at the end.
    starts: Vec<u32>,
    all: Vec<u32>,
}

impl Children {
    fn of(snapshot: &Snapshot, index: &HashMap<u64, u32>) -> Children {
        let mut counts = vec![0_u32; snapshot.tasks.len() + 1];
        let pairs = || {
            snapshot.tasks.iter().enumerate().flat_map(|(child, task)| {
                snapshot
                    .awaited_by(task)
                    .iter()
                    .filter_map(|parent| index.get(parent))
                    .map(move |parent| (*parent, child as u32))
            })
        };
        for (parent, _) in pairs() {
            counts[parent as usize + 1] += 1;
        }
        for at in 1..counts.len() {
            counts[at] += counts[at - 1];
        }
        let starts = counts.clone();
        let mut all = vec![0; *starts.last().unwrap_or(&0) as usize];
        for (parent, child) in pairs() {
            let place = &mut counts[parent as usize];
            all[*place as usize] = child;
            *place += 1;
        }
        Children { starts, all }
    }

    fn get(&self, task: u32) -> &[u32] {
        let task = task as usize;
        &self.all[self.starts[task] as usize..self.starts[task + 1] as usize]
    }
}

/// Levels with lines that lead to them.
const LEVELS_DRAWN: usize = 100;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    /// On the way from the root to here.
    Above,
    Shown,
}

/// A task whose children are being written.
struct Open {
    task: u32,
    next: usize,
    /// How far `prefix` went before it, and before its children.
    outer: usize,
}

struct Chart<'a, W> {
    snapshot: &'a Snapshot,
    children: Children,
    marks: Vec<Mark>,
    prefix: String,
    open: Vec<Open>,
    out: &'a mut W,
}

/// Writes the tree.
///
/// # Errors
/// Those of the writer.
pub fn tree(snapshot: &Snapshot, out: &mut impl Write) -> io::Result<()> {
    let index = snapshot.index();
    let children = Children::of(snapshot, &index);
    let marks = vec![Mark::New; snapshot.tasks.len()];
    let mut chart = Chart { snapshot, children, marks, prefix: String::new(), open: Vec::new(), out };
    let known = |task: &Task| snapshot.awaited_by(task).iter().any(|parent| index.contains_key(parent));
    for (at, task) in snapshot.tasks.iter().enumerate() {
        if !known(task) {
            chart.root(at as u32, "")?;
        }
    }
    for at in 0..snapshot.tasks.len() as u32 {
        // Not below any root: part of a circle.
        if chart.marks[at as usize] == Mark::New {
            chart.root(at, "")?;
        }
    }
    Ok(())
}

impl<W: Write> Chart<'_, W> {
    fn line(&mut self, last: bool, text: &str) -> io::Result<()> {
        let branch = if last { "└── " } else { "├── " };
        // Each level adds four bytes at least. Below what anybody can follow the level is written in place of the lines.
        if self.prefix.len() > LEVELS_DRAWN * 4 && self.levels() > LEVELS_DRAWN {
            return writeln!(self.out, "[level {}] {branch}{text}", self.levels());
        }
        writeln!(self.out, "{}{branch}{text}", self.prefix)
    }

    fn levels(&self) -> usize {
        self.prefix.chars().count() / 4
    }

    fn root(&mut self, task: u32, note: &str) -> io::Result<()> {
        self.begin(task, true, note)?;
        while let Some(top) = self.open.last_mut() {
            let (task, next) = (top.task, top.next);
            top.next += 1;
            let Some(&child) = self.children.get(task).get(next) else {
                let outer = top.outer;
                self.prefix.truncate(outer);
                self.marks[task as usize] = Mark::Shown;
                self.open.pop();
                continue;
            };
            let last = next + 1 == self.children.get(task).len();
            match self.marks[child as usize] {
                Mark::New => self.begin(child, last, "")?,
                Mark::Above => self.refer(child, last, "  (cycle: it is above)")?,
                Mark::Shown => self.refer(child, last, "  (shown already)")?,
            }
        }
        Ok(())
    }

    fn title(&self, task: &Task) -> String {
        format!("(T) {} {:#x}", shown(&self.snapshot.name(task)), task.id)
    }

    fn refer(&mut self, task: u32, last: bool, note: &str) -> io::Result<()> {
        let title = self.title(&self.snapshot.tasks[task as usize]);
        self.line(last, &format!("{title}{note}"))
    }

    /// Writes a task and its frames; its children come next.
    fn begin(&mut self, at: u32, last: bool, note: &str) -> io::Result<()> {
        let snapshot = self.snapshot;
        let task = &snapshot.tasks[at as usize];
        let outer = self.prefix.len();
        let title = self.title(task);
        self.line(last, &format!("{title}{note}"))?;
        self.prefix.push_str(if last { "    " } else { "│   " });
        for frame in snapshot.stack(task).rev() {
            self.line(true, &place(frame))?;
            self.prefix.push_str("    ");
        }
        self.marks[at as usize] = Mark::Above;
        self.open.push(Open { task: at, next: 0, outer });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::{Frame, Name, State, Waits};
    use super::*;

    /// Tasks `1..=awaited_by.len()`, each with a frame of its own and the tasks that await it.
    fn snapshot(awaited_by: &[&[u64]]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (at, parents) in awaited_by.iter().enumerate() {
            let start = snapshot.parents.len() as u32;
            snapshot.parents.extend_from_slice(parents);
            snapshot.frames.push(Frame { name: format!("f{}", at + 1), file: "a.py".into(), line: 1 });
            snapshot.places.push(at as u32);
            snapshot.tasks.push(Task {
                id: at as u64 + 1,
                name: Name::Number(at as u64 + 1),
                thread: 1,
                state: State::Waiting,
                waits: Waits::ForNothing,
                stack: at as u32..at as u32 + 1,
                awaited_by: start..snapshot.parents.len() as u32,
            });
        }
        snapshot
    }

    fn lines(awaited_by: &[&[u64]]) -> Vec<String> {
        let mut out = Vec::new();
        tree(&snapshot(awaited_by), &mut out).unwrap();
        String::from_utf8(out).unwrap().lines().map(ToOwned::to_owned).collect()
    }

    #[test]
    fn a_tree() {
        assert_eq!(
            lines(&[&[], &[1], &[1], &[3]]),
            [
                "└── (T) Task-1 0x1",
                "    └── f1 a.py:1",
                "        ├── (T) Task-2 0x2",
                "        │   └── f2 a.py:1",
                "        └── (T) Task-3 0x3",
                "            └── f3 a.py:1",
                "                └── (T) Task-4 0x4",
                "                    └── f4 a.py:1",
            ]
        );
    }

    #[test]
    fn a_task_that_two_await_is_shown_once() {
        let lines = lines(&[&[], &[], &[1, 2], &[3]]);
        assert_eq!(lines.iter().filter(|line| line.contains("Task-4")).count(), 1);
        assert_eq!(lines.last().unwrap(), "        └── (T) Task-3 0x3  (shown already)");
    }

    #[test]
    fn circles_are_marked() {
        assert_eq!(
            lines(&[&[2], &[1]]),
            [
                "└── (T) Task-1 0x1",
                "    └── f1 a.py:1",
                "        └── (T) Task-2 0x2",
                "            └── f2 a.py:1",
                "                └── (T) Task-1 0x1  (cycle: it is above)",
            ]
        );
        assert_eq!(lines(&[&[1]]).len(), 3);
        assert_eq!(lines(&[&[99]]).len(), 2);
    }

    #[test]
    fn a_long_chain_needs_no_stack() {
        let chain: Vec<[u64; 1]> = (0..3000).map(|at| [at]).collect();
        let chain: Vec<&[u64]> = chain.iter().map(|one| &one[..]).collect();
        let mut snapshot = snapshot(&chain);
        snapshot.places.clear();
        snapshot.tasks.iter_mut().for_each(|task| task.stack = 0..0);
        let mut out = Vec::new();
        std::thread::Builder::new()
            .stack_size(64 * 1024)
            .spawn(move || tree(&snapshot, &mut out).map(|()| out.len()))
            .unwrap()
            .join()
            .unwrap()
            .unwrap();
    }
}
