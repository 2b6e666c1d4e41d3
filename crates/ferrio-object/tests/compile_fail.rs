//! What the object layer promises that does not compile: see the programs in `refused/`, each with what rustc says.

#[test]
fn refused() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/refused/*.rs");
    // The right way to do what some of those do.
    cases.pass("tests/accepted/*.rs");
}
