//! What all examples understand on their command line.

use std::{error::Error, process::ExitCode};

use clap::{Args, ValueEnum};
use hemi::{Builder, Idle, Runtime};

/// Options of every example.
#[derive(Args, Clone, Debug, Default)]
pub struct Common {
    /// The transport, as a URI such as `kernel:` or `kernel:?backend=epoll` [default: HEMI_NET, else kernel:]
    #[arg(long, value_name = "URI")]
    pub net: Option<String>,
    /// What an idle core does [default: adaptive]
    #[arg(long, value_enum)]
    pub idle: Option<WhenIdle>,
}

/// What a core does when there is nothing to do.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenIdle {
    /// Poll for ever: the least latency, a whole core
    Busy,
    /// Poll a little, then sleep
    Adaptive,
    /// Sleep at once
    Park,
}

impl Common {
    /// A runtime as the options say.
    pub fn builder(&self) -> Builder {
        let mut builder = Runtime::builder();
        if let Some(uri) = &self.net {
            builder = builder.net(uri);
        }
        match self.idle {
            None => builder,
            Some(WhenIdle::Busy) => builder.idle(Idle::Busy),
            Some(WhenIdle::Adaptive) => builder.idle(Idle::Adaptive),
            Some(WhenIdle::Park) => builder.idle(Idle::Park),
        }
    }
}

/// End the example `name`: an error is printed with its causes.
pub fn exit(name: &str, result: Result<(), Box<dyn Error>>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        // Many errors already say their source's text.
        if !text.contains(&inner.to_string()) {
            text = format!("{text}: {inner}");
        }
        cause = inner.source();
    }
    eprintln!("{name}: {text}");
    ExitCode::FAILURE
}

/// Print `text` on standard output at once: a script may wait for it.
pub fn say(text: impl std::fmt::Display) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    // Nobody listening to our output is no reason to stop serving.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Log to standard error what `RUST_LOG` asks for, by default warnings.
pub fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    // Fails only when a logger is installed already, which then serves.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}
