#[hemi_macros::main]
fn main() {}
