use super::*;

/// Replies with what the command `REPLY` is given, and stops at `STOP`, or after so many looks.
struct Desk {
    looks: u32,
    logged: Vec<(LogLevel, String)>,
    asked: Vec<Vec<u8>>,
}

impl Commands for Desk {
    fn call(&mut self, data: &[u8], words: &[Arg], proto: Proto, out: &mut Vec<u8>) -> Result<(), Stop> {
        let words: Vec<&[u8]> = words.iter().map(|word| word.get(data)).collect();
        self.asked.push(words.join(&b' '));
        match words[..] {
            [b"STOP"] => return Err(Stop),
            [b"REPLY", reply] => out.extend_from_slice(reply),
            [b"PROTO"] => Reply::new(out, proto).int(if proto == Proto::Resp3 { 3 } else { 2 }),
            _ => Reply::new(out, proto).error("ERR no such thing"),
        }
        Ok(())
    }
    fn is_command(&mut self, data: &[u8], words: &[Arg]) -> bool {
        words[0].get(data) == b"REPLY"
    }
    fn go_on(&mut self) -> Result<(), Stop> {
        self.looks = self.looks.checked_sub(1).ok_or(Stop)?;
        Ok(())
    }
    fn log(&mut self, level: LogLevel, text: &[u8]) {
        self.logged.push((level, String::from_utf8_lossy(text).into()));
    }
}

fn desk() -> Desk {
    Desk { looks: 1000, logged: Vec::new(), asked: Vec::new() }
}

/// Runs a script; its reply as text, line ends as `|`.
fn run_on(lua: &Interpreter<Desk>, source: &str, proto: Proto) -> (String, Ended, Desk) {
    let script = lua.compile(source.as_bytes()).unwrap_or_else(|e| panic!("{}", String::from_utf8_lossy(&e)));
    let (keys, argv) = ([&b"k1"[..], b"k2"], [&b"a1"[..]]);
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, proto);
    let (desk, ended) = lua.run(&script, || "sha", keys.into_iter(), argv.into_iter(), desk(), &mut reply);
    (String::from_utf8_lossy(&out).replace("\r\n", "|"), ended, desk)
}

fn run(source: &str) -> String {
    run_on(&Interpreter::default(), source, Proto::Resp2).0
}

fn run3(source: &str) -> String {
    run_on(&Interpreter::default(), source, Proto::Resp3).0
}

#[test]
fn results_become_replies() {
    assert_eq!(run("return 3.99"), ":3|");
    assert_eq!(run("return -3.99"), ":-3|");
    assert_eq!(run("return 0/0"), ":-9223372036854775808|");
    assert_eq!(run("return 1e300"), ":-9223372036854775808|");
    assert_eq!(run("return {1, 2.7, 'x', true, false, {1, {2}}, nil, 9}"), "*6|:1|:2|$1|x|:1|$-1|*2|:1|*1|:2|");
    assert_eq!(run("return {ok='fine\\r\\n'}"), "+fine  |");
    assert_eq!(run("return {err='MY err'}"), "-MY err|");
    assert_eq!(run("return {1, err='MY err'}"), "-MY err|");
    assert_eq!(run("return {double=3.25}"), "$4|3.25|");
    assert_eq!(run("return"), "$-1|");
    assert_eq!(run("return {KEYS[2], ARGV[1], #KEYS, #ARGV}"), "*4|$2|k2|$2|a1|:2|:1|");
    assert_eq!(run3("return {double=3.25}"), ",3.25|");
    assert_eq!(run3("return {map={a=1}}"), "%1|$1|a|:1|");
    assert_eq!(run3("return {set={a=true}}"), "~1|$1|a|");
    assert_eq!(run3("return {big_number='12'}"), "(12|");
    assert_eq!(run3("return {verbatim_string={string='abc', format='txt'}}"), "=7|txt:abc|");
    assert_eq!(run3("return {true, nil}"), "*1|:1|");
    assert_eq!(run3("redis.setresp(3) return {true, false}"), "*2|#t|#f|");
    assert!(run("local t = {} t[1] = t return t").ends_with("-ERR reached lua stack limit|"));
}

