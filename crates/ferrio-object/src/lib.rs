//! CPython objects at C speed, declared in safe Rust.
//!
//! A class is a plain Rust struct whose fields are [`Cell`](std::cell::Cell)s, an implementation of [`Class`] in which
//! [`fields!`] names them, and a table of methods given to a [`ClassBuilder`]. From that this crate makes a heap type
//! through `PyType_FromModuleAndSpec` with FASTCALL methods, getters, a freelist,
//! weak references, an instance `__dict__`, vectorcall construction and the slots of iterators and coroutines.
//!
//! # Safety
//!
//! This is the one room of ferrio for raw FFI on Python objects. What holds everywhere in it:
//!
//! * **Attached.** Every function here runs while the thread holds the GIL: it was called by the interpreter
//!   through a trampoline, or its caller shows a `Python<'py>` token. [`Obj`] is neither `Send` nor `Sync`, so an
//!   owned reference never leaves the attached thread; [`GilStatic`] and [`GilShared`] ask for the token.
//! * **Shared.** A reference to the contents of an object is always `&T`, because Python may reach the same object
//!   again from any call. Contents change through cells; a cell's old value is moved out first and dropped after,
//!   so that a `__del__` that comes back finds a consistent object.
//! * **Initialised.** `tp_new` writes the contents before anybody sees the object, so every instance of a type made
//!   here, or of a Python subclass of it, has valid contents, whether or not `__init__` ran.
//! * **Declared by a macro.** What the interpreter takes on trust (offsets, the statics of a class, what the collector is
//!   shown) is in [`Fields`], which safe code cannot make: [`fields!`] makes it from the struct.
//! * **No unwinding into C.** Each entry point catches panics and raises `SystemError`.
//! * **Room below.** Each entry point that can fail raises `RecursionError` where the stack is nearly used up.
//!
//! No asyncio in here: this crate knows objects, not event loops.

mod args;
mod boundary;
mod buffer;
mod builder;
mod call;
mod class;
mod class_def;
mod context;
mod coroutine_function;
mod descriptor;
mod erased;
mod error;
mod fields;
mod forced_unwind;
mod frame;
mod lifecycle;
mod live;
mod module_home;
mod number;
mod obj;
mod origin;
mod own_method;
mod prefetch;
mod python_frames;
mod rebind;
mod replaced;
mod roster;
mod same_callable;
mod shared;
mod spare_bytes;
mod special;
mod ssl_object;
mod stop_iteration;
mod thread;
mod trampoline;
mod trash;

mod traverse;
mod wakeup_fd;

pub use args::{Args, Signature};
pub use buffer::{Buffer, BufferPlace, PlacedBuffer};
pub use builder::{Class, ClassBuilder};
pub use call::{
    Sent, ThreadState, await_iter, bytes_of, is_generator, is_python_coroutine, new_bytes, send, send_none,
    vectorcall, vectorcall_drop,
};
pub use class::{DictSlot, Instance, Layout, Parts, TypeCell, WeakList};
pub use class_def::ClassDef;
pub use descriptor::socket_descriptor;
pub use erased::Erased;
pub use error::{
    Raised, handled_exception, raise, restore_context, set_cause, swallow, value_of, with_handled,
    with_saved_error,
};
pub use fields::{Fields, Offsets};
pub use forced_unwind::stop_forced_unwinds;
pub use frame::{Awaiting, Co, Frame, Kept, Local, Suspended, Wait, Waitable};
pub use lifecycle::FreeList;
pub use live::live_children;
pub use module_home::fill_once;
pub use number::float_of;
pub use obj::{Any, Obj, ObjCell};
pub use origin::{origin, standing_frame};
pub use prefetch::{Hint, prefetch};
pub use python_frames::{
    CodePlace, frame_back, frame_generator, is_async_code, place_of_frame, place_of_suspended, running_frame,
};
pub use replaced::{MethodSet, Methods, Replaceable, Replaced};
pub use roster::{Membership, Roster};
pub use same_callable::{is_function, same_callable};
pub use shared::{GilShared, GilStatic};
pub use spare_bytes::SpareBytes;
pub use ssl_object::{SslConnection, Unsuitable, ssl_library};
pub use stop_iteration::{clear_recycled, recycle_for};
pub use thread::{StateAtHand, ensure_stack};
pub use trampoline::IntoResult;
pub use traverse::{Field, HoldsNothing, Sharing, Traverse, Vacate, Visit, clear_each, traverse_each};
pub use wakeup_fd::swap_wakeup_fd;
