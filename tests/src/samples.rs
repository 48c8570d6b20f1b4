//! Keys of every type and form, to be moved from one server to another.

use kv_core::resp::client::Value;

use crate::client::Client;

/// The first moment of the year 2100: nothing here expires while it is looked at.
pub const LATER: u64 = 4_102_444_800_000;

/// Bytes that no compression makes shorter, always the same.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        // xorshift64: any period will do.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Sends a request whose success matters.
pub fn must<A: AsRef<[u8]>>(client: &mut Client, words: &[A]) -> Value {
    let reply = client.ask(words);
    let name = words.iter().take(3).map(|word| word.as_ref().escape_ascii().to_string()).collect::<Vec<_>>();
    assert!(!reply.is_error(), "{name:?}: {reply:?}");
    reply
}

fn add(client: &mut Client, command: &str, key: &str, items: impl IntoIterator<Item = Vec<u8>>) {
    let items: Vec<Vec<u8>> = items.into_iter().collect();
    for some in items.chunks(1000) {
        let words: Vec<&[u8]> =
            [command.as_bytes(), key.as_bytes()].into_iter().chain(some.iter().map(|item| &item[..])).collect();
        must(client, &words);
    }
}

fn numbered(count: usize, text: &str) -> Vec<Vec<u8>> {
    (0..count).map(|number| format!("{text}{number}").into_bytes()).collect()
}

/// Fills a server that is empty. `field_ttls`: it knows them.
pub fn fill(client: &mut Client, field_ttls: bool) {
    strings(client);
    lists(client);
    sets(client);
    sorted_sets(client);
    hashes(client);
    if field_ttls {
        field_expiries(client);
    }
    streams(client);
    for db in 1..16 {
        must(client, &["SELECT", &db.to_string()]);
        must(client, &["SET", "same name", &format!("in {db}")]);
        must(client, &["SET", &format!("of {db}"), "x", "PXAT", &(LATER + db).to_string()]);
        add(client, "RPUSH", "list", numbered(db as usize, "e"));
    }
    must(client, &["SELECT", "0"]);
}

fn strings(client: &mut Client) {
    let edges = ["", "0", "-1", "127", "-128", "128", "32767", "-32768", "32768", "2147483647", "-2147483648"];
    let more = ["2147483648", "9223372036854775807", "-9223372036854775808", "00", "+1", "1.5", "a\r\nb\n", "grün"];
    for value in edges.into_iter().chain(more) {
        must(client, &["SET", &format!("string {value}"), value]);
    }
    for length in [1, 44, 45, 63, 64, 16383, 16384, 70_000] {
        must(client, &[&b"SET"[..], format!("noise {length}").as_bytes(), &noise(length, 1)]);
        must(client, &[&b"SET"[..], format!("same {length}").as_bytes(), &vec![b'a'; length]]);
    }
    let text: Vec<u8> = (0..5000).flat_map(|n| format!("{} words, some again; ", n % 37).into_bytes()).collect();
    must(client, &[&b"SET"[..], b"text", &text]);
    must(client, &["SET", "", "the empty key"]);
    must(client, &[&b"SET"[..], b"\x00\xff\r\n\"key\"", b"\xfe\x00\r\n"]);
    must(client, &[&b"SET"[..], &noise(300, 2), b"a long key"]);
    must(client, &["SET", "with expiry", "v", "PXAT", &LATER.to_string()]);
    must(client, &["SET", "with expiry in seconds", "v", "EXAT", &(LATER / 1000).to_string()]);
    must(client, &["PFADD", "hll sparse", "a", "b", "c"]);
    for some in numbered(5000, "m").chunks(1000) {
        let words: Vec<&[u8]> = [&b"PFADD"[..], b"hll dense"].into_iter().chain(some.iter().map(|m| &m[..])).collect();
        must(client, &words);
    }
}

fn lists(client: &mut Client) {
    for count in [1, 2, 127, 128, 129, 130, 512, 513, 5000] {
        add(client, "RPUSH", &format!("list {count}"), numbered(count, "element "));
    }
    let mixed = ["", "0", "-1", "12", "127", "128", "-4096", "4095", "8191", "-32768", "32768", "8388607", "-8388608"];
    let more = ["8388608", "2147483647", "-2147483648", "2147483648", "9223372036854775807", "-9223372036854775808"];
    add(client, "RPUSH", "list mixed", mixed.into_iter().chain(more).map(|text| text.as_bytes().to_vec()));
    add(client, "RPUSH", "list of bytes", [0, 1, 62, 63, 64, 253, 254, 255, 4095, 4096].map(|length| noise(length, 3)));
    add(client, "RPUSH", "list of long", [5000, 9000, 70_000].map(|length| vec![b'z'; length]));
    must(client, &["PEXPIREAT", "list mixed", &LATER.to_string()]);
}

