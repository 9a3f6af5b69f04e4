//! The storage fuzz targets of `tests/fuzz` without a fuzzer: the corpus, what seeds it, and some hundred mutations of it.
//!
//! `HEMI_FUZZ` changes how many; `HEMI_FUZZ_SEEDS=FOLDER` writes the seeds there, for `cargo fuzz`. A failing input is printed, and
//! belongs into the corpus once it is understood.

#[path = "../../../../tests/fuzz/src/storage.rs"]
#[allow(unreachable_pub)] // public to the fuzz targets
mod storage;

use std::{
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
};

use hemi_log_mem::Rng;

/// What was kept by hand, and what is made.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/fuzz/corpus").join(name);
    if let Ok(files) = std::fs::read_dir(folder) {
        let mut files: Vec<PathBuf> = files.map(|e| e.expect("a file").path()).collect();
        files.sort();
        inputs.extend(files.into_iter().map(|path| std::fs::read(path).expect("readable")));
    }
    for (target, seed, input) in storage::seeds() {
        if target != name {
            continue;
        }
        if let Some(folder) = std::env::var_os("HEMI_FUZZ_SEEDS") {
            let folder = Path::new(&folder).join(name);
            std::fs::create_dir_all(&folder).expect("a folder");
            std::fs::write(folder.join(seed), &input).expect("space");
        }
        inputs.push(input);
    }
    inputs
}

fn mutate(input: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    for _ in 0..=rng.below(6) {
        let at = rng.below(input.len().max(1) as u64) as usize;
        match rng.below(7) {
            0 if !input.is_empty() => input[at] ^= 1 << rng.below(8),
            1 if !input.is_empty() => input[at] = rng.word() as u8,
            // Numbers that are at an end of their range, where they may be.
            2 if at + 8 <= input.len() => {
                let at = at / 8 * 8 + 1;
                let number = [0, 1, u64::MAX, u64::MAX - 1, 1 << 32][rng.below(5) as usize].to_le_bytes();
                let end = input.len().min(at + 8);
                input[at..end].copy_from_slice(&number[..end - at]);
            }
            3 => input.truncate(at),
            4 if !input.is_empty() => input[0] = rng.word() as u8,
            _ => {
                let from = rng.below(other.len() as u64) as usize;
                let to = (from + rng.below(600) as usize).min(other.len()).min(from + input.len() - at);
                input[at..at + to - from].copy_from_slice(&other[from..to]);
            }
        }
    }
}

fn run(name: &str, target: fn(&[u8]), mutations: usize) {
    let corpus = corpus(name);
    assert!(corpus.len() >= 4, "the corpus of {name} is missing");
    let mutations = std::env::var("HEMI_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(mutations);
    let mut rng = Rng::new(0x5eed);
    let any = |rng: &mut Rng| corpus[rng.below(corpus.len() as u64) as usize].clone();
    let mutants: Vec<_> = (0..mutations)
        .map(|_| {
            let (mut input, other) = (any(&mut rng), any(&mut rng));
            mutate(&mut input, &other, &mut rng);
            input
        })
        .collect();
    for input in corpus.iter().cloned().chain(mutants) {
        if let Err(panic) = std::panic::catch_unwind(AssertUnwindSafe(|| target(&input))) {
            println!("the input: {}", input.escape_ascii());
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn superblocks_of_any_bytes_are_understood_or_refused() {
    run("superblock", storage::superblock, 20_000);
}

#[test]
fn a_walk_over_any_bytes_ends() {
    run("records", storage::records, 20_000);
}

#[test]
fn recovery_from_any_bytes_refuses_or_gives_a_log_that_goes_on() {
    run("log", storage::log, 1_000);
}
