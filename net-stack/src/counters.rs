//! Counters in the style of `netstat -s`: one for each thing worth knowing, and one for **each reason a frame was dropped**.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What the stack has seen, since it was made. All counters are plain numbers; dropped frames are in `drop_*`.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Every counter with its name, in the order of the layers.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
                [$((stringify!($name), self.$name),)*].into_iter()
            }

            /// How many received frames or segments were dropped, for whatever reason.
            pub fn dropped(&self) -> u64 {
                self.iter().filter(|(name, _)| name.starts_with("drop_")).map(|(_, n)| n).sum()
            }
        }
    };
}

counters! {
    /// Frames received.
    rx_frames,
    /// Bytes received.
    rx_bytes,
    /// Frames handed to the transmit queue.
    tx_frames,
    /// Bytes handed to the transmit queue.
    tx_bytes,
    /// A frame shorter than its Ethernet header.
    drop_eth_malformed,
    /// A frame for another station.
    drop_eth_not_ours,
    /// A frame of a protocol that the stack does not speak.
    drop_eth_unknown_type,
    /// Packets of another core's flow, handed over to it.
    cores_handed_over,
    /// Packets that other cores have handed over.
    cores_taken_over,
    /// A packet for another core whose ring was full.
    drop_cores_ring_full,
    /// Neighbours and path MTUs that other cores have told of.
    cores_facts_learned,
    /// A malformed ARP packet, or one for another protocol.
    drop_arp_malformed,
    /// An ARP or neighbour-discovery message that would have moved an address without our having asked.
    drop_neighbor_unsolicited,
    /// A neighbour-discovery message that RFC 4861 section 7.1 calls invalid.
    drop_ndp_invalid,
    /// Addresses that stations told of themselves and that nobody here has asked for: not kept.
    neighbor_announcements_ignored,
    /// Another station uses one of our addresses.
    neighbor_conflicts,
    /// A frame that waited for a neighbour's address which did not answer, or that found the queue full.
    drop_tx_neighbor_unreachable,
    /// A malformed IP header: wrong version, lengths, options.
    drop_ip_malformed,
    /// An IPv4 header with a bad checksum.
    drop_ip_bad_checksum,
    /// A packet for an address that is not ours.
    drop_ip_not_ours,
    /// A packet for an address of which it is not yet known whether it is ours alone (RFC 4862).
    drop_ip_tentative,
    /// A packet from an address that can't be a source (multicast, broadcast, loopback).
    drop_ip_bad_source,
    /// A packet of a protocol that the stack does not speak.
    drop_ip_unknown_protocol,
    /// IPv6 extension headers that could not be followed.
    drop_ip_bad_extension,
    /// Fragments received.
    ip_fragments,
    /// Datagrams put together from fragments.
    ip_reassembled,
    /// A fragment that overlaps another, or has an impossible length.
    drop_ip_bad_fragment,
    /// A fragment for which there was no room, or fragments are refused by configuration.
    drop_ip_fragment_limit,
    /// Fragments of a datagram that was not complete in time.
    drop_ip_reassembly_timeout,
    /// No route to a destination.
    drop_tx_no_route,
    /// A malformed ICMP message or one with a bad checksum.
    drop_icmp_malformed,
    /// An ICMP message that the stack has no use for.
    drop_icmp_unused,
    /// An ICMP error about a segment that we did not send (RFC 5927).
    drop_icmp_unverified,
    /// An answer (ICMP error, echo reply, RST) held back by its rate limit.
    drop_tx_rate_limited,
    /// An answer dropped because the transmit queue was full.
    drop_tx_queue_full,
    /// Echo requests answered.
    icmp_echos,
    /// ICMP errors sent.
    icmp_errors_sent,
    /// ICMP errors received and delivered.
    icmp_errors_received,
    /// Redirects followed: packets for a destination go by another first hop.
    redirects_followed,
    /// A redirect that did not come from the destination's gateway, or names a hop that is not on the link, or redirects are ignored.
    drop_redirect_invalid,
    /// A malformed UDP header.
    drop_udp_malformed,
    /// A UDP datagram with a bad checksum, or over IPv6 without one.
    drop_udp_bad_checksum,
    /// Nobody listens on the port.
    drop_udp_no_port,
    /// The socket's receive queue was full.
    drop_udp_queue_full,
    /// Datagrams delivered.
    udp_received,
    /// Datagrams sent.
    udp_sent,
    /// A malformed TCP header or option.
    drop_tcp_malformed,
    /// A TCP segment with a bad checksum.
    drop_tcp_bad_checksum,
    /// A segment to or from a broadcast or multicast address.
    drop_tcp_bad_address,
    /// A segment for a connection that does not exist (answered with RST, within its rate).
    drop_tcp_no_connection,
    /// A segment outside of the receive window.
    drop_tcp_out_of_window,
    /// A segment refused by PAWS (RFC 7323).
    drop_tcp_paws,
    /// A segment whose ACK is for something never sent, or too old (RFC 5961).
    drop_tcp_bad_ack,
    /// A segment without ACK in a state that needs one.
    drop_tcp_no_ack,
    /// A RST that does not sit exactly at the next sequence number (RFC 5961).
    drop_tcp_bad_reset,
    /// A SYN in a synchronised state (RFC 5961).
    drop_tcp_unexpected_syn,
    /// Data behind our window, or that there is no memory for.
    drop_tcp_no_memory,
    /// A SYN refused because the backlog is full and cookies are off.
    drop_tcp_listen_overflow,
    /// The last ACK of a handshake found the accept queue full; the client will send again.
    drop_tcp_accept_overflow,
    /// An ACK that carried no valid SYN cookie.
    drop_tcp_bad_cookie,
    /// An old or duplicate segment in TIME-WAIT.
    drop_tcp_time_wait,
    /// Data that arrived after the application closed (answered with RST).
    drop_tcp_after_close,
    /// Segments received.
    tcp_segments_received,
    /// Segments sent, retransmissions included.
    tcp_segments_sent,
    /// Segments sent again.
    tcp_retransmits,
    /// Connections opened by us.
    tcp_active_opens,
    /// Connections opened by a peer.
    tcp_passive_opens,
    /// Connections that ended with an error.
    tcp_connections_failed,
    /// RST segments sent.
    tcp_resets_sent,
    /// RST segments that ended a connection.
    tcp_resets_received,
    /// Challenge ACKs sent (RFC 5961).
    tcp_challenge_acks,
    /// Connections that our SYN with data opened (RFC 7413).
    tcp_fast_opens_active,
    /// SYNs with data of ours of which less than all was taken.
    tcp_fast_opens_refused,
    /// Ways on which Fast Open failed, and is done without for a while.
    tcp_fast_open_disabled,
    /// Connections that a SYN has opened.
    tcp_fast_opens_passive,
    /// Fast Open cookies given.
    tcp_fast_open_cookies_sent,
    /// Fast Open cookies that were none of ours.
    tcp_fast_open_bad_cookies,
    /// SYNs with a good Fast Open cookie for which there was no place: the ordinary handshake was done.
    tcp_fast_open_overflows,
    /// SYN cookies sent.
    tcp_cookies_sent,
    /// Connections opened by a valid SYN cookie.
    tcp_cookies_accepted,
    /// Times that loss recovery was entered.
    tcp_recoveries,
    /// Retransmission timeouts.
    tcp_timeouts,
    /// Tail-loss probes sent.
    tcp_tail_loss_probes,
    /// Segments that the peer told us it had twice (D-SACK).
    tcp_dsacks_received,
    /// Zero-window probes sent.
    tcp_window_probes,
    /// Keep-alive probes sent.
    tcp_keepalives,
    /// Segments that arrived out of order and were kept.
    tcp_out_of_order,
    /// Segments that brought nothing new.
    tcp_duplicates,
    /// Small segments copied together so that they do not pin whole frames.
    tcp_compacted,
    /// Congestion reductions because of ECN.
    tcp_ecn_reductions,
    /// Path-MTU reductions accepted.
    tcp_mtu_reductions,
    /// Segments sent to find out whether a path carries more (RFC 8899).
    tcp_mtu_probes,
    /// Such segments that were lost.
    tcp_mtu_probes_lost,
    /// Path MTUs raised because one arrived.
    tcp_mtu_raises,
    /// TIME-WAIT connections that made way for a new one.
    tcp_time_wait_reused,
}
