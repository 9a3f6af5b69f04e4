//! From the options to the table.

use std::{path::Path, sync::mpsc, time::Duration};

use clap::ValueEnum;
use indicatif::ProgressBar;

use super::{
    Failure,
    cli::{On, Options},
    contestant::{Contestant, Load},
    count::{self, Pattern},
    fio::{self, Job, Sync},
    hemi::Hemi,
    place::Place,
    recovery,
    rows::{Line, Reach, Row, median, render},
};
use crate::{
    client,
    scenario::{Pace, Scenario, Transport},
    stop::Stop,
};

/// Bytes that a bandwidth row moves.
const BULK: u64 = 192 << 20;
const BULK_UNIT: usize = 64 << 10;
const BULK_DEPTH: usize = 16;
/// Bytes of the file that `fio` goes round in.
const ROUND: u64 = 32 << 20;
const SMALL: usize = 256;
/// A unit whose record fills a block: what `fio` writes at a time.
const BLOCK: usize = 4096 - 40;
const WAITING: usize = 64;

struct Lab<'a> {
    options: &'a Options,
    peers: &'a [Box<dyn Contestant>],
    progress: ProgressBar,
    lines: Vec<Line>,
}

/// Measure, beside `peers`, and print the table.
///
/// # Errors
/// Whatever keeps a row from being measured.
pub fn run(options: &Options, peers: &[Box<dyn Contestant>]) -> Result<(), Failure> {
    if let Some(units) = options.count {
        return count::append(units, options.pattern);
    }
    let mut lab = Lab { options, peers, progress: ProgressBar::new_spinner(), lines: Vec::new() };
    let outcome = lab.all();
    lab.progress.finish_and_clear();
    // Also what was measured before something failed.
    print!("{}", render(&lab.lines, options.markdown));
    outcome
}

