#[hemi_macros::main]
async fn main<T>() -> T {
    unreachable!()
}
