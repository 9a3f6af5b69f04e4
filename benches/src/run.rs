//! From the command line to the reports.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::thread;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{Client, Options, Role};
use crate::client;
use crate::contestants::{self, Contestant};
use crate::cores::{self, Cores};
use crate::error::Error;
use crate::lab::{Lab, Subject};
use crate::report::{html, json, plot, table};
use crate::results::Experiment;
use crate::scenario::Transport;
use crate::stop::Stop;

/// Does what the options say: compares, or serves until the process is killed.
///
/// # Errors
/// Whatever keeps the comparison from being made; nothing is reported of half a comparison.
pub fn run(options: &Options) -> Result<(), Error> {
    match options.role {
        Role::Server => serve(options),
        Role::Client if options.peer.is_none() => Err(Error::NoPeer),
        Role::Client | Role::Both => compare(options),
    }
}

fn compare(options: &Options) -> Result<(), Error> {
    let ours = contestants::named(&options.names(), options.net.as_deref())?;
    let mut subjects: Vec<Subject> = ours.into_iter().map(Subject::Ours).collect();
    subjects.extend(options.peer.map(Subject::Peer));
    let cores = Cores::choose(options.server_cpu, options.client_cpu)?;
    let drive = match options.client {
        Client::Kernel => client::drive,
        Client::Hemi => client::hemi::drive,
    };
    let lab = Lab { subjects, rounds: options.rounds, cores, drive };
    let scenarios = options.scenarios()?;

    let progress = ProgressBar::new(lab.samples(&scenarios)).with_style(style());
    let mut experiments: Vec<Experiment> = Vec::new();
    for scenario in &scenarios {
        let mut step = |name: &str| {
            progress.set_message(format!("{scenario}: {name}"));
            progress.inc(1);
        };
        let experiment = lab.run(scenario, &mut step)?;
        progress.suspend(|| println!("{}", table::render(&experiment)));
        experiments.push(experiment);
    }
    progress.finish_and_clear();
    println!("Microseconds; percentiles are medians of {} interleaved rounds.", options.rounds);
    write_reports(options, cores, &experiments)
}

fn write_reports(options: &Options, cores: Cores, experiments: &[Experiment]) -> Result<(), Error> {
    if let Some(path) = &options.json {
        write(path, &json::render(cores, experiments))?;
    }
    if let Some(path) = &options.svg {
        write(path, &plot::percentiles(experiments)?)?;
    }
    if let Some(path) = &options.html {
        write(path, &html::render(cores, experiments)?)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|source| Error::Write { path: path.to_owned(), source })?;
    println!("wrote {}", path.display());
    Ok(())
}

/// One thread per transport; the second on whatever cores are left to this process.
fn serve(options: &Options) -> Result<(), Error> {
    let names = options.names();
    let contestant = contestants::named(&names[..1], options.net.as_deref())?.swap_remove(0);
    let cpu = options.server_cpu.or_else(|| cores::allowed().first().copied()).unwrap_or(0);
    let stop = Stop::default();
    thread::scope(|scope| {
        let serving = options.transport.iter().filter(|transport| contestant.serves(**transport));
        let threads: Vec<_> = serving
            .map(|&transport| {
                scope.spawn({
                    let (contestant, stop) = (contestant.as_ref(), &stop);
                    move || serve_one(contestant, transport, options, cpu, stop)
                })
            })
            .collect();
        let ended = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        ended.collect()
    })
}

fn serve_one(
    contestant: &dyn Contestant,
    transport: Transport,
    options: &Options,
    cpu: usize,
    stop: &Stop,
) -> Result<(), Error> {
    cores::pin(cpu)?;
    let mut ready = |address| {
        println!("listening {} {address}", transport.to_string().to_lowercase());
        let _ = std::io::stdout().flush();
    };
    contestant.serve(transport, options.bind, &mut ready, stop).map_err(|source| {
        // The other transport's thread must not keep a half-started server alive.
        stop.set();
        Error::Server { contestant: contestant.name().to_owned(), source }
    })
}

fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}");
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}
