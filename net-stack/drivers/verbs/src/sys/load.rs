//! The two libraries, loaded when the first `rdma:` transport is opened.

use std::{
    ffi::{CStr, c_char, c_int, c_uint, c_void},
    fmt, ptr,
    sync::OnceLock,
};

use super::types::{
    ibv_async_event, ibv_comp_channel, ibv_context, ibv_cq, ibv_device, ibv_device_attr, ibv_gid_entry,
    ibv_mr, ibv_pd, ibv_port_attr, ibv_qp, ibv_qp_attr, ibv_qp_init_attr, ibv_srq, ibv_srq_init_attr,
    rdma_cm_event, rdma_cm_id, rdma_conn_param, rdma_event_channel,
};

/// What cannot be loaded, and the loader's words for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{library}: {why} (install rdma-core: `apt-get install rdma-core ibverbs-providers librdmacm1`)")]
pub(crate) struct LoadError {
    pub(super) library: &'static str,
    pub(super) why: String,
}

/// A table of C functions: a field for each, filled by name.
macro_rules! functions {
    ($($(#[$doc:meta])* struct $table:ident from $library:literal {
        $($symbol:ident as $field:ident: fn($($t:ty),*) $(-> $r:ty)?;)*
    })*) => {$(
        $(#[$doc])*
        pub(crate) struct $table {
            $(pub(crate) $field: unsafe extern "C" fn($($t),*) $(-> $r)?,)*
        }

        impl $table {
            fn load() -> Result<Self, LoadError> {
                let library = Library::open($library)?;
                Ok(Self {
                    // SAFETY: the symbol, where it exists, is the function of this name, and this is its C prototype: the
                    // libraries' versioned symbols keep theirs.
                    $($field: unsafe {
                        std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($t),*) $(-> $r)?>(
                            library.symbol(concat!(stringify!($symbol), "\0"))?,
                        )
                    },)*
                })
            }
        }
    )*};
}

functions! {
    /// `libibverbs`, without what is reached through a context's function pointers.
    struct Verbs from "libibverbs.so.1" {
        ibv_get_device_list as get_device_list: fn(*mut c_int) -> *mut *mut ibv_device;
        ibv_free_device_list as free_device_list: fn(*mut *mut ibv_device);
        ibv_get_device_name as get_device_name: fn(*mut ibv_device) -> *const c_char;
        ibv_open_device as open_device: fn(*mut ibv_device) -> *mut ibv_context;
        ibv_close_device as close_device: fn(*mut ibv_context) -> c_int;
        ibv_query_device as query_device: fn(*mut ibv_context, *mut ibv_device_attr) -> c_int;
        ibv_query_port as query_port: fn(*mut ibv_context, u8, *mut ibv_port_attr) -> c_int;
        _ibv_query_gid_table as query_gid_table: fn(*mut ibv_context, *mut ibv_gid_entry, usize, u32, usize) -> isize;
        ibv_alloc_pd as alloc_pd: fn(*mut ibv_context) -> *mut ibv_pd;
        ibv_dealloc_pd as dealloc_pd: fn(*mut ibv_pd) -> c_int;
        ibv_reg_mr as reg_mr: fn(*mut ibv_pd, *mut c_void, usize, c_int) -> *mut ibv_mr;
        ibv_dereg_mr as dereg_mr: fn(*mut ibv_mr) -> c_int;
        ibv_create_comp_channel as create_comp_channel: fn(*mut ibv_context) -> *mut ibv_comp_channel;
        ibv_destroy_comp_channel as destroy_comp_channel: fn(*mut ibv_comp_channel) -> c_int;
        ibv_create_cq as create_cq: fn(*mut ibv_context, c_int, *mut c_void, *mut ibv_comp_channel, c_int) -> *mut ibv_cq;
        ibv_destroy_cq as destroy_cq: fn(*mut ibv_cq) -> c_int;
        ibv_get_cq_event as get_cq_event: fn(*mut ibv_comp_channel, *mut *mut ibv_cq, *mut *mut c_void) -> c_int;
        ibv_ack_cq_events as ack_cq_events: fn(*mut ibv_cq, c_uint);
        ibv_create_srq as create_srq: fn(*mut ibv_pd, *mut ibv_srq_init_attr) -> *mut ibv_srq;
        ibv_destroy_srq as destroy_srq: fn(*mut ibv_srq) -> c_int;
        ibv_create_qp as create_qp: fn(*mut ibv_pd, *mut ibv_qp_init_attr) -> *mut ibv_qp;
        ibv_destroy_qp as destroy_qp: fn(*mut ibv_qp) -> c_int;
        ibv_modify_qp as modify_qp: fn(*mut ibv_qp, *mut ibv_qp_attr, c_int) -> c_int;
        ibv_get_async_event as get_async_event: fn(*mut ibv_context, *mut ibv_async_event) -> c_int;
        ibv_ack_async_event as ack_async_event: fn(*mut ibv_async_event);
        ibv_event_type_str as event_type_str: fn(c_int) -> *const c_char;
    }

    /// `librdmacm`: connections. Queue pairs are made and moved by us, so that path MTU, time-outs and the queue's context
    /// are ours to choose.
    struct Cm from "librdmacm.so.1" {
        rdma_create_event_channel as create_event_channel: fn() -> *mut rdma_event_channel;
        rdma_destroy_event_channel as destroy_event_channel: fn(*mut rdma_event_channel);
        rdma_create_id as create_id: fn(*mut rdma_event_channel, *mut *mut rdma_cm_id, *mut c_void, c_int) -> c_int;
        rdma_destroy_id as destroy_id: fn(*mut rdma_cm_id) -> c_int;
        rdma_bind_addr as bind_addr: fn(*mut rdma_cm_id, *mut libc::sockaddr) -> c_int;
        rdma_resolve_addr as resolve_addr: fn(*mut rdma_cm_id, *mut libc::sockaddr, *mut libc::sockaddr, c_int) -> c_int;
        rdma_resolve_route as resolve_route: fn(*mut rdma_cm_id, c_int) -> c_int;
        rdma_init_qp_attr as init_qp_attr: fn(*mut rdma_cm_id, *mut ibv_qp_attr, *mut c_int) -> c_int;
        rdma_listen as listen: fn(*mut rdma_cm_id, c_int) -> c_int;
        rdma_connect as connect: fn(*mut rdma_cm_id, *mut rdma_conn_param) -> c_int;
        rdma_establish as establish: fn(*mut rdma_cm_id) -> c_int;
        rdma_accept as accept: fn(*mut rdma_cm_id, *mut rdma_conn_param) -> c_int;
        rdma_reject as reject: fn(*mut rdma_cm_id, *const c_void, u8) -> c_int;
        rdma_notify as notify: fn(*mut rdma_cm_id, c_int) -> c_int;
        rdma_disconnect as disconnect: fn(*mut rdma_cm_id) -> c_int;
        rdma_get_cm_event as get_cm_event: fn(*mut rdma_event_channel, *mut *mut rdma_cm_event) -> c_int;
        rdma_ack_cm_event as ack_cm_event: fn(*mut rdma_cm_event) -> c_int;
        rdma_set_option as set_option: fn(*mut rdma_cm_id, c_int, c_int, *mut c_void, usize) -> c_int;
        rdma_event_str as event_str: fn(c_int) -> *const c_char;
    }
}

