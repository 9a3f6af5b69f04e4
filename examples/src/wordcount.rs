//! Counts the words of all datagrams.

use std::collections::HashMap;

use hemi::{Result, UdpQueue};

/// Different words that are counted; further ones are only totalled, so that memory is bounded.
const DIFFERENT: usize = 100_000;
/// The longest word that is counted as such, in bytes.
const LONGEST: usize = 64;

/// What was counted.
#[derive(Debug, Default)]
pub struct Words {
    counts: HashMap<Vec<u8>, u64>,
    total: u64,
}

impl Words {
    /// Count the words of `text`: runs of ASCII letters and digits and of all bytes beyond ASCII, in lower case.
    pub fn add(&mut self, text: &[u8]) {
        let in_word = |b: &u8| b.is_ascii_alphanumeric() || !b.is_ascii();
        for word in text.split(|b| !in_word(b)).filter(|w| !w.is_empty()) {
            self.total += 1;
            let word = word[..word.len().min(LONGEST)].to_ascii_lowercase();
            if self.counts.len() < DIFFERENT || self.counts.contains_key(&word) {
                *self.counts.entry(word).or_default() += 1;
            }
        }
    }

    /// The `n` words that came most often, one per line, the most frequent first, equals by alphabet.
    pub fn top(&self, n: usize) -> String {
        let mut words: Vec<_> = self.counts.iter().collect();
        words.sort_unstable_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let lines = words.into_iter().take(n).map(|(w, c)| format!("{c} {}\n", String::from_utf8_lossy(w)));
        lines.collect()
    }

    /// Words in all, and how many different ones.
    pub fn summary(&self) -> String {
        format!("{} words, {} different\n", self.total, self.counts.len())
    }
}

/// Count every datagram and answer with the totals; a datagram `?` is answered with the ten most frequent words.
pub async fn serve(mut socket: UdpQueue) -> Result<()> {
    let mut words = Words::default();
    while let Some((unit, from)) = socket.pop_from().await? {
        let text = unit.to_vec();
        let answer = if text.trim_ascii() == b"?" {
            words.top(10)
        } else {
            words.add(&text);
            words.summary()
        };
        if let Err(error) = socket.push_to(answer, from).await {
            tracing::info!(%from, %error, "an answer was not sent");
        }
    }
    Ok(())
}
