//! [`View`]: what is shown, after these samples and these keys.

use hemi::net::stats::{Row, Sample};

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Show the next stack.
    NextStack,
    /// Sort connections by the next column.
    NextOrder,
    /// Show counters that are zero, or hide them.
    Zeros,
    /// Keep the picture, or let it go on.
    Pause,
    /// Go up by so many connections.
    Up(usize),
    /// Go down by so many.
    Down(usize),
}

/// What connections are sorted by, the largest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Bytes that wait to be sent, acknowledged or popped.
    Waiting,
    /// Segments sent again.
    Retransmits,
    /// Smoothed round-trip time.
    RoundTrip,
    /// Congestion window.
    Window,
    /// The peer's address.
    Remote,
}

impl Order {
    const ALL: [Self; 5] = [Self::Waiting, Self::Retransmits, Self::RoundTrip, Self::Window, Self::Remote];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting bytes",
            Self::Retransmits => "retransmits",
            Self::RoundTrip => "round trip",
            Self::Window => "congestion window",
            Self::Remote => "peer",
        }
    }

    fn sort(self, rows: &mut [&Row]) {
        let largest = |key: fn(&Row) -> u64| move |a: &&Row, b: &&Row| key(b).cmp(&key(a));
        match self {
            Self::Waiting => rows.sort_by(largest(|r| r.send_queue as u64 + r.recv_queue as u64)),
            Self::Retransmits => rows.sort_by(largest(|r| r.retransmits.into())),
            Self::RoundTrip => rows.sort_by(largest(|r| r.srtt.unwrap_or(0.0) as u64)),
            Self::Window => rows.sort_by(largest(|r| r.cwnd.into())),
            Self::Remote => rows.sort_by_key(|r| r.remote),
        }
    }
}

/// One stack: its last two samples.
#[derive(Debug, Default)]
struct Stack {
    before: Option<Sample>,
    now: Option<Sample>,
    ended: Option<String>,
}

/// A counter, how much it has grown per second, and whether it tells of something lost.
#[derive(Clone, Debug, PartialEq)]
pub struct Rate<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value.
    pub value: u64,
    /// Its growth per second, between the last two samples.
    pub per_second: f64,
    /// Something was dropped or lost.
    pub is_loss: bool,
}

/// What is shown.
#[derive(Debug)]
pub struct View {
    stacks: Vec<Stack>,
    shown: usize,
    order: Order,
    zeros: bool,
    paused: bool,
    first_row: usize,
}

impl View {
    /// Of so many stacks, of which nothing is known yet.
    pub fn new(stacks: usize) -> Self {
        let stacks = (0..stacks.max(1)).map(|_| Stack::default()).collect();
        Self { stacks, shown: 0, order: Order::Waiting, zeros: false, paused: false, first_row: 0 }
    }

    /// Take `sample` of the stack with index `stack`.
    pub fn sample(&mut self, stack: usize, sample: Sample) {
        if self.paused {
            return;
        }
        if let Some(stack) = self.stacks.get_mut(stack) {
            stack.before = stack.now.replace(sample);
        }
    }

    /// The stack with index `stack` says nothing any more.
    pub fn ended(&mut self, stack: usize, why: String) {
        if let Some(stack) = self.stacks.get_mut(stack) {
            stack.ended = Some(why);
        }
    }

    /// Whether none of them says anything any more.
    pub fn all_ended(&self) -> bool {
        self.stacks.iter().all(|stack| stack.ended.is_some())
    }

    /// A key was pressed.
    pub fn key(&mut self, key: Key) {
        match key {
            Key::NextStack => {
                self.shown = (self.shown + 1) % self.stacks.len();
                self.first_row = 0;
            }
            Key::NextOrder => {
                let at = Order::ALL.iter().position(|order| *order == self.order);
                self.order = Order::ALL[(at.unwrap_or(0) + 1) % Order::ALL.len()];
            }
            Key::Zeros => self.zeros = !self.zeros,
            Key::Pause => self.paused = !self.paused,
            Key::Up(rows) => self.first_row = self.first_row.saturating_sub(rows),
            Key::Down(rows) => {
                let last = self.now().map_or(0, |sample| sample.connections.len().saturating_sub(1));
                self.first_row = (self.first_row + rows).min(last);
            }
        }
    }

    /// The sample that is shown.
    pub fn now(&self) -> Option<&Sample> {
        self.stacks[self.shown].now.as_ref()
    }

    /// Why the shown stack says nothing any more.
    pub fn why_ended(&self) -> Option<&str> {
        self.stacks[self.shown].ended.as_deref()
    }

    /// Which stack is shown, counted from one, and of how many.
    pub fn which(&self) -> (usize, usize) {
        (self.shown + 1, self.stacks.len())
    }

    /// What connections are sorted by.
    pub fn order(&self) -> Order {
        self.order
    }

    /// Whether the picture is kept.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// The connections, in order, from the first one that is to be seen.
    pub fn connections(&self) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.now().map(|s| s.connections.iter().collect()).unwrap_or_default();
        self.order.sort(&mut rows);
        let first = self.first_row.min(rows.len());
        rows.split_off(first)
    }

    /// How much the counter `name` grows per second.
    pub fn per_second(&self, name: &str) -> f64 {
        let found = self.all_counters().find(|rate| rate.name == name);
        found.map_or(0.0, |rate| rate.per_second)
    }

    /// The counters that are to be seen: those of the stack, then the device's.
    pub fn counters(&self) -> Vec<Rate<'_>> {
        self.all_counters().filter(|rate| self.zeros || rate.value > 0).collect()
    }

    fn all_counters(&self) -> impl Iterator<Item = Rate<'_>> {
        let stack = &self.stacks[self.shown];
        let seconds = match (&stack.before, &stack.now) {
            (Some(before), Some(now)) => now.at.saturating_sub(before.at) as f64 / 1e9,
            _ => 0.0,
        };
        let layers = [
            (stack.now.as_ref().map(|s| &s.counters), stack.before.as_ref().map(|s| &s.counters)),
            (stack.now.as_ref().map(|s| &s.device), stack.before.as_ref().map(|s| &s.device)),
        ];
        layers.into_iter().flat_map(move |(now, before)| {
            now.into_iter().flatten().enumerate().map(move |(at, (name, value))| {
                // The order does not change, but a device may bring new ones.
                let was = before.and_then(|all| all.get(at)).filter(|(old, _)| old == name);
                let grown = was.map_or(0, |(_, was)| value.saturating_sub(*was));
                let per_second = if seconds > 0.0 { grown as f64 / seconds } else { 0.0 };
                let is_loss = ["drop", "retransmit", "lost", "error", "failed", "refused"]
                    .iter()
                    .any(|word| name.contains(word));
                Rate { name, value: *value, per_second, is_loss }
            })
        })
    }
}