#[test]
fn replies_become_values() {
    let script = |reply: &str| format!("local r = redis.call('REPLY', {reply:?}) ");
    for (reply, expression, expected) in [
        (":5\r\n", "return r + 1", ":6|"),
        ("$2\r\nab\r\n", "return r .. 'c'", "$3|abc|"),
        ("$-1\r\n", "return tostring(r)", "$5|false|"),
        ("*-1\r\n", "return tostring(r)", "$5|false|"),
        ("+OK\r\n", "return r.ok", "$2|OK|"),
        ("*2\r\n:1\r\n*1\r\n$1\r\nx\r\n", "return r[2][1]", "$1|x|"),
        ("*1\r\n-WRONG thing\r\n", "return r[1].err", "$11|WRONG thing|"),
        ("_\r\n", "return tostring(r)", "$3|nil|"),
        ("#t\r\n", "return tostring(r)", "$4|true|"),
        (",1.5\r\n", "return tostring(r.double)", "$3|1.5|"),
        ("(123\r\n", "return r.big_number", "$3|123|"),
        ("%1\r\n$1\r\na\r\n:1\r\n", "return r.map.a", ":1|"),
        ("~1\r\n$1\r\na\r\n", "return tostring(r.set.a)", "$4|true|"),
        ("=5\r\ntxt:a\r\n", "return r.verbatim_string.format .. r.verbatim_string.string", "$4|txta|"),
    ] {
        assert_eq!(run(&(script(reply) + expression)), expected, "{reply:?}");
    }
    assert_eq!(run("return {redis.call('PROTO'), redis.setresp(3) or redis.call('PROTO')}"), "*2|:2|:3|");
}

#[test]
fn numbers_become_words_and_other_values_do_not() {
    let (_, _, desk) = run_on(
        &Interpreter::default(),
        "for _, n in ipairs{1, 1.5, 1e18, -0.0, 0.1, 2^53} do redis.pcall('x', n) end",
        Proto::Resp2,
    );
    let asked: Vec<_> = desk.asked.iter().map(|words| String::from_utf8_lossy(&words[2..]).into_owned()).collect();
    assert_eq!(asked, ["1", "1.5", "1000000000000000000", "0", "0.1", "9007199254740992"]);
    let refused = "ERR Lua redis lib command arguments must be strings or integers";
    assert_eq!(run("return redis.pcall('x', true)"), format!("-{refused}|"));
    assert_eq!(run("return redis.pcall()"), "-ERR Please specify at least one argument for this redis lib call|");
}

#[test]
fn errors_tell_where_they_happened() {
    assert_eq!(run("error('boom')"), "-ERR user_script:1: boom script: sha, on @user_script:1.|");
    assert_eq!(run("error({err='MY err'})"), "-MY err script: sha, on @user_script:1.|");
    assert_eq!(run("error()"), "-ERR nil script: sha, on @user_script:1.|");
    assert_eq!(run("\n\nreturn redis.call('x')"), "-ERR no such thing script: sha, on @user_script:3.|");
    assert_eq!(
        run("local x\nreturn x.y"),
        "-ERR user_script:2: attempt to index local 'x' (a nil value) script: sha, on @user_script:2.|"
    );
    assert_eq!(
        run("return cjson.decode('x')"),
        "-ERR user_script:1: Expected value but found invalid token at character 1 script: sha, on @user_script:1.|"
    );
    assert!(run("error({x=1})").starts_with("-ERR unknown error script: sha"));
}

