//! The wheel against a sorted map, on random programs, plus the edges of the clock.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::*;

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

/// What a wheel should be: deadlines in order, equal ones in the order of arming.
#[derive(Default)]
struct Model {
    armed: BTreeMap<(u64, u64), usize>,
    keys: Vec<Option<(Key, (u64, u64))>>,
    stale: Vec<Key>,
    seq: u64,
}

impl Model {
    fn place(&mut self, when: u64, id: usize) -> (u64, u64) {
        self.seq += 1;
        self.armed.insert((when, self.seq), id);
        (when, self.seq)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u64),
    Cancel(usize),
    CancelStale(usize),
    Rearm(usize, u64),
    /// Advance the clock and pop at most so many.
    Pop(u64, usize),
    /// Advance the clock to the next deadline, as simulation does.
    Jump,
}

/// Small numbers, large numbers, and powers of 64 with their neighbours.
fn span() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0..200_u64,
        4 => (0..63_u32, 0..u64::MAX).prop_map(|(bits, x)| x & ((1 << bits) - 1)),
        2 => (0..11_u32, 0..3_u64).prop_map(|(digit, d)| (1_u64 << (6 * digit)).wrapping_add(d).wrapping_sub(1)),
        1 => Just(u64::MAX),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => span().prop_map(Step::Insert),
        3 => any::<usize>().prop_map(Step::Cancel),
        1 => any::<usize>().prop_map(Step::CancelStale),
        3 => (any::<usize>(), span()).prop_map(|(i, d)| Step::Rearm(i, d)),
        4 => (span(), 0..20_usize).prop_map(|(d, n)| Step::Pop(d >> 1, n)),
        3 => Just(Step::Jump),
    ]
}

