//! A class that panics wherever the interpreter can call it.

use std::cell::{Cell, RefCell};

use ferrio_object::{Any, Args, Class, ClassBuilder, Obj, ObjCell, Sent, Signature};
use pyo3::prelude::*;
use pyo3::pyclass::CompareOp;

use super::Alive;

/// Panics in what it is told to: `Faulty("finalize")`. Everything that is asked for by name panics anyway.
pub struct Faulty {
    place: Cell<Place>,
    /// The same once more, where the collector sees it.
    walked: RefCell<Walked>,
    me: ObjCell,
    _alive: Alive,
}

/// A container that the object layer does not know.
struct Walked {
    place: Place,
    held: ObjCell,
}

impl Walked {
    const fn new(place: Place) -> Self {
        Walked { place, held: ObjCell::empty() }
    }

    fn each(&self, see: &mut dyn FnMut(&ObjCell)) {
        assert!(self.place != Place::Traverse, "as told");
        see(&self.held);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Nowhere,
    Traverse,
    Clear,
    Finalize,
    WantsFinalizer,
    Drop,
}

impl Faulty {
    fn init(this: &Obj<Self>, _py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<1> = Signature::new("Faulty", ["place"]).required(0);
        let [place] = args.bind(&SIGNATURE)?;
        this.place.set(match place.map(PyAnyMethods::extract::<String>).transpose()?.as_deref() {
            None => Place::Nowhere,
            Some("traverse") => Place::Traverse,
            Some("clear") => Place::Clear,
            Some("finalize") => Place::Finalize,
            Some("wants_finalizer") => Place::WantsFinalizer,
            Some("drop") => Place::Drop,
            Some(other) => panic!("no such place: {other}"),
        });
        this.walked.borrow_mut().place = this.place.get();
        Ok(())
    }

    fn set_me(this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        this.me.set(value.map(Obj::from));
        Ok(())
    }

    fn panic_in(&self, place: Place) {
        assert!(self.place.get() != place, "as told");
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.panic_in(Place::Drop);
    }
}

impl Class for Faulty {
    type Base = Any;
    ferrio_object::fields!(Faulty { place, walked: each(Walked::each, |_| ()), me, _alive });
    const NAME: &'static str = "objects.Faulty";
    const DOC: &'static str = "";
    const FINALIZE: bool = true;

    fn blank() -> Self {
        Faulty {
            place: Cell::new(Place::Nowhere),
            walked: RefCell::new(Walked::new(Place::Nowhere)),
            me: ObjCell::empty(),
            _alive: Alive::new(),
        }
    }

    fn clear(&self) {
        let me = self.me.take();
        self.panic_in(Place::Clear);
        drop(me);
    }

    fn wants_finalizer(&self, _base: &()) -> bool {
        self.panic_in(Place::WantsFinalizer);
        true
    }

    fn finalize(this: &Obj<Self>, _py: Python<'_>) {
        this.panic_in(Place::Finalize);
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(Self::init)
            .getset("me", |this: &Obj<Self>, _py: Python<'_>| this.me.get(), Self::set_me, "")
            .method0("method0", |_: &Obj<Self>, _: Python<'_>| -> bool { panic!("in method0") }, "")
            .method1(
                "method1",
                |_: &Obj<Self>, _: Python<'_>, _: &Bound<'_, PyAny>| -> bool { panic!("in method1") },
                "",
            )
            .method(
                "method",
                |_: &Obj<Self>, _: Python<'_>, _: Args<'_, '_>| -> bool { panic!("in method") },
                "",
            )
            .staticmethod("static", |_: Python<'_>, _: Args<'_, '_>| -> bool { panic!("in static") }, "")
            .getset(
                "attribute",
                |_: &Obj<Self>, _: Python<'_>| -> bool { panic!("in getter") },
                |_: &Obj<Self>, _: Python<'_>, _: Option<&Bound<'_, PyAny>>| -> PyResult<()> {
                    panic!("in setter")
                },
                "",
            )
            .repr(|_: &Obj<Self>, _: Python<'_>| -> String { panic!("in repr") })
            .call(|_: &Obj<Self>, _: Python<'_>, _: Args<'_, '_>| -> bool { panic!("in call") })
            .len(|_: &Obj<Self>, _: Python<'_>| -> PyResult<usize> { panic!("in len") })
            .iter(|_: &Obj<Self>, _: Python<'_>| -> bool { panic!("in iter") })
            .awaitable(|_: &Obj<Self>, _: Python<'_>| -> bool { panic!("in await") })
            .send(|_: &Obj<Self>, _: Python<'_>, _: Option<&Bound<'_, PyAny>>| -> PyResult<Sent> {
                panic!("in send")
            })
            .throw(|_: &Obj<Self>, _: Python<'_>, _: Args<'_, '_>| -> PyResult<Sent> { panic!("in throw") })
            .compare(
                |_: &Obj<Self>,
                 _: Python<'_>,
                 _: &Bound<'_, PyAny>,
                 _: CompareOp|
                 -> PyResult<Option<bool>> { panic!("in compare") },
                |_: &Obj<Self>, _: Python<'_>| -> PyResult<isize> { panic!("in hash") },
            )
            .setattr(
                |_: &Obj<Self>, _: Python<'_>, name: &Bound<'_, PyAny>, _: Option<&Bound<'_, PyAny>>| {
                    assert!(name.extract::<&str>()? != "unsettable", "in setattr");
                    Ok(false)
                },
            );
    }
}
