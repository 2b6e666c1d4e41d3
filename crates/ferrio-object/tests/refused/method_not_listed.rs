//! A method that is asked for, and is not among those that are watched.

use ferrio_object::MethodSet;

const NAMES: [&str; 2] = ["acquire", "release"];
const LOCKED: MethodSet = MethodSet::named(&NAMES, "locked");

fn main() {
    let _ = LOCKED;
}
