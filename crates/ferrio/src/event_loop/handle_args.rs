//! The arguments of a callback that waits to be called: nearly always none or one.

use ferrio_object::Obj;

/// As many arguments as there are, in three words at most: a million handles may wait at once.
#[derive(Default)]
pub(crate) enum HandleArgs {
    #[default]
    None,
    One(Obj),
    Many(Box<[Obj]>),
}

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
        let mut all = vec![first, second];
        all.extend(args);
        HandleArgs::Many(all.into_boxed_slice())
    }
}
