//! A class whose live instances are on a roster.

use ferrio_object::{Any, Args, Class, ClassBuilder, Membership, Obj, ObjCell, Roster, Signature};
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::Alive;

static ROLL: Roster<Member> = Roster::new();

pub struct Member {
    // Before the membership, so that what it holds is dropped while the object is still on the roster.
    baggage: ObjCell,
    membership: Membership<Member>,
    _alive: Alive,
}

impl Member {
    fn init(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<1> = Signature::new("Member", ["baggage"]).required(0);
        let [baggage] = args.bind(&SIGNATURE)?;
        this.baggage.set(baggage.map(Obj::from));
        ROLL.join(py, this);
        Ok(())
    }

    pub fn all(py: Python<'_>, _args: Args<'_, '_>) -> PyResult<Obj> {
        let all = ROLL.collect(py, |_| true);
        Ok(Obj::from(PyList::new(py, all)?))
    }
}

impl Class for Member {
    type Base = Any;
    ferrio_object::fields!(Member { baggage, membership: Membership, _alive });
    const NAME: &'static str = "objects.Member";
    const DOC: &'static str = "";

    fn blank() -> Self {
        Member { baggage: ObjCell::empty(), membership: Membership::none(), _alive: Alive::new() }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(Self::init)
            .method0("leave", |this: &Obj<Self>, _py: Python<'_>| this.membership.leave(), "")
            .getter("baggage", |this: &Obj<Self>, _py: Python<'_>| this.baggage.get(), "");
    }
}
