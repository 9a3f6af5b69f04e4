//! Script text to events.

/// What a line of a script says.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) number: usize,
    /// The time in microseconds, since the start or (`relative`) since the last event; and its end, if it is a range.
    pub(crate) from: i64,
    pub(crate) to: Option<i64>,
    pub(crate) relative: bool,
    /// When a call that blocks ends.
    pub(crate) blocks: Option<i64>,
    pub(crate) event: Event,
}

#[derive(Debug)]
pub(crate) enum Event {
    /// A packet for the stack.
    Arrives(Packet),
    /// A packet of the stack's.
    Sent(Packet),
    Call(Call),
}

#[derive(Debug, Default)]
pub(crate) struct Packet {
    pub(crate) flags: String,
    pub(crate) seq: u32,
    pub(crate) len: usize,
    pub(crate) ack: Option<u32>,
    pub(crate) win: Option<u16>,
    /// Options as written; `None`: any (`<...>`).
    pub(crate) options: Option<Vec<String>>,
    /// `icmp unreachable frag_needed mtu N`.
    pub(crate) too_big: Option<u16>,
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) result: i64,
    pub(crate) errno: Option<String>,
}

/// All events of a script.
pub(crate) fn parse(script: &str) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    for (index, line) in script.lines().enumerate() {
        let text = line.split("//").next().unwrap_or("").trim();
        if text.is_empty() || text.starts_with("--") {
            continue;
        }
        lines.push(parse_line(text, index + 1).map_err(|e| format!("line {}: {e}: {text}", index + 1))?);
    }
    Ok(lines)
}

fn parse_line(text: &str, number: usize) -> Result<Line, String> {
    let (time, rest) = text.split_once(char::is_whitespace).ok_or("a time and an event")?;
    let rest = rest.trim();
    let relative = time.starts_with('+');
    let (time, blocks) = match time.split_once("...") {
        Some((time, end)) => (time, Some(micros(end)?)),
        None => (time, None),
    };
    let (from, to) = match time.split_once('~') {
        Some((from, to)) => (micros(from)?, Some(micros(to)?)),
        None => (micros(time)?, None),
    };
    let event = match rest.as_bytes().first() {
        Some(b'<') => Event::Arrives(packet(rest[1..].trim())?),
        Some(b'>') => Event::Sent(packet(rest[1..].trim())?),
        _ => Event::Call(call(rest)?),
    };
    Ok(Line { number, from, to, relative, blocks, event })
}

fn micros(text: &str) -> Result<i64, String> {
    let text = text.trim_start_matches('+');
    let seconds: f64 = format!("0{text}").parse().map_err(|_| format!("bad time {text}"))?;
    Ok((seconds * 1e6).round() as i64)
}

fn packet(text: &str) -> Result<Packet, String> {
    let mut packet = Packet::default();
    let (fields, options) = match text.split_once('<') {
        Some((fields, options)) => (fields, Some(options.trim_end().trim_end_matches('>'))),
        None => (text, None),
    };
    packet.options = match options {
        Some("...") => None,
        Some(list) => Some(list.split(',').map(|o| o.trim().to_owned()).collect()),
        None => Some(Vec::new()),
    };
    let mut words = fields.split_whitespace();
    let first = words.next().ok_or("flags")?;
    if first == "icmp" {
        let number = |w: Option<&str>| w.and_then(|w| w.parse().ok()).ok_or("a number");
        words.next();
        words.next();
        words.next();
        packet.too_big = Some(number(words.next())?);
        let range = words.next().ok_or("the quoted range")?;
        (packet.seq, packet.len) = seq_range(range.trim_matches(['[', ']']))?;
        return Ok(packet);
    }
    first.clone_into(&mut packet.flags);
    (packet.seq, packet.len) = seq_range(words.next().ok_or("a range of sequence numbers")?)?;
    while let Some(key) = words.next() {
        let value: u32 = words.next().and_then(|w| w.parse().ok()).ok_or(format!("a number for {key}"))?;
        match key {
            "ack" => packet.ack = Some(value),
            "win" => packet.win = Some(u16::try_from(value).map_err(|e| e.to_string())?),
            _ => return Err(format!("unknown field {key}")),
        }
    }
    Ok(packet)
}

/// `1:101(100)`.
fn seq_range(text: &str) -> Result<(u32, usize), String> {
    let parts = text.split_once(':').and_then(|(seq, rest)| Some((seq, rest.split_once('(')?)));
    let Some((seq, (_, len))) = parts else { return Err(format!("bad range {text}")) };
    let number = |n: &str| n.parse::<u32>().map_err(|_| format!("bad number {n}"));
    Ok((number(seq)?, number(len.trim_end_matches(')'))? as usize))
}

fn call(text: &str) -> Result<Call, String> {
    let (name, rest) = text.split_once('(').ok_or("an event")?;
    let (arguments, result) = rest.rsplit_once('=').ok_or("a result")?;
    let arguments = arguments.trim().trim_end_matches(')');
    let mut words = result.split_whitespace();
    let result = words.next().and_then(|w| w.parse().ok()).ok_or("a result")?;
    Ok(Call {
        name: name.trim().to_owned(),
        arguments: split(arguments),
        result,
        errno: words.next().filter(|w| w.starts_with('E')).map(str::to_owned),
    })
}

/// At commas that are not inside brackets.
fn split(text: &str) -> Vec<String> {
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for c in text.chars() {
        match c {
            '[' | '{' | '(' => depth += 1,
            ']' | '}' | ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts.iter().map(|p| p.trim().to_owned()).collect()
}
