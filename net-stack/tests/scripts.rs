//! Runs every packet script under `scripts/`: one test per RFC, each script named in its failure.

mod script;

use std::{fs, path::Path};

/// A file holds scripts that begin with `== name`.
fn run_file(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(name);
    let text = fs::read_to_string(&path).expect("the script file");
    let mut failures = Vec::new();
    let mut count = 0;
    for script in text.split("\n== ").skip(1) {
        let (title, body) = script.split_once('\n').unwrap_or((script, ""));
        count += 1;
        if let Err(error) = script::run(body) {
            failures.push(format!("{title}: {error}"));
        }
    }
    assert!(count > 0, "{name} has no scripts");
    assert!(
        failures.is_empty(),
        "{} of {count} scripts of {name} fail:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

macro_rules! files {
    ($($test:ident: $file:literal,)*) => {$(
        #[test]
        fn $test() {
            run_file($file);
        }
    )*};
}

files! {
    rfc9293_open: "rfc9293-open.pkt",
    rfc9293_close: "rfc9293-close.pkt",
    rfc9293_data: "rfc9293-data.pkt",
    rfc9293_window: "rfc9293-window.pkt",
    rfc9293_mss: "rfc9293-mss.pkt",
    rfc1122: "rfc1122.pkt",
    rfc2018_sack: "rfc2018.pkt",
    rfc5681_loss: "rfc5681.pkt",
    rfc5961: "rfc5961.pkt",
    rfc6298: "rfc6298.pkt",
    rfc7323: "rfc7323.pkt",
    rfc8985: "rfc8985.pkt",
    rfc3168_ecn: "rfc3168.pkt",
    rfc4987_cookies: "rfc4987.pkt",
    rfc6191_time_wait: "rfc6191.pkt",
    rfc1191_pmtu: "rfc1191.pkt",
    rfc8899_search: "rfc8899.pkt",
    rfc7413_fast_open: "rfc7413.pkt",
    keep_alive_and_user_timeout: "rfc5482.pkt",
}
