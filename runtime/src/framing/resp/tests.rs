use hemi_queue::{Buf, Error, Sga};
use proptest::prelude::*;

use super::{Request, RespClient, RespLimits, RespServer, RespVersion, Value};
use crate::framing::{
    Decoder, Encoder, Input, Room,
    tests::{cut, decode_all, ending},
};

fn value(wire: &str) -> Value {
    let (mut values, end) = decode_all(&mut RespClient::new(), cut(wire.as_bytes(), &[]));
    end.unwrap();
    assert_eq!(values.len(), 1, "{values:?}");
    values.pop().unwrap()
}

fn refused(decoder: &mut impl Decoder<Unit: std::fmt::Debug>, wire: &str) -> Error {
    let mut input = Input::new();
    input.push(Buf::from(wire.as_bytes().to_vec()));
    match decoder.decode(&mut input) {
        Err(error) => error,
        other => panic!("{wire:?} was taken: {other:?}"),
    }
}

fn resp3(value: &Value) -> String {
    let mut server = RespServer::new();
    server.set_version(RespVersion::Resp3);
    String::from_utf8(server.encode(value, &mut Room::new()).unwrap().to_vec()).unwrap()
}

fn resp2(value: &Value) -> String {
    String::from_utf8(RespServer::new().encode(value, &mut Room::new()).unwrap().to_vec()).unwrap()
}

fn simple(text: &'static str) -> Value {
    Value::Simple(text.into())
}

/// One of every type, as the specification writes it.
#[test]
fn every_type_reads_and_writes() {
    let cases = [
        ("+OK\r\n", Value::ok()),
        ("-ERR unknown\r\n", Value::error("ERR unknown")),
        (":-42\r\n", Value::Integer(-42)),
        (":9223372036854775807\r\n", Value::Integer(i64::MAX)),
        ("$5\r\nhello\r\n", Value::bulk("hello")),
        ("$0\r\n\r\n", Value::bulk("")),
        ("*0\r\n", Value::Array(vec![])),
        ("*2\r\n:1\r\n$1\r\nb\r\n", Value::Array(vec![Value::Integer(1), Value::bulk("b")])),
        ("_\r\n", Value::Null),
        ("#t\r\n", Value::Boolean(true)),
        (",1.25\r\n", Value::Double(1.25)),
        (",-inf\r\n", Value::Double(f64::NEG_INFINITY)),
        (",1e300\r\n", Value::Double(1e300)),
        (
            "(3492890328409238509324850943850943825024385\r\n",
            Value::BigNumber("3492890328409238509324850943850943825024385".into()),
        ),
        ("!10\r\nSYNTAX bad\r\n", Value::BulkError("SYNTAX bad".into())),
        ("=8\r\ntxt:text\r\n", Value::Verbatim { format: *b"txt", text: "text".into() }),
        ("%1\r\n+k\r\n:1\r\n", Value::Map(vec![(simple("k"), Value::Integer(1))])),
        ("~1\r\n:1\r\n", Value::Set(vec![Value::Integer(1)])),
        (">1\r\n+message\r\n", Value::Push(vec![simple("message")])),
        (
            "|1\r\n+ttl\r\n:3600\r\n:7\r\n",
            Value::Attribute(Box::new((vec![(simple("ttl"), Value::Integer(3600))], Value::Integer(7)))),
        ),
    ];
    for (wire, expect) in cases {
        assert_eq!(value(wire), expect);
        assert_eq!(resp3(&expect), wire);
    }
    assert!(matches!(value(",nan\r\n"), Value::Double(x) if x.is_nan()));
    assert_eq!(resp3(&Value::Double(f64::NAN)), ",nan\r\n");
}

#[test]
fn what_only_resp2_or_streams_write() {
    assert_eq!(value("$-1\r\n"), Value::Null);
    assert_eq!(value("*-1\r\n"), Value::Null);
    assert_eq!(value("$?\r\n;4\r\nHell\r\n;1\r\no\r\n;0\r\n"), Value::bulk("Hello"));
    assert_eq!(value("*?\r\n:1\r\n*?\r\n.\r\n.\r\n"), value("*2\r\n:1\r\n*0\r\n"));
    assert_eq!(value("%?\r\n+a\r\n:1\r\n.\r\n"), value("%1\r\n+a\r\n:1\r\n"));
}

#[test]
fn old_clients_get_old_types() {
    assert_eq!(resp2(&Value::Null), "$-1\r\n");
    assert_eq!(resp2(&Value::Boolean(true)), ":1\r\n");
    assert_eq!(resp2(&Value::Double(0.5)), "$3\r\n0.5\r\n");
    assert_eq!(resp2(&Value::Map(vec![(simple("k"), Value::Null)])), "*2\r\n+k\r\n$-1\r\n");
    assert_eq!(resp2(&Value::Attribute(Box::new((vec![], Value::Integer(1))))), ":1\r\n");
}

