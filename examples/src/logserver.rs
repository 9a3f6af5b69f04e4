//! A small broker: units in over TCP, durable in one log, acknowledged with their number; readers subscribe from any number.
//!
//! Every message is one unit of a [`Conn`] (length-prefixed over TCP), its first byte says what it is:
//!
//! | from the client | answer |
//! |---|---|
//! | `a` payload: append | `k` LSN: it is durable (in order of the requests; any number may be in flight) |
//! | `s` LSN: subscribe | `r` LSN time payload, for ever; what was truncated is passed over |
//! | `t` LSN: truncate | `h` head tail |
//! | `i`: information | `h` head tail |
//! | anything else, or a log that failed | `e` text, and the connection ends |
//!
//! LSNs and times are eight bytes, little-endian.

use std::future::poll_fn;

use futures::{future::join, join};
use hemi::{
    Conn, Error, Listener, LogQueue, Lsn, Pop, PopHalf, Push, PushHalf, Result, Sga, Ticket, spawn,
    storage::{LogError, Record},
};

/// Appends of one connection that may be in flight.
const IN_FLIGHT: usize = 1024;

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Append a unit.
    Append(Sga),
    /// Send records from this one on.
    Subscribe(Lsn),
    /// Drop records below this one.
    Truncate(Lsn),
    /// Where the log begins and ends.
    Info,
}

/// What the server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The unit is durable under this number.
    Appended(Lsn),
    /// A record.
    Record(Record),
    /// The log's head and tail.
    Span(Lsn, Lsn),
    /// It did not work, and the connection ends.
    Failed(String),
}

fn tagged(tag: u8, numbers: &[u64], payload: Sga) -> Sga {
    let mut head = vec![tag];
    for n in numbers {
        head.extend(n.to_le_bytes());
    }
    let mut unit = Sga::from(head);
    unit.append(payload);
    unit
}

fn number(unit: &mut Sga) -> Option<u64> {
    let mut bytes = [0; 8];
    if unit.copy_to(&mut bytes) < 8 {
        return None;
    }
    unit.advance(8);
    Some(u64::from_le_bytes(bytes))
}

fn tag(unit: &mut Sga) -> Option<u8> {
    let tag = *unit.first()?.first()?;
    unit.advance(1);
    Some(tag)
}

impl Request {
    /// As a unit.
    pub fn encode(self) -> Sga {
        match self {
            Self::Append(payload) => tagged(b'a', &[], payload),
            Self::Subscribe(lsn) => tagged(b's', &[lsn.0], Sga::new()),
            Self::Truncate(lsn) => tagged(b't', &[lsn.0], Sga::new()),
            Self::Info => tagged(b'i', &[], Sga::new()),
        }
    }

    fn decode(mut unit: Sga) -> Option<Self> {
        Some(match tag(&mut unit)? {
            b'a' => Self::Append(unit),
            b's' => Self::Subscribe(Lsn(number(&mut unit)?)),
            b't' => Self::Truncate(Lsn(number(&mut unit)?)),
            b'i' => Self::Info,
            _ => return None,
        })
    }
}

impl Reply {
    fn encode(self) -> Sga {
        match self {
            Self::Appended(lsn) => tagged(b'k', &[lsn.0], Sga::new()),
            Self::Record(Record { lsn, time, unit }) => tagged(b'r', &[lsn.0, time], unit),
            Self::Span(head, tail) => tagged(b'h', &[head.0, tail.0], Sga::new()),
            Self::Failed(text) => tagged(b'e', &[], text.into()),
        }
    }

    /// From a unit.
    pub fn decode(mut unit: Sga) -> Option<Self> {
        Some(match tag(&mut unit)? {
            b'k' => Self::Appended(Lsn(number(&mut unit)?)),
            b'r' => {
                let (lsn, time) = (Lsn(number(&mut unit)?), number(&mut unit)?);
                Self::Record(Record { lsn, time, unit })
            }
            b'h' => Self::Span(Lsn(number(&mut unit)?), Lsn(number(&mut unit)?)),
            b'e' => Self::Failed(String::from_utf8_lossy(&unit.to_vec()).into_owned()),
            _ => return None,
        })
    }
}

