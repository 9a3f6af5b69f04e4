#[hemi_macros::main(idle = "lazy")]
async fn main() {}
