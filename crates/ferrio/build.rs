//! What cargo has to be told about this build: which CPython it is for (`cfg(Py_3_12)` and the like), and how it is linked.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
    let system = std::env::var("CARGO_CFG_TARGET_OS");
    if system.as_deref() == Ok("linux") {
        // Code is page-aligned in the file, and is mapped to the address that it has there. That is what GNU ld does;
        // in lld's denser layout libunwind looks up the wrong rows of the unwind tables, and `py-spy dump --native`
        // loses the stack at the first frame of ours. It costs a page of the file.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,separate-code");
        // By this gdb, perf and others find the file of debug symbols that belongs to the extension.
        println!("cargo::rustc-cdylib-link-arg=-Wl,--build-id=sha1");
    }
}
