//! One child process, in a process group of its own, with a deadline.
//!
//! Driven by one call, [`run`]: it streams every line of the child's output (both streams through one
//! pipe, so that their order is kept) to a function until the child has ended or the deadline has passed;
//! then nothing of the group is left. A child that is killed by Ctrl-C takes its group with it
//! ([`kill_on_interrupt`]).
//!
//! Left out: standard input (no suite may ask questions).

use std::io::{self, BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::error::{Error, Result};

/// How a child ended.
#[derive(Debug)]
pub(crate) enum End {
    Exited(ExitStatus),
    /// Killed, with everything that it had started.
    TimedOut,
}

/// The group that Ctrl-C has to reach: it does not reach it by itself, for the group is not the
/// terminal's foreground group.
static RUNNING: Mutex<Option<Pid>> = Mutex::new(None);

/// How often a child that prints nothing is looked at.
const TICK: Duration = Duration::from_millis(100);
/// How long the pipe may stay open and silent after the child has ended: a program that it left behind holds it.
const GRACE: Duration = Duration::from_secs(5);

/// On SIGINT, SIGTERM and SIGHUP: kills the running child's group, then ends this process with status 130.
pub(crate) fn kill_on_interrupt() -> Result<()> {
    ctrlc::set_handler(|| {
        // Locked until the end: who waits for the child must not report its death as a failure first (`Running::drop` waits here).
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running.iter().for_each(|group| kill(*group));
        std::process::exit(130);
    })?;
    Ok(())
}

/// Runs `command` to its end, or to `deadline`; `on_line` gets every line it prints, without the newline
/// and with bytes that are not UTF-8 replaced.
pub(crate) fn run(mut command: Command, deadline: Instant, mut on_line: impl FnMut(&str)) -> Result<End> {
    let program = command.get_program().to_string_lossy().into_owned();
    let start = |source| Error::Start { program: program.clone(), source };
    let (reader, writer) = io::pipe().map_err(start)?;
    command.stdin(Stdio::null()).stdout(writer.try_clone().map_err(start)?).stderr(writer).process_group(0);
    let mut child = command.spawn().map_err(start)?;
    drop(command); // our ends of the pipe: without this the reader never sees the end
    let group = Pid::from_raw(child.id() as i32);
    let _running = Running::new(group);

    let lines = read_lines(reader);
    let mut ended: Option<(ExitStatus, Instant)> = None;
    loop {
        match lines.recv_timeout(TICK) {
            Ok(line) => {
                on_line(&line);
                // What the child has said is read to its end, however long that takes here.
                ended = ended.map(|(status, _)| (status, Instant::now()));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => match wait_until(&mut child, deadline)? {
                Some(status) => return Ok(End::Exited(status)),
                None => return Ok(time_out(&mut child, group)),
            },
        }
        if ended.is_none() {
            ended = try_wait(&mut child)?.map(|status| (status, Instant::now()));
        }
        match ended {
            // One that goes on to speak has until the limit.
            Some((status, at)) if at.elapsed() > GRACE || Instant::now() >= deadline + GRACE => {
                on_line("xtask: a program that was left behind is killed");
                kill(group);
                return Ok(End::Exited(status));
            }
            None if Instant::now() >= deadline => return Ok(time_out(&mut child, group)),
            _ => {}
        }
    }
}

/// Reads on a thread of its own, for a pipe cannot be read with a time limit. The thread ends with the
/// last writer of the pipe.
fn read_lines(pipe: io::PipeReader) -> mpsc::Receiver<String> {
    let (tx, rx) = mpsc::sync_channel(1024);
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut bytes = Vec::new();
        while matches!(pipe.read_until(b'\n', &mut bytes), Ok(1..)) {
            let line = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
            bytes.clear();
            if tx.send(line).is_err() {
                return;
            }
        }
    });
    rx
}

fn try_wait(child: &mut Child) -> Result<Option<ExitStatus>> {
    child.try_wait().map_err(|source| Error::Io { what: "cannot wait for a child process", source })
}

/// The child has closed its output; it may still take a moment to end.
fn wait_until(child: &mut Child, deadline: Instant) -> Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = try_wait(child)? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(TICK / 10);
    }
}

fn time_out(child: &mut Child, group: Pid) -> End {
    kill(group);
    // Killed by SIGKILL: this returns at once, and leaves no zombie.
    let _ = child.wait();
    End::TimedOut
}

fn kill(group: Pid) {
    // ESRCH is the only error to expect, and it means that the group is gone, as wanted.
    let _ = killpg(group, Signal::SIGKILL);
}

/// Keeps [`RUNNING`] set for as long as it lives.
struct Running;

impl Running {
    fn new(group: Pid) -> Self {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = Some(group);
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> (End, Vec<String>) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let mut lines = Vec::new();
        let end = run(command, Instant::now() + limit, |line| lines.push(line.to_owned())).unwrap();
        (end, lines)
    }

    #[test]
    fn both_streams_arrive_in_order_with_the_status() {
        let (end, lines) = shell("echo one; echo two >&2; echo three; exit 3", Duration::from_secs(60));
        assert_eq!(lines, ["one", "two", "three"]);
        assert!(matches!(end, End::Exited(status) if status.code() == Some(3)));
    }

    #[test]
    fn the_time_limit_kills_grandchildren_too() {
        let (end, lines) = shell("sleep 600 & echo $!; echo $$; wait", Duration::from_millis(500));
        assert!(matches!(end, End::TimedOut));
        for pid in lines {
            wait_for_death(&pid);
        }
    }

    /// SIGKILL takes effect a moment after it was sent; a running `sleep` would outlive any patience.
    fn wait_for_death(pid: &str) {
        for _ in 0..30_000 {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
            if matches!(state, None | Some('Z' | 'X')) {
                return; // gone, or a zombie that init has not collected yet
            }
            thread::sleep(TICK / 10);
        }
        panic!("process {pid} still lives");
    }

    #[test]
    fn a_program_left_behind_does_not_hold_the_run() {
        let (end, lines) = shell("sleep 600 & echo $!", Duration::from_secs(600));
        assert!(matches!(end, End::Exited(status) if status.success()));
        assert!(lines.last().unwrap().contains("left behind"));
    }

    #[test]
    fn a_program_left_behind_that_goes_on_to_speak_has_until_the_limit() {
        let (end, lines) = shell("(while sleep 0.1; do echo on; done) & echo begun", Duration::from_secs(1));
        assert!(matches!(end, End::Exited(status) if status.success()));
        assert!(lines.last().unwrap().contains("left behind"));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_shown_not_fatal() {
        let (_, lines) = shell(r"printf 'a\377b\n'", Duration::from_secs(60));
        assert_eq!(lines, ["a\u{fffd}b"]);
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(Command::new("hemi-no-such-program"), Instant::now(), |_| ()).unwrap_err();
        assert!(error.to_string().contains("hemi-no-such-program"));
    }
}
