#[hemi_macros::test]
async fn adds(left: u32, right: u32) {}

fn main() {}