impl Lab<'_> {
    fn all(&mut self) -> Result<(), Failure> {
        for on in &self.options.on {
            match Place::new(&self.options.dir, *on) {
                Ok(place) => self.on(&place)?,
                Err(e) => eprintln!("SKIPPED: rows on a {on:?}: {e}"),
            }
        }
        if self.wants(Row::Instructions) {
            self.instructions()?;
        }
        if self.wants(Row::Recovery) {
            self.recovery()?;
        }
        Ok(())
    }

    fn wants(&self, row: Row) -> bool {
        self.options.rows.is_empty() || self.options.rows.contains(&row)
    }

    fn say(&self, what: &str) {
        self.progress.set_message(what.to_owned());
        self.progress.tick();
    }

    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.options.seconds)
    }

    /// A figure per round: the median of them, and that of the two that it was made of.
    fn line(&mut self, what: String, reach: Reach, rounds: &[(f64, f64)], unit: &str) {
        let ratios: Vec<f64> = rounds.iter().map(|(ours, theirs)| ours / theirs).collect();
        let ours = median(&rounds.iter().map(|r| r.0).collect::<Vec<_>>());
        let theirs = median(&rounds.iter().map(|r| r.1).collect::<Vec<_>>());
        let of = format!("{ours:.1} ÷ {theirs:.1} {unit}");
        self.lines.push(Line { what, value: median(&ratios), reach: Some(reach), of });
    }

    /// The rows of one place.
    fn on(&mut self, place: &Place) -> Result<(), Failure> {
        let on = place.on().to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default();
        let floor = place.path("fio");
        if place.on() == On::File {
            fio::lay_out(&floor, ROUND)?;
        }
        let sync_job = |sync, time| Job {
            path: &floor,
            read: false,
            block: 4096,
            depth: 1,
            sync,
            size: ROUND,
            time: Some(time),
            fresh: false,
        };
        let (log, time) = (place.path("log"), self.time());
        let (mut append, mut flush, mut group) = (Vec::new(), Vec::new(), Vec::new());
        let (mut relaxed, mut pop) = (Vec::new(), Vec::new());
        let mut peers: Vec<Vec<(f64, f64)>> = vec![Vec::new(); self.peers.len()];
        let mut echo = peers.clone();
        for _ in 0..self.options.rounds {
            let dsync = if self.wants(Row::Append) || self.wants(Row::Group) {
                self.say("fio, dsync");
                Some(sync_job(Sync::Dsync, time).run()?)
            } else {
                None
            };
            if let (Some(dsync), true) = (dsync, self.wants(Row::Append)) {
                self.say("hemi, dsync");
                let one = Hemi::plain().append(&log, &Load { size: BLOCK, waiting: 1, time })?;
                append.push((one.latencies.percentile(50.0) as f64 / 1e3, dsync.p50 / 1e3));
            }
            if self.wants(Row::AppendFlush) {
                self.say("hemi, fdatasync");
                let one = Hemi::flushing().append(&log, &Load { size: BLOCK, waiting: 1, time })?;
                self.say("fio, fdatasync");
                let theirs = sync_job(Sync::Fdatasync, time).run()?;
                flush.push((one.latencies.percentile(50.0) as f64 / 1e3, theirs.p50 / 1e3));
            }
            if self.wants(Row::Group) || self.wants(Row::Peers) {
                self.say("hemi, 64 waiting");
                let load = Load { size: SMALL, waiting: WAITING, time };
                let ours = Hemi::plain().append(&log, &load)?.rate();
                if let (Some(dsync), true) = (dsync, self.wants(Row::Group)) {
                    group.push((ours, dsync.rate));
                }
                if place.on() == On::File && self.wants(Row::Peers) {
                    for (peer, rounds) in self.peers.iter().zip(&mut peers) {
                        self.say(peer.name());
                        rounds.push((ours, peer.append(&place.path("peer"), &load)?.rate()));
                    }
                }
            }
            if self.wants(Row::Relaxed) || self.wants(Row::Pop) {
                self.bulk(place, &log, &mut relaxed, &mut pop)?;
            }
            if place.on() == On::File && self.wants(Row::Echo) {
                self.echo(place, &mut echo)?;
            }
        }
        self.group(
            &on,
            Row::Append,
            "durable append 4 KiB, depth 1, p50 ÷ fio's (RWF_DSYNC)",
            Reach::AtMost(1.05),
            &append,
            "µs",
        );
        self.group(
            &on,
            Row::AppendFlush,
            "the same with write + fdatasync, at both",
            Reach::AtMost(1.05),
            &flush,
            "µs",
        );
        self.group(
            &on,
            Row::Group,
            "durable append 256 B, 64 waiting ÷ fio's sync writes at depth 1",
            Reach::AtLeast(40.0),
            &group,
            "/s",
        );
        self.group(
            &on,
            Row::Relaxed,
            "relaxed append, 64 KiB units ÷ fio's sequential write",
            Reach::AtLeast(0.95),
            &relaxed,
            "MB/s",
        );
        self.group(
            &on,
            Row::Pop,
            "sequential pop ÷ fio's sequential read",
            Reach::AtLeast(0.95),
            &pop,
            "MB/s",
        );
        for (n, peer) in self.peers.iter().enumerate() {
            let name = peer.name().to_owned();
            self.group(
                &on,
                Row::Peers,
                &format!("durable append 256 B, 64 waiting ÷ {name}"),
                Reach::AtLeast(1.5),
                &peers[n],
                "/s",
            );
            self.group(
                &on,
                Row::Echo,
                &format!("TCP echo behind a durable append, 64 connections ÷ {name}"),
                Reach::AtLeast(1.5),
                &echo[n],
                "/s",
            );
        }
        Ok(())
    }

    fn group(&mut self, on: &str, row: Row, what: &str, reach: Reach, rounds: &[(f64, f64)], unit: &str) {
        if self.wants(row) && !rounds.is_empty() {
            self.line(format!("{on}: {what}"), reach, rounds, unit);
        }
    }

    /// Bandwidth: a log is written, and read.
    fn bulk(
        &self,
        place: &Place,
        log: &Path,
        relaxed: &mut Vec<(f64, f64)>,
        pop: &mut Vec<(f64, f64)>,
    ) -> Result<(), Failure> {
        let on_file = place.on() == On::File;
        let path = place.path("bulk");
        let job = |read, depth| Job {
            path: &path,
            read,
            block: BULK_UNIT,
            depth,
            sync: Sync::Once,
            size: BULK,
            time: None,
            fresh: on_file && !read,
        };
        let megabytes = |bytes: u64, time: Duration| bytes as f64 / 1e6 / time.as_secs_f64().max(1e-9);
        self.say("fio, sequential write");
        let theirs = job(false, BULK_DEPTH).run()?;
        self.say("hemi, relaxed");
        let took = Hemi::plain().relaxed(log, BULK_UNIT, BULK_DEPTH, BULK / BULK_UNIT as u64)?;
        relaxed.push((megabytes(BULK, took), theirs.bandwidth / 1e6));
        if self.wants(Row::Pop) {
            self.say("hemi, pop");
            let (bytes, took) = Hemi::plain().pop_all(log)?;
            if bytes != BULK {
                return Err(format!("{bytes} bytes were popped of {BULK}").into());
            }
            self.say("fio, sequential read");
            // Of the very file that was popped, and as much in flight as a log reads ahead.
            let theirs = Job { path: log, ..job(true, 8) }.run()?;
            pop.push((megabytes(BULK, took), theirs.bandwidth / 1e6));
        }
        Ok(())
    }

    fn echo(&self, place: &Place, rounds: &mut [Vec<(f64, f64)>]) -> Result<(), Failure> {
        if self.peers.is_empty() {
            return Ok(());
        }
        self.say("hemi, echo");
        let Some(ours) = self.echo_rate(&Hemi::plain(), &place.path("echo"))? else { return Ok(()) };
        for (peer, rounds) in self.peers.iter().zip(rounds) {
            self.say(peer.name());
            if let Some(theirs) = self.echo_rate(peer.as_ref(), &place.path("echo"))? {
                rounds.push((ours, theirs));
            }
        }
        Ok(())
    }

    /// Messages per second of a server that appends before it answers.
    fn echo_rate(&self, who: &dyn Contestant, path: &Path) -> Result<Option<f64>, Failure> {
        let stop = Stop::default();
        let scenario = Scenario {
            transport: Transport::Tcp,
            size: SMALL,
            connections: WAITING,
            depth: 1,
            pace: Pace::Closed,
            warm_up: Duration::from_millis(50),
            measure: self.time(),
        };
        std::thread::scope(|scope| {
            let (tell, told) = mpsc::channel();
            let server = scope.spawn({
                let stop = &stop;
                // Nobody listens any more only where the lab has failed.
                move || who.echo(path, &mut |at| tell.send(at).unwrap_or_default(), stop)
            });
            let driven = told.recv().ok().map(|at| client::drive(at, &scenario));
            stop.set();
            let served = server.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let Some(served) = served else { return Ok(None) };
            served?;
            Ok(driven.transpose()?.map(|driven| driven.rate))
        })
    }

    fn instructions(&mut self) -> Result<(), Failure> {
        for (pattern, what, reach) in [
            (Pattern::Pipeline, "one task, 64 pushes begun and then waited for", Some(Reach::AtMost(600.0))),
            (Pattern::Tasks, "64 tasks, each waits for its push", Some(Reach::AtMost(600.0))),
            (Pattern::Single, "one task, one push at a time (a block each)", None),
        ] {
            self.say("callgrind");
            let value = count::instructions(pattern)?;
            let what = format!("mem: instructions per appended unit of 256 B: {what}");
            self.lines.push(Line { what, value, reach, of: "callgrind".into() });
        }
        Ok(())
    }

    fn recovery(&mut self) -> Result<(), Failure> {
        let place = Place::new(&self.options.dir, On::File)?;
        let mut times = Vec::new();
        for (size, name) in [(100 << 20, "100 MiB"), (10 << 30, "10 GiB"), (40 << 30, "40 GiB")] {
            self.say(name);
            let took = recovery::time_to_open(&place.path("recovery"), size)?.as_secs_f64();
            times.push(took);
            let (what, of) = (
                format!("file: seconds to recover a log of {name}"),
                "sparse, half of the last segment to walk".into(),
            );
            self.lines.push(Line { what, value: took, reach: Some(Reach::AtMost(1.0)), of });
        }
        let what = "the same, 10 GiB ÷ 100 MiB".to_owned();
        self.lines.push(Line { what, value: times[1] / times[0], reach: None, of: String::new() });
        Ok(())
    }
}
