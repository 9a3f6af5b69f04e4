//! The portable suite: what every transport must do, as functions of a [`World`].
//!
//! `transport_suite!(name, World::...)` makes a module of tests, one per case, so that a failure names transport and
//! case. A case asks the world for what only some transports have (`caps`) and leaves that part out where it is missing.
//! A further transport reuses all of it by one more line.
//!
//! What is special about one transport (a system's error numbers, packets on the wire) is not here.

pub mod bare;
pub mod churn;
pub mod datagrams;
pub mod ends;
pub mod errors;
pub mod limits;
pub mod options;
pub mod pressure;
pub mod select;
pub mod units;
mod world;

pub use world::World;

/// One module of tests: every case of the suite in one world.
#[macro_export]
macro_rules! transport_suite {
    ($module:ident, $world:expr) => {
        $crate::transport_suite!(@cases $module, $world,
            units: echo_of_random_units, an_empty_unit_is_a_unit, many_connections, both_directions_at_once,
                bytes_by_tcp, bytes_by_unix;
            ends: half_close, close_delivers_everything, drop_delivers_everything, abort_resets_the_peer,
                a_peer_that_resets_at_each_stage, a_listener_that_closes, operations_in_flight_at_the_end;
            limits: units_up_to_the_limit, a_peer_over_the_limit, a_stream_that_ends_inside_a_unit;
            pressure: a_peer_that_never_reads, an_owner_that_never_pops, a_push_future_that_is_dropped;
            select: a_dropped_pop_loses_nothing, a_dropped_byte_pop_loses_nothing,
                a_dropped_accept_loses_nothing, a_dropped_datagram_pop_loses_nothing;
            datagrams: udp_echo, udp_connected, udp_too_large, unix_datagrams;
            errors: nobody_listens, an_address_in_use, an_unfit_address, a_timeout_of_connect;
            options: every_option_is_taken, halves;
            bare: tokens_on_handles, tokens_and_borrowing_take_turns, accept_by_token, connect_by_token;
            churn: ten_thousand_connections;
        );
    };
    (@cases $module:ident, $world:expr, $($group:ident: $($case:ident),+;)+) => {
        mod $module {
            use super::*;
            $(mod $group {
                use super::*;
                $(
                    #[test]
                    fn $case() {
                        match $world {
                            Ok(world) => $crate::suite::$group::$case(&world),
                            Err(why) => hemi_skip::skip!("{why}"),
                        }
                    }
                )+
            })+
        }
    };
}
