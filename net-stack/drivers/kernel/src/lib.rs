//! Kernel sockets as queues: io_uring, epoll and busy-polling backends.
