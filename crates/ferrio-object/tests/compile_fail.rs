//! What the object layer promises that does not compile: see the programs in `refused/`, each with what rustc says.

#[test]
fn refused() {
    trybuild::TestCases::new().compile_fail("tests/refused/*.rs");
}
