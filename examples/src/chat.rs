//! A chat room: every line of one client goes to all others.

use std::collections::HashMap;

use futures::{FutureExt, select_biased};
use hemi::{
    Conn, Listener, Pop, Result, Sga,
    algebra::{Event, Left, MemberId, MergeSet, WhenFull},
    framing::{Framed, Lines},
};

/// The longest line, in bytes.
pub const LINE: usize = 4096;

type Client = Framed<Conn, Lines>;

/// Serve the room until `listener` is closed.
///
/// A client that does not read gets what fits in its connection and `keep` lines more; then it is disconnected, and the
/// others do not notice.
pub async fn serve(mut listener: Listener, keep: usize) -> Result<()> {
    let mut room: Room = Room { clients: MergeSet::new().keep_open(), names: HashMap::new(), guests: 0 };
    loop {
        select_biased! {
            event = room.clients.pop().fuse() => match event? {
                Some((id, Event::Unit(line))) => room.said(id, line),
                Some((id, Event::Left(why, client))) => room.left(id, &why, client),
                None => {} // the set is kept open
            },
            conn = listener.pop().fuse() => match conn? {
                Some(conn) => room.enter(conn, keep),
                None => return Ok(()),
            },
        }
    }
}

struct Room {
    clients: MergeSet<Client>,
    names: HashMap<MemberId, String>,
    guests: u64,
}

impl Room {
    fn enter(&mut self, conn: Conn, keep: usize) {
        self.guests += 1;
        let name = format!("guest {}", self.guests);
        let client = Framed::new(conn.raw(), Lines::with_limit(LINE));
        let id = self.clients.insert(client, WhenFull::Disconnect { keep });
        self.tell_others(id, format!("* {name} is here"));
        self.names.insert(id, name);
    }

    fn said(&mut self, id: MemberId, line: Sga) {
        let mut text = Sga::from(format!("{}: ", self.names[&id]));
        text.append(line); // the line's own buffers, shared by all receivers
        self.tell_others(id, text);
    }

    fn left(&mut self, id: MemberId, why: &Left, client: Client) {
        let name = self.names.remove(&id).unwrap_or_default();
        let reason = match why {
            Left::TooSlow { .. } => {
                client.into_parts().queue.abort(); // what waits for it will never be read
                " (does not read)"
            }
            Left::Failed(_) => " (connection failed)",
            _ => "",
        };
        tracing::info!(%name, ?why, "left");
        self.tell_others(id, format!("* {name} has left{reason}"));
    }

    fn tell_others(&mut self, id: MemberId, text: impl Into<Sga>) {
        self.clients.push_others(id, text);
    }
}
