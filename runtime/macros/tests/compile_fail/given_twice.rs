#[hemi_macros::main(idle = "busy", net = "kernel:", net = "mem:", idle = "park")]
async fn main() {}
