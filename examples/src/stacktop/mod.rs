//! A live look into running stacks: `ss -ti`, `netstat -s` and their rates, in a terminal.
//!
//! ```text
//!  a hemi program with stats=PATH ──lines of JSON──► attach.rs ──► view.rs (what is shown) ──► draw.rs (how)
//! ```
//! Everything but `attach.rs` is a pure function of samples and keys, and is tested on a terminal in memory.

mod attach;
mod draw;
#[cfg(test)]
mod tests;
mod text;
mod view;

pub use attach::{Attached, News, attach};
pub use draw::draw;
pub use text::text;
pub use view::{Key, Order, View};
