//! From an expression to a [`Program`].

use hemi_queue::program::{Field, Next, Program, Step};

use super::Node;

pub(super) fn compile(node: &Node) -> Program {
    // Emitted back to front, so that every step's targets exist before it does; then turned round.
    let mut steps = Vec::new();
    let start = emit(&mut steps, node, Next::Accept, Next::Reject);
    let last = (steps.len() as u32).saturating_sub(1);
    let turn = |next| match next {
        Next::Step(at) => Next::Step(last - at),
        end => end,
    };
    steps.reverse();
    for step in &mut steps {
        (step.on_hit, step.on_miss) = (turn(step.on_hit), turn(step.on_miss));
    }
    let start = turn(start);
    Program::new(steps, start).expect("what was emitted first is further on now")
}

/// Emit the steps of `node`; returns where they begin.
fn emit(steps: &mut Vec<Step>, node: &Node, hit: Next, miss: Next) -> Next {
    match node {
        Node::Constant(holds) => {
            if *holds {
                hit
            } else {
                miss
            }
        }
        Node::Not(inner) => emit(steps, inner, miss, hit),
        Node::And(all) => all.iter().rev().fold(hit, |next, node| emit(steps, node, next, miss)),
        Node::Or(any) => any.iter().rev().fold(miss, |next, node| emit(steps, node, hit, next)),
        Node::Number { at, width, low, high } => {
            let field =
                Field::Word { at: *at, width: *width, mask: u64::MAX >> (64 - 8 * u32::from(*width)) };
            push(steps, field, *low, *high, hit, miss)
        }
        Node::Hash { at, len, shards, shard } => {
            let field = Field::Hash { at: *at, len: *len, shards: *shards };
            push(steps, field, (*shard).into(), (*shard).into(), hit, miss)
        }
        Node::Length { low, high } => push(steps, Field::Length, (*low).into(), (*high).into(), hit, miss),
        Node::Masked { at, mask, value } => emit_masked(steps, *at, mask, value, hit, miss),
    }
}

/// One step per eight bytes; the last ones first, as everything here.
fn emit_masked(steps: &mut Vec<Step>, at: u32, mask: &[u8], value: &[u8], hit: Next, miss: Next) -> Next {
    let words = mask.chunks(8).zip(value.chunks(8)).enumerate();
    // Even no bytes must lie within the unit.
    let start =
        if mask.is_empty() { push(steps, Field::Length, at.into(), u64::MAX, hit, miss) } else { hit };
    words.rev().fold(start, |next, (i, (mask, value))| {
        let field = Field::Word {
            at: at.saturating_add(8 * i as u32),
            width: mask.len() as u8,
            mask: big_endian(mask),
        };
        push(steps, field, big_endian(value), big_endian(value), next, miss)
    })
}

fn push(steps: &mut Vec<Step>, field: Field, low: u64, high: u64, on_hit: Next, on_miss: Next) -> Next {
    steps.push(Step { field, low, high, on_hit, on_miss });
    Next::Step(steps.len() as u32 - 1)
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b))
}
