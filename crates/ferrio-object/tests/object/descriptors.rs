//! A socket's descriptor, read out of the object.

use ferrio_object::{Obj, socket_descriptor};
use pyo3::prelude::*;

use super::attached;

#[test]
fn a_descriptor_is_that_of_the_socket_now() {
    attached(|py, _| {
        let module = py.import("socket").unwrap();
        // As the first to be asked about, a closed one shows nothing; later ones do.
        let closed = module.call_method0("socket").unwrap();
        closed.call_method0("close").unwrap();
        assert!(matches!(socket_descriptor(py, &Obj::from(&closed)), None | Some(-1)));

        let fileno = |sock: &Bound<'_, PyAny>| sock.call_method0("fileno").unwrap().extract::<i32>().unwrap();
        for end in ["close", "detach"] {
            let sock = module.call_method0("socket").unwrap();
            let object = Obj::from(&sock);
            let told = fileno(&sock);
            assert_eq!(socket_descriptor(py, &object), Some(told));
            let number = sock.call_method0(end).unwrap();
            assert_eq!(socket_descriptor(py, &object), Some(-1));
            if end == "detach" {
                py.import("os").unwrap().call_method1("close", (number,)).unwrap();
            }
        }
        assert_eq!(socket_descriptor(py, &Obj::from(&closed)), Some(-1));
    });
}

#[test]
fn what_is_not_a_socket_has_none() {
    attached(|py, _| {
        let sock = py.import("socket").unwrap().call_method0("socket").unwrap();
        assert!(socket_descriptor(py, &Obj::from(&sock)).is_some());
        sock.call_method0("close").unwrap();
        let mock = py.import("unittest.mock").unwrap().call_method0("MagicMock").unwrap();
        for other in [Obj::none(py), Obj::from(&mock)] {
            assert_eq!(socket_descriptor(py, &other), None);
        }
    });
}
