//! Wrong use of the attributes does not compile, and says why at the word that is wrong.
//!
//! One file for each case in `compile_fail/`, with the compiler's words beside it (`TRYBUILD=overwrite`
//! writes them anew).

#[test]
fn compile_fail() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
