//! The RDMA targets of `tests/fuzz` without a fuzzer: the corpus, and some thousand mutations of it.
//!
//! `HEMI_FUZZ` changes how many; a failing input is printed, and belongs into the corpus once it is understood.

#[path = "../../../tests/fuzz/src/rdma.rs"]
#[allow(unreachable_pub)] // public to the fuzz targets
mod targets;

use std::{panic::AssertUnwindSafe, path::Path};

struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the corpus is in the tree")
        .map(|e| e.expect("a file").path())
        .collect();
    files.sort();
    files.into_iter().map(|path| std::fs::read(path).expect("readable")).collect()
}

fn mutate(input: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    for _ in 0..=dice.below(6) {
        let at = dice.below(input.len());
        match dice.below(6) {
            0 if !input.is_empty() => input[at] ^= 1 << dice.below(8),
            1 if !input.is_empty() => input[at] = dice.below(256) as u8,
            2 => input.insert(at, dice.below(256) as u8),
            3 if !input.is_empty() => drop(input.remove(at)),
            4 => input.truncate(at),
            _ => {
                let from = dice.below(other.len());
                let to = (from + dice.below(40)).min(other.len());
                input.splice(at..at, other[from..to].iter().copied());
            }
        }
    }
    input.truncate(4096);
}

fn run(name: &str, target: fn(&[u8]), mutations: usize) {
    let corpus = corpus(name);
    assert!(corpus.len() >= 4, "the corpus of {name} is missing");
    let mutations = std::env::var("HEMI_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(mutations);
    let mut dice = Dice(0x5eed);
    let mutants = (0..mutations).map(|_| {
        let mut input = corpus[dice.below(corpus.len())].clone();
        let other = &corpus[dice.below(corpus.len())];
        mutate(&mut input, other, &mut dice);
        input
    });
    for input in corpus.iter().cloned().chain(mutants) {
        if let Err(panic) = std::panic::catch_unwind(AssertUnwindSafe(|| target(&input))) {
            println!("the input: {}", input.escape_ascii());
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn no_parser_panics_and_what_is_understood_is_written_back() {
    run("rdma_parsers", targets::parsers, 50_000);
}

#[test]
fn messages_of_any_kind_leave_a_connection_whole() {
    run("rdma", targets::connection, 20_000);
}
