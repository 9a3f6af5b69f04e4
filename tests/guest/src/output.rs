//! Where the program's output goes, and what a run says about itself.

use std::io::{self, IsTerminal as _, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Where a stream goes, over several boots if it must be.
pub(crate) type Sink<W> = Arc<Mutex<W>>;

/// Copies one stream on a thread of its own, as it comes, until its last writer has gone.
pub(crate) fn copy(
    mut from: impl Read + Send + 'static,
    to: &Sink<impl Write + Send + 'static>,
) -> JoinHandle<()> {
    let to = Arc::clone(to);
    thread::spawn(move || {
        let mut to = to.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = [0; 16 * 1024];
        // A reader of ours that has gone (`| head`) is no reason to stop the program: it would block.
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let _ = to.write_all(&buffer[..count]).and_then(|()| to.flush());
        }
    })
}

/// Says what a run is doing: on a terminal by one line that goes away, else by lines.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { bar: io::stderr().is_terminal().then(line) }
    }

    pub(crate) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(format!("guest: {text}")),
            None => eprintln!("hemi-guest: {text}"),
        }
    }

    /// The program speaks from here on.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn line() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {elapsed_precise} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::new_spinner().with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