#[test]
fn scripts_catch_errors_as_strings_and_tables() {
    assert_eq!(run("local ok, e = pcall(redis.call, 'x') return {type(e), e}"), "*2|$6|string|$17|ERR no such thing|");
    assert_eq!(run("return redis.pcall('x')"), "-ERR no such thing|");
    assert_eq!(run("return tostring(redis.pcall('x').ignore_error_stats_update)"), "$4|true|");
    let caught = "xpcall(function() return redis.call('x') end, function(e) return e end)";
    assert_eq!(run(&format!("local _, e = {caught} return {{type(e), e.err}}")), "*2|$5|table|$17|ERR no such thing|");
    let resumed = "coroutine.resume(coroutine.create(function() return redis.call('x') end))";
    assert_eq!(
        run(&format!("local ok, e = {resumed} return {{tostring(ok), e.err}}")),
        "*2|$5|false|$17|ERR no such thing|"
    );
    assert_eq!(
        run("local _, e = pcall(cjson.decode, '[1,') return e"),
        "$45|Expected value but found T_END at character 4|"
    );
    assert_eq!(run("return {pcall(error, 'x', 0)}"), "*2|$-1|$1|x|");
    assert_eq!(run("return {pcall(function(...) return ... end, 1, 2)}"), "*3|:1|:1|:2|");
    assert_eq!(run("return redis.error_reply('abc')"), "-ERR abc|");
    assert_eq!(run("return redis.error_reply('-ABC def')"), "-ABC def|");
    assert_eq!(run("return redis.error_reply({})"), "-ERR wrong number or type of arguments|");
    assert_eq!(run("return redis.status_reply('x')"), "+x|");
}

#[test]
fn the_sandbox_has_what_redis_has_and_nothing_else() {
    let names = run("local r = {} for k in pairs(_G) do r[#r + 1] = k end table.sort(r) return table.concat(r, ' ')");
    assert_eq!(
        names.split('|').nth(1),
        Some(
            "ARGV KEYS _G _VERSION assert bit cjson cmsgpack collectgarbage coroutine error gcinfo getmetatable ipairs load \
             loadstring math next os pairs pcall rawequal rawget rawset redis select setmetatable string struct table tonumber \
             tostring type unpack xpcall"
        )
    );
    for (library, expected) in [
        ("os", "clock"),
        ("coroutine", "create resume running status wrap yield"),
        ("table", "concat foreach foreachi getn insert maxn remove setn sort"),
        ("string", "byte char dump find format gfind gmatch gsub len lower match rep reverse sub upper"),
        (
            "math",
            "abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp huge ldexp log log10 max min mod modf pi pow rad \
             random randomseed sin sinh sqrt tan tanh",
        ),
        (
            "redis",
            "LOG_DEBUG LOG_NOTICE LOG_VERBOSE LOG_WARNING REDIS_VERSION REDIS_VERSION_NUM REPL_ALL REPL_AOF REPL_NONE \
             REPL_REPLICA REPL_SLAVE acl_check_cmd breakpoint call debug error_reply log pcall replicate_commands set_repl \
             setresp sha1hex status_reply",
        ),
        (
            "cjson",
            "_NAME _VERSION decode decode_invalid_numbers decode_max_depth encode encode_invalid_numbers encode_keep_buffer \
             encode_max_depth encode_number_precision encode_sparse_array new null",
        ),
        ("cmsgpack", "_COPYRIGHT _DESCRIPTION _NAME _VERSION pack unpack unpack_limit unpack_one"),
        ("struct", "pack size unpack"),
        ("bit", "arshift band bnot bor bswap bxor lshift rol ror rshift tobit tohex"),
    ] {
        let code = format!(
            "local r = {{}} for k in pairs({library}) do r[#r + 1] = k end table.sort(r) return table.concat(r, ' ')"
        );
        assert_eq!(run(&code).split('|').nth(1), Some(expected), "{library}");
    }
}

#[test]
fn nothing_that_scripts_share_can_be_changed() {
    for code in [
        "foo = 1",
        "redis.x = 1",
        "redis.call = 1",
        "string.x = 1",
        "KEYS = {}",
        "_G.x = 1",
        "getmetatable('').__index = nil",
        "getmetatable(_G).__index = nil",
        "table.insert = nil",
    ] {
        let reply = run(code);
        assert!(reply.starts_with("-ERR user_script:1: Attempt to modify a readonly table"), "{code}: {reply}");
    }
    for code in ["rawset(_G, 'x', 1)", "rawset(string, 'x', 1)", "setmetatable(_G, {})", "table.insert(redis, 1)"] {
        assert!(run(code).starts_with("-ERR Attempt to modify a readonly table"), "{code}");
    }
    let lua = Interpreter::default();
    run_on(&lua, "KEYS.x = 1 KEYS[9] = 2", Proto::Resp2);
    assert_eq!(run_on(&lua, "return {tostring(KEYS.x), tostring(KEYS[9])}", Proto::Resp2).0, "*2|$3|nil|$3|nil|");
    run_on(&lua, "cjson.encode_number_precision(3)", Proto::Resp2);
    let after = run_on(&lua, "return cjson.encode(1/3)", Proto::Resp2).0;
    assert_eq!(after, run("return cjson.encode(1/3)"));
}

