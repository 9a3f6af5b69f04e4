//! A writable buffer has one holder.

use hemi_queue::Pool;

fn main() {
    let own = Pool::new().unwrap().try_alloc(64).unwrap();
    let _ = own.clone();
}