fn run(start: u64, steps: Vec<Step>) {
    let mut wheel = Wheel::starting_at(at(start));
    let mut model = Model::default();
    let mut now = start;

    let pop = |wheel: &mut Wheel<usize>, model: &mut Model, now: u64| -> bool {
        let expect = model.armed.first_key_value().filter(|(k, _)| k.0 <= now).map(|(k, id)| (*k, *id));
        let got = wheel.pop(at(now));
        assert_eq!(got, expect.map(|(_, id)| id));
        if let Some((k, id)) = expect {
            model.armed.remove(&k);
            let (key, _) = model.keys[id].take().unwrap();
            model.stale.push(key);
        }
        got.is_some()
    };

    for step in steps {
        match step {
            Step::Insert(delay) => {
                let when = now.saturating_add(delay);
                let id = model.keys.len();
                let name = model.place(when.max(wheel.elapsed), id);
                let key = wheel.insert(at(when), id);
                model.keys.push(Some((key, name)));
            }
            Step::Cancel(i) => {
                let n = model.keys.len().max(1);
                if let Some((key, name)) = model.keys.get_mut(i % n).and_then(Option::take) {
                    assert!(wheel.deadline(key).unwrap() <= at(name.0));
                    assert_eq!(wheel.get(key), Some(&(i % n)));
                    assert_eq!(wheel.cancel(key), model.armed.remove(&name));
                    model.stale.push(key);
                }
            }
            Step::CancelStale(i) => {
                if let Some(&key) = model.stale.get(i % model.stale.len().max(1)) {
                    assert_eq!(wheel.cancel(key), None);
                    assert_eq!(wheel.get_mut(key), None);
                    assert!(!wheel.rearm(key, at(now)));
                }
            }
            Step::Rearm(i, delay) => {
                let id = i % model.keys.len().max(1);
                if let Some((key, name)) = model.keys.get(id).copied().flatten() {
                    let when = now.saturating_add(delay);
                    model.armed.remove(&name);
                    let name = model.place(when.max(wheel.elapsed), id);
                    assert!(wheel.rearm(key, at(when)));
                    model.keys[id] = Some((key, name));
                }
            }
            Step::Pop(delay, most) => {
                now = now.saturating_add(delay);
                for _ in 0..most {
                    if !pop(&mut wheel, &mut model, now) {
                        break;
                    }
                }
            }
            Step::Jump => {
                let next = wheel.next_deadline().map(Instant::as_nanos);
                let least = model.armed.first_key_value().map(|(k, _)| k.0);
                assert_eq!(next.is_some(), least.is_some());
                let (Some(next), Some(least)) = (next, least) else { continue };
                assert!(next <= least, "next deadline {next} is later than the true one {least}");
                now = now.max(next);
                while pop(&mut wheel, &mut model, now) {}
                // Time moves on: what is next now is later than the clock.
                assert!(wheel.next_deadline().is_none_or(|d| d > at(now)));
            }
        }
        assert_eq!(wheel.len(), model.armed.len());
        assert!(wheel.elapsed <= now.max(start));
    }
    while pop(&mut wheel, &mut model, u64::MAX) {}
    assert!(model.armed.is_empty() && wheel.is_empty());
    assert_eq!(wheel.occupied, [0; HEADS / 64]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn behaves_like_a_sorted_map(
        start in prop_oneof![Just(0), Just(u64::MAX - 5), any::<u64>()],
        steps in prop::collection::vec(step(), 0..300),
    ) {
        run(start, steps);
    }
}

#[test]
fn never_early_to_the_nanosecond() {
    for nanos in [1, 63, 64, 65, 4095, 4096, 1_000_000, 5_000_000_000, u64::MAX] {
        let mut wheel = Wheel::new();
        wheel.insert(at(nanos), ());
        assert_eq!(wheel.next_deadline(), Some(at(nanos)));
        assert_eq!(wheel.pop(at(nanos - 1)), None);
        assert_eq!(wheel.pop(at(nanos)), Some(()));
        assert_eq!(wheel.pop(at(u64::MAX)), None);
    }
}

#[test]
fn a_clock_jump_of_centuries_costs_no_more_than_its_timers() {
    let mut wheel = Wheel::new();
    let year = Duration::from_secs(365 * 86_400);
    for y in (1..=500).rev() {
        wheel.insert(Instant::ZERO + year * y, y);
    }
    let mut years = Vec::new();
    while let Some(y) = wheel.pop(Instant::FAR_FUTURE) {
        years.push(y);
    }
    assert_eq!(years, (1..=500).collect::<Vec<_>>());
}

#[test]
fn a_clock_that_goes_back_fires_nothing() {
    let mut wheel = Wheel::new();
    assert_eq!(wheel.pop(at(1_000_000)), None);
    wheel.insert(at(1_000_500), 'a');
    assert_eq!(wheel.pop(at(10)), None);
    assert_eq!(wheel.pop(at(1_000_500)), Some('a'));
}

#[test]
fn a_deadline_in_the_past_fires_at_the_next_pop() {
    let mut wheel = Wheel::new();
    assert_eq!(wheel.pop(at(1_000_000)), None);
    wheel.insert(at(3), 'a');
    assert!(wheel.next_deadline() <= Some(at(1_000_000)));
    assert_eq!(wheel.pop(at(1_000_000)), Some('a'));
}

#[test]
fn the_deadline_of_a_cancelled_timer_wakes_once_and_then_no_more() {
    let mut wheel = Wheel::new();
    let early = wheel.insert(at(70_000), 'e');
    wheel.insert(at(70_900), 'l');
    wheel.cancel(early);
    let first = wheel.next_deadline().unwrap();
    assert!(first <= at(70_900));
    assert_eq!(wheel.pop(first), None);
    assert_eq!(wheel.next_deadline(), Some(at(70_900)));
}

#[test]
fn entries_are_reused_and_their_keys_are_not() {
    let mut wheel = Wheel::new();
    let a = wheel.insert(at(5), 'a');
    assert_eq!(wheel.cancel(a), Some('a'));
    let b = wheel.insert(at(5), 'b');
    assert_eq!(wheel.entries.len(), HEADS + 2);
    assert_ne!(a, b);
    assert_eq!((wheel.cancel(a), wheel.get(b)), (None, Some(&'b')));
}

#[test]
fn an_entry_whose_generations_are_used_up_is_retired() {
    let mut wheel = Wheel::new();
    let key = wheel.insert(at(5), 'a');
    wheel.cancel(key);
    wheel.entries[key.index as usize].generation = u32::MAX;
    let last = wheel.insert(at(5), 'b');
    assert_eq!(last.generation, u32::MAX);
    assert_eq!(wheel.cancel(last), Some('b'));
    assert_eq!(wheel.cancel(last), None);
    let next = wheel.insert(at(5), 'c');
    assert_ne!(next.index, last.index);
    assert_eq!(wheel.cancel(last), None);
    assert_eq!(wheel.pop(at(5)), Some('c'));
}

#[test]
fn clear_disarms_everything() {
    let mut wheel = Wheel::new();
    let keys: Vec<Key> = (0..1000).map(|i| wheel.insert(at(i * i * i), i)).collect();
    wheel.clear();
    assert!(wheel.is_empty() && wheel.next_deadline().is_none());
    assert!(keys.into_iter().all(|k| wheel.cancel(k).is_none()));
}
