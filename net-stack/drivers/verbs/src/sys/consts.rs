//! The numbers of `<infiniband/verbs.h>` and `<rdma/rdma_cma.h>`, under their C names; `layout.rs` compares them with the
//! headers'.

use std::ffi::{c_int, c_uint};

/// Numbers of one type, and a table of them for the test.
macro_rules! numbers {
    ($($name:ident: $t:ty = $value:expr;)*) => {
        $(pub(crate) const $name: $t = $value;)*

        #[cfg(test)]
        #[allow(clippy::unnecessary_cast)]
        pub(super) const NUMBERS: &[(&str, i64)] = &[$((stringify!($name), $value as i64)),*];
    };
}

numbers! {
    IBV_PORT_ACTIVE: c_int = 4;
    IBV_LINK_LAYER_ETHERNET: u8 = 2;
    IBV_GID_TYPE_ROCE_V2: u32 = 2;

    IBV_ACCESS_LOCAL_WRITE: c_int = 1;
    IBV_ACCESS_REMOTE_WRITE: c_int = 2;
    IBV_ACCESS_REMOTE_READ: c_int = 4;
    IBV_ACCESS_REMOTE_ATOMIC: c_int = 8;

    IBV_QPT_RC: c_int = 2;
    IBV_QPS_INIT: c_int = 1;
    IBV_QPS_RTR: c_int = 2;
    IBV_QPS_RTS: c_int = 3;
    IBV_QPS_ERR: c_int = 6;
    IBV_QP_STATE: c_int = 1;
    IBV_QP_ACCESS_FLAGS: c_int = 1 << 3;
    IBV_QP_PATH_MTU: c_int = 1 << 8;
    IBV_QP_TIMEOUT: c_int = 1 << 9;
    IBV_QP_RETRY_CNT: c_int = 1 << 10;
    IBV_QP_RNR_RETRY: c_int = 1 << 11;
    IBV_QP_MIN_RNR_TIMER: c_int = 1 << 15;

    IBV_WR_RDMA_WRITE: c_int = 0;
    IBV_WR_SEND_WITH_IMM: c_int = 3;
    IBV_WR_RDMA_READ: c_int = 4;
    IBV_WR_ATOMIC_CMP_AND_SWP: c_int = 5;
    IBV_WR_ATOMIC_FETCH_AND_ADD: c_int = 6;
    IBV_SEND_SIGNALED: c_uint = 2;
    IBV_SEND_INLINE: c_uint = 8;

    IBV_WC_RECV: c_int = 128;
    IBV_WC_WITH_IMM: c_uint = 2;

    IBV_EVENT_CQ_ERR: c_int = 0;
    IBV_EVENT_COMM_EST: c_int = 4;
    IBV_EVENT_DEVICE_FATAL: c_int = 8;
    IBV_EVENT_PORT_ACTIVE: c_int = 9;
    IBV_EVENT_PORT_ERR: c_int = 10;
    IBV_EVENT_SRQ_ERR: c_int = 14;

    RDMA_PS_TCP: c_int = 0x0106;
    RDMA_CM_EVENT_ADDR_RESOLVED: c_int = 0;
    RDMA_CM_EVENT_ADDR_ERROR: c_int = 1;
    RDMA_CM_EVENT_ROUTE_RESOLVED: c_int = 2;
    RDMA_CM_EVENT_ROUTE_ERROR: c_int = 3;
    RDMA_CM_EVENT_CONNECT_REQUEST: c_int = 4;
    RDMA_CM_EVENT_CONNECT_RESPONSE: c_int = 5;
    RDMA_CM_EVENT_CONNECT_ERROR: c_int = 6;
    RDMA_CM_EVENT_UNREACHABLE: c_int = 7;
    RDMA_CM_EVENT_REJECTED: c_int = 8;
    RDMA_CM_EVENT_ESTABLISHED: c_int = 9;
    RDMA_CM_EVENT_DISCONNECTED: c_int = 10;
    RDMA_CM_EVENT_DEVICE_REMOVAL: c_int = 11;
    RDMA_CM_EVENT_TIMEWAIT_EXIT: c_int = 15;
    RDMA_OPTION_ID: c_int = 0;
    RDMA_OPTION_ID_REUSEADDR: c_int = 1;
    RDMA_OPTION_ID_AFONLY: c_int = 2;
}
