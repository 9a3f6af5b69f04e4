//! [`draw`]: a [`View`] on a terminal.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style, Stylize},
    text::{Line, Span},
    widgets::{Block, Cell, Paragraph, Row, Table},
};

use super::{
    View,
    text::{short, time},
};

/// Draw `view` over the whole of `frame`.
pub fn draw(frame: &mut Frame<'_>, view: &View) {
    let wide = frame.area().width >= 160;
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(3), Constraint::Min(3), Constraint::Length(1)])
            .areas(frame.area());
    frame.render_widget(summary(view), head);
    if wide {
        let [left, right] = Layout::horizontal([Constraint::Min(60), Constraint::Length(56)]).areas(body);
        connections(frame, view, left);
        counters(frame, view, right);
    } else {
        let [above, below] =
            Layout::vertical([Constraint::Percentage(55), Constraint::Percentage(45)]).areas(body);
        connections(frame, view, above);
        counters(frame, view, below);
    }
    let keys = " q quit   s sort   ↑ ↓ scroll   z zeros   p pause   Tab next stack";
    frame.render_widget(Line::from(keys).dim(), foot);
}

fn summary(view: &View) -> Paragraph<'_> {
    let Some(sample) = view.now() else {
        return Paragraph::new(view.why_ended().unwrap_or("waiting for the first sample ..."));
    };
    let (which, of) = view.which();
    let mut title =
        vec![Span::from(sample.about.as_str()).bold(), Span::from(format!("  pid {}", sample.pid))];
    if of > 1 {
        title.push(Span::from(format!("  stack {which} of {of}")));
    }
    if view.is_paused() {
        title.push(Span::from("  PAUSED").yellow());
    }
    if let Some(why) = view.why_ended() {
        title.push(Span::from(format!("  ENDED: {why}")).red());
    }
    let states: Vec<_> = sample.states.iter().map(|(state, n)| format!("{n} {state}")).collect();
    let rate = |name| short(view.per_second(name));
    let traffic = format!(
        "in {} frames/s {} bytes/s   out {} frames/s {} bytes/s   sent again {}/s",
        rate("rx_frames"),
        rate("rx_bytes"),
        rate("tx_frames"),
        rate("tx_bytes"),
        rate("tcp_retransmits"),
    );
    let connections = format!("{} connections: {}", sample.total, states.join(", "));
    Paragraph::new(vec![Line::from(title), Line::from(connections), Line::from(traffic)])
}

const COLUMNS: [(&str, u16); 10] = [
    ("state", 10),
    ("recv-q", 7),
    ("send-q", 7),
    ("local", 21),
    ("peer", 21),
    ("cwnd", 7),
    ("rtt", 8),
    ("rto", 8),
    ("again", 6),
    ("recovery", 8),
];

fn connections(frame: &mut Frame<'_>, view: &View, area: Rect) {
    let rows = view.connections().into_iter().map(|row| {
        let style = match row.phase.as_str() {
            "loss" => Style::from(Color::Red),
            "recovery" => Style::from(Color::Yellow),
            _ => Style::default(),
        };
        let cells = [
            row.state.clone(),
            short(row.recv_queue as f64),
            short(row.send_queue as f64),
            row.local.to_string(),
            row.remote.to_string(),
            short(row.cwnd.into()),
            row.srtt.map(time).unwrap_or_default(),
            time(row.rto),
            row.retransmits.to_string(),
            row.phase.clone(),
        ];
        Row::new(cells.map(Cell::from)).style(style)
    });
    let head = Row::new(COLUMNS.map(|(name, _)| name)).style(Modifier::BOLD);
    let title = format!(" connections by {} ", view.order().name());
    let widths = COLUMNS.map(|(_, width)| Constraint::Length(width));
    frame.render_widget(Table::new(rows, widths).header(head).block(Block::bordered().title(title)), area);
}

fn counters(frame: &mut Frame<'_>, view: &View, area: Rect) {
    let rows = view.counters().into_iter().map(|rate| {
        let style = match (rate.is_loss, rate.per_second > 0.0) {
            (true, true) => Style::from(Color::Red),
            (true, false) => Style::from(Color::Yellow),
            (false, true) => Style::from(Color::Green),
            (false, false) => Style::default(),
        };
        let speed =
            if rate.per_second > 0.0 { format!("{}/s", short(rate.per_second)) } else { String::new() };
        Row::new([rate.name.to_owned(), rate.value.to_string(), speed]).style(style)
    });
    let widths = [Constraint::Min(30), Constraint::Length(12), Constraint::Length(7)];
    frame.render_widget(Table::new(rows, widths).block(Block::bordered().title(" counters ")), area);
}
