//! The half of a class that memory safety hangs on, written by a macro and by nothing else.
//!
//! Where the interpreter finds the weak references and the `__dict__` of an instance, the statics that hold the type
//! object and the memory of dead instances, how the collector walks the contents: one wrong word in any of them, or
//! one static shared by two classes, and the interpreter reads what is not there. So [`Class::FIELDS`] is a value that
//! safe code cannot make; [`fields!`](crate::fields!) makes it from the names of the fields.

use crate::builder::Class;
use crate::class::{DictSlot, TypeCell, WeakList};
use crate::lifecycle::FreeList;
use crate::roster::Membership;
use crate::traverse::Visit;

/// The fields of a class, as [`fields!`](crate::fields!) describes them.
pub struct Fields<T> {
    type_cell: &'static TypeCell,
    freelist: Option<&'static FreeList>,
    offsets: Offsets,
    traverse: fn(&T, &mut Visit<'_>),
    clear: fn(&T),
}

impl<T> Fields<T> {
    /// # Safety
    /// Only [`fields!`](crate::fields!) may call it. The statics serve this class alone; the offsets are those of a
    /// [`WeakList`](crate::WeakList), a [`DictSlot`](crate::DictSlot) and a [`Membership<T>`] among `T`'s fields;
    /// `traverse` does what [`Traverse`](crate::Traverse) asks for.
    #[doc(hidden)]
    #[must_use]
    pub const unsafe fn new(
        type_cell: &'static TypeCell,
        freelist: Option<&'static FreeList>,
        offsets: Offsets,
        traverse: fn(&T, &mut Visit<'_>),
        clear: fn(&T),
    ) -> Self {
        Fields { type_cell, freelist, offsets, traverse, clear }
    }
}

/// Where fields with a meaning of their own lie within the contents. Each comes with a function that shows its type.
#[doc(hidden)]
pub struct Offsets {
    weaklist: Option<usize>,
    dict: Option<usize>,
    membership: Option<usize>,
}

impl Offsets {
    #[must_use]
    pub const fn none() -> Self {
        Offsets { weaklist: None, dict: None, membership: None }
    }

    #[must_use]
    pub const fn weaklist<T>(self, at: usize, _field: fn(&T) -> &WeakList) -> Self {
        assert!(self.weaklist.is_none(), "two weak lists");
        Offsets { weaklist: Some(at), ..self }
    }

    #[must_use]
    pub const fn dict<T>(self, at: usize, _field: fn(&T) -> &DictSlot) -> Self {
        assert!(self.dict.is_none(), "two dicts");
        Offsets { dict: Some(at), ..self }
    }

    #[must_use]
    pub const fn membership<T: Class>(self, at: usize, _field: fn(&T) -> &Membership<T>) -> Self {
        assert!(self.membership.is_none(), "two memberships");
        Offsets { membership: Some(at), ..self }
    }
}

#[inline]
pub(crate) fn type_cell<T: Class>() -> &'static TypeCell {
    const { T::FIELDS }.type_cell
}

#[inline]
pub(crate) fn freelist<T: Class>() -> Option<&'static FreeList> {
    const { T::FIELDS }.freelist
}

#[inline]
pub(crate) const fn weaklist<T: Class>() -> Option<usize> {
    T::FIELDS.offsets.weaklist
}

#[inline]
pub(crate) const fn dict<T: Class>() -> Option<usize> {
    T::FIELDS.offsets.dict
}

#[inline]
pub(crate) fn traverse<T: Class>(contents: &T, visit: &mut Visit<'_>) {
    (const { T::FIELDS }.traverse)(contents, visit);
}

/// What `tp_clear` does with a class that has nothing to say about it.
#[inline]
pub(crate) fn clear<T: Class>(contents: &T) {
    (const { T::FIELDS }.clear)(contents);
}

/// The field that [`Roster::join`](crate::Roster::join) fills in.
pub(crate) fn membership<T: Class>(contents: &T) -> Option<&Membership<T>> {
    let at = const { T::FIELDS }.offsets.membership?;
    // SAFETY: by the contract of `Fields::new` there is a `Membership<T>` at this offset from the contents.
    Some(unsafe { &*std::ptr::from_ref(contents).byte_add(at).cast() })
}

