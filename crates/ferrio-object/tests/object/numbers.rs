//! Numbers as floats: as `float()` takes them.

use ferrio_object::float_of;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyZeroDivisionError};
use pyo3::prelude::*;

use crate::attached;

#[test]
fn as_the_interpreter_takes_them() {
    attached(|py, _| {
        let of = |source: &std::ffi::CStr| float_of(&py.eval(source, None, None).unwrap());
        for (source, value) in [
            (c"0", 0.0),
            (c"10", 10.0),
            (c"-1", -1.0),
            (c"-1.0", -1.0),
            (c"0.25", 0.25),
            (c"2 ** 60", 2f64.powi(60)),
            (c"True", 1.0),
            (c"type('Int', (int,), {})(3)", 3.0),
            (c"type('Float', (float,), {})(0.5)", 0.5),
            (c"__import__('decimal').Decimal('1.5')", 1.5),
            (c"type('Index', (), {'__index__': lambda self: 4})()", 4.0),
            (c"type('Other', (int,), {'__float__': lambda self: 9.0})(3)", 9.0),
        ] {
            assert_eq!(of(source).unwrap(), value, "{source:?}");
        }
        assert!(of(c"float('nan')").unwrap().is_nan());
        assert!(of(c"10 ** 400").unwrap_err().is_instance_of::<PyOverflowError>(py));
        assert!(of(c"'1'").unwrap_err().is_instance_of::<PyTypeError>(py));
        assert!(of(c"None").unwrap_err().is_instance_of::<PyTypeError>(py));
        let raises = of(c"type('Raises', (), {'__float__': lambda self: 1 / 0})()");
        assert!(raises.unwrap_err().is_instance_of::<PyZeroDivisionError>(py));
        assert!(PyErr::take(py).is_none());
    });
}
