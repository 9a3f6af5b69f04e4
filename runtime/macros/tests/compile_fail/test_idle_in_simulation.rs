#[hemi_macros::test(sim, idle = "busy")]
async fn adds() {}

fn main() {}
