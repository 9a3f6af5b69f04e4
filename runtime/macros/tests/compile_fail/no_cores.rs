#[hemi_macros::main(cores = 0)]
async fn main() {}
