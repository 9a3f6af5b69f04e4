#[hemi_macros::main(sim, seed = 7)]
async fn main() {}
