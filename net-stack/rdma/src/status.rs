//! [`Status`]: how a work request ended, as the verbs say it.

use std::fmt;

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $verbs:literal, $text:literal;)*) => {
        /// The status of a work completion that is not a success (`ibv_wc_status`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Status {
            $($(#[$doc])* $name,)*
            /// A number that this crate does not know.
            Unknown(u32),
        }

        impl Status {
            /// From the number in a work completion; `None` is success.
            pub fn from_raw(number: u32) -> Option<Self> {
                match number {
                    0 => None,
                    $($number => Some(Self::$name),)*
                    other => Some(Self::Unknown(other)),
                }
            }

            /// The number in a work completion.
            pub fn raw(self) -> u32 {
                match self {
                    $(Self::$name => $number,)*
                    Self::Unknown(other) => other,
                }
            }

            /// What the verbs library calls it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $verbs,)*
                    Self::Unknown(_) => "IBV_WC_?",
                }
            }

            fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Unknown(_) => "a status that this version does not know",
                }
            }
        }
    };
}

statuses! {
    /// A buffer shorter than the message that arrived, or a gather list longer than a message can be.
    LocalLength = 1, "IBV_WC_LOC_LEN_ERR", "a message did not fit its buffer";
    /// The queue pair's state does not allow the operation.
    LocalQueuePair = 2, "IBV_WC_LOC_QP_OP_ERR", "the queue pair cannot do this operation";
    /// End-to-end context (reliable datagrams only).
    LocalEndToEnd = 3, "IBV_WC_LOC_EEC_OP_ERR", "end-to-end context error";
    /// Memory outside of what the local key names.
    LocalProtection = 4, "IBV_WC_LOC_PROT_ERR", "local memory that is not registered for this";
    /// Not carried out: the queue pair had failed before. The first error of the queue pair says why.
    Flushed = 5, "IBV_WC_WR_FLUSH_ERR", "flushed, because the queue pair had failed before";
    /// A memory window could not be bound.
    MemoryWindow = 6, "IBV_WC_MW_BIND_ERR", "a memory window could not be bound";
    /// The peer answered something that it must not.
    BadResponse = 7, "IBV_WC_BAD_RESP_ERR", "the peer's device answered something unexpected";
    /// Access to local memory for an incoming operation.
    LocalAccess = 8, "IBV_WC_LOC_ACCESS_ERR", "an incoming operation does not have the right to the memory";
    /// The peer's device found the request invalid.
    RemoteInvalidRequest = 9, "IBV_WC_REM_INV_REQ_ERR",
        "the peer's device refused the request (a message longer than its buffer, or an operation that is not enabled there)";
    /// The peer's memory does not allow it: a wrong key, or outside of its bounds.
    RemoteAccess = 10, "IBV_WC_REM_ACCESS_ERR",
        "the peer's memory does not allow it (the region was withdrawn, or the key, the bounds or the rights are wrong)";
    /// The peer's device failed to carry it out.
    RemoteOperation = 11, "IBV_WC_REM_OP_ERR", "the peer's device could not carry it out";
    /// The peer does not answer.
    RetryExceeded = 12, "IBV_WC_RETRY_EXC_ERR",
        "the peer does not answer (it died, or the network between has failed); reconnect once it is back";
    /// The peer had no receive buffer for too long.
    ReceiverNotReady = 13, "IBV_WC_RNR_RETRY_EXC_ERR",
        "the peer had no receive buffer posted, although it had granted one";
    /// Reliable datagrams only.
    LocalDomain = 14, "IBV_WC_LOC_RDD_VIOL_ERR", "reliable-datagram domain violation";
    /// Reliable datagrams only.
    RemoteInvalidRd = 15, "IBV_WC_REM_INV_RD_REQ_ERR", "the peer refused a reliable datagram";
    /// Aborted by the peer.
    RemoteAborted = 16, "IBV_WC_REM_ABORT_ERR", "the peer's device aborted the operation";
    /// Reliable datagrams only.
    InvalidEndToEndNumber = 17, "IBV_WC_INV_EECN_ERR", "invalid end-to-end context number";
    /// Reliable datagrams only.
    InvalidEndToEndState = 18, "IBV_WC_INV_EEC_STATE_ERR", "invalid end-to-end context state";
    /// The device failed.
    Fatal = 19, "IBV_WC_FATAL_ERR", "the device failed";
    /// The device did not answer in time.
    ResponseTimeout = 20, "IBV_WC_RESP_TIMEOUT_ERR", "the device did not answer in time";
    /// Any other.
    General = 21, "IBV_WC_GENERAL_ERR", "the device reports an error without a name";
    /// Tag matching.
    TagMatching = 22, "IBV_WC_TM_ERR", "tag matching error";
    /// Tag matching.
    TagMatchingIncomplete = 23, "IBV_WC_TM_RNDV_INCOMPLETE", "tag matching rendezvous incomplete";
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.text(), self.name(), self.raw())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_there_and_back_and_have_words() {
        assert_eq!(Status::from_raw(0), None);
        for number in 1..40 {
            let status = Status::from_raw(number).expect("not success");
            assert_eq!(status.raw(), number);
            assert_eq!(matches!(status, Status::Unknown(_)), number > 23);
            assert!(status.to_string().ends_with(&format!("{}, {number})", status.name())));
        }
        assert_eq!(Status::from_raw(12), Some(Status::RetryExceeded));
        assert_eq!(Status::from_raw(10).map(Status::name), Some("IBV_WC_REM_ACCESS_ERR"));
    }
}
