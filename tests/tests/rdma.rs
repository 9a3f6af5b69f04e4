//! The portable suite on RDMA queue pairs: soft-RoCE in a guest (`cargo xtask test --only guest`), on a link to oneself and on a
//! wire that loses 3 % of the packets each way.

mod in_guest {
    mod queue;

    use hemi_guest::{Group, here};
    use hemi_tests::{suite::World, transport_suite};

    /// A link to oneself. Nothing is lost there, so nothing should be taken for lost that is only late, and soft-RoCE's READs can be relied on.
    const CLEAN: &str = "rdma:rxe0?ip=10.77.0.1&buffer=16K&reads=16&timeout=4s";
    /// Two ends of a wire that loses 3 % each way. The connection manager's own time-out is half a second; two ends that are 20 µs apart need
    /// no such patience. A machine that stands still for a while is no end of a connection: soft-RoCE retries for ever.
    const LOSSY: (&str, &str) =
        ("rdma:rxe1?ip=10.78.0.1&timeout=67ms", "rdma:rxe2?ip=10.78.0.2&timeout=67ms");

    fn clean(uri: &str) -> Result<World, String> {
        ready()?;
        World::real(uri)
    }

    fn lossy() -> Result<World, String> {
        ready()?;
        World::real_pair(LOSSY.0, LOSSY.1)
    }

    fn ready() -> Result<(), String> {
        let why = "it runs in a guest of the group `rdma`: cargo xtask test --only guest";
        (here() == Some(Group::Rdma)).then_some(()).ok_or_else(|| why.to_owned())
    }

    // The cases that a transport of units can have, but for the 10,000 connections: a quarter of an hour of an emulated machine.
    transport_suite!(@cases clean, clean(CLEAN),
        units: echo_of_random_units, an_empty_unit_is_a_unit, many_connections, both_directions_at_once;
        ends: half_close, close_delivers_everything, drop_delivers_everything, abort_resets_the_peer,
            a_peer_that_resets_at_each_stage, a_listener_that_closes, operations_in_flight_at_the_end;
        limits: units_up_to_the_limit, a_peer_over_the_limit;
        pressure: a_peer_that_never_reads, an_owner_that_never_pops, a_push_future_that_is_dropped;
        select: a_dropped_pop_loses_nothing, a_dropped_accept_loses_nothing;
        errors: nobody_listens, an_address_in_use, an_unfit_address, a_timeout_of_connect;
        options: every_option_is_taken, halves;
        bare: tokens_on_handles, tokens_and_borrowing_take_turns, accept_by_token, connect_by_token;
    );
    // IPv6, nothing inline, and large units in pieces instead of read.
    transport_suite!(@cases pieces, clean("rdma:rxe0?ip=fd77::1&buffer=4K&window=16&reads=0&inline=0"),
        units: echo_of_random_units, an_empty_unit_is_a_unit, both_directions_at_once;
        ends: half_close, close_delivers_everything, drop_delivers_everything, abort_resets_the_peer,
            a_peer_that_resets_at_each_stage, operations_in_flight_at_the_end;
        limits: units_up_to_the_limit, a_peer_over_the_limit;
        pressure: a_peer_that_never_reads, a_push_future_that_is_dropped;
    );
    transport_suite!(@cases loss, lossy(),
        units: echo_of_random_units, an_empty_unit_is_a_unit, both_directions_at_once;
        ends: half_close, close_delivers_everything, drop_delivers_everything, abort_resets_the_peer,
            a_peer_that_resets_at_each_stage;
        limits: units_up_to_the_limit;
    );
}
