#[hemi_macros::test(seed = -1)]
async fn negative() {}

#[hemi_macros::test(seed = 18446744073709551616)]
async fn too_large() {}

#[hemi_macros::test(sim = 3)]
async fn value() {}

fn main() {}
