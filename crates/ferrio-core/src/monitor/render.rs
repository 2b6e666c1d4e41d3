//! A snapshot as a table and as JSON.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::snapshot::{Frame, Snapshot, State, Task, Waits};

/// Names and paths come from the program: without what a terminal would act on.
pub(super) fn shown(text: &str) -> String {
    if text.chars().any(char::is_control) {
        text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
    } else {
        text.to_owned()
    }
}

/// What a frame is called in lists.
pub(super) fn place(frame: &Frame) -> String {
    if frame.is_in_file() {
        format!("{} {}:{}", shown(&frame.name), shown(&frame.file), frame.line)
    } else {
        shown(&frame.name)
    }
}

/// What a task awaits, in a few words.
fn awaits(snapshot: &Snapshot, index: &std::collections::HashMap<u64, u32>, task: &Task) -> String {
    match task.waits {
        Waits::ForTask(id) => match index.get(&id).and_then(|at| snapshot.tasks.get(*at as usize)) {
            Some(other) => format!("task {}", shown(&snapshot.name(other))),
            None => format!("task {id:#x}"),
        },
        Waits::ForGather(_) => "gather".to_owned(),
        Waits::ForNothing | Waits::ForFuture(_) => match (task.state, snapshot.stack(task).next()) {
            (State::Running, _) => "(running)".to_owned(),
            // What is native in front says what for.
            (_, Some(frame)) if !frame.is_in_file() => shown(&frame.name),
            (State::Ready, _) => "(ready)".to_owned(),
            (State::Waiting, _) => "future".to_owned(),
        },
    }
}

/// Where a task stands: its innermost place in a file.
fn stands(snapshot: &Snapshot, task: &Task) -> String {
    snapshot
        .stack(task)
        .find(|frame| frame.is_in_file())
        .map_or_else(|| "-".to_owned(), |frame| format!("{}:{}", shown(&frame.file), frame.line))
}

/// The name of a task's coroutine.
fn coroutine(snapshot: &Snapshot, task: &Task) -> String {
    snapshot.stack(task).next_back().map_or_else(|| "-".to_owned(), |frame| shown(&frame.name))
}

/// Writes a line for each task: thread, id, name, coroutine, what it awaits, where it stands.
///
/// # Errors
/// Those of the writer.
pub fn table(snapshot: &Snapshot, out: &mut impl Write) -> io::Result<()> {
    const HEAD: [&str; 6] = ["THREAD", "TASK", "NAME", "COROUTINE", "AWAITS", "WHERE"];
    let index = snapshot.index();
    let row = |task: &Task| {
        [
            if task.thread == 0 { "-".to_owned() } else { task.thread.to_string() },
            format!("{:#x}", task.id),
            shown(&snapshot.name(task)),
            coroutine(snapshot, task),
            awaits(snapshot, &index, task),
            stands(snapshot, task),
        ]
    };
    // Columns fit the first screens; a longer cell further down shifts its line.
    let mut widths = HEAD.map(str::len);
    for task in snapshot.tasks.iter().take(1000) {
        for (width, cell) in widths.iter_mut().zip(row(task)) {
            *width = (*width).max(cell.chars().count()).min(60);
        }
    }
    let mut line = String::new();
    for cells in std::iter::once(HEAD.map(str::to_owned)).chain(snapshot.tasks.iter().map(row)) {
        line.clear();
        for (cell, width) in cells.iter().zip(widths) {
            // Writing to a string does not fail.
            let _ = write!(line, "{cell:width$}  ");
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn quoted(text: &str, line: &mut String) {
    line.push('"');
    for letter in text.chars() {
        match letter {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            letter if letter < ' ' || letter == '\u{7f}' => {
                let _ = write!(line, "\\u{:04x}", letter as u32);
            }
            letter => line.push(letter),
        }
    }
    line.push('"');
}

/// Writes an array with an object for each task, one per line.
///
/// # Errors
/// Those of the writer.
pub fn json(snapshot: &Snapshot, out: &mut impl Write) -> io::Result<()> {
    let index = snapshot.index();
    let mut line = String::new();
    out.write_all(b"[")?;
    for (at, task) in snapshot.tasks.iter().enumerate() {
        line.clear();
        line.push_str(if at == 0 { "\n" } else { ",\n" });
        let _ = write!(line, "{{\"id\": \"{:#x}\", \"name\": ", task.id);
        quoted(&snapshot.name(task), &mut line);
        let _ = write!(line, ", \"thread\": {}, \"state\": ", task.thread);
        line.push_str(match task.state {
            State::Running => "\"running\"",
            State::Ready => "\"ready\"",
            State::Waiting => "\"waiting\"",
        });
        line.push_str(", \"coroutine\": ");
        quoted(&coroutine(snapshot, task), &mut line);
        line.push_str(", \"awaits\": ");
        quoted(&awaits(snapshot, &index, task), &mut line);
        if let Waits::ForFuture(id) | Waits::ForTask(id) | Waits::ForGather(id) = task.waits {
            let _ = write!(line, ", \"awaits_id\": \"{id:#x}\"");
        }
        line.push_str(", \"where\": ");
        quoted(&stands(snapshot, task), &mut line);
        line.push_str(", \"stack\": [");
        for (at, frame) in snapshot.stack(task).enumerate() {
            line.push_str(if at == 0 { "" } else { ", " });
            line.push_str("{\"name\": ");
            quoted(&frame.name, &mut line);
            if frame.is_in_file() {
                line.push_str(", \"file\": ");
                quoted(&frame.file, &mut line);
                let _ = write!(line, ", \"line\": {}", frame.line);
            }
            line.push('}');
        }
        line.push_str("], \"awaited_by\": [");
        for (at, parent) in snapshot.awaited_by(task).iter().enumerate() {
            line.push_str(if at == 0 { "" } else { ", " });
            let _ = write!(line, "\"{parent:#x}\"");
        }
        line.push_str("]}");
        out.write_all(line.as_bytes())?;
    }
    out.write_all(b"\n]\n")
}