#[test]
fn what_reaches_out_of_the_sandbox_is_missing() {
    for name in
        ["debug", "io", "require", "module", "package", "dofile", "loadfile", "print", "newproxy", "getfenv", "setfenv"]
    {
        let reply = run(&format!("return {name}"));
        let expected = format!("-ERR user_script:1: Script attempted to access nonexistent global variable '{name}'");
        assert!(reply.starts_with(&expected), "{reply}");
    }
    assert_eq!(run("return loadstring('return 5')()"), ":5|");
    assert_eq!(run("return load(function() return nil end)()"), "$-1|");
    assert_eq!(run("local i = 0 return load(function() i = i + 1 return ({'return ', '7'})[i] end)()"), ":7|");
    assert!(run("loadstring('x = 5')()").contains("[string \"x = 5\"]:1: Attempt to modify a readonly table"));
    assert_eq!(run("return tostring(loadstring(string.dump(function() end)))"), "$3|nil|");
    assert_eq!(
        run("return ({loadstring('x x')})[2] or select(2, loadstring('x x'))"),
        "$39|[string \"x x\"]:1: '=' expected near 'x'|"
    );
    for code in ["unpack({}, -2147483648, 2147483647)", "unpack({}, 1, 1e9)", "unpack({}, 1, 8000)"] {
        assert!(run(code).contains("too many results to unpack"), "{code}");
    }
    assert_eq!(run("return {unpack({1, 2, 3}, 2)}"), "*2|:2|:3|");
    assert_eq!(run("return select('#', unpack({}, 1, 7000))"), ":7000|");
    assert_eq!(run("return collectgarbage('stop')"), ":0|");
}

#[test]
fn arguments_of_functions_are_refused_as_lua_does() {
    for (code, expected) in [
        ("pairs(nil)", "bad argument #1 to 'pairs' (table expected, got nil)"),
        ("pairs()", "bad argument #1 to 'pairs' (table expected, got no value)"),
        ("table.insert(nil, 1)", "bad argument #1 to 'insert' (table expected, got nil)"),
        ("bit.band()", "bad argument #1 to 'band' (number expected, got no value)"),
        ("bit.band('x')", "bad argument #1 to 'band' (number expected, got string)"),
        ("struct.pack('z', 1)", "bad argument #1 to 'pack' (invalid format option 'z')"),
        ("struct.unpack('I', 'ab')", "bad argument #2 to 'unpack' (data string too short)"),
        ("cmsgpack.unpack('\\217')", "Missing bytes in input."),
        ("cmsgpack.unpack('\\193')", "Bad data format in input."),
        ("cmsgpack.pack()", "bad argument #0 to 'pack' (MessagePack pack needs input.)"),
        ("cmsgpack.unpack_one('abc', 9)", "Start offset 9 greater than input length 3."),
        ("cmsgpack.unpack_limit('abc', -1)", "Invalid request to unpack with offset of 0 and limit of 3."),
        ("cjson.decode()", "bad argument #1 to 'decode' (expected 1 argument)"),
        ("cjson.encode(function() end)", "Cannot serialise function: type not supported"),
        ("math.random(0)", "bad argument #1 to 'random' (interval is empty)"),
        ("math.random(3, 1)", "bad argument #2 to 'random' (interval is empty)"),
        ("math.random(1, 2, 3)", "wrong number of arguments"),
    ] {
        let reply = run(&format!("local x = {code}"));
        let expected = format!("-ERR user_script:1: {expected} script: sha, on @user_script:1.|");
        assert_eq!(reply, expected, "{code}");
    }
    for (code, expected) in [
        ("redis.sha1hex()", "ERR wrong number of arguments"),
        ("redis.setresp(4)", "ERR RESP version must be 2 or 3."),
        ("redis.setresp()", "ERR redis.setresp() requires one argument."),
        ("redis.log(9, 'x')", "ERR Invalid debug level."),
        ("redis.log('x', 'x')", "ERR First argument must be a number (log level)."),
        ("redis.set_repl(9)", "ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE."),
        ("redis.acl_check_cmd('nosuch')", "ERR Invalid command passed to redis.acl_check_cmd()"),
    ] {
        assert_eq!(run(code), format!("-{expected} script: sha, on @user_script:1.|"), "{code}");
    }
    assert_eq!(run("return redis.sha1hex('')"), "$40|da39a3ee5e6b4b0d3255bfef95601890afd80709|");
    assert_eq!(run("return redis.sha1hex(1)"), "$40|356a192b7913b04c54574d18c28d46e6395428ab|");
}