fn sets(client: &mut Client) {
    let ints = |range: &[i64]| range.iter().map(|number| number.to_string().into_bytes()).collect::<Vec<_>>();
    add(client, "SADD", "set 16", ints(&[-32768, -1, 0, 5, 32767]));
    add(client, "SADD", "set 32", ints(&[-2147483648, 1, 2147483647]));
    add(client, "SADD", "set 64", ints(&[i64::MIN, 3, i64::MAX]));
    add(client, "SADD", "set 512 ints", ints(&(0..512).collect::<Vec<_>>()));
    add(client, "SADD", "set 513 ints", ints(&(0..513).collect::<Vec<_>>()));
    add(
        client,
        "SADD",
        "set small",
        numbered(20, "m").into_iter().chain([vec![], b"\xff\x00".to_vec(), b"17".to_vec()]),
    );
    for count in [127, 128, 129, 5000] {
        add(client, "SADD", &format!("set {count}"), numbered(count, "member "));
    }
    add(client, "SADD", "set of long", [64, 65, 5000].map(|length| noise(length, 4)));
}

fn sorted_sets(client: &mut Client) {
    let scores = ["0", "-0", "1", "-1", "0.1", "-0.3333333333333333", "inf", "-inf", "1e300", "1.7976931348623157e308"];
    let more = ["5e-324", "3.141592653589793", "9007199254740993", "123456789012345680000", "2", "100", "4096"];
    let pairs = scores
        .into_iter()
        .chain(more)
        .enumerate()
        .flat_map(|(at, score)| [score.as_bytes().to_vec(), format!("m{at}").into_bytes()]);
    add(client, "ZADD", "zset scores", pairs);
    for count in [1, 127, 128, 129, 3000] {
        let pairs = (0..count).flat_map(|number: usize| {
            [format!("{}", number as f64 / 8.0).into_bytes(), format!("member {number}").into_bytes()]
        });
        add(client, "ZADD", &format!("zset {count}"), pairs);
    }
    let bytes = [&b""[..], b"\xff\r\n\x00", b"17"].map(|member| [b"1".to_vec(), member.to_vec()]);
    add(client, "ZADD", "zset of bytes", bytes.into_iter().flatten());
    add(
        client,
        "ZADD",
        "zset of long",
        [64, 65, 5000].map(|length| [b"1".to_vec(), noise(length, 5)]).into_iter().flatten(),
    );
    must(client, &["PEXPIREAT", "zset 128", &LATER.to_string()]);
}

fn hashes(client: &mut Client) {
    for count in [1, 127, 128, 129, 512, 513, 4000] {
        let pairs = (0..count).flat_map(|number: usize| [format!("f{number}").into_bytes(), noise(number % 9, 6)]);
        add(client, "HSET", &format!("hash {count}"), pairs);
    }
    let bytes = [(&b""[..], &b""[..]), (b"\xff\x00", b"\r\n"), (b"12", b"-77"), (b"big", &[b'q'; 3000])];
    add(client, "HSET", "hash of bytes", bytes.into_iter().flat_map(|(f, v)| [f.to_vec(), v.to_vec()]));
    must(client, &["PEXPIREAT", "hash 512", &LATER.to_string()]);
}

fn field_expiries(client: &mut Client) {
    for (key, count) in [("hash ttl small", 10), ("hash ttl large", 1500)] {
        let pairs = (0..count).flat_map(|n: usize| [format!("f{n}"), format!("v{n}")].map(String::into_bytes));
        add(client, "HSET", key, pairs);
        for number in (0..count).step_by(3) {
            let moment = (LATER + number as u64 % 7 * 1000).to_string();
            must(client, &["HPEXPIREAT", key, &moment, "FIELDS", "1", &format!("f{number}")]);
        }
    }
    add(client, "HSET", "hash ttl of one", [b"f".to_vec(), b"v".to_vec()]);
    must(client, &["HPEXPIREAT", "hash ttl of one", &LATER.to_string(), "FIELDS", "1", "f"]);
    must(client, &["PEXPIREAT", "hash ttl of one", &(LATER + 5).to_string()]);
    // A TTL that was taken back leaves its form.
    add(client, "HSET", "hash ttl taken back", [b"f".to_vec(), b"v".to_vec()]);
    must(client, &["HPEXPIREAT", "hash ttl taken back", &LATER.to_string(), "FIELDS", "1", "f"]);
    must(client, &["HPERSIST", "hash ttl taken back", "FIELDS", "1", "f"]);
}

