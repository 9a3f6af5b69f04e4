//! What an experiment looks like: a table on the terminal, a JSON file, an SVG plot, an HTML page.

pub mod html;
pub mod json;
pub mod plot;
pub mod table;

/// Nanoseconds as microseconds, with as many digits as carry meaning.
pub(crate) fn microseconds(nanoseconds: f64) -> String {
    let microseconds = nanoseconds / 1e3;
    match microseconds {
        0.0..10.0 => format!("{microseconds:.2}"),
        10.0..100.0 => format!("{microseconds:.1}"),
        _ => format!("{microseconds:.0}"),
    }
}

/// Messages per second, in thousands.
pub(crate) fn thousands(rate: f64) -> String {
    let thousands = rate / 1e3;
    if thousands < 100.0 { format!("{thousands:.1}") } else { format!("{thousands:.0}") }
}
