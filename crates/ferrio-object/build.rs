//! Tells rustc which CPython this build is for (`cfg(Py_3_12)` and the like), and the tests, which embed it, where its
//! library lies.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
    if let Some(dir) = pyo3_build_config::get().lib_dir() {
        println!("cargo::rustc-link-arg-tests=-Wl,-rpath,{dir}");
    }
}