#[test]
fn malformed_values_are_refused_with_a_reason() {
    for wire in [
        "x\r\n",
        "+OK\n",
        "+a\rb\r\n",
        ":12a\r\n",
        ":99999999999999999999\r\n",
        "$+1\r\na\r\n",
        "$1\r\nab\r\n",
        "$ 1\r\na\r\n",
        "$-2\r\n",
        "*1 \r\n:1\r\n",
        "%-1\r\n",
        "#x\r\n",
        ",1.2.3\r\n",
        ",infinity\r\n",
        "(12x\r\n",
        "(\r\n",
        "=3\r\nabc\r\n",
        "_x\r\n",
        "!?\r\n",
        ".\r\n",
        ";1\r\n",
        "$?\r\n+a\r\n",
        "%?\r\n+a\r\n.\r\n",
        "*?\r\n.x\r\n",
        "$00000000000000000000000",
    ] {
        let error = refused(&mut RespClient::new(), wire);
        assert!(matches!(&error, Error::Malformed(m) if m.protocol == "RESP"), "{wire:?}: {error}");
    }
}

#[test]
fn limits_hold_on_what_is_announced() {
    let limits = RespLimits { unit: 100, elements: 10, depth: 3 };
    let client = || RespClient::new().with_limits(limits.clone());
    for wire in ["$94\r\n", "*1\r\n$99999999999\r\n", "+"] {
        let wire = if wire == "+" { format!("+{}", "a".repeat(200)) } else { wire.to_owned() };
        let error = refused(&mut client(), &wire);
        assert!(matches!(error, Error::UnitTooLarge { limit: 100, .. }), "{wire:?}: {error}");
    }
    for wire in [
        "*11\r\n",
        "*6\r\n*5\r\n",
        "%6\r\n",
        "*9223372036854775807\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n",
        "*?\r\n+\r\n",
    ] {
        let wire =
            if wire.starts_with("*?") { format!("*?\r\n{}", "+\r\n".repeat(12)) } else { wire.to_owned() };
        let error = refused(&mut client(), &wire);
        assert!(matches!(error, Error::Malformed(_)), "{wire:?}: {error}");
    }
}

fn requests(wire: &[u8]) -> (Vec<Request>, &'static str) {
    let (units, end) = decode_all(&mut RespServer::new(), cut(wire, &[7, 13]));
    (units, ending(&end))
}

#[test]
fn requests_are_arrays_or_lines() {
    let (units, end) =
        requests(b"*1\r\n$4\r\nPING\r\n\r\n*0\r\n*-1\r\n  SET k \"a\\x41\\n\\\"\" 'it\\'s'\r\nGET k\n");
    assert_eq!(end, "end");
    let words = |r: &Request| r.words().iter().map(Sga::to_vec).collect::<Vec<_>>();
    assert_eq!(words(&units[0]), [b"PING".to_vec()]);
    assert_eq!(words(&units[1]), [&b"SET"[..], b"k", b"aA\n\"", b"it's"]);
    assert_eq!(units[2], Request::from_iter(["GET", "k"]));
    assert!(units[2].is("get") && !units[2].is("ge"));
}

#[test]
fn malformed_requests_tell_the_client() {
    for wire in [
        "*1\r\n:1\r\n",
        "*1\r\n$-1\r\n",
        "*?\r\n",
        "*x\r\n",
        "*1\r\n$3\r\nabcd\r\n",
        "*100000\r\n",
        "SET \"k\r\n",
        "SET \"k\"x\r\n",
        "*1\r\n$99999999\r\n",
    ] {
        let mut server = RespServer::new();
        let error = refused(&mut server, wire);
        let reply = server.refusal(&error).unwrap_or_default();
        assert!(matches!(value(&String::from_utf8(reply.to_vec()).unwrap()), Value::Error(_)), "{wire:?}");
    }
    let error = refused(&mut RespServer::new(), &"a".repeat(70_000));
    assert!(matches!(error, Error::Malformed(_)));
}

#[test]
fn values_that_would_break_the_stream_are_not_written() {
    for value in [Value::Simple("a\r\nb".into()), Value::error("a\nb")] {
        assert!(RespServer::new().encode(&value, &mut Room::new()).is_err());
    }
    assert!(RespClient::new().encode(&Request::default(), &mut Room::new()).is_err());
}