fn streams(client: &mut Client) {
    let xadd = |client: &mut Client, key: &str, id: &str, words: &[&str]| {
        must(client, &[&["XADD", key, id], words].concat());
    };
    for count in [1, 99, 100, 101, 128, 129, 1500] {
        for number in 1..=count {
            let (id, value) = (format!("{}-{}", 1000 + number / 3, number), format!("v{number}"));
            match number % 5 {
                0 => xadd(client, &format!("stream {count}"), &id, &["other", &value, "second", ""]),
                _ => xadd(client, &format!("stream {count}"), &id, &["field", &value]),
            }
        }
    }
    must(client, &[b"XADD", b"stream of bytes".as_slice(), b"5-5", b"\xff\x00", &noise(5000, 7)]);
    must(client, &[b"XADD", b"stream of bytes".as_slice(), b"18446744073709551615-7", b"", b"\r\n"]);

    // Deleted at both ends and within, and at the end of all: the counters tell of it.
    for number in 1..=50 {
        xadd(client, "stream deleted", &format!("{number}-1"), &["f", "v"]);
    }
    must(client, &["XDEL", "stream deleted", "1-1", "2-1", "25-1", "26-1", "50-1"]);
    xadd(client, "stream emptied", "7-7", &["f", "v"]);
    must(client, &["XDEL", "stream emptied", "7-7"]);
    must(client, &["XGROUP", "CREATE", "stream never filled", "g", "0", "MKSTREAM"]);
    must(client, &["XGROUP", "CREATE", "stream without all", "g", "0", "MKSTREAM"]);
    must(client, &["XGROUP", "DESTROY", "stream without all", "g"]);

    // Groups that have read everything, something and nothing; more pending than one reply tells.
    for number in 1..=1300 {
        xadd(client, "stream groups", &format!("{number}-0"), &["f", &number.to_string()]);
    }
    for (group, from) in [("all", "0"), ("some", "100-0"), ("nothing", "$"), ("g \"quoted\"\n", "0")] {
        must(client, &["XGROUP", "CREATE", "stream groups", group, from]);
    }
    must(client, &["XGROUP", "CREATE", "stream groups", "counted", "200-0", "ENTRIESREAD", "200"]);
    must(client, &["XGROUP", "CREATECONSUMER", "stream groups", "some", "idle"]);
    let read = |client: &mut Client, group: &str, consumer: &str, count: &str| {
        must(client, &["XREADGROUP", "GROUP", group, consumer, "COUNT", count, "STREAMS", "stream groups", ">"]);
    };
    read(client, "all", "one", "2");
    read(client, "all", "two", "3");
    read(client, "some", "alice", "1000");
    read(client, "some", "bob", "1000");
    must(client, &["XACK", "stream groups", "some", "150-0", "151-0"]);
    must(
        client,
        &[
            "XCLAIM",
            "stream groups",
            "some",
            "carol",
            "0",
            "160-0",
            "161-0",
            "TIME",
            "1700000000000",
            "RETRYCOUNT",
            "7",
        ],
    );
    must(client, &["XCLAIM", "stream groups", "some", "carol", "0", "162-0", "JUSTID"]);
    must(client, &["PEXPIREAT", "stream groups", &LATER.to_string()]);
}

