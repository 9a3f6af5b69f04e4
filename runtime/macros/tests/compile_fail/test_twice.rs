#[hemi_macros::test]
#[test]
async fn adds() {}

fn main() {}
