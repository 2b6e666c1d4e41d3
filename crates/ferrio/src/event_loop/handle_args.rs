//! The arguments of a callback that waits to be called: nearly always none or one.

use ferrio_object::Obj;
use smallvec::{SmallVec, smallvec};

/// As many arguments as there are, in two words: a million handles may wait at once. More than one are in a box of their
/// own, and more than three in two.
#[derive(Default)]
pub(crate) enum HandleArgs {
    #[default]
    None,
    One(Obj),
    Many(Box<SmallVec<[Obj; 3]>>),
}

const _: () = assert!(size_of::<HandleArgs>() == 2 * size_of::<usize>());

ferrio_object::traverse!(
    enum HandleArgs {
        None,
        One(one),
        Many(all),
    },
    default
);

impl HandleArgs {
    #[inline]
    pub(crate) fn as_slice(&self) -> &[Obj] {
        match self {
            HandleArgs::None => &[],
            HandleArgs::One(one) => std::slice::from_ref(one),
            HandleArgs::Many(all) => all,
        }
    }
}

impl FromIterator<Obj> for HandleArgs {
    #[inline]
    fn from_iter<I: IntoIterator<Item = Obj>>(args: I) -> Self {
        let mut args = args.into_iter();
        let Some(first) = args.next() else { return HandleArgs::None };
        let Some(second) = args.next() else { return HandleArgs::One(first) };
        let mut all: Box<SmallVec<[Obj; 3]>> = Box::new(smallvec![first, second]);
        all.extend(args);
        HandleArgs::Many(all)
    }
}
