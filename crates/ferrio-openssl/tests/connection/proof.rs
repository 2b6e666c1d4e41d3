//! A pointer of unknown origin is believed only if an `SSL` of the context and of the owner lies there.

use std::ffi::c_void;
use std::ptr;

use ferrio_openssl::{Claim, Refusal};

use super::openssl::{Context, TLS_1_3, openssl};

fn claim(ssl: *const c_void, context: *const c_void, owner: *const c_void) -> Claim {
    Claim { ssl, context, owner }
}

#[test]
fn only_an_ssl_of_the_context_and_the_owner_is_believed() {
    let (openssl, library) = openssl();
    let contexts = [Context::new(TLS_1_3), Context::new(TLS_1_3)];
    let owners = [1_u64, 2];
    let owner = |number: usize| (&raw const owners[number]).cast::<c_void>();
    // SAFETY: live contexts; the data is a pointer that OpenSSL does not follow.
    let ssls = [0, 1].map(|number| unsafe {
        let ssl = (openssl.ssl_new)(contexts[number].0);
        assert_eq!((openssl.ssl_set_data)(ssl, 0, owner(number).cast_mut()), 1);
        ssl
    });
    for number in [0, 1] {
        let other = 1 - number;
        assert_eq!(library.prove(&claim(ssls[number], contexts[number].0, owner(number))), Ok(()));
        for (ssl, context, owner) in [
            (ssls[other], contexts[number].0, owner(number)),
            (ssls[number], contexts[other].0, owner(number)),
            (ssls[number], contexts[number].0, owner(other)),
            (ssls[number], contexts[number].0, ptr::null()),
            (ssls[number], ptr::null_mut(), owner(number)),
            (contexts[number].0, contexts[number].0, owner(number)),
            (ssls[number].wrapping_byte_add(1), contexts[number].0, owner(number)),
            (ssls[number].wrapping_byte_add(8), contexts[number].0, owner(number)),
        ] {
            assert!(matches!(library.prove(&claim(ssl, context, owner)), Err(Refusal::NotAnSsl(_))));
        }
    }
    for ssl in ssls {
        // SAFETY: the reference from above.
        unsafe { (openssl.ssl_free)(ssl) };
    }
}

#[test]
fn memory_that_is_not_there_is_not_touched() {
    let (_, library) = openssl();
    let context = Context::new(TLS_1_3);
    // Where an SSL of some versions has its context; what it has elsewhere is not there.
    let words = [context.0.addr(); 1024];
    for ssl in [
        ptr::null(),
        ptr::without_provenance(8),
        ptr::without_provenance(4096),
        ptr::without_provenance(0x7fff_ffff_f000),
        ptr::without_provenance(usize::MAX - 7),
        words.as_ptr().cast(),
        words[1022..].as_ptr().cast(),
    ] {
        assert!(matches!(library.prove(&claim(ssl, context.0, ptr::null())), Err(Refusal::NotAnSsl(_))));
        assert!(matches!(library.prove(&claim(ssl, ssl, ssl)), Err(Refusal::NotAnSsl(_))));
    }
}

#[test]
fn the_library_says_what_it_is() {
    let (_, library) = openssl();
    assert!(library.version().starts_with("OpenSSL "));
    assert!(library.path().is_absolute());
}
