//! Lua beside a real redis-server: what libraries give, in which words they refuse, and what becomes of values and replies.

use kv_core::families::testing::show;
use kv_core::resp::client::Value;
use kv_core::structs::random::Random;
use kv_server::lua::random_text;
use kv_tests::client::Client;
use kv_tests::process::Server;
use kv_tests::redis::Redis;
use std::process::Command;

/// Shows any value as a text; tables in the order of their keys.
const SHOW: &str = r#"
local function show(v, depth)
  depth = depth or 0
  if depth > 30 then return '...' end
  local kind = type(v)
  if kind == 'number' then
    if v ~= v then return 'nan' end
    return string.format('%.17g', v)
  elseif kind == 'string' then
    return string.format('%q', v)
  elseif kind == 'table' then
    local keys = {}
    for k in pairs(v) do keys[#keys + 1] = {show(k, depth + 1), k} end
    table.sort(keys, function(a, b) return a[1] < b[1] end)
    local out = {}
    for i, k in ipairs(keys) do out[i] = k[1] .. '=' .. show(v[k[2]], depth + 1) end
    return '{' .. table.concat(out, ',') .. '}'
  elseif kind == 'userdata' then
    return 'null'
  elseif kind == 'function' then
    return 'function'
  end
  return tostring(v)
end
local function all(...)
  local out = {}
  for i = 1, select('#', ...) do out[i] = show((select(i, ...))) end
  return table.concat(out, ' ')
end
local function try(f, ...) return all(pcall(f, ...)) end
"#;

struct Both {
    ours: Client,
    redis: Client,
    _server: Server,
    _redis: Redis,
    differences: Vec<String>,
}

impl Both {
    fn start() -> Option<Both> {
        let redis = Redis::start()?;
        let server = Server::start(&["--shards", "2"]);
        Some(Both {
            ours: server.client(),
            redis: redis.client(),
            _server: server,
            _redis: redis,
            differences: Vec::new(),
        })
    }

    /// Runs a script on both, and notes if they do not answer the same.
    fn compare(&mut self, code: &str, argv: &[Vec<u8>], hint: &str) {
        let mut words = vec![b"EVAL".to_vec(), code.as_bytes().to_vec(), b"0".to_vec()];
        words.extend_from_slice(argv);
        let (ours, redis) = (ask(&mut self.ours, &words), ask(&mut self.redis, &words));
        let code = code.strip_prefix(SHOW).unwrap_or(code);
        let shown = |value: &Value| show(value);
        let (ours, redis) = (shown(&ours), shown(&redis));
        if ours != redis {
            let argv: Vec<String> = argv.iter().map(|a| a.escape_ascii().to_string()).collect();
            self.differences.push(format!("{hint}: {code}\nof {argv:?}\n kv    {ours}\n Redis {redis}"));
        }
    }

    /// Panics: they did not always answer the same.
    fn agree(&self) {
        let first: Vec<&str> = self.differences.iter().take(20).map(String::as_str).collect();
        assert!(first.is_empty(), "{} differences:\n{}", self.differences.len(), first.join("\n"));
    }
}

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn ask(client: &mut Client, words: &[Vec<u8>]) -> Value {
    client.send(words);
    client.receive()
}

#[test]
fn libraries_give_what_they_give_in_redis() {
    let Some(mut both) = Both::start() else { return };
    for expression in [
        // bit
        "bit.tobit(0xffffffff), bit.tobit(2^32 + 1.5), bit.tobit(-1), bit.tobit('12'), bit.tobit(2.5), bit.tobit(3.5)",
        "bit.tohex(1), bit.tohex(-1), bit.tohex(255, 4), bit.tohex(255, -4), bit.tohex(255, 0), bit.tohex(1, 100)",
        "bit.bnot(0), bit.band(12, 10, 8), bit.bor(1, 2, 4), bit.bxor(5, 1, 1), bit.bswap(0x12345678)",
        "bit.lshift(1, 31), bit.lshift(1, 33), bit.rshift(-1, 28), bit.arshift(-8, 1), bit.rol(0x12345678, 8), bit.ror(1, 1)",
        // struct
        "struct.pack('>I2<I2', 258, 258), struct.pack('b', -1), struct.pack('i3', -2), struct.pack('I8', 2^53)",
        "struct.pack('!4 b i4', 1, 2), struct.pack('!b d', 1, 1.5), struct.pack('>d', 1.5), struct.pack('<f', 0.1)",
        "struct.pack('s', 'abc'), struct.pack('c5', 'abcdefg'), struct.pack('c0', 'abc'), struct.pack('bxb', 1, 2)",
        "struct.pack('l', -1), struct.pack('L', 1), struct.pack('T', 7), struct.pack('h', -2), struct.pack('H', 65535)",
        "struct.unpack('>I2', '\\1\\2'), struct.unpack('<i2', '\\255\\255'), struct.unpack('bc0', '\\3abcd')",
        "struct.unpack('s', 'abc\\0def'), struct.unpack('s', 'abc\\0def', 5), struct.unpack('!4bi4', '\\1\\0\\0\\0\\2\\0\\0\\0')",
        "struct.unpack('d', struct.pack('d', 0.1)), struct.unpack('f', struct.pack('f', 0.1)), struct.unpack('i8', struct.pack('i8', -5))",
        "struct.size('bi4'), struct.size('!bi4'), struct.size('!8bd'), struct.size('c10'), struct.size('>I3')",
        // cmsgpack
        "cmsgpack.pack(1, -1, 127, 128, 255, 256, 65535, 65536, 2^32, 2^53, -32, -33, -128, -129, -32769, -2^31, -2^31 - 1)",
        "cmsgpack.pack(1.5, 0.1, 1e300, true, false, nil, 'x', string.rep('x', 40), {}, {1, 2}, {a = 1}, {1, nil, 3})",
        "cmsgpack.pack(string.rep('x', 300)):sub(1, 5), cmsgpack.pack(string.rep('x', 70000)):sub(1, 6)",
        "cmsgpack.pack({[1] = 1, [2.5] = 2}), cmsgpack.pack({[0] = 1}), cmsgpack.pack(cjson.null)",
        "cmsgpack.unpack(cmsgpack.pack({1, {2, {3}}, a = {b = 'c'}}, 5, 'x'))",
        "cmsgpack.unpack_one(cmsgpack.pack(1, 2, 3)), cmsgpack.unpack_one(cmsgpack.pack(1, 2, 3), 2)",
        "cmsgpack.unpack_limit(cmsgpack.pack(1, 2, 3), 2), cmsgpack.unpack_limit(cmsgpack.pack(1, 2, 3), 5, 1)",
        "(function() local t = {} for i = 1, 30 do t = {t} end return cmsgpack.pack(t) end)()",
        // cjson
        "cjson.encode({1, 2, 3}), cjson.encode({a = 1}), cjson.encode({}), cjson.encode({[1] = 1, [3] = 3}), cjson.encode({[1.5] = 1})",
        "cjson.encode('a/b\"\\\\\\n\\1\\127\\200'), cjson.encode(cjson.null), cjson.encode(true), cjson.encode(0.1), cjson.encode(-0.0)",
        "cjson.encode(1e15), cjson.encode(1e14), cjson.encode(123456789012345), cjson.encode(2^53), cjson.encode(1e-5), cjson.encode(1/3)",
        "cjson.decode('[1, 2.5, -3e2, true, false, null, \"x\\\\u00e9\\\\ud83d\\\\ude00\", {\"a\": {}}]')",
        "cjson.decode('0x10'), cjson.decode('[01, inf, -inf, 1., .5]')",
        "cjson.encode_number_precision(3), cjson.encode(1/3)",
        "cjson.encode_max_depth(2), cjson.encode({{1}})",
        "cjson.encode_sparse_array(true, 1, 1), cjson.encode({[1] = 1, [100] = 1})",
        "cjson.encode_invalid_numbers('null'), cjson.encode(0/0)",
        "cjson.encode_invalid_numbers(true), cjson.encode(1/0), cjson.encode_invalid_numbers()",
        "cjson.decode_invalid_numbers(false), pcall(cjson.decode, '0x10')",
        "cjson.encode_keep_buffer(), cjson.encode_keep_buffer('off'), cjson.decode_max_depth(5), cjson.new().encode({1})",
        "cjson.decode('{\"1\": 1, \"a\": [1, [2, [3]]]}')",
        // and what is Lua's own
        "math.randomseed(7), math.random(), math.random(10), math.random(-5, 5), math.random(1000000)",
        "string.format('%5.2f|%s|%q|%x|%d', 3.14159, 'x', 'a\\nb', 255, 42), ('x'):rep(3), ('abc'):upper()",
        "table.concat({1, 2, 3}, '-'), table.getn({1, 2}), table.maxn({1, nil, 3}), unpack({1, 2, 3}, 2), select('#', unpack({}, 1, 100))",
        "tostring(1e15), tostring(1/3), tostring(2^53), tonumber('0x10'), tonumber('z', 36), 10 % 3, -7 % 3, 2^10",
        "next({}), type(next), rawget({5}, 1), rawequal('a', 'a'), #'abc', getmetatable({}), type(getmetatable('').__index)",
        "setmetatable({}, {__index = function(_, k) return k .. '!' end}).foo, pcall(error, 'x', 0), pcall(error)",
        "loadstring('return 1 + 1')(), loadstring('x x'), load(function() return nil end)",
        "redis.sha1hex('abc'), redis.error_reply('X y'), redis.error_reply('x'), redis.status_reply('ok'), redis.error_reply('-A b')",
        "coroutine.resume(coroutine.create(function(a) return coroutine.yield(a + 1) end), 1)",
        "string.gsub('hello world', 'o', '0'), string.find('hello', 'l+'), string.match('k=v', '(%w+)=(%w+)')",
    ] {
        both.compare(&format!("{SHOW} return all({expression})"), &[], "expression");
    }
    both.agree();
}

/// `f, a, b` as `f(a, b)`: there a function has a name, which refusals tell.
fn direct(call: &str) -> String {
    let (function, arguments) = call.split_once(", ").unwrap_or((call, ""));
    format!("{function}({arguments})")
}

#[test]
fn refusals_are_in_the_words_of_redis() {
    let Some(mut both) = Both::start() else { return };
    for call in [
        "bit.band",
        "bit.band, 'x'",
        "bit.lshift, 1",
        "bit.tohex",
        "struct.pack, 'z', 1",
        "struct.pack, 'i', 'x'",
        "struct.pack, 'c5', 'ab'",
        "struct.pack, 'i40', 1",
        "struct.pack, '!3i', 1",
        "struct.pack, 'i99999999999', 1",
        "struct.unpack, 'I', 'ab'",
        "struct.unpack, 's', 'ab'",
        "struct.unpack, 'c0', 'ab'",
        "struct.unpack, 'b', 'a', 0",
        "struct.unpack, 'b'",
        "struct.size, 's'",
        "struct.size, 'c0'",
        "struct.size, 'y'",
        "cmsgpack.pack",
        "cmsgpack.unpack",
        "cmsgpack.unpack, '\\200'",
        "cmsgpack.unpack, '\\217\\5ab'",
        "cmsgpack.unpack, '\\193'",
        "cmsgpack.unpack_one, 'abc', 9",
        "cmsgpack.unpack_one, 'abc', -1",
        "cmsgpack.unpack_limit, 'abc', -1",
        "cmsgpack.unpack_limit, 'abc'",
        "cjson.encode",
        "cjson.encode, 1, 2",
        "cjson.encode, {[true] = 1}",
        "cjson.encode, 0/0",
        "cjson.encode, {[1000] = 1}",
        "cjson.encode, {pcall}",
        "cjson.encode, coroutine.create(function() end)",
        "cjson.decode",
        "cjson.decode, ''",
        "cjson.decode, '\\0a'",
        "cjson.decode, '[1'",
        "cjson.decode, '{1:2}'",
        "cjson.decode, '{\"a\" 1}'",
        "cjson.decode, '{\"a\":1 \"b\"}'",
        "cjson.decode, '[1 2]'",
        "cjson.decode, '[1] 2'",
        "cjson.decode, '\"\\\\ud83d\"'",
        "cjson.decode, '\"\\\\x\"'",
        "cjson.decode, '\"a'",
        "cjson.decode, 'tru'",
        "cjson.decode, '-'",
        "cjson.decode, {}",
        "cjson.encode_max_depth, 0",
        "cjson.encode_max_depth, 1, 2",
        "cjson.encode_number_precision, 20",
        "cjson.encode_sparse_array, 'x'",
        "cjson.encode_invalid_numbers, 'x'",
        "cjson.decode_max_depth, 'x'",
        "math.random, 0",
        "math.random, 3, 1",
        "math.random, 1, 2, 3",
        "math.random, 'x'",
        "unpack, {}, 1, 1e8",
        "unpack, nil",
        "table.insert, nil, 1",
        "table.insert, {}",
        "table.insert, {}, 1, 2, 3",
        "setmetatable, 1, {}",
        "setmetatable, {}",
        "rawset, 1, 2, 3",
        "pairs, nil",
        "ipairs",
        "next, 1",
        "loadstring",
        "load, 1",
        "tonumber",
        "string.rep",
        "('x').rep, 'x', {}",
        "redis.call, 'get'",
        "redis.call",
        "redis.call, {}",
        "redis.call, 'nosuch'",
        "redis.setresp, 9",
        "redis.log, 1",
        "redis.sha1hex",
        "redis.set_repl, 77",
        "redis.acl_check_cmd, 'x'",
        "getmetatable",
        "xpcall",
        "coroutine.resume, 1",
        "select, 0",
        "collectgarbage, 'x'",
        "string.format, '%d', 'x'",
        "error, {err = 'A b'}",
        "rawget",
        "table.concat, {{}}",
    ] {
        both.compare(&format!("{SHOW} return try({call})"), &[], "refusal");
        both.compare(&format!("{SHOW} return try(function() {} end)", direct(call)), &[], "refusal");
    }
    both.agree();
}

#[test]
fn random_bytes_mean_what_they_mean_in_redis() {
    let Some(mut both) = Both::start() else { return };
    let seed = setting("KV_TESTS_SEED", 1);
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let code = format!(
        "{SHOW} local b = ARGV[1] return {{try(cjson.decode, b), try(cmsgpack.unpack, b), try(struct.unpack, ARGV[2], b), \
         try(function() return cjson.encode(cjson.decode(b)) end), try(function() return cmsgpack.pack(cmsgpack.unpack(b)) end)}}"
    );
    for case in 0..setting("KV_TESTS_CASES", 2000) {
        let formats = b"<>bBhHlLTfdiIxs2348";
        let format: Vec<u8> = (0..random.index(6)).map(|_| formats[random.index(formats.len())]).collect();
        both.compare(&code, &[random_text(&mut random), format], &format!("seed {seed}, case {case}"));
    }
    both.agree();
}

#[test]
fn replies_and_values_are_those_of_redis_in_both_protocols() {
    let Some(mut both) = Both::start() else { return };
    for proto in ["2", "3"] {
        let hello = ["HELLO", proto].map(|word| word.as_bytes().to_vec());
        ask(&mut both.ours, &hello);
        ask(&mut both.redis, &hello);
        for code in [
            "return 1.9",
            "return true",
            "return false",
            "return nil",
            "return {true, false, 1}",
            "return {double = 3.5}",
            "return {double = 'x'}",
            "return {map = {a = 1}}",
            "return {set = {a = true}}",
            "return {big_number = '12345678901234567890'}",
            "return {big_number = 12}",
            "return {verbatim_string = {format = 'txt', string = 'abc'}}",
            "return {verbatim_string = {string = 'abc'}}",
            "return {ok = 'a\\r\\nb'}",
            "return {err = 'a\\r\\nb'}",
            "return {1, err = 'A b'}",
            "return {1, ok = 'x'}",
            "return {1, {2, {3, {4}}}}",
            "return {}",
            "return {nil, 1}",
            "return {map = {a = {map = {b = 2}}}}",
            "return 2^53",
            "return -2^63",
            "return 2^63",
            "return 1/0",
            "return 'a\\0b'",
            "redis.setresp(3) return {true, false}",
            "redis.setresp(3) return redis.call('hgetall', 'h')",
            "redis.setresp(3) return redis.call('zscore', 'z', 'a')",
            "redis.setresp(3) return redis.call('smembers', 's')",
            "redis.setresp(3) return redis.call('get', 'nokey')",
            "redis.setresp(3) return {redis.call('get', 'nokey'), 1}",
            "return redis.call('hgetall', 'h')",
            "return redis.call('zscore', 'z', 'a')",
            "return redis.call('smembers', 's')",
            "return redis.call('get', 'nokey')",
            "return redis.call('zrange', 'z', 0, -1, 'withscores')",
            "redis.setresp(3) return redis.call('zrange', 'z', 0, -1, 'withscores')",
            "return redis.call('lpop', 'nokey', 2)",
            "redis.setresp(3) return redis.call('lpop', 'nokey', 2)",
            "return redis.call('type', 'h')",
            "return redis.call('mget', 'a', 'nokey', 'h')",
            "return redis.pcall('get', 'h')",
            "return {redis.pcall('get', 'h')}",
        ] {
            for set in ["HSET h f v", "ZADD z 1.5 a", "SADD s m", "SET a 1"] {
                let words: Vec<Vec<u8>> = set.split(' ').map(|word| word.as_bytes().to_vec()).collect();
                ask(&mut both.ours, &words);
                ask(&mut both.redis, &words);
            }
            both.compare(code, &[], &format!("RESP{proto}"));
        }
    }
    both.agree();
}

#[test]
fn programs_with_redis_py_and_its_scripts_and_locks_work() {
    let Some(python) = kv_tests::python::with("redis") else { return };
    for shards in ["1", "4"] {
        let server = Server::start(&["--shards", shards]);
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/scripts.py");
        let output = Command::new(python).arg(program).arg(server.address().port().to_string()).output();
        let output = output.expect("python can be run");
        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{shards} shards: {}{}", shown(&output.stdout), shown(&output.stderr));
    }
}