#[test]
fn what_a_script_logs_is_handed_on() {
    let code = "redis.log(redis.LOG_WARNING, 'a', 1, nil, {}, 'b') redis.log(redis.LOG_DEBUG, 'c')";
    let (_, _, desk) = run_on(&Interpreter::default(), code, Proto::Resp2);
    assert_eq!(desk.logged, [(LogLevel::Warning, "a 1 b".into()), (LogLevel::Debug, "c".into())]);
}

#[test]
fn a_script_is_stopped_whatever_it_does_against_it() {
    let lua = Interpreter::default();
    for code in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local function f() return f() end return f()",
        "while true do local co = coroutine.wrap(function() while true do end end) pcall(co) end",
        "local function loop() while true do end end while true do xpcall(loop, loop) end",
        "redis.call('STOP') return 1",
        "while true do pcall(redis.call, 'STOP') end",
        "repeat redis.pcall('STOP') until false",
    ] {
        let (reply, ended, _) = run_on(&lua, code, Proto::Resp2);
        assert!(reply.is_empty() && matches!(ended, Ended::Stopped { .. }), "{code}: {reply} {ended:?}");
        // And the next one runs as if nothing had been.
        assert_eq!(run_on(&lua, "local n = 0 for i = 1, 100000 do n = n + 1 end return n", Proto::Resp2).0, ":100000|");
    }
}

