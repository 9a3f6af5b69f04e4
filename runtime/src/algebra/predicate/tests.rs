use hemi_queue::{Buf, Sga};
use proptest::prelude::*;

use super::{Next, Node, Predicate};

/// What a predicate means, read off its definition, on plain bytes.
fn model(node: &Node, unit: &[u8]) -> bool {
    let at = |at: u32, len: usize| unit.get(at as usize..).and_then(|rest| rest.get(..len));
    match node {
        Node::Constant(holds) => *holds,
        Node::Masked { at: a, mask, value } => at(*a, mask.len())
            .is_some_and(|bytes| bytes.iter().zip(mask).zip(value).all(|((b, m), v)| b & m == *v)),
        Node::Number { at: a, width, low, high } => at(*a, usize::from(*width))
            .map(|bytes| bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
            .is_some_and(|n| *low <= n && n <= *high),
        Node::Hash { at: a, len, shards, shard } => at(*a, *len as usize)
            .map(|bytes| {
                bytes.iter().fold(2_166_136_261u32, |h, b| (h ^ u32::from(*b)).wrapping_mul(16_777_619))
            })
            .is_some_and(|h| h % shards == *shard),
        Node::Length { low, high } => (*low..=*high).contains(&(unit.len() as u32)),
        Node::And(all) => all.iter().all(|n| model(n, unit)),
        Node::Or(any) => any.iter().any(|n| model(n, unit)),
        Node::Not(inner) => !model(inner, unit),
    }
}

fn predicate() -> impl Strategy<Value = Predicate> {
    let small = prop::collection::vec(0u8..4, 0..20);
    let leaf =
        prop_oneof![
            Just(Predicate::all()),
            Just(Predicate::none()),
            (0u32..20, small.clone()).prop_map(|(at, bytes)| Predicate::bytes(at, bytes)),
            (0u32..20, small.clone(), small).prop_map(|(at, mask, value)| Predicate::mask(at, mask, value)),
            (0u32..20, 1u8..9, any::<u64>(), any::<u64>())
                .prop_map(|(at, width, low, high)| Predicate::range(at, width, low..=high)),
            (0u32..20, 0u8..3).prop_map(|(at, high)| Predicate::range(at, 1, 0..=u64::from(high))),
            (0u32..20, 0u32..40, 1u32..4, 0u32..4)
                .prop_map(|(at, len, shards, shard)| Predicate::hash_shard(at, len, shards, shard)),
            (0u32..20, 0u32..30).prop_map(|(low, high)| Predicate::length(low..=high)),
        ];
    leaf.prop_recursive(4, 24, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| a & b),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| a | b),
            inner.prop_map(|p| !p),
        ]
    })
}

proptest! {
    #[test]
    fn the_program_does_what_the_expression_says(
        p in predicate(), unit in prop::collection::vec(0u8..4, 0..30), cut in 0usize..30,
    ) {
        let cut = cut.min(unit.len());
        let program = p.compile();
        let expect = model(&p.0, &unit);
        prop_assert_eq!(program.matches(unit.as_slice()), expect);
        let parts: Sga = [&unit[..cut], &unit[cut..]].into_iter().map(|b| Buf::from(b.to_vec())).collect();
        prop_assert_eq!(program.matches(&parts), expect, "cut at {}", cut);
        for (i, step) in program.steps().iter().enumerate() {
            for next in [step.on_hit, step.on_miss] {
                if let Next::Step(to) = next {
                    prop_assert!(to as usize > i && (to as usize) < program.steps().len());
                }
            }
        }
    }
}

#[test]
fn constants_need_no_step() {
    assert!(Predicate::all().compile().steps().is_empty());
    assert!(Predicate::all().matches(b"".as_slice()));
    assert!(!(Predicate::all() & Predicate::none()).matches(b"".as_slice()));
}

#[test]
fn shards_partition_the_units() {
    for i in 0..100u32 {
        let unit = i.to_be_bytes();
        let owners = (0..7).filter(|s| Predicate::hash_shard(0, 4, 7, *s).matches(unit.as_slice())).count();
        assert_eq!(owners, 1);
    }
}
