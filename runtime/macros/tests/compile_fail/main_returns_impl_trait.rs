#[hemi_macros::main]
async fn main() -> impl std::process::Termination {}
