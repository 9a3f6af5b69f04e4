//! `#[hemi::main]` and `#[hemi::test]`.
