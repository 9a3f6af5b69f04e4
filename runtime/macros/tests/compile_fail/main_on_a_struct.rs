#[hemi_macros::main]
struct Program;

fn main() {}
