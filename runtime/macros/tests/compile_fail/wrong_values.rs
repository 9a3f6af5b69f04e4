#[hemi_macros::main(idle = 3, net = kernel, cores = "two", net)]
async fn main() {}