/// Declares the fields of a class: `fields!(Name { field, … });` within `impl Class for Name`.
///
/// All fields are named. A field whose type is [`Traverse`](crate::Traverse) is shown to the garbage collector and
/// cleared by it; one whose type is `Send` can hold no [`Obj`](crate::Obj) and is passed over; any other type is an
/// error. A name may be followed by a word:
///
/// * `weaklist: WeakList`, `dict: DictSlot`, `place: Membership` — for fields of these types: instances can be weakly
///   referenced, have a `__dict__`, can [join a roster](crate::Roster::join);
/// * `field: kept` — shown to the collector, and left alone by `tp_clear`: the object is asked for it afterwards;
/// * `field: unowned` — never shown: what is `!Send` and owns no reference, shares it with somebody, or refers only to
///   objects that refer to nothing;
/// * `field: each(walk, take)` — a `RefCell` with a container that is not `Traverse`. `walk(&container, see)` calls `see`
///   once with each element, `take(&mut container)` empties it.
///
/// With `, freelist` behind the braces the memory of dead instances is used again.
#[macro_export]
macro_rules! fields {
    ($class:ident { $($field:ident $(: $kind:ident $(($($how:tt)*))?)?),* $(,)? } $(, $freelist:ident)?) => {
        const FIELDS: $crate::Fields<Self> = {
            static TYPE_CELL: $crate::TypeCell = $crate::TypeCell::new();

            #[inline]
            fn traverse(this: &$class, visit: &mut $crate::Visit<'_>) {
                $crate::__field!(begin);
                let $class { $($field),* } = this;
                $($crate::__field!(traverse visit, $field $($kind $(($($how)*))?)?);)*
                let _ = visit;
            }

            fn clear(this: &$class) {
                $crate::__field!(begin);
                let $class { $($field),* } = this;
                $($crate::__field!(clear, $field $($kind $(($($how)*))?)?);)*
            }

            const OFFSETS: $crate::Offsets =
                $crate::fields!(@offsets $class, ($crate::Offsets::none()) $([$field $($kind)?])*);

            // SAFETY: two statics that nobody else can name; offsets of fields of these very types; the pattern in
            // `traverse` names every field, and each is walked once, by its type.
            unsafe {
                $crate::Fields::new(&TYPE_CELL, $crate::fields!(@freelist $($freelist)?), OFFSETS, traverse, clear)
            }
        };
    };
    (@freelist) => {
        ::core::option::Option::None
    };
    (@freelist freelist) => {{
        static FREELIST: $crate::FreeList = $crate::FreeList::new();
        ::core::option::Option::Some(&FREELIST)
    }};
    (@offsets $class:ident, ($offsets:expr)) => {
        $offsets
    };
    (@offsets $class:ident, ($offsets:expr) [$field:ident WeakList] $($rest:tt)*) => {
        $crate::fields!(@offsets $class, (
            $offsets.weaklist(::core::mem::offset_of!($class, $field), |this: &$class| &this.$field)
        ) $($rest)*)
    };
    (@offsets $class:ident, ($offsets:expr) [$field:ident DictSlot] $($rest:tt)*) => {
        $crate::fields!(@offsets $class, (
            $offsets.dict(::core::mem::offset_of!($class, $field), |this: &$class| &this.$field)
        ) $($rest)*)
    };
    (@offsets $class:ident, ($offsets:expr) [$field:ident Membership] $($rest:tt)*) => {
        $crate::fields!(@offsets $class, (
            $offsets.membership(::core::mem::offset_of!($class, $field), |this: &$class| &this.$field)
        ) $($rest)*)
    };
    (@offsets $class:ident, ($offsets:expr) [$field:ident $($kind:ident)?] $($rest:tt)*) => {
        $crate::fields!(@offsets $class, ($offsets) $($rest)*)
    };
}
