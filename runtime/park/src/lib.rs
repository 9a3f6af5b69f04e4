//! The core's io_uring, its epoll fallback and its wake-ups.
