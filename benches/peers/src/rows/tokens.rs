//! `TokenSet::next` with few and with many operations pending. No peer has such a thing; what counts is
//! that many cost what one costs.

use std::time::{Duration, Instant};

use hemi::token::TokenSet;
use hemi::{Buf, Completion, Qd, Result, qd};

use super::WARM_UP;
use crate::peer::Peer;
use crate::peers::hemi::Hemi;

/// `ops` times: a unit arrives at one of `pending` queues, the set delivers it, and that queue's next
/// pop joins the set.
pub fn next(pending: usize, ops: u64) -> Duration {
    Hemi::run(async move {
        let outcome = async {
            let queues: Vec<Qd> = (0..pending).map(|_| qd::queue(1)).collect::<Result<_>>()?;
            let mut set = TokenSet::new();
            for &queue in &queues {
                set.insert(qd::pop(queue)?)?;
            }
            let unit = Buf::from_static(&[0x5a; 64]);
            deliver(&queues, &mut set, &unit, WARM_UP).await?;
            let start = Instant::now();
            deliver(&queues, &mut set, &unit, ops).await?;
            Ok::<Duration, hemi::Error>(start.elapsed())
        };
        outcome.await.expect("queues in memory do not fail")
    })
}

async fn deliver(queues: &[Qd], set: &mut TokenSet, unit: &Buf, ops: u64) -> Result<()> {
    for queue in queues.iter().cycle().take(ops as usize) {
        qd::push(*queue, unit.clone())?.await?;
        let (_, completion) = set.next().await.expect("members are pending");
        assert!(matches!(completion?, Completion::Popped(Some(_))), "a unit was due");
        set.insert(qd::pop(*queue)?)?;
    }
    Ok(())
}
