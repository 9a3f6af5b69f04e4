//! Two connections as one, in both directions.

use futures::join;
use hemi::{
    Conn, Listener, Options, Pop, PopHalf, Push, PushHalf, Result, Sga,
    algebra::{Moved, qconnect},
    net::Address,
    spawn,
};

/// Connect every connection of `listener` with one of its own to `to`, made with `options` (which may name another
/// transport), until the listener is closed.
pub async fn serve(mut listener: Listener, to: Address, options: Options) -> Result<()> {
    while let Some(conn) = listener.pop().await? {
        let (to, options) = (to.clone(), options.clone());
        spawn(async move {
            let peer = conn.peer_addr();
            match options.connect(to.clone()).await {
                Ok(target) => {
                    let (there, back) = relay(conn, target).await;
                    tracing::info!(?peer, ?there, ?back, "relayed");
                }
                Err(error) => tracing::warn!(%to, %error, "cannot reach the target"),
            }
        });
    }
    Ok(())
}

/// Move units both ways until both directions have ended; the end of one is passed on, the other goes on.
pub async fn relay(a: Conn, b: Conn) -> (Moved<Sga>, Moved<Sga>) {
    let ((from_a, to_a), (from_b, to_b)) = (a.split(), b.split());
    join!(one_way(from_a, to_b), one_way(from_b, to_a))
}

async fn one_way(from: PopHalf<Conn>, mut to: PushHalf<Conn>) -> Moved<Sga> {
    let moved = qconnect(from, &mut to).await;
    if let Err(error) = to.finish().await {
        tracing::debug!(%error, "the other side is gone already");
    }
    moved
}
