//! `hemi-guest run --group rdma -- PROGRAM ARGUMENTS`: a program of this machine, in a machine that has the devices.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use hemi_guest::{Error, Group, Guest};

/// Runs programs in a virtual machine with RDMA or NVMe devices.
#[derive(clap::Parser)]
#[command(name = "hemi-guest")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Boot a guest, run a program of this machine in it, end with its status
    ///
    /// The program sees this machine's files; what it writes is gone with the guest, but for the folders given by
    /// --write. Statuses of the guest's own: 124 when the time is up, 125 when it could not be run.
    Run {
        /// The devices: bare, rdma, nvme, block
        #[arg(long, default_value = "bare")]
        group: Group,
        /// How long the program may run, in seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 600)]
        timeout: u64,
        /// A folder of this machine that the program may write to (may be given several times)
        #[arg(long, value_name = "FOLDER")]
        write: Vec<PathBuf>,
        /// The program and its arguments
        #[arg(last = true, required = true, num_args = 1.., value_name = "PROGRAM ARGUMENTS")]
        words: Vec<OsString>,
    },
    /// Fetch the kernel and build the initramfs, run nothing
    Prepare {
        /// The group to prepare for (all, if none is given)
        #[arg(long)]
        group: Vec<Group>,
    },
}

/// As timeout(1) has it.
const TIMED_OUT: u8 = 124;
/// As env(1), timeout(1) and container runners have it.
const NOT_RUN: u8 = 125;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run { group, timeout, write, words } => {
            let guest = Guest::new(group).time_limit(Duration::from_secs(timeout));
            let guest = write.iter().fold(guest, |guest, folder| guest.write_to(folder));
            guest.run(&words[0], &words[1..])
        }
        Command::Prepare { group } => {
            let groups = if group.is_empty() { Group::ALL.to_vec() } else { group };
            groups.into_iter().try_for_each(|group| Guest::new(group).prepare()).map(|()| 0)
        }
    };
    match done {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)),
        Err(error) => {
            eprintln!("hemi-guest: {error}");
            if let Error::File { source, .. } = &error {
                eprintln!("hemi-guest: {source}");
            }
            ExitCode::from(if matches!(error, Error::TimedOut { .. }) { TIMED_OUT } else { NOT_RUN })
        }
    }
}
