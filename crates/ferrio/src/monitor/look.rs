//! Taking the tasks of this process down.
//!
//! A million tasks are scattered over a gigabyte of memory, and to look at each takes longer than a program may stand
//! still. So a native thread takes them down in slices: it holds the GIL for [`HOLD`], then the program runs on. No
//! Python code runs within a slice, and nothing is formatted: a frame is a code object and the offset of an instruction,
//! and becomes a name, file and line once, however many tasks stand there.

use std::cell::RefCell;
use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use ferrio_core::monitor::{Frame, Name as ShownName, Snapshot, State, Task as TaskRecord, Waits};
use ferrio_object::{
    CodePlace, GilShared, Obj, frame_back, frame_generator, place_of_frame, place_of_suspended,
};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::event_loop::LoopRef;
use crate::future::awaited_by;
use crate::gather::Gathering;
use crate::graph;
use crate::task::{Name, Task, registry};

/// For how long a slice holds the GIL.
const HOLD: Duration = Duration::from_millis(4);
/// How many tasks are looked at between two looks at the clock.
const AT_ONCE: usize = 32;
/// For how long the program runs between two slices at least.
const PAUSE: Duration = Duration::from_millis(1);
/// Frames of one task: what recurses without end is cut here.
const DEEPEST: usize = 200;

/// What was taken down in one slice. It is added to the rest outside of the slice: lists of a million entries take
/// their time to grow.
#[derive(Default)]
struct Slice {
    part: Snapshot,
    /// The place at which the next slice begins; none after the last one.
    next: Option<usize>,
}

/// The frames met so far.
struct Places {
    by_code: HashMap<(usize, i32), u32>,
    by_name: HashMap<&'static str, u32>,
    frames: Vec<Frame>,
    /// The code objects, so that no other one takes their addresses.
    held: GilShared<RefCell<Vec<Obj>>>,
}

impl Places {
    fn native(&mut self, name: &'static str) -> u32 {
        *self.by_name.entry(name).or_insert_with(|| {
            self.frames.push(Frame { name: name.to_owned(), file: String::new(), line: 0 });
            (self.frames.len() - 1) as u32
        })
    }

    fn python(&mut self, py: Python<'_>, place: CodePlace) -> PyResult<u32> {
        let key = (place.code.as_ptr() as usize, place.offset);
        if let Some(known) = self.by_code.get(&key) {
            return Ok(*known);
        }
        let text = |name: &Bound<'_, PyString>| -> PyResult<String> {
            Ok(place.code.bind(py).getattr(name)?.cast::<PyString>()?.to_string_lossy().into_owned())
        };
        let line = place.line(py).unwrap_or(0);
        self.frames.push(Frame {
            name: text(intern!(py, "co_qualname"))?,
            file: text(intern!(py, "co_filename"))?,
            // Line 0 is how native code is told.
            line: line.max(1),
        });
        let at = (self.frames.len() - 1) as u32;
        self.by_code.insert(key, at);
        self.held.get(py).borrow_mut().push(place.code);
        Ok(at)
    }
}

/// All tasks of ours that are not done, of all loops. `None` if the interpreter ends.
pub(super) fn tasks() -> Option<Snapshot> {
    let mut places = Python::try_attach(|py| Places {
        by_code: HashMap::new(),
        by_name: HashMap::new(),
        frames: Vec::new(),
        held: GilShared::new(py, RefCell::new(Vec::new())),
    })?;
    let mut all = Snapshot { pid: std::process::id(), ..Snapshot::default() };
    let mut next = Some(0);
    while let Some(start) = next {
        let (slice, held) = Python::try_attach(|py| {
            let begun = Instant::now();
            let slice = take_slice(py, start, begun, &mut places);
            (slice, begun.elapsed())
        })?;
        all.longest_hold = all.longest_hold.max(u64::try_from(held.as_nanos()).unwrap_or(u64::MAX));
        all.holds += 1;
        next = slice.next;
        add(&mut all, slice.part);
        if next.is_some() {
            thread::sleep(PAUSE);
        }
    }
    all.frames = std::mem::take(&mut places.frames);
    Python::try_attach(|_| drop(places))?;
    Some(all)
}

fn add(all: &mut Snapshot, part: Snapshot) {
    let (places, parents, texts) =
        (all.places.len() as u32, all.parents.len() as u32, all.texts.len() as u32);
    all.places.extend_from_slice(&part.places);
    all.parents.extend_from_slice(&part.parents);
    all.texts.push_str(&part.texts);
    all.tasks.extend(part.tasks.into_iter().map(|mut task| {
        task.stack = task.stack.start + places..task.stack.end + places;
        task.awaited_by = task.awaited_by.start + parents..task.awaited_by.end + parents;
        if let ShownName::Given(range) = &mut task.name {
            *range = range.start + texts..range.end + texts;
        }
        task
    }));
}

