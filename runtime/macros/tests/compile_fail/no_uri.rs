#[hemi_macros::main(net = "localhost")]
async fn main() {}
