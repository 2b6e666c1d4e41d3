//! Taking over the data of Python's `ssl.SSLObject`.

use ferrio_object::{Obj, SslConnection, ssl_library};
use ferrio_openssl::{Read, Write};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::attached;

/// What the tests look at, made in Python: a client and a server over memory, without a certificate.
const SCRIPT: &std::ffi::CStr = c"import ssl, socket

def context(side, prepare=None):
    made = ssl.SSLContext(side)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers('AECDH-AES256-SHA:@SECLEVEL=0')
    if prepare: prepare(made)
    return made

def wrap(side, prepare=None):
    memory = ssl.MemoryBIO(), ssl.MemoryBIO()
    made = context(ssl.PROTOCOL_TLS_SERVER if side == 'server' else ssl.PROTOCOL_TLS_CLIENT, prepare)
    made = made.wrap_bio(*memory, server_side=side == 'server')
    return made, *memory

def shake(one):
    try:
        one.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True

client, server = wrap('client'), wrap('server')
callback = wrap('client', lambda made: setattr(made, '_msg_callback', lambda *args: None))
sockets = socket.socketpair()
on_socket = context(ssl.PROTOCOL_TLS_CLIENT).wrap_socket(sockets[0], do_handshake_on_connect=False)
";

struct End {
    object: Obj,
    incoming: Obj,
    outgoing: Obj,
}

impl End {
    fn get(scope: &Bound<'_, PyDict>, name: &str) -> End {
        let (object, incoming, outgoing): (Py<PyAny>, Py<PyAny>, Py<PyAny>) =
            scope.get_item(name).unwrap().unwrap().extract().unwrap();
        let obj = |value: Py<PyAny>| Obj::from(value.bind(scope.py()).clone());
        End { object: obj(object), incoming: obj(incoming), outgoing: obj(outgoing) }
    }

    fn socket(&self, py: Python<'_>) -> Obj {
        self.object.bind(py).getattr("_sslobj").unwrap().into()
    }

    fn take_over(&self, py: Python<'_>) -> Result<SslConnection, String> {
        let taken = SslConnection::take_over(py, &self.socket(py), &self.incoming, &self.outgoing);
        taken.unwrap().map_err(|unsuitable| unsuitable.to_string())
    }
}

fn with_scope(test: impl FnOnce(Python<'_>, &Bound<'_, PyDict>)) {
    attached(|py, _| {
        let scope = PyDict::new(py);
        py.run(SCRIPT, Some(&scope), None).unwrap();
        if let Err(unsuitable) = ssl_library(py) {
            panic!("the tests need a Python whose ssl module can be used directly: {unsuitable}");
        }
        test(py, &scope);
        py.run(c"on_socket.close(); sockets[1].close()", Some(&scope), None).unwrap();
        scope.clear();
    });
}

#[test]
fn data_goes_past_python_and_errors_are_pythons() {
    with_scope(|py, scope| {
        let (client, server) = (End::get(scope, "client"), End::get(scope, "server"));
        let ends = [client.take_over(py).unwrap(), server.take_over(py).unwrap()];
        let shake = scope.get_item("shake").unwrap().unwrap();
        let mut done = [false; 2];
        for _ in 0..5 {
            for (at, end) in [&client, &server].into_iter().enumerate() {
                done[at] = done[at] || shake.call1((&end.object,)).unwrap().is_truthy().unwrap();
                ends[1 - at].wire().push_input(&ends[at].wire().take_output());
            }
        }
        assert_eq!(done, [true; 2]);

        assert_eq!(ends[0].write(py, b"hello").unwrap(), Write::Taken(5));
        let mut record = ends[0].wire().take_output();
        let mut buffer = [0; 10];
        let read = ends[1].wire().feed(&record, || ends[1].read(py, &mut buffer).unwrap());
        assert_eq!((read, &buffer[..5]), (Read::Data(5), &b"hello"[..]));

        // Python's own method reads what is there for it.
        assert_eq!(ends[0].write(py, b"for Python").unwrap(), Write::Taken(10));
        ends[1].wire().push_input(&ends[0].wire().take_output());
        let data = server.object.bind(py).call_method1("read", (100,)).unwrap();
        assert_eq!(data.cast::<PyBytes>().unwrap().as_bytes(), b"for Python");

        // The same record again is an error, which Python raises.
        let read = ends[1].wire().feed(&record, || ends[1].read(py, &mut buffer).unwrap());
        assert_eq!(read, Read::Failed);
        let err = server.object.bind(py).call_method1("read", (1,)).unwrap_err();
        let value = err.value(py);
        let text = |name: &str| value.getattr(name).unwrap().to_string();
        assert_eq!(
            (text("__class__"), text("library")),
            ("<class 'ssl.SSLError'>".to_owned(), "SSL".to_owned())
        );
        assert!(["DECRYPTION_FAILED_OR_BAD_RECORD_MAC", "RECORD_LAYER_FAILURE"].contains(&&*text("reason")));
        record.clear();
    });
}

#[test]
fn what_is_no_object_over_its_memory_is_refused() {
    with_scope(|py, scope| {
        let refusal = |socket: &Obj, incoming: &Obj, outgoing: &Obj| {
            SslConnection::take_over(py, socket, incoming, outgoing).unwrap().err().unwrap().to_string()
        };
        let (client, server) = (End::get(scope, "client"), End::get(scope, "server"));
        let none = Obj::none(py);
        assert!(refusal(&none, &client.incoming, &client.outgoing).contains("no _ssl._SSLSocket"));
        assert!(refusal(&client.object, &client.incoming, &client.outgoing).contains("no _ssl._SSLSocket"));
        for (incoming, outgoing) in [
            (&client.outgoing, &client.incoming),
            (&server.incoming, &client.outgoing),
            (&none, &client.outgoing),
            (&client.incoming, &none),
        ] {
            assert!(refusal(&client.socket(py), incoming, outgoing).contains("other memory"));
        }
        let on_socket = scope.get_item("on_socket").unwrap().unwrap().getattr("_sslobj").unwrap().into();
        assert!(refusal(&on_socket, &client.incoming, &client.outgoing).contains("over a socket"));
        assert!(End::get(scope, "callback").take_over(py).err().unwrap().contains("message callback"));

        // Once taken over it is over other memory; released it is as before.
        let connection = client.take_over(py).unwrap();
        assert!(client.take_over(py).err().unwrap().contains("other memory"));
        connection.wire().release();
        assert!(client.take_over(py).is_ok());
    });
}

#[test]
fn the_library_is_the_one_that_python_uses() {
    with_scope(|py, _| {
        let text: String = py.import("ssl").unwrap().getattr("OPENSSL_VERSION").unwrap().extract().unwrap();
        assert_eq!(ssl_library(py).unwrap().version(), text);
    });
}
