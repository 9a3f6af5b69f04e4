//! The same as plain text, once: for scripts and for people without a terminal.

use std::fmt::Write;

use hemi::net::stats::{Row, Sample};

/// `sample` as text: a line about the stack, one for each connection as `ss -ti` has it, one for each counter that is not zero.
pub fn text(sample: &Sample) -> String {
    let mut out = format!("{} (process {})\n", sample.about, sample.pid);
    let states: Vec<_> = sample.states.iter().map(|(state, n)| format!("{n} {state}")).collect();
    // Writing to a String does not fail.
    let _ = writeln!(out, "connections: {} ({})", sample.total, states.join(", "));
    for row in &sample.connections {
        let _ = writeln!(out, "{}", line(row));
    }
    for (name, value) in sample.counters.iter().chain(&sample.device).filter(|(_, value)| *value > 0) {
        let _ = writeln!(out, "{name} {value}");
    }
    out
}

fn line(row: &Row) -> String {
    let Row { state, local, remote, send_queue, recv_queue, .. } = row;
    let mut out = format!("{state:<10} {recv_queue:>7} {send_queue:>7} {local} {remote}");
    let _ = write!(out, " {} {} mss:{} cwnd:{}", row.congestion, row.phase, row.mss, row.cwnd);
    if let Some(ssthresh) = row.ssthresh {
        let _ = write!(out, " ssthresh:{ssthresh}");
    }
    if let Some(srtt) = row.srtt {
        let _ = write!(out, " rtt:{}", time(srtt));
    }
    let _ = write!(out, " rto:{} unacked:{}", time(row.rto), row.unacknowledged);
    let _ = write!(out, " snd_wnd:{} rcv_wnd:{}", row.send_window, row.recv_window);
    if row.retransmits > 0 {
        let _ = write!(out, " retrans:{}", row.retransmits);
    }
    out
}

/// So many microseconds, in the unit that reads best.
pub(super) fn time(micros: f64) -> String {
    match micros {
        us if us < 1e3 => format!("{us:.1}us"),
        us if us < 1e6 => format!("{:.1}ms", us / 1e3),
        us => format!("{:.1}s", us / 1e6),
    }
}

/// So many bytes or things, short.
pub(super) fn short(n: f64) -> String {
    match n {
        n if n < 10_000.0 => format!("{n:.0}"),
        n if n < 1e7 => format!("{:.0}k", n / 1e3),
        n if n < 1e10 => format!("{:.0}M", n / 1e6),
        n => format!("{:.0}G", n / 1e9),
    }
}