/// The same on a small scale, for files that are kept: every form of every type, and no moment of the present. Made for
/// the default limits of any version.
pub fn fill_small(client: &mut Client, field_ttls: bool) {
    for value in ["", "-128", "127", "-32768", "32767", "2147483647", "-2147483649", "a\r\nb", "grün"] {
        must(client, &["SET", &format!("string {value}"), value]);
    }
    must(client, &[&b"SET"[..], b"packed", &[b'a'; 500]]);
    must(client, &[&b"SET"[..], b"noise", &noise(300, 1)]);
    must(client, &[&b"SET"[..], b"\x00\xff", b"\xfe\x00"]);
    must(client, &["SET", "", "the empty key", "PXAT", &LATER.to_string()]);
    must(client, &["PFADD", "hll", "a", "b", "c"]);

    let mixed = ["", "0", "12", "13", "-1", "127", "128", "-4096", "4095", "-32768", "8388607", "2147483648", "x"];
    add(client, "RPUSH", "list small", mixed.map(|text| text.as_bytes().to_vec()));
    add(client, "RPUSH", "list of nodes", (0..5).map(|seed| noise(3000, seed)));
    add(client, "RPUSH", "list of long", [vec![b'z'; 70_000], vec![], vec![b'y'; 20_000]]);

    add(client, "SADD", "set 16", numbered(5, "-1"));
    add(client, "SADD", "set 32", numbered(5, "10000"));
    add(client, "SADD", "set 64", numbered(5, "-1000000000000"));
    add(client, "SADD", "set small", numbered(5, "m"));
    add(client, "SADD", "set large", numbered(150, "m").into_iter().chain([vec![], noise(70, 2)]));

    let scores = ["0", "-0", "0.1", "inf", "-inf", "1.7976931348623157e308", "5e-324", "9007199254740993", "4096"];
    let pairs = |count: usize| {
        (0..count).flat_map(move |at| [scores[at % scores.len()].as_bytes().to_vec(), format!("m{at}").into_bytes()])
    };
    add(client, "ZADD", "zset small", pairs(20));
    add(client, "ZADD", "zset large", pairs(150));

    let fields = |count: usize| (0..count).flat_map(|at| [format!("f{at}").into_bytes(), noise(at % 9, 6)]);
    add(client, "HSET", "hash small", fields(10));
    add(client, "HSET", "hash large", fields(520));
    add(client, "HSET", "hash of long", [b"f".to_vec(), vec![b'v'; 100]]);
    if field_ttls {
        for (key, count) in [("hash ttl small", 5), ("hash ttl large", 520)] {
            add(client, "HSET", key, fields(count));
            for number in (0..count).step_by(3) {
                let moment = (LATER + number as u64 % 7 * 1000).to_string();
                must(client, &["HPEXPIREAT", key, &moment, "FIELDS", "1", &format!("f{number}")]);
            }
        }
        add(client, "HSET", "hash ttl taken back", fields(2));
        must(client, &["HPEXPIREAT", "hash ttl taken back", &LATER.to_string(), "FIELDS", "1", "f1"]);
        must(client, &["HPERSIST", "hash ttl taken back", "FIELDS", "1", "f1"]);
    }
    for key in ["list small", "set small", "zset small", "hash small"] {
        must(client, &["PEXPIREAT", key, &LATER.to_string()]);
    }
    small_streams(client);
    must(client, &["SELECT", "15"]);
    must(client, &["SET", "in the last database", "x"]);
    must(client, &["SELECT", "0"]);
}

fn small_streams(client: &mut Client) {
    for number in 1..=130 {
        let id = format!("{}-{}", 1000 + number / 3, number);
        let value = number.to_string();
        let fields = if number % 5 == 0 { &["other", "", "second", &value][..] } else { &["field", "v"] };
        must(client, &[&["XADD", "stream", &id], fields].concat());
    }
    must(client, &["XDEL", "stream", "1000-1", "1010-30", "1043-130"]);
    must(client, &["XADD", "stream", "18446744073709551615-7", "f", "v"]);
    must(client, &["XGROUP", "CREATE", "stream", "nobody", "0"]);
    must(client, &["XGROUP", "CREATE", "stream", "group", "1001-4"]);
    let time = "1700000000000";
    let claim = |client: &mut Client, consumer: &str, id: &str, count: &str| {
        let words =
            ["XCLAIM", "stream", "group", consumer, "0", id, "TIME", time, "RETRYCOUNT", count, "FORCE", "JUSTID"];
        must(client, &words);
    };
    claim(client, "alice", "1000-2", "1");
    claim(client, "alice", "1001-3", "300");
    claim(client, "bob", "1001-4", "2");
    must(client, &["XGROUP", "CREATECONSUMER", "stream", "group", "idle"]);
    must(client, &["XADD", "stream emptied", "7-7", "f", "v"]);
    must(client, &["XDEL", "stream emptied", "7-7"]);
    must(client, &["XGROUP", "CREATE", "stream never filled", "g", "0", "MKSTREAM"]);
}
