//! What was frozen, and so may have been pushed, is written no more.

use hemi_queue::Pool;

fn main() {
    let mut own = Pool::new().unwrap().try_alloc(64).unwrap();
    let buf = own.freeze();
    own.put(b"too late");
    drop(buf);
}
