//! An event of the connection manager, parsed.

use std::{ffi::c_int, ptr::NonNull, rc::Rc, slice};

use smallvec::SmallVec;

use super::{Channel, Id};
use crate::sys::{
    RDMA_CM_EVENT_ADDR_ERROR, RDMA_CM_EVENT_ADDR_RESOLVED, RDMA_CM_EVENT_CONNECT_ERROR,
    RDMA_CM_EVENT_CONNECT_REQUEST, RDMA_CM_EVENT_CONNECT_RESPONSE, RDMA_CM_EVENT_DEVICE_REMOVAL,
    RDMA_CM_EVENT_DISCONNECTED, RDMA_CM_EVENT_ESTABLISHED, RDMA_CM_EVENT_REJECTED, RDMA_CM_EVENT_ROUTE_ERROR,
    RDMA_CM_EVENT_ROUTE_RESOLVED, RDMA_CM_EVENT_TIMEWAIT_EXIT, RDMA_CM_EVENT_UNREACHABLE, rdma_cm_event,
};

/// What happened, to whom.
pub(crate) struct Event {
    /// The number of the identifier, or of the listener for a request.
    pub(crate) place: usize,
    pub(crate) kind: Kind,
    /// A negative error number, or the reason of a reject.
    pub(crate) status: i32,
    /// What the other end said.
    pub(crate) data: SmallVec<[u8; 64]>,
    /// READs and atomics at a time, as seen from this end.
    pub(crate) responder: u8,
    pub(crate) initiator: u8,
}

/// The kinds of event that we know what to do about.
pub(crate) enum Kind {
    AddressResolved,
    RouteResolved,
    /// Somebody asks a listener of ours for a connection.
    Request(Id),
    /// The peer accepted our request; it waits for our queue pair.
    Response,
    /// The peer that we accepted is ready.
    Established,
    /// The peer did not accept.
    Rejected,
    /// Resolving or connecting failed; its number.
    Failed(c_int),
    /// The other end, or this one, disconnected, or its process died.
    Disconnected,
    /// The device goes away.
    DeviceRemoval,
    /// The pair of queue-pair numbers may be used again; nothing for us.
    TimeWaitExit,
    /// What reliable connections do not have.
    Other,
}

impl Event {
    /// # Safety
    /// `raw` was got from `channel` and is not acknowledged. For a request its new identifier becomes ours.
    pub(super) unsafe fn read(channel: &Rc<Channel>, raw: &rdma_cm_event) -> Self {
        let asks = raw.event == RDMA_CM_EVENT_CONNECT_REQUEST;
        let id = if asks { raw.listen_id } else { raw.id };
        // SAFETY: an event names a live identifier, which `rdma_destroy_id` would have waited for.
        let place = if id.is_null() { usize::MAX } else { unsafe { (*id).context }.addr() };
        let kind = match (raw.event, NonNull::new(raw.id)) {
            (RDMA_CM_EVENT_ADDR_RESOLVED, _) => Kind::AddressResolved,
            (RDMA_CM_EVENT_ROUTE_RESOLVED, _) => Kind::RouteResolved,
            (RDMA_CM_EVENT_CONNECT_REQUEST, Some(id)) => {
                Kind::Request(Id { channel: Rc::clone(channel), id })
            }
            (RDMA_CM_EVENT_CONNECT_RESPONSE, _) => Kind::Response,
            (RDMA_CM_EVENT_ESTABLISHED, _) => Kind::Established,
            (RDMA_CM_EVENT_REJECTED, _) => Kind::Rejected,
            (RDMA_CM_EVENT_DISCONNECTED, _) => Kind::Disconnected,
            (RDMA_CM_EVENT_DEVICE_REMOVAL, _) => Kind::DeviceRemoval,
            (RDMA_CM_EVENT_TIMEWAIT_EXIT, _) => Kind::TimeWaitExit,
            (
                failed @ (RDMA_CM_EVENT_ADDR_ERROR
                | RDMA_CM_EVENT_ROUTE_ERROR
                | RDMA_CM_EVENT_CONNECT_ERROR
                | RDMA_CM_EVENT_UNREACHABLE),
                _,
            ) => Kind::Failed(failed),
            _ => Kind::Other,
        };
        let conn = &raw.conn;
        let data = if conn.private_data.is_null() {
            SmallVec::new()
        } else {
            // SAFETY: the library gives so many bytes of private data with the event.
            let bytes = unsafe {
                slice::from_raw_parts(conn.private_data.cast::<u8>(), conn.private_data_len.into())
            };
            SmallVec::from_slice(bytes)
        };
        Self {
            place,
            kind,
            status: raw.status,
            data,
            responder: conn.responder_resources,
            initiator: conn.initiator_depth,
        }
    }
}
