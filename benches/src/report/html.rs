//! One page that holds everything: the plots, the tables, and how it was measured.

use std::fmt::Write as _;

use super::{plot, table};
use crate::cores::Cores;
use crate::error::Error;
use crate::results::Experiment;

const HEAD: &str = r#"<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>hemi: the latency lab</title>
<style>
body { font: 16px/1.5 sans-serif; color: #1f2937; max-width: 1160px; margin: 2em auto; padding: 0 1em }
pre { background: #f3f4f6; padding: 1em; overflow-x: auto; font-size: 13px }
svg { max-width: 100%; height: auto }
</style></head><body>
<h1>The latency lab</h1>
"#;

const METHOD: &str = "<h2>How it was measured</h2>
<p>Server and client each on a core of its own. The client is the same for all: non-blocking kernel
sockets, never asleep, every echoed byte checked. The contestants take turns, round after round; a ratio
is formed within each round and the median over the rounds counts. Beside each sample stands the bare
round trip of a cache line between the two cores: on a virtual machine it changes within seconds, and a
comparison holds only between samples that saw the same machine.</p>
<p>Percentiles in the tables are medians over the rounds; the distributions hold the messages of all
rounds.</p>
";

/// The page, complete in itself.
///
/// # Errors
/// When a plot cannot be drawn.
pub fn render(cores: Cores, experiments: &[Experiment]) -> Result<String, Error> {
    let mut page = String::from(HEAD);
    page.push_str(&plot::percentiles(experiments)?);
    page.push_str(&plot::distributions(experiments)?);
    page.push_str("<h2>Microseconds</h2>\n<pre>");
    for experiment in experiments {
        page.push_str(&escaped(&table::render(experiment)));
        page.push('\n');
    }
    page.push_str("</pre>\n");
    page.push_str(METHOD);
    let _ = writeln!(page, "<p>Server on core {}, client on core {}.</p>", cores.server, cores.client);
    page.push_str("</body></html>\n");
    Ok(page)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
