//! QEMU: the machine's parts, and one run of it under a clock.
//!
//! ```text
//! host                                    guest
//! program's output  <- pipe <- chardev <- virtio-serial ports hemi.out, hemi.err
//! console.log       <------------------- serial port
//! /                 --- 9p, read-only --> lower layer of the root
//! job's folder      <--- 9p ------------> /run/hemi-guest   (scripts in, status out)
//! QEMU ends         <------------------- isa-debug-exit
//! ```

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::job::Job;
use crate::kernel::Kernel;
use crate::output::{self, Progress, Sink};
use crate::{Error, Group, Result, tools};

/// How long a guest may take to its program's first instruction: six seconds on a quiet machine, a minute on a loaded one.
pub const BOOT_LIMIT: Duration = Duration::from_secs(600);

/// How often a guest is booted that dies before its program has begun.
const BOOTS: usize = 4;

/// How often the job's folder and QEMU are looked at.
const TICK: Duration = Duration::from_millis(50);
const MEMORY: &str = "2G";
const MIB: u64 = 1 << 20;

/// A machine that can be booted any number of times.
#[derive(Debug)]
pub struct Machine {
    /// Its devices.
    pub group: Group,
    /// Its kernel.
    pub kernel: Kernel,
    /// The group's initramfs for this kernel.
    pub initramfs: PathBuf,
    /// How long it may take to start the program.
    pub boot_limit: Duration,
}

impl Machine {
    /// Boots it, runs the job to its end and gives the program's status. QEMU is gone afterwards, whatever happened; it also dies with
    /// the calling thread.
    ///
    /// A guest that dies before the program has begun is booted again, and that is said: an emulated kernel that patches its own code while
    /// the other processor runs it now and then trips over itself (`Oops: int3`).
    pub(crate) fn run(
        &self,
        job: &Job,
        shares: &[PathBuf],
        limit: Duration,
        progress: &Progress,
        out: impl Write + Send + 'static,
        err: impl Write + Send + 'static,
    ) -> Result<i32> {
        let (out, err) = (Sink::new(out.into()), Sink::new(err.into()));
        progress.say(&format!("booting kernel {} with group `{}`", self.kernel.version(), self.group));
        for _ in 1..BOOTS {
            match self.boot(job, shares, limit, progress, &out, &err) {
                Err(Error::Died { status, tail, .. }) if !job.is_running() => {
                    progress.say(&format!(
                        "the guest died while it was booting ({status}); once more. It said:\n{tail}"
                    ));
                }
                ended => return ended,
            }
        }
        self.boot(job, shares, limit, progress, &out, &err)
    }

    fn boot(
        &self,
        job: &Job,
        shares: &[PathBuf],
        limit: Duration,
        progress: &Progress,
        out: &Sink<impl Write + Send + 'static>,
        err: &Sink<impl Write + Send + 'static>,
    ) -> Result<i32> {
        let mut command = self.command(job, shares)?;
        let started = Instant::now();
        let mut qemu = Running(command.spawn().map_err(|source| Error::File {
            what: "start",
            path: command.get_program().into(),
            source,
        })?);
        let streams = [
            qemu.0.stdout.take().map(|pipe| output::copy(pipe, out)),
            qemu.0.stderr.take().map(|pipe| output::copy(pipe, err)),
        ];
        let ended = self.watch(&mut qemu.0, job, started, limit, progress);
        drop(qemu); // from here on nobody writes to the streams
        for stream in streams.into_iter().flatten() {
            let _ = stream.join();
        }
        let ended = ended?;
        if let Some(code) = job.status() {
            return Ok(code);
        }
        let (console, tail) = (job.console(), job.console_tail());
        if job.set_up_failed() {
            return Err(Error::Setup { group: self.group.name(), console, tail });
        }
        Err(Error::Died { status: format!("QEMU: {ended}"), console, tail })
    }

    /// Until QEMU has ended, or its time is up.
    fn watch(
        &self,
        qemu: &mut Child,
        job: &Job,
        started: Instant,
        limit: Duration,
        progress: &Progress,
    ) -> Result<ExitStatus> {
        let mut running: Option<Instant> = None;
        loop {
            let path = Path::new("QEMU");
            if let Some(status) = qemu.try_wait().map_err(Error::file("wait for", path))? {
                return Ok(status);
            }
            if running.is_none() && job.is_running() {
                progress.say(&format!("ready after {:.1} s", started.elapsed().as_secs_f32()));
                progress.clear();
                running = Some(Instant::now());
            }
            let (since, limit, phase) = match running {
                None => (started, self.boot_limit, "the guest was booting"),
                Some(since) => (since, limit, "the program was running"),
            };
            if since.elapsed() > limit {
                let (console, tail) = (job.console(), job.console_tail());
                return Err(Error::TimedOut { phase, limit, console, tail });
            }
            thread::sleep(TICK);
        }
    }

