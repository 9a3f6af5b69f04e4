#[hemi_macros::main(idle = "lazy", threads = 2)]
fn main(arguments: Vec<String>) {}