#[test]
fn json_is_what_it_is_in_redis() {
    let encoded = |code: &str| run(&format!("return cjson.encode({code})"));
    for (code, json) in [
        ("{1, 2, 3}", "[1,2,3]"),
        ("{}", "{}"),
        ("{a = 1}", r#"{"a":1}"#),
        ("{[1] = 1, [3] = 3}", "[1,null,3]"),
        ("{[1.5] = 1}", r#"{"1.5":1}"#),
        ("1/3", "0.33333333333333"),
        ("2^53", "9.007199254741e+15"),
        ("1e15", "1e+15"),
        ("100000000000000", "1e+14"),
        ("0.0001", "0.0001"),
        ("0.00001", "1e-05"),
        ("'a/b\"\\\\\\n\\1\\127\\200'", "\"a\\/b\\\"\\\\\\n\\u0001\\u007f\u{fffd}\""),
        ("cjson.null", "null"),
        ("{true, false}", "[true,false]"),
    ] {
        assert_eq!(encoded(code), format!("${}|{json}|", json.len() - 2 * json.matches('\u{fffd}').count()), "{code}");
    }
    let decoded = |json: &str, code: &str| run(&format!("local v = cjson.decode({json:?}) return {code}"));
    assert_eq!(decoded("{\"a\":[1,2,{\"b\":null}]}", "{v.a[2], tostring(v.a[3].b == cjson.null)}"), "*2|:2|$4|true|");
    assert_eq!(decoded("\"\\u00e9\\ud83d\\ude00\"", "v"), "$6|é😀|");
    assert_eq!(
        decoded(" [ 1e3 , -0.5, 0x10, 01, inf ] ", "{v[1], tostring(v[2]), v[3], v[4], tostring(v[5])}"),
        "*5|:1000|$4|-0.5|:16|:1|$3|inf|"
    );
    for (json, error) in [
        ("", "Expected value but found T_END at character 1"),
        ("[1", "Expected comma or array end but found T_END at character 3"),
        ("{1:2}", "Expected object key string but found T_NUMBER at character 2"),
        ("{\"a\" 1}", "Expected colon but found T_NUMBER at character 6"),
        ("[1] 2", "Expected the end but found T_NUMBER at character 5"),
        ("\"\\ud83d\"", "Expected value but found invalid unicode escape code at character 2"),
        ("\"\\x\"", "Expected value but found invalid escape code at character 2"),
        ("\"a", "Expected value but found unexpected end of string at character 3"),
        ("tru", "Expected value but found invalid token at character 1"),
    ] {
        let reply = run(&format!("local _, e = pcall(cjson.decode, {json:?}) return e"));
        assert_eq!(reply, format!("${}|{error}|", error.len()), "{json}");
    }
    let deep = run("local ok, e = pcall(cjson.decode, string.rep('[', 2000)) return e");
    assert_eq!(deep.split('|').nth(1), Some("Found too many nested data structures (1001) at character 1001"));
    let deep = run("local t = {} for i = 1, 2000 do t = {t} end local ok, e = pcall(cjson.encode, t) return e");
    assert_eq!(deep.split('|').nth(1), Some("Cannot serialise, excessive depth (1001)"));
    assert_eq!(
        run("local ok, e = pcall(cjson.encode, {[1000] = 1}) return e").split('|').nth(1),
        Some("Cannot serialise table: excessively sparse array")
    );
}

#[test]
fn numbers_are_written_as_c_does() {
    for (number, digits, expected) in [
        (0.0, 14, "0"),
        (-0.0, 14, "-0"),
        (100.0, 14, "100"),
        (123456.0, 3, "1.23e+05"),
        (0.1 + 0.2, 17, "0.30000000000000004"),
        (0.1 + 0.2, 14, "0.3"),
        (99999.5, 5, "1e+05"),
        (1e100, 14, "1e+100"),
        (-1e-7, 14, "-1e-07"),
        (f64::INFINITY, 14, "inf"),
    ] {
        let mut out = Vec::new();
        args::push_general(&mut out, number, digits);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

#[test]
fn numbers_are_written_with_the_digits_of_their_exact_value() {
    /// The same from as many digits as are wanted, each time.
    fn exact(value: f64, digits: usize) -> String {
        let text = format!("{:.*e}", digits - 1, value);
        let (mantissa, exponent) = text.split_once('e').unwrap();
        let exponent: i32 = exponent.parse().unwrap();
        let trimmed = |text: &str| match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => text.to_owned(),
        };
        if exponent < -4 || exponent >= digits as i32 {
            let sign = if exponent < 0 { '-' } else { '+' };
            return format!("{}e{sign}{:02}", trimmed(mantissa), exponent.unsigned_abs());
        }
        trimmed(&format!("{value:.*}", (digits as i32 - 1 - exponent) as usize))
    }
    let mut random = kv_core::structs::random::Random::new(11);
    for i in 0..200_000 {
        let bits = random.next_u64();
        let value = match i % 5 {
            0 => f64::from_bits(bits),
            1 => (bits >> 44) as f64 / 1000.0,
            2 => bits as i64 as f64,
            3 => (bits >> 60) as f64 * 10f64.powi((bits % 600) as i32 - 300),
            _ => f64::from_bits(bits >> 12), // near zero
        };
        let digits = 1 + (bits % 17) as usize;
        if value.is_finite() {
            let mut out = Vec::new();
            args::push_general(&mut out, value, digits);
            assert_eq!(String::from_utf8(out).unwrap(), exact(value, digits), "{value:e} with {digits} digits");
        }
    }
}

#[test]
fn random_bytes_do_no_harm_to_decoders() {
    let seed = 7;
    println!("seed {seed}");
    (0..300).for_each(|i| fuzz_libraries(seed + i));
}
