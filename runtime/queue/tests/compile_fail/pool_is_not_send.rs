//! A pool belongs to its core.

use hemi_queue::Pool;

fn main() {
    let pool = Pool::new().unwrap();
    std::thread::spawn(move || drop(pool));
}
