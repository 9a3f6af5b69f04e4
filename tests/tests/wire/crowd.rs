//! Many at one time: RFC 4987.

use crate::{
    Case,
    client::Wire,
    flow::{ALL, ECHO, Flow, MSS, SYN},
};

pub(crate) const CASES: &[Case] =
    &[("128 connections live at one time", many), ("a flood of SYNs leaves honest clients alone", flood)];

fn flood(wire: &mut Wire) {
    let mut before = Flow::open(wire, ALL);
    let template = Flow::new(wire, false, ECHO);
    for i in 0..4000_u32 {
        let flow = Flow {
            src: format!("10.99.{}.{}", 100 + i % 64, 1 + i / 64 % 250),
            port: 1024 + (i / 16_000) as u16 + (i % 60_000) as u16,
            ..template.clone()
        };
        flow.emit(wire, SYN, i, None, b"", ALL);
        if i % 256 == 0 {
            wire.fence();
            wire.inbox.clear();
        }
    }
    wire.fence();
    before.echoes(wire, b"still here");
    for options in [MSS, ALL] {
        let mut flow = Flow::open(wire, options);
        flow.echoes(wire, b"and welcome");
        flow.finish(wire);
    }
}

fn many(wire: &mut Wire) {
    let mut flows: Vec<Flow> = (0..128).map(|i| Flow::open_to(wire, i % 2 == 1, ECHO, ALL)).collect();
    for (i, flow) in flows.iter_mut().enumerate() {
        flow.echoes(wire, format!("number {i}").as_bytes());
    }
    for flow in &mut flows {
        flow.finish(wire);
    }
}
