//! A key-value store in memory that speaks RESP.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use hemi::{
    Conn, Listener, Pop, Push, Result, Sga,
    framing::{
        Framed,
        resp::{Request, RespServer, RespVersion, Value},
    },
    spawn,
};

/// Bytes that all keys and values together may have.
pub const STORE_LIMIT: usize = 64 << 20;

/// Keys and values.
#[derive(Debug, Default)]
pub struct Store {
    values: HashMap<Vec<u8>, Vec<u8>>,
    bytes: usize,
}

impl Store {
    /// The reply to one request.
    pub fn reply(&mut self, request: &Request) -> Value {
        let args = request.args();
        let name = || request.name().map(Sga::to_vec).unwrap_or_default().escape_ascii().to_string();
        match (args, args.len()) {
            (_, 0) if request.is("PING") => Value::Simple("PONG".into()),
            ([text], _) if request.is("PING") || request.is("ECHO") => Value::bulk(text.clone()),
            ([key, value], _) if request.is("SET") => self.set(key.to_vec(), value.to_vec()),
            ([key], _) if request.is("GET") => {
                self.values.get(&key.to_vec()).map_or(Value::Null, |v| Value::bulk(v.clone()))
            }
            (keys, 1..) if request.is("DEL") => {
                Value::Integer(keys.iter().filter(|k| self.remove(&k.to_vec())).count() as i64)
            }
            (keys, 1..) if request.is("EXISTS") => {
                Value::Integer(keys.iter().filter(|k| self.values.contains_key(&k.to_vec())).count() as i64)
            }
            ([key], _) if request.is("INCR") => self.increment(key),
            (_, 0) if request.is("DBSIZE") => Value::Integer(self.values.len() as i64),
            // What clients ask when they connect.
            _ if request.is("COMMAND") => Value::Array(Vec::new()),
            _ => Value::error(format!("ERR unknown command or wrong number of arguments: '{}'", name())),
        }
    }

    fn set(&mut self, key: Vec<u8>, value: Vec<u8>) -> Value {
        let old = self.values.get(&key).map_or(0, |v| key.len() + v.len());
        let bytes = self.bytes - old + key.len() + value.len();
        if bytes > STORE_LIMIT {
            return Value::error(format!("OOM the store is full ({STORE_LIMIT} bytes); delete some keys"));
        }
        self.bytes = bytes;
        self.values.insert(key, value);
        Value::ok()
    }

    fn remove(&mut self, key: &[u8]) -> bool {
        let Some(value) = self.values.remove(key) else { return false };
        self.bytes -= key.len() + value.len();
        true
    }

    fn increment(&mut self, key: &Sga) -> Value {
        let key = key.to_vec();
        let old = self.values.get(&key).map_or(Some(0), |v| std::str::from_utf8(v).ok()?.parse().ok());
        let Some(new) = old.and_then(|n: i64| n.checked_add(1)) else {
            return Value::error("ERR value is not an integer or out of range");
        };
        match self.set(key, new.to_string().into_bytes()) {
            Value::Simple(_) => Value::Integer(new),
            refused => refused,
        }
    }
}

/// Serve the store to every connection of `listener` until it is closed.
pub async fn serve(mut listener: Listener, store: Rc<RefCell<Store>>) -> Result<()> {
    while let Some(conn) = listener.pop().await? {
        let store = Rc::clone(&store);
        spawn(async move {
            if let Err(error) = client(conn, &store).await {
                tracing::info!(%error, "client ended early");
            }
        });
    }
    Ok(())
}

async fn client(conn: Conn, store: &RefCell<Store>) -> Result<()> {
    let mut client = Framed::new(conn.raw(), RespServer::new());
    while let Some(request) = client.pop().await? {
        let reply = if request.is("QUIT") {
            client.push(Value::ok()).await?;
            break;
        } else if request.is("HELLO") {
            hello(&request, &mut client.codec())
        } else {
            store.borrow_mut().reply(&request)
        };
        client.push(reply).await?;
    }
    client.into_parts().queue.close().await
}

fn hello(request: &Request, codec: &mut RespServer) -> Value {
    match request.args().first().map(Sga::to_vec).as_deref() {
        None => {}
        Some(b"2") => codec.set_version(RespVersion::Resp2),
        Some(b"3") => codec.set_version(RespVersion::Resp3),
        Some(_) => return Value::error("NOPROTO unsupported protocol version; say 2 or 3"),
    }
    let text = |s: &'static str| Value::bulk(s);
    Value::Map(vec![(text("server"), text("hemi-kv")), (text("version"), text(env!("CARGO_PKG_VERSION")))])
}