    fn command(&self, job: &Job, shares: &[PathBuf]) -> Result<Command> {
        let mut command = Command::new(tools::find("setpriv")?);
        // Whoever kills us kills the guest.
        command.args(["--pdeathsig", "KILL", "--"]).arg(tools::find("qemu-system-x86_64")?);
        command.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
        command.args([
            "-machine",
            "q35",
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-smp",
            "2",
            "-m",
            MEMORY,
        ]);
        command.arg("-kernel").arg(self.kernel.image()).arg("-initrd").arg(&self.initramfs);
        command.args(["-append", &kernel_arguments()]);
        command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x01", "-device", "virtio-rng-pci"]);
        command.arg("-serial").arg(joined("file:", &job.console()));
        // The pipes are opened a second time by name, so that QEMU itself can still complain through its own.
        command.args(["-chardev", "file,id=out,path=/dev/fd/1,append=on"]);
        command.args(["-chardev", "file,id=err,path=/dev/fd/2,append=on"]);
        command.args(["-device", "virtio-serial-pci"]);
        command.args(["-device", "virtserialport,chardev=out,name=hemi.out"]);
        command.args(["-device", "virtserialport,chardev=err,name=hemi.err"]);
        folder(&mut command, "root", Path::new("/"), ",readonly=on");
        folder(&mut command, "job", job.folder(), "");
        for (index, share) in shares.iter().enumerate() {
            folder(&mut command, &format!("share{index}"), share, "");
        }
        self.disks(&mut command, job.folder())?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }

    fn disks(&self, command: &mut Command, folder: &Path) -> Result<()> {
        match self.group {
            Group::Bare | Group::Rdma => {}
            Group::Nvme => {
                // MDTS 5: at most 128 KiB a command; the same for a zone append.
                command.args(["-device", "nvme,id=nvme,serial=hemi,mdts=5"]);
                let namespaces = [
                    "nsid=1,logical_block_size=4096,physical_block_size=4096",
                    "nsid=2",
                    "nsid=3,logical_block_size=4096,physical_block_size=4096,zoned=on,zoned.zone_size=4M,\
                     zoned.zone_capacity=3M,zoned.max_open=8,zoned.max_active=8",
                ];
                for (index, namespace) in namespaces.iter().enumerate() {
                    let id = format!("nvme{}", index + 1);
                    disk(command, folder, &id, 128 * MIB)?;
                    command.arg("-device").arg(format!("nvme-ns,drive={id},bus=nvme,{namespace}"));
                }
            }
            Group::Block => {
                disk(command, folder, "vda", 128 * MIB)?;
                command.args(["-device", "virtio-blk-pci,drive=vda,write-cache=on"]);
            }
        }
        Ok(())
    }
}

/// A folder of the host, as a 9p file system with the name `tag`.
fn folder(command: &mut Command, tag: &str, path: &Path, more: &str) {
    let mut device = joined(&format!("local,id={tag},security_model=none,multidevs=remap{more},path="), path);
    command.arg("-fsdev").arg(&device);
    device = format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}").into();
    command.arg("-device").arg(device);
}

/// An empty disk in the job's folder. What the guest has flushed need not reach the host's disk: the guest never outlives the host.
fn disk(command: &mut Command, folder: &Path, id: &str, length: u64) -> Result<()> {
    let file = folder.join(format!("{id}.img"));
    let made = File::create(&file).and_then(|disk| disk.set_len(length));
    made.map_err(Error::file("make the disk", &file))?;
    let drive = joined(
        &format!("driver=raw,node-name={id},discard=unmap,file.driver=file,cache.no-flush=on,file.filename="),
        &file,
    );
    command.arg("-blockdev").arg(drive);
    Ok(())
}

/// QEMU's options separate by commas, and escape one by doubling it.
fn joined(option: &str, path: &Path) -> OsString {
    let mut option = OsString::from(option);
    option.push(path.as_os_str().to_string_lossy().replace(',', ",,"));
    option
}

/// `tsc=`: under emulation the watchdog takes the time stamp counter, which is the host's, for broken, and calibrating it measures the load.
fn kernel_arguments() -> String {
    let clock = tsc_khz().map(|khz| format!("tsc_early_khz={khz}")).unwrap_or_default();
    format!(
        "console=ttyS0 loglevel=5 panic=-1 oops=panic mitigations=off nokaslr no_timer_check random.trust_cpu=1 \
         net.ifnames=0 tsc=nowatchdog {clock}"
    )
}

/// The rate of the host's time stamp counter: the base frequency where the driver tells it, else the one that `/proc/cpuinfo` shows, which
/// is the counter's in a virtual machine.
fn tsc_khz() -> Option<u64> {
    let base = fs::read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/base_frequency").ok();
    if let Some(khz) = base.and_then(|text| text.trim().parse().ok()) {
        return Some(khz);
    }
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let megahertz = text
        .lines()
        .find_map(|line| line.strip_prefix("cpu MHz")?.split(':').nth(1)?.trim().parse::<f64>().ok());
    megahertz.map(|megahertz| (megahertz * 1000.0) as u64)
}

/// Kills QEMU when it goes out of scope.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