/// A megabyte that arrives byte by byte: with a rescan per segment this would take 10¹² steps.
#[test]
fn each_byte_is_looked_at_once() {
    let wire = format!("*2\r\n$3\r\nSET\r\n$500000\r\n{}\r\n{}\r\n", "x".repeat(500_000), "y".repeat(60_000));
    let segments = wire.bytes().map(|b| Buf::from(vec![b]));
    let (units, _) = decode_all(&mut RespServer::new(), segments);
    assert_eq!(units[0].args()[0].len(), 500_000);
    assert_eq!(units.len(), 2, "the line of y is an inline command");
}

fn text() -> impl Strategy<Value = Sga> {
    "[ -~]{0,20}".prop_map(Sga::from)
}

fn any_value() -> impl Strategy<Value = Value> {
    let bytes = prop::collection::vec(any::<u8>(), 0..400).prop_map(Sga::from);
    let leaf = prop_oneof![
        text().prop_map(Value::Simple),
        text().prop_map(Value::Error),
        any::<i64>().prop_map(Value::Integer),
        bytes.clone().prop_map(Value::Bulk),
        Just(Value::Null),
        any::<bool>().prop_map(Value::Boolean),
        any::<f64>().prop_filter("NaN is not equal to itself", |x| !x.is_nan()).prop_map(Value::Double),
        "-?[0-9]{1,60}".prop_map(|s| Value::BigNumber(s.into())),
        bytes.clone().prop_map(Value::BulkError),
        bytes.prop_map(|text| Value::Verbatim { format: *b"mkd", text }),
    ];
    leaf.prop_recursive(4, 30, 5, |inner| {
        let many = prop::collection::vec(inner.clone(), 0..5);
        let pairs = prop::collection::vec((inner.clone(), inner.clone()), 0..3);
        prop_oneof![
            many.clone().prop_map(Value::Array),
            many.clone().prop_map(Value::Set),
            many.prop_map(Value::Push),
            pairs.clone().prop_map(Value::Map),
            (pairs, inner).prop_map(|(a, v)| Value::Attribute(Box::new((a, v)))),
        ]
    })
}

proptest! {
    #[test]
    fn values_survive_any_cut(values in prop::collection::vec(any_value(), 1..4), cuts in prop::collection::vec(any::<usize>(), 0..40)) {
        let mut server = RespServer::new();
        server.set_version(RespVersion::Resp3);
        let mut room = Room::new();
        let wire: Vec<u8> = values.iter().flat_map(|v| server.encode(v, &mut room).unwrap().to_vec()).collect();
        let (decoded, end) = decode_all(&mut RespClient::new(), cut(&wire, &cuts));
        prop_assert!(end.is_ok(), "{:?}", end);
        prop_assert_eq!(decoded, values);
    }

    #[test]
    fn requests_survive_any_cut(
        words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..8),
        cuts in prop::collection::vec(any::<usize>(), 0..40),
    ) {
        let request = Request::from_iter(words);
        let wire = RespClient::new().encode(&request, &mut Room::new()).unwrap().to_vec();
        let (decoded, end) = decode_all(&mut RespServer::new(), cut(&wire, &cuts));
        prop_assert!(end.is_ok());
        prop_assert_eq!(decoded, [request]);
    }

    /// Near-RESP bytes, cut anyhow: no panic, and the same values and ending as uncut.
    #[test]
    fn any_bytes_decode_alike_however_cut(
        tokens in prop::collection::vec(
            prop_oneof![
                Just("*"), Just("$"), Just("%"), Just("|"), Just("~"), Just(">"), Just("+"), Just("-"), Just(":"),
                Just("_"), Just("#t"), Just(","), Just("("), Just("!"), Just("="), Just("?"), Just("."), Just(";"),
                Just("0"), Just("1"), Just("2"), Just("9"), Just("\r\n"), Just("\r\n"), Just("\r\n"), Just("\n"),
                Just("a"), Just("\""), Just("\\x"), Just("txt:"),
            ],
            0..60,
        ),
        cuts in prop::collection::vec(any::<usize>(), 0..40),
    ) {
        let wire = tokens.concat().into_bytes();
        let limits = RespLimits { unit: 60, elements: 12, depth: 3 };
        let client = || RespClient::new().with_limits(limits.clone());
        let (whole, end) = decode_all(&mut client(), cut(&wire, &[]));
        let (parts, end_of_parts) = decode_all(&mut client(), cut(&wire, &cuts));
        let written = |values: &[Value]| values.iter().map(resp3).collect::<Vec<_>>();
        prop_assert_eq!(written(&whole), written(&parts));
        prop_assert_eq!(end.is_ok(), end_of_parts.is_ok());
        let server = || RespServer::new().with_limits(limits.clone());
        let (whole, end) = decode_all(&mut server(), cut(&wire, &[]));
        let (parts, end_of_parts) = decode_all(&mut server(), cut(&wire, &cuts));
        prop_assert_eq!(whole, parts);
        prop_assert_eq!(end.is_ok(), end_of_parts.is_ok());
    }
}
