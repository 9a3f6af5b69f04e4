use futures::{
    AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, FutureExt, SinkExt, StreamExt, TryStreamExt,
    executor::block_on, select_biased, stream,
};
use hemi_queue::{Buf, Error, Pop, Sga};
use proptest::prelude::*;

use super::{into_bytes, into_sink, into_stream};
use crate::scripted::Scripted;

#[test]
fn a_stream_goes_on_after_an_error_and_ends_with_the_queue() {
    let q = Scripted::new();
    q.arrive(1);
    q.fail(Error::Reset);
    q.arrive(2);
    q.end();
    let items: Vec<_> = block_on(into_stream(q).map(Result::ok).collect());
    assert_eq!(items, [Some(1), None, Some(2)]);
}

#[test]
fn a_stream_dropped_in_select_loses_nothing() {
    let q = Scripted::new();
    let mut units = into_stream(q.clone());
    block_on(async {
        for n in 0..5 {
            select_biased! {
                _ = units.select_next_some() => panic!("nothing is there"),
                () = async {}.fuse() => {}
            }
            q.arrive(n);
            assert_eq!(units.try_next().await.unwrap(), Some(n));
        }
    });
}

#[test]
fn a_sink_waits_for_room_and_finishes() {
    let q = Scripted::bounded(2);
    let mut sink = into_sink(q.clone());
    {
        let mut units = stream::iter((0..5).map(Ok));
        let mut send = sink.send_all(&mut units);
        assert!((&mut send).now_or_never().is_none());
        let mut got = Vec::new();
        while (&mut send).now_or_never().is_none() {
            got.extend(q.taken());
        }
        got.extend(q.all_taken());
        assert_eq!(got, [0, 1, 2, 3, 4]);
    }
    assert!(!q.finished());
    block_on(sink.close()).unwrap();
    assert!(q.finished());
}

#[test]
fn closing_bytes_finishes_the_queue_and_reading_goes_on() {
    let q = Scripted::<Sga>::of([Sga::from("later")]);
    let mut bytes = into_bytes(q.clone());
    block_on(async {
        bytes.write_all(b"request").await.unwrap();
        bytes.close().await.unwrap();
        let mut reply = String::new();
        bytes.read_to_string(&mut reply).await.unwrap();
        assert_eq!(reply, "later");
    });
    assert!(q.finished());
    assert_eq!(q.taken().unwrap().to_vec(), b"request");
}

#[test]
fn an_error_keeps_its_kind_and_source() {
    let q = Scripted::<Sga>::new();
    q.fail(Error::Reset);
    let error = block_on(into_bytes(q).read(&mut [0; 4])).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(error.get_ref().unwrap().is::<Error>());
}

#[test]
fn an_empty_unit_is_not_the_end() {
    let q = Scripted::of([Buf::new(), Buf::from("x"), Buf::new()]);
    let mut all = Vec::new();
    block_on(into_bytes(q).read_to_end(&mut all)).unwrap();
    assert_eq!(all, b"x");
}

proptest! {
    /// Bytes go through in order whatever the units, the writes and the reads.
    #[test]
    fn bytes_are_a_byte_stream(
        units in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..10), read in 1usize..20,
    ) {
        let sent = units.concat();
        let q = Scripted::of(units.iter().cloned().map(Sga::from));
        let mut bytes = into_bytes(q.clone());
        block_on(async {
            let mut got = Vec::new();
            let mut room = vec![0; read];
            while got.len() < sent.len() / 2 {
                let n = bytes.read(&mut room).await.unwrap();
                got.extend_from_slice(&room[..n]);
            }
            let mut lines = Vec::new();
            bytes.read_until(b'\n', &mut lines).await.unwrap();
            got.extend(lines);
            bytes.read_to_end(&mut got).await.unwrap();
            assert_eq!(got, sent);
            for unit in &units {
                bytes.write_all(unit).await.unwrap();
            }
        });
        let written: Vec<u8> = q.all_taken().iter().flat_map(Sga::to_vec).collect();
        prop_assert_eq!(written, sent);
        let (mut queue, unread) = bytes.into_parts();
        prop_assert!(unread.is_empty());
        prop_assert!(block_on(queue.pop()).unwrap().is_none());
    }
}

#[cfg(feature = "tokio")]
#[test]
fn tokio_reads_and_writes_the_same_bytes() {
    use ::tokio::io::{AsyncReadExt, AsyncWriteExt};

    let q = Scripted::of([Sga::from("one "), Sga::from("two")]);
    let mut bytes = into_bytes(q.clone());
    block_on(async {
        let mut all = Vec::new();
        AsyncReadExt::read_to_end(&mut bytes, &mut all).await.unwrap();
        assert_eq!(all, b"one two");
        AsyncWriteExt::write_all(&mut bytes, b"reply").await.unwrap();
        AsyncWriteExt::shutdown(&mut bytes).await.unwrap();
    });
    assert_eq!(q.taken().unwrap().to_vec(), b"reply");
    assert!(q.finished());
}
