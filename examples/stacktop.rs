//! A live look into the user-level stack of a running program.
//!
//! ```text
//! cargo run --release --example echo -- --net 'tap:hemi0?ip=10.7.0.2/24&stats=/tmp/echo.stats' --tcp 0.0.0.0:7000
//! cargo run --release --example stacktop -- /tmp/echo.stats
//! ```

use std::{error::Error, io, path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use hemi_examples::{
    cli::{exit, say},
    stacktop::{Attached, Key, News, View, attach, draw, text},
};
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
};

/// Show connections, counters and rates of the user-level stack of a running program.
///
/// The program is any that uses hemi, started with `stats=PATH` in its transport's URI: for example
/// `echo --net 'shm:nic?role=a&ip=10.0.0.1/24&stats=/tmp/echo.stats'`.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    /// The path that the program was given by `stats=PATH`
    path: PathBuf,
    /// Print one sample of every stack as text, and end
    #[arg(long)]
    once: bool,
}

fn main() -> ExitCode {
    exit("stacktop", run(&Cli::parse()))
}

fn run(cli: &Cli) -> Result<(), Box<dyn Error>> {
    let attached = attach(&cli.path).map_err(|e| {
        let path = cli.path.display();
        format!("no stack tells what it does at {path} ({e}): start a program with `stats={path}` in its --net URI")
    })?;
    if cli.once {
        return once(&attached);
    }
    let mut terminal = ratatui::try_init()
        .map_err(|e| format!("this is no terminal ({e}): `--once` prints text instead"))?;
    let ended = show(&mut terminal, &attached);
    ratatui::restore();
    Ok(ended?)
}

/// One sample of each.
fn once(attached: &Attached) -> Result<(), Box<dyn Error>> {
    let mut samples: Vec<Option<String>> = vec![None; attached.stacks];
    while samples.iter().any(Option::is_none) {
        match attached.news.recv_timeout(Duration::from_secs(10)) {
            Ok(News::Sample(stack, sample)) => samples[stack] = Some(text(&sample)),
            Ok(News::Ended(stack, _)) if samples[stack].is_some() => {}
            Ok(News::Ended(_, why)) => return Err(why.into()),
            Err(_) => return Err("the stack has said nothing for 10 s".into()),
        }
    }
    samples.into_iter().flatten().for_each(say);
    Ok(())
}

/// Until a key ends it.
fn show(terminal: &mut DefaultTerminal, attached: &Attached) -> io::Result<()> {
    let mut view = View::new(attached.stacks);
    loop {
        for news in attached.news.try_iter() {
            match news {
                News::Sample(stack, sample) => view.sample(stack, *sample),
                News::Ended(stack, why) => view.ended(stack, why),
            }
        }
        terminal.draw(|frame| draw(frame, &view))?;
        if !event::poll(Duration::from_millis(100))? {
            continue;
        }
        let Event::Key(pressed) = event::read()? else { continue };
        if pressed.kind == KeyEventKind::Release {
            continue;
        }
        let key = match pressed.code {
            KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
            KeyCode::Char('c') if pressed.modifiers.contains(KeyModifiers::CONTROL) => return Ok(()),
            KeyCode::Char('s') => Key::NextOrder,
            KeyCode::Char('z') => Key::Zeros,
            KeyCode::Char('p') => Key::Pause,
            KeyCode::Tab => Key::NextStack,
            KeyCode::Up => Key::Up(1),
            KeyCode::Down => Key::Down(1),
            KeyCode::PageUp => Key::Up(20),
            KeyCode::PageDown => Key::Down(20),
            _ => continue,
        };
        view.key(key);
    }
}