fn take_slice(py: Python<'_>, start: usize, begun: Instant, places: &mut Places) -> Slice {
    let mut slice = Slice { part: Snapshot::default(), next: Some(start) };
    let mut running: Option<Bound<'_, PyDict>> = None;
    while let Some(at) = slice.next {
        if begun.elapsed() >= HOLD {
            break;
        }
        let Some(tasks) = registry::part(py, at, AT_ONCE) else {
            slice.next = None;
            break;
        };
        slice.next = Some(at + AT_ONCE);
        for task in &tasks {
            if !task.base().is_done()
                && let Err(err) = take_task(py, task, &mut slice.part, places, &mut running)
            {
                // An attribute of a coroutine has failed: the task is not listed, the others are.
                ferrio_object::swallow(py, err);
            }
        }
    }
    slice
}

fn take_task<'py>(
    py: Python<'py>,
    task: &Obj<Task>,
    part: &mut Snapshot,
    places: &mut Places,
    running: &mut Option<Bound<'py, PyDict>>,
) -> PyResult<()> {
    let fut = task.base();
    let mut thread = 0;
    let mut state = State::Waiting;
    if let Ok(LoopRef::Native(event_loop)) = fut.get_loop() {
        thread = event_loop.thread_id.get();
        if thread != 0 && event_loop.current_task.holds(task) {
            state = State::Running;
        }
    }
    let waits = match task.fut_waiter.get() {
        None => {
            if state != State::Running {
                state = State::Ready;
            }
            Waits::ForNothing
        }
        Some(waiter) => {
            let id = waiter.as_ptr() as u64;
            if waiter.cast::<Task>().is_some() {
                Waits::ForTask(id)
            } else if waiter.cast::<Gathering>().is_some() {
                Waits::ForGather(id)
            } else {
                Waits::ForFuture(id)
            }
        }
    };
    let first = part.places.len() as u32;
    if let Some(coro) = task.coro.get() {
        if state == State::Running {
            running_stack(py, &coro, thread, part, places, running)?;
        } else {
            waiting_stack(py, coro, part, places)?;
        }
    }
    let stack = first..part.places.len() as u32;
    let first = part.parents.len() as u32;
    part.parents.extend(awaited_by::with_repeats(py, fut).iter().map(|parent| parent.as_ptr() as u64));
    let awaited_by = first..part.parents.len() as u32;
    let name = match &*task.name.borrow() {
        Name::Number(number) => ShownName::Number(*number),
        Name::Given(name) => {
            let text = name.bind(py).cast::<PyString>().map(|name| name.to_string_lossy().into_owned());
            part.add_text(&text.unwrap_or_default())
        }
    };
    let id = task.as_ptr() as u64;
    part.tasks.push(TaskRecord { id, name, thread, state, waits, stack, awaited_by });
    Ok(())
}

/// The frames of a coroutine that does not run, the innermost first.
fn waiting_stack(py: Python<'_>, coro: Obj, part: &mut Snapshot, places: &mut Places) -> PyResult<()> {
    let first = part.places.len();
    let mut next = Some(coro);
    while let Some(coro) = next.take()
        && part.places.len() - first < DEEPEST
    {
        if let Some(shown) = graph::shown(py, &coro) {
            for name in shown.names {
                let at = places.native(name);
                part.places.push(at);
            }
            next = shown.awaited;
        } else if let Some((place, awaited)) = place_of_suspended(py, &coro)? {
            let at = places.python(py, place)?;
            part.places.push(at);
            next = awaited;
        }
    }
    part.places[first..].reverse();
    Ok(())
}

/// The frames of the task that a thread runs: those of Python code up to the task's coroutine.
fn running_stack<'py>(
    py: Python<'py>,
    root: &Obj,
    thread: u64,
    part: &mut Snapshot,
    places: &mut Places,
    running: &mut Option<Bound<'py, PyDict>>,
) -> PyResult<()> {
    let frames = match running {
        Some(frames) => frames,
        None => {
            let frames = crate::imported::module(py, "sys")?.call_method0("_current_frames")?;
            running.insert(frames.cast_into()?)
        }
    };
    let mut at = frames.get_item(thread)?.map(Obj::from);
    let first = part.places.len();
    while let Some(frame) = at
        && part.places.len() - first < DEEPEST
    {
        if let Some(place) = place_of_frame(py, &frame) {
            let place = places.python(py, place)?;
            part.places.push(place);
        }
        if frame_generator(py, &frame).is_some_and(|generator| generator.is(root)) {
            return Ok(());
        }
        at = frame_back(py, &frame);
    }
    // Not met: the task's coroutine is native, and the frames are those of what it drives and of what runs the loop.
    if let Some(shown) = graph::shown(py, root) {
        part.places.truncate(first);
        for name in shown.names.into_iter().rev() {
            let at = places.native(name);
            part.places.push(at);
        }
    }
    Ok(())
}
