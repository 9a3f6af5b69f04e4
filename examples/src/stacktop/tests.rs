//! What is seen, on a terminal in memory.

use hemi::net::stats::Sample;
use ratatui::{Terminal, backend::TestBackend};

use super::{Key, Order, View, draw, text};

fn row(port: u16, send_queue: usize, retransmits: u32, phase: &str) -> String {
    format!(
        r#"{{"local":"10.7.0.2:7000","remote":"10.7.0.1:{port}","state":"ESTAB","congestion":"cubic","phase":"{phase}",
        "mss":1448,"cwnd":14480,"ssthresh":null,"srtt":87.5,"rto":200000.0,"timer":null,"send_queue":{send_queue},
        "unacknowledged":0,"send_window":65535,"recv_queue":0,"out_of_order":0,"recv_window":65535,"retransmits":{retransmits}}}"#
    )
}

fn sample(at: u64, frames: u64, drops: u64) -> Sample {
    let rows = [row(40_001, 5, 0, "open"), row(40_002, 0, 7, "recovery"), row(40_003, 900_000, 1, "open")];
    let json = format!(
        r#"{{"version":1,"pid":4242,"at":{at},"about":"tap: hemi0","total":3,"states":{{"ESTAB":3}},"connections":[{}],
        "counters":[["rx_frames",{frames}],["drop_tcp_paws",{drops}],["udp_sent",0]],"device":[["ring_full",2]]}}"#,
        rows.join(",")
    );
    serde_json::from_str(&json).expect("a sample")
}

fn view() -> View {
    let mut view = View::new(2);
    view.sample(0, sample(1_000_000_000, 100, 0));
    view.sample(0, sample(1_500_000_000, 600, 3));
    view
}

fn screen(view: &View, width: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, 30)).unwrap();
    terminal.draw(|frame| draw(frame, view)).unwrap();
    let buffer = terminal.backend().buffer();
    let lines = buffer.content().chunks(usize::from(width));
    lines.map(|line| line.iter().map(ratatui::buffer::Cell::symbol).collect::<String>() + "\n").collect()
}

#[test]
fn a_wide_and_a_narrow_terminal_show_connections_counters_and_rates() {
    for width in [160, 100] {
        let seen = screen(&view(), width);
        for what in [
            "tap: hemi0",
            "pid 4242",
            "stack 1 of 2",
            "3 ESTAB",
            "in 1000 frames/s",
            "10.7.0.1:40003",
            "900k",
        ] {
            assert!(seen.contains(what), "{what} is not on it:\n{seen}");
        }
        assert!(seen.contains("drop_tcp_paws") && seen.contains("6/s"), "{seen}");
        assert!(seen.contains("ring_full") && !seen.contains("udp_sent"), "zeros are hidden:\n{seen}");
    }
}

#[test]
fn the_least_terminal_is_no_reason_to_panic() {
    for (width, height) in [(1, 1), (10, 2), (60, 5)] {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, &view())).unwrap();
    }
}

#[test]
fn keys_sort_scroll_pause_and_change_stacks() {
    let mut view = view();
    let first = |view: &View| view.connections().first().map(|row| row.remote.port());
    assert_eq!((view.order(), first(&view)), (Order::Waiting, Some(40_003)));
    view.key(Key::NextOrder);
    assert_eq!((view.order(), first(&view)), (Order::Retransmits, Some(40_002)));
    view.key(Key::Down(1));
    assert_eq!(first(&view), Some(40_003));
    view.key(Key::Down(100));
    assert_eq!(first(&view), Some(40_001), "the last one stays");
    view.key(Key::Up(100));
    assert_eq!(first(&view), Some(40_002));
    view.key(Key::Zeros);
    assert!(view.counters().iter().any(|rate| rate.name == "udp_sent"));
    view.key(Key::Pause);
    view.sample(0, sample(9_000_000_000, 0, 0));
    assert_eq!(view.now().unwrap().at, 1_500_000_000);
    view.key(Key::NextStack);
    assert!(view.now().is_none() && view.which() == (2, 2));
    assert!(screen(&view, 100).contains("waiting for the first sample"));
    view.key(Key::NextStack);
    assert_eq!(view.which(), (1, 2));
}

#[test]
fn an_end_is_told_and_the_last_picture_stays() {
    let mut view = view();
    view.ended(0, "the program has ended".into());
    let seen = screen(&view, 160);
    assert!(seen.contains("ENDED: the program has ended") && seen.contains("10.7.0.1:40003"), "{seen}");
    assert!(!view.all_ended());
    view.ended(1, "too".into());
    assert!(view.all_ended());
}

#[test]
fn text_has_a_line_for_each_connection_and_counter() {
    let said = text(&sample(0, 7, 1));
    assert!(said.starts_with("tap: hemi0 (process 4242)\nconnections: 3 (3 ESTAB)\nESTAB"), "{said}");
    assert!(said.contains("10.7.0.1:40002 cubic recovery mss:1448") && said.contains("retrans:7"), "{said}");
    assert!(said.contains("rtt:87.5us rto:200.0ms") && said.contains("drop_tcp_paws 1"), "{said}");
    assert!(!said.contains("udp_sent"), "{said}");
}