/// Both libraries. Never unloaded: their providers start threads of their own.
pub(crate) struct Rdma {
    pub(crate) verbs: Verbs,
    pub(crate) cm: Cm,
}

impl Rdma {
    /// The libraries, loaded at the first call of the process.
    pub(crate) fn get() -> Result<&'static Self, LoadError> {
        static LOADED: OnceLock<Result<Rdma, LoadError>> = OnceLock::new();
        let load = || Ok(Self { verbs: Verbs::load()?, cm: Cm::load()? });
        LOADED.get_or_init(load).as_ref().map_err(Clone::clone)
    }
}

impl fmt::Debug for Rdma {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rdma")
    }
}

/// An open library. Deliberately never closed.
struct Library {
    name: &'static str,
    handle: *mut c_void,
}

impl Library {
    fn open(name: &'static str) -> Result<Self, LoadError> {
        let c = name.bytes().chain([0]).collect::<Vec<u8>>();
        // SAFETY: a NUL-terminated name; the libraries' constructors are what every user of rdma-core runs.
        let handle = unsafe { libc::dlopen(c.as_ptr().cast(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            Err(LoadError { library: name, why: Self::why() })
        } else {
            Ok(Self { name, handle })
        }
    }

    /// `symbol` ends with NUL.
    fn symbol(&self, symbol: &'static str) -> Result<*mut c_void, LoadError> {
        // SAFETY: an open library and a NUL-terminated name.
        let at = unsafe { libc::dlsym(self.handle, symbol.as_ptr().cast()) };
        if at.is_null() {
            let why = format!("{}; it is older than rdma-core 32", Self::why());
            return Err(LoadError { library: self.name, why });
        }
        Ok(at)
    }

    fn why() -> String {
        // SAFETY: the loader's message of this thread, valid until its next call.
        let text = unsafe { libc::dlerror() };
        if text.is_null() { "cannot be loaded".to_owned() } else { text_of(text) }
    }
}

/// A C string's text; nothing for a null pointer.
pub(crate) fn text_of(text: *const c_char) -> String {
    if ptr::eq(text, ptr::null()) {
        return String::new();
    }
    // SAFETY: not null, and every caller passes a NUL-terminated string of one of the libraries.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_not_there_says_what_to_install() {
        let Err(error) = Library::open("libhemi-none.so.7") else { panic!("there is no such library") };
        let text = error.to_string();
        assert!(text.contains("libhemi-none.so.7") && text.contains("apt-get install rdma-core"), "{text}");
    }

    #[test]
    fn a_symbol_that_is_not_there_is_an_error() {
        let library = Library::open("libc.so.6").unwrap();
        assert!(library.symbol("getpid\0").is_ok());
        let text = library.symbol("ibv_no_such_verb\0").unwrap_err().to_string();
        assert!(text.contains("ibv_no_such_verb") && text.contains("older"), "{text}");
    }

    #[test]
    fn every_function_is_found() {
        match Rdma::get() {
            Ok(rdma) => {
                // SAFETY: pure functions of a number.
                let texts = unsafe { ((rdma.verbs.event_type_str)(8), (rdma.cm.event_str)(8)) };
                assert_eq!(text_of(texts.0), "local catastrophic error");
                assert_eq!(text_of(texts.1), "RDMA_CM_EVENT_REJECTED");
            }
            Err(e) => hemi_skip::skip!("{e}"),
        }
    }
}
