//! The shm device as its users see it: two hosts in one thread, and two processes of which one dies.

mod death;
mod hosts;
mod link;
