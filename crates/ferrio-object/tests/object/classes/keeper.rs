//! A class with a field of every kind that the garbage collector is shown.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};

use ferrio_object::{Any, Args, Class, ClassBuilder, Obj, ObjCell, Signature};
use pyo3::prelude::*;

use super::Alive;

/// Keeps an object under the name of a field.
pub struct Keeper {
    cell: ObjCell,
    boxed: RefCell<Option<Box<Obj>>>,
    option: RefCell<Option<Obj>>,
    taken: Cell<Option<Obj>>,
    vec: RefCell<Vec<Obj>>,
    deque: RefCell<VecDeque<Obj>>,
    map: RefCell<HashMap<u32, Obj>>,
    array: [ObjCell; 2],
    pair: RefCell<Option<(u32, Obj)>>,
    inner: Inner,
    choice: RefCell<Choice>,
    foreign: RefCell<Stack>,
    stays: RefCell<Option<Obj>>,
    number: Cell<i32>,
    text: RefCell<String>,
    _alive: Alive,
}

/// A struct within a class.
struct Inner {
    object: ObjCell,
    count: Cell<u32>,
}

ferrio_object::traverse!(struct Inner { object, count });

#[derive(Default)]
enum Choice {
    #[default]
    Nothing,
    Pair(u32, Obj),
    Named {
        object: Obj,
    },
}

ferrio_object::traverse!(enum Choice { Nothing, Pair(number, object), Named { object } }, default);

/// A container of which the object layer knows nothing.
#[derive(Default)]
struct Stack(Vec<Obj>);

impl Stack {
    fn each(&self, see: &mut dyn FnMut(&Obj)) {
        self.0.iter().for_each(see);
    }
}

impl Keeper {
    fn keep(this: &Obj<Self>, _py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        let [field, object] = args.bind(&Signature::new("keep", ["field", "object"]))?;
        let (field, object) = (field.unwrap().extract::<String>()?, Obj::from(object.unwrap()));
        match field.as_str() {
            "cell" => this.cell.set(Some(object)),
            "boxed" => drop(this.boxed.replace(Some(Box::new(object)))),
            "option" => drop(this.option.replace(Some(object))),
            "taken" => drop(this.taken.replace(Some(object))),
            "vec" => this.vec.borrow_mut().push(object),
            "deque" => this.deque.borrow_mut().push_back(object),
            "map" => drop(this.map.borrow_mut().insert(1, object)),
            "array" => this.array[1].set(Some(object)),
            "pair" => drop(this.pair.replace(Some((1, object)))),
            "inner" => this.inner.object.set(Some(object)),
            "choice" => drop(this.choice.replace(Choice::Pair(1, object))),
            "named" => drop(this.choice.replace(Choice::Named { object })),
            "foreign" => this.foreign.borrow_mut().0.push(object),
            "stays" => drop(this.stays.replace(Some(object))),
            other => panic!("no such field: {other}"),
        }
        Ok(())
    }
}

impl Class for Keeper {
    type Base = Any;
    ferrio_object::fields!(Keeper {
        cell,
        boxed,
        option,
        taken,
        vec,
        deque,
        map,
        array,
        pair,
        inner,
        choice,
        foreign: each(Stack::each, std::mem::take),
        stays: kept,
        number,
        text,
        _alive,
    });
    const NAME: &'static str = "objects.Keeper";
    const DOC: &'static str = "";

    fn blank() -> Self {
        Keeper {
            cell: ObjCell::empty(),
            boxed: RefCell::default(),
            option: RefCell::default(),
            taken: Cell::default(),
            vec: RefCell::default(),
            deque: RefCell::default(),
            map: RefCell::default(),
            array: [ObjCell::empty(), ObjCell::empty()],
            pair: RefCell::default(),
            inner: Inner { object: ObjCell::empty(), count: Cell::new(0) },
            choice: RefCell::default(),
            foreign: RefCell::default(),
            stays: RefCell::default(),
            number: Cell::new(0),
            text: RefCell::default(),
            _alive: Alive::new(),
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class.method("keep", Self::keep, "").method0(
            "clear",
            |this: &Obj<Self>, _py: Python<'_>| {
                Class::clear(&**this);
                this.inner.count.set(this.inner.count.get() + 1);
                this.number.set(this.number.get() + 1);
                this.text.borrow_mut().push('.');
            },
            "",
        );
    }
}
