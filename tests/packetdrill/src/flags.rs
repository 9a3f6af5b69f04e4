//! `--so_flags`: settings of the stack, `key=value` with commas between.

use std::{str::FromStr, time::Duration};

use hemi_net::{Cidr, TcpConfig, tcp::FastOpenKey};

/// What `--so_flags` says.
#[derive(Debug, Clone)]
pub(crate) struct Flags {
    /// TCP's settings.
    pub(crate) tcp: TcpConfig,
    /// The interface's MTU.
    pub(crate) mtu: u16,
    /// Our addresses, beside those that the script binds to or sends to.
    pub(crate) addresses: Vec<Cidr>,
    /// Fast Open, as Linux's `net.ipv4.tcp_fastopen` has it.
    pub(crate) fast_open: FastOpen,
    /// The key of its cookies, for listeners without one.
    pub(crate) fast_open_key: Option<FastOpenKey>,
    /// What a program sees of socket buffers is FreeBSD's way, not Linux's.
    pub(crate) freebsd: bool,
    /// Where all that is random comes from.
    pub(crate) seed: u64,
}

/// The bits of Linux's `net.ipv4.tcp_fastopen`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FastOpen(u32);

impl FastOpen {
    /// Sockets that ask for it open so.
    pub(crate) fn client(self) -> bool {
        self.0 & 1 != 0
    }

    /// Listeners that ask for it take data in SYNs; all do, if so.
    pub(crate) fn server(self) -> Option<bool> {
        (self.0 & 2 != 0).then_some(self.0 & 0x400 != 0)
    }

    /// The same without cookies.
    pub(crate) fn cookieless(self, listener: bool) -> bool {
        self.0 & if listener { 0x200 } else { 4 } != 0
    }
}

impl Default for Flags {
    fn default() -> Self {
        let mut tcp = TcpConfig::default();
        // What scripts written for Linux expect.
        tcp.rto_min = Duration::from_millis(200);
        tcp.recv_buffer_max = 15 << 20;
        tcp.send_buffer = 4 << 20;
        tcp.fast_open_experimental = true;
        Self {
            tcp,
            mtu: 1500,
            addresses: Vec::new(),
            // Both sides, for sockets that ask.
            fast_open: FastOpen(3),
            fast_open_key: None,
            freebsd: false,
            seed: 1,
        }
    }
}

impl FromStr for Flags {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut flags = Self::default();
        for setting in text.split([',', ' ']).filter(|s| !s.is_empty()) {
            let (key, value) =
                setting.split_once('=').ok_or_else(|| format!("{setting:?} is not key=value"))?;
            flags.set(key, value).map_err(|e| format!("{key}: {e}"))?;
        }
        Ok(flags)
    }
}

impl Flags {
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let tcp = &mut self.tcp;
        match key {
            "mtu" => self.mtu = number(value)?,
            "ip" => self.addresses.push(value.parse().map_err(|e| format!("{e}"))?),
            "seed" => self.seed = number(value)?,
            "cc" => tcp.congestion = value.parse().map_err(|e| format!("{e}"))?,
            "sack" => tcp.sack = switch(value)?,
            "ts" => tcp.timestamps = switch(value)?,
            "ws" => tcp.window_scaling = switch(value)?,
            "ecn" => tcp.ecn = switch(value)?,
            "pacing" => tcp.pacing = switch(value)?,
            "cookies" => tcp.syn_cookies = switch(value)?,
            "rto_min" => tcp.rto_min = duration(value)?,
            "rto_max" => tcp.rto_max = duration(value)?,
            "rto_initial" => tcp.rto_initial = duration(value)?,
            "delayed_ack" => tcp.delayed_ack = duration(value)?,
            "time_wait" => tcp.time_wait = duration(value)?,
            "quick_acks" => tcp.quick_acks = number(value)?,
            "system" => match value {
                "linux" => {}
                // Acknowledgements are delayed from the first segment on; Fast Open has one form; buffers are what they are said to be.
                "freebsd" => {
                    self.freebsd = true;
                    tcp.quick_acks = 0;
                    tcp.fast_open_experimental = false;
                    tcp.recv_buffer_max = 2 << 20;
                }
                _ => return Err("is linux or freebsd".into()),
            },
            "retries" => tcp.retries = number(value)?,
            "syn_retries" => tcp.syn_retries = number(value)?,
            "recv" => tcp.recv_buffer = number(value)?,
            "recv_max" => tcp.recv_buffer_max = number(value)?,
            "fastopen" => {
                let (digits, radix) = value.strip_prefix("0x").map_or((value, 10), |hex| (hex, 16));
                let bits = u32::from_str_radix(digits, radix);
                self.fast_open = FastOpen(bits.map_err(|_| format!("{value:?} is not a number"))?);
            }
            "fastopen_key" => self.fast_open_key = Some(cookie_key(value)?),
            "fastopen_exp" => tcp.fast_open_experimental = switch(value)?,
            "send" => tcp.send_buffer = number(value)?,
            _ => return Err("there is no such setting".into()),
        }
        Ok(())
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is not a number in range"))
}

/// A key as Linux's `net.ipv4.tcp_fastopen_key` shows it: four words in hexadecimal, with dashes between.
fn cookie_key(text: &str) -> Result<FastOpenKey, String> {
    let words: Vec<u32> = text.split('-').filter_map(|word| u32::from_str_radix(word, 16).ok()).collect();
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let current = bytes.try_into().map_err(|_| format!("{text:?} is not a key, as 1-2-3-4 is"))?;
    Ok(FastOpenKey { current, previous: None })
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" | "1" => Ok(true),
        "off" | "0" => Ok(false),
        _ => Err(format!("{text:?} is neither on nor off")),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let n: u64 = number(digits)?;
    match unit {
        "us" => Ok(Duration::from_micros(n)),
        "ms" => Ok(Duration::from_millis(n)),
        "s" => Ok(Duration::from_secs(n)),
        _ => Err(format!("{text:?} needs a unit: us, ms or s")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_nonsense_is_named() {
        let flags: Flags = "cc=newreno, mtu=1280,rto_min=1s,sack=off".parse().expect("valid");
        assert_eq!((flags.mtu, flags.tcp.rto_min, flags.tcp.sack), (1280, Duration::from_secs(1), false));
        for (text, names) in [
            ("mtu", "mtu"),
            ("mtu=70000", "70000"),
            ("colour=red", "colour"),
            ("ts=maybe", "maybe"),
            ("rto_min=5", "unit"),
            ("system=plan9", "freebsd"),
            ("fastopen=x", "number"),
            ("fastopen_key=1-2-3", "key"),
        ] {
            let error = text.parse::<Flags>().expect_err("nonsense");
            assert!(error.contains(names), "{error}");
        }
    }
}