/// Serve `log` to every connection of `listener` until it is closed.
pub async fn serve(mut listener: Listener, log: LogQueue) -> Result<()> {
    while let Some(conn) = listener.pop().await? {
        let (appending, looking) = (log.another()?, log.another()?);
        spawn(async move {
            if let Err(error) = client(conn, appending, looking).await {
                tracing::info!(%error, "client ended early");
            }
        });
    }
    Ok(())
}

/// What is to be answered, in the order of the requests.
enum Answer {
    /// When the push has completed.
    Pushed(Ticket),
    Now(Reply),
    Records(Lsn),
}

async fn client(conn: Conn, mut log: LogQueue, mut acks: LogQueue) -> Result<()> {
    let (mut requests, mut replies) = conn.split();
    let answers = hemi::queue::<Answer>(IN_FLIGHT);
    let asking = async {
        let outcome = ask(&mut requests, &mut log, &answers).await;
        if let Err(error) = &outcome {
            // The client is told, behind what it was promised before.
            let _ = answers.push(Answer::Now(Reply::Failed(error.to_string()))).await;
        }
        answers.close();
        outcome
    };
    let (asked, answered) = join!(asking, answer(&answers, &mut acks, &mut replies));
    asked.and(answered)
}

/// Take requests; the log's back-pressure is the connection's.
async fn ask(requests: &mut PopHalf<Conn>, log: &mut LogQueue, answers: &hemi::Queue<Answer>) -> Result<()> {
    while let Some(unit) = requests.pop().await? {
        let answer = match Request::decode(unit) {
            Some(Request::Append(unit)) => {
                poll_fn(|cx| log.poll_ready(cx)).await?;
                Answer::Pushed(log.start_push(unit)?)
            }
            Some(Request::Subscribe(from)) => Answer::Records(from),
            Some(Request::Truncate(to)) => {
                let head = log.truncate_head(to).await?;
                Answer::Now(Reply::Span(head, log.tail()))
            }
            Some(Request::Info) => Answer::Now(Reply::Span(log.head(), log.tail())),
            None => {
                let why = "a request is a, s, t or i, then its payload or eight bytes";
                return Err(Error::malformed("logserver", why));
            }
        };
        answers.push(answer).await?;
    }
    Ok(())
}

async fn answer(
    answers: &hemi::Queue<Answer>,
    log: &mut LogQueue,
    replies: &mut PushHalf<Conn>,
) -> Result<()> {
    while let Some(answer) = answers.pop().await? {
        let reply = match answer {
            Answer::Now(reply) => reply,
            Answer::Pushed(ticket) => match poll_fn(|cx| log.poll_pushed(ticket, cx)).await {
                Ok(lsn) => Reply::Appended(lsn),
                Err(error) => {
                    let failed = Reply::Failed(error.to_string());
                    return join(replies.push(failed.encode()), async { Err(error) }).await.1;
                }
            },
            Answer::Records(from) => {
                publish(log, from, replies).await?;
                continue;
            }
        };
        replies.push(reply.encode()).await?;
    }
    replies.finish().await
}

/// Send records for ever.
async fn publish(log: &LogQueue, from: Lsn, replies: &mut PushHalf<Conn>) -> Result<()> {
    let mut reader = log.cursor(from);
    loop {
        match reader.pop().await {
            Ok(Some(record)) => replies.push(Reply::Record(record).encode()).await?,
            Ok(None) => return Ok(()),
            Err(Error::Other(e)) if matches!(e.downcast_ref(), Some(LogError::Truncated { .. })) => {}
            Err(error) => return Err(error),
        }
    }
}
