//! Random scripts: Lua with the commands of the grammar in it, and all that scripts do with what these answer.
//!
//! A script is a list of statements, each one line that stands for itself, so that a script that shows a difference can be made
//! shorter. They share some variables, and put into `out` what the script answers. Most of them catch their errors, and answer these.
//!
//! What a command answers is the script's own to use where Redis promises it to the letter; of other answers it sees a form that is
//! the same everywhere (`Answer`). Numbers are such as have one text, whichever way they are printed.

use super::Grammar;
use super::compare::{Answer, answer_of};
use super::words::{Sentence, damage, is_key};
use kv_core::command::Group;
use kv_core::resp::line;
use kv_core::structs::random::Random;
use sha1::{Digest, Sha1};

/// How a script is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Eval,
    EvalRo,
    /// By its name.
    Sha,
    ShaRo,
}

#[derive(Clone, Debug)]
pub struct Script {
    /// A first line that tells flags, if any.
    shebang: Option<&'static str>,
    pub statements: Vec<String>,
    keys: Vec<Vec<u8>>,
    argv: Vec<Vec<u8>>,
    /// In place of the number of keys.
    numkeys: Option<&'static str>,
    sent: Sent,
    /// It is made known right before.
    loads: bool,
}

/// What scripts use: `show` is a text of any value, the same for the same; `loose` one of a reply whose order is not promised;
/// `kind` of one whose content is not; `word` a number that has one text; `try` what becomes of a call, and `safe` answers only if it fails.
const PRELUDE: &str = r#"local out, v = {}, {}
local function show(x, d) d = d or 0 if d > 20 then return '...' end local t = type(x) if t == 'number' then return x ~= x and 'nan' or string.format('%.17g', x) elseif t == 'string' then return string.format('%q', x) elseif t == 'table' then local ks, o = {}, {} for k in pairs(x) do ks[#ks + 1] = {show(k, d + 1), k} end table.sort(ks, function(a, b) return a[1] < b[1] end) for i, k in ipairs(ks) do o[i] = k[1] .. '=' .. show(x[k[2]], d + 1) end return '{' .. table.concat(o, ',') .. '}' elseif t == 'boolean' or t == 'nil' then return tostring(x) end return t end
local function all(...) local o = {} for i = 1, select('#', ...) do o[i] = show((select(i, ...))) end return table.concat(o, ' ') end
local function leaves(x, o) if type(x) == 'table' and not x.err then for k, y in pairs(x) do if type(k) ~= 'number' then o[#o + 1] = show(k) end leaves(y, o) end else o[#o + 1] = show(x) end end
local function loose(x) local o = {} leaves(x, o) table.sort(o) return table.concat(o, ' ') end
local function kind(x) return type(x) == 'table' and (x.err or 'table') or type(x) end
local function try(f, ...) return all(pcall(f, ...)) end
local function word(x) if x == 0 or x ~= x then return 0 end return type(x) == 'number' and string.format('%.17g', x) ~= tostring(x) and 7 or x end
local function safe(f) local ok, e = pcall(f) if not ok then out[#out + 1] = show(e) end end
"#;

impl Script {
    /// The same with other statements.
    pub fn with(&self, statements: &[String]) -> Script {
        Script { statements: statements.to_vec(), ..self.clone() }
    }

    /// The request that makes it known, if there is to be one; it is not sent with it any more then.
    pub fn take_load(&mut self) -> Option<Vec<Vec<u8>>> {
        let load = self.requests();
        self.loads = false;
        (load.len() == 2).then(|| load.into_iter().next()).flatten()
    }

    fn code(&self) -> Vec<u8> {
        let shebang = self.shebang.map_or(String::new(), |line| format!("{line}\n"));
        format!("{shebang}{PRELUDE}{}\nreturn out", self.statements.join("\n")).into_bytes()
    }

    /// The requests as they go over the wire.
    pub fn requests(&self) -> Vec<Vec<Vec<u8>>> {
        let code = self.code();
        let sha = || Sha1::digest(&code).iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes();
        let (name, script) = match self.sent {
            Sent::Eval => ("EVAL", code.clone()),
            Sent::EvalRo => ("EVAL_RO", code.clone()),
            Sent::Sha => ("EVALSHA", sha()),
            Sent::ShaRo => ("EVALSHA_RO", sha()),
        };
        let numkeys = self.numkeys.map_or(self.keys.len().to_string(), String::from);
        let words = [name.into(), script, numkeys.into_bytes()].into_iter();
        let words = words.chain(self.keys.iter().cloned()).chain(self.argv.iter().cloned()).collect();
        let load = self.loads.then(|| vec![b"SCRIPT".to_vec(), b"LOAD".to_vec(), code]);
        load.into_iter().chain([words]).collect()
    }
}

impl std::fmt::Display for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let quoted = |words: &[Vec<u8>]| words.iter().map(|word| line::quote(word)).collect::<Vec<_>>().join(" ");
        let numkeys = self.numkeys.map_or(self.keys.len().to_string(), String::from);
        let (keys, argv) = (quoted(&self.keys), quoted(&self.argv));
        writeln!(f, "{:?} of {numkeys} {keys} and {argv}", self.sent)?;
        self.shebang.iter().try_for_each(|line| writeln!(f, "    {line}"))?;
        self.statements.iter().try_for_each(|line| writeln!(f, "    {line}"))
    }
}

/// Besides those of the grammar: what is about the session, waits, is refused in scripts or is none.
const CALLS: &[&str] = &[
    "PING",
    "PING x",
    "ECHO \"\\xff\\r\\n\"",
    "ECHO",
    "SELECT 1",
    "SELECT 0",
    "SELECT 99",
    "PUBLISH channel text",
    "SPUBLISH channel text",
    "TIME",
    "RANDOMKEY",
    "NOSUCH a b",
    "\"\"",
    "get",
    "MULTI",
    "EXEC",
    "WATCH a",
    "SUBSCRIBE channel",
    "EVAL 'return 1' 0",
    "SCRIPT LOAD 'return 1'",
    "SCRIPT NOSUCH",
    "CONFIG GET maxmemory",
    "CLIENT ID",
    "AUTH x",
    "WAIT 0 0",
    "HELLO 3",
    "BLPOP list {t}list 0",
    "BRPOP list2 x",
    "BRPOP list2 0.001",
    "BLMOVE list {t}list LEFT RIGHT 0",
    "BRPOPLPUSH list list2 0",
    "BLMPOP 0 2 list2 list LEFT COUNT 2",
    "BZPOPMIN z {t}z 0",
    "BZPOPMAX z 0",
    "BZMPOP 0 2 geo z MIN",
    "XREAD BLOCK 0 STREAMS x 0",
    "XREAD BLOCK 10 STREAMS x $",
    "XREADGROUP GROUP g1 c1 BLOCK 0 STREAMS x >",
    "OBJECT NOSUCH a",
];

/// The variables of a script.
const VARIABLES: usize = 5;

impl Grammar {
    /// Commands on the store, some about the session, and scripts of them.
    pub fn of_scripts() -> Grammar {
        Grammar { scripts: true, ..Grammar::of_server() }
    }

    /// A random script.
    pub(super) fn script(&self, random: &mut Random) -> Script {
        let declares = random.below(3);
        let mut writer = Writer { grammar: self, random, keys: Vec::new(), argv: Vec::new(), declares };
        let count = 1 + writer.random.index(9);
        let statements = (0..count).map(|_| writer.line()).collect();
        let Writer { keys, mut argv, random, .. } = writer;
        if random.one_in(4) {
            argv.push(b"3".to_vec());
        }
        let sent = match random.below(20) {
            0 | 1 => Sent::Sha,
            2 => Sent::EvalRo,
            3 => Sent::ShaRo,
            _ => Sent::Eval,
        };
        let loads = matches!(sent, Sent::Sha | Sent::ShaRo) && !random.one_in(6);
        const SHEBANGS: &[&str] = &[
            "#!lua",
            "#!lua flags=no-writes",
            "#!lua flags=no-writes,allow-stale",
            "#!lua flags=allow-oom",
            "#!lua flags=",
            "#!lua flags=allow-cross-slot-keys",
            "#!lua flags=nosuch",
            "#!lua name=x",
            "#!python",
            "#!lua flags=no-writes flags=allow-oom",
            "#!",
        ];
        let shebang = random.one_in(8).then(|| SHEBANGS[random.index(SHEBANGS.len())]);
        let numkeys = random.one_in(40).then(|| ["-1", "x", "0", "1", "9", "1.0", ""][random.index(7)]);
        Script { shebang, statements, keys, argv, numkeys, sent, loads }
    }
}

/// What writes a script.
struct Writer<'a> {
    grammar: &'a Grammar,
    random: &'a mut Random,
    keys: Vec<Vec<u8>>,
    argv: Vec<Vec<u8>>,
    /// Of three keys so many are declared.
    declares: u64,
}

impl Writer<'_> {
    fn pick<'p>(&mut self, from: &[&'p str]) -> &'p str {
        from[self.random.index(from.len())]
    }

    /// A statement; most do not end the script when something is wrong.
    fn line(&mut self) -> String {
        let statement = self.statement(3);
        if self.random.one_in(6) { statement } else { format!("safe(function() {statement} end)") }
    }

    fn block(&mut self, depth: u32) -> String {
        (0..1 + self.random.index(2)).map(|_| self.statement(depth)).collect::<Vec<_>>().join(" ")
    }

    fn variable(&mut self) -> String {
        format!("v[{}]", 1 + self.random.index(VARIABLES))
    }

    fn statement(&mut self, depth: u32) -> String {
        if depth == 0 {
            return format!("out[#out + 1] = {}", self.value(1));
        }
        match self.random.below(34) {
            0..8 => format!("out[#out + 1] = {}", self.value(3)),
            8..12 => format!("out[#out + 1] = {}", self.call()),
            12..16 => format!("{} = {}", self.variable(), self.value(3)),
            16..18 => format!("{} = {}", self.variable(), self.call()),
            18 => format!("{}[{}] = {}", self.variable(), self.value(1), self.value(2)),
            19 => {
                let (condition, then, other) = (self.value(2), self.block(depth - 1), self.block(depth - 1));
                format!("if {condition} then {then} else {other} end")
            }
            20 => format!("for i = 1, {} do {} end", self.random.below(4), self.block(depth - 1)),
            21 => format!("for i, x in ipairs({}) do {} end", self.value(2), self.block(depth - 1)),
            22 => format!("do local n = 0 while n < 3 do n = n + 1 {} end end", self.block(depth - 1)),
            23 => format!("out[#out + 1] = try(function() {} end)", self.block(depth - 1)),
            24 => format!(
                "do local ok, e = pcall(function() {} end) out[#out + 1] = {{ok, e}} end",
                self.block(depth - 1)
            ),
            25 => format!("if {} then return {} end", self.value(1), self.value(3)),
            26 => format!("if {} then {} end", self.value(1), self.raise()),
            27 => format!("redis.setresp({})", self.pick(&["2", "3", "3", "3", "4", "'3'", "nil", "2, 3"])),
            28 => {
                let level = self.pick(&["redis.LOG_DEBUG", "redis.LOG_NOTICE", "redis.LOG_WARNING", "9", "'x'", "-1"]);
                format!("redis.log({level}, {}, {})", self.value(1), self.value(1))
            }
            29 => {
                let text = self.pick(&[
                    "x = 1",
                    "out[#out + 1] = nosuch",
                    "KEYS = nil",
                    "KEYS[1] = 'k'",
                    "ARGV[#ARGV + 1] = 'more'",
                    "redis.call = nil",
                    "string.rep = nil",
                    "_G.x = 1",
                    "setmetatable(_G, {})",
                    "redis.nosuch()",
                    "cjson.nosuch.x = 1",
                    "local function f() return 1 + f() end f()",
                    "for k in pairs(redis) do v[1] = (v[1] or '') .. 'x' end",
                    "local t = setmetatable({}, {__index = function(t, k) return k .. '!' end}) out[#out + 1] = t.foo",
                    "local t = setmetatable({}, {__tostring = function() return 'mine' end}) out[#out + 1] = tostring(t)",
                    "setfenv(1, {})",
                    "goto x",
                    "assert(false, 'asserted')",
                    "assert(nil)",
                    "out = 5",
                    "local redis = nil",
                ]);
                text.into()
            }
            30 => {
                let (one, other) = (self.call(), self.call());
                format!(
                    "do local c = coroutine.wrap(function(a) local b = coroutine.yield({one}) return {{a, b, {other}}} end) \
                     out[#out + 1] = {{c(1), c({})}} end",
                    self.value(1)
                )
            }
            31 => format!("do local n = 0 for k in pairs({}) do n = n + 1 end out[#out + 1] = n end", self.value(2)),
            32 => format!("out[#out + 1] = {{{}, {}}}", self.call(), self.call()),
            _ => format!("out[#out + 1] = {}", self.library()),
        }
    }

    fn raise(&mut self) -> String {
        match self.random.below(8) {
            0 => format!("error({})", self.text()),
            1 => format!("error({}, {})", self.text(), self.random.below(3)),
            // (Without `err` Redis 7.0 would crash.)
            2 => format!("error({{err = tostring({})}})", self.text()),
            3 => format!("error(redis.error_reply({}))", self.text()),
            4 => format!("error({})", self.number()),
            5 => format!("error({{err = tostring({}), code = 5, {}}})", self.text(), self.value(1)),
            6 => format!("error({})", self.call().replace("redis.call", "redis.pcall") + ".err or 'none'"),
            _ => "local t = nil t.x = 1".into(),
        }
    }

    fn number(&mut self) -> String {
        let odd = self.random.one_in(3);
        if odd {
            const ODD: &[&str] = &[
                "1.5",
                "-2.75",
                "0.5",
                "3.999",
                "-3.999",
                "1e15",
                "2^53",
                "-2^53",
                "2^31",
                "2^63",
                "-2^63",
                "2^64",
                "1e300",
                "-1e300",
                "1/0",
                "-1/0",
                "0/0",
                // (A constant would make another 0 of the script negative as well, which commands of Redis 7.0 see.)
                "-#''",
                "0x10",
                "1e-300",
                "123456789012",
            ];
            return self.pick(ODD).into();
        }
        (self.random.below(12) as i64 - 2).to_string()
    }

    fn text(&mut self) -> String {
        const TEXTS: &[&str] = &[
            "''",
            "'a'",
            "'b'",
            "'text'",
            "'12'",
            "'1.5'",
            "' 7 '",
            "'0x1f'",
            "'ERR my own'",
            "'MYCODE my own'",
            "'-LOUD text'",
            "'lonely'",
            "'two\\r\\nlines'",
            "'\\255\\254'",
            "('long '):rep(20)",
            "'WRONGTYPE x'",
            "'ok'",
        ];
        match self.random.below(8) {
            0 => format!("ARGV[{}]", 1 + self.random.below(3)),
            1 => format!("KEYS[{}]", 1 + self.random.below(3)),
            2 => format!("show({})", self.value(1)),
            _ => self.pick(TEXTS).into(),
        }
    }

    fn table(&mut self, depth: u32) -> String {
        match self.random.below(14) {
            0 => "{}".into(),
            1..4 => {
                let items: Vec<String> = (0..1 + self.random.index(4)).map(|_| self.value(depth - 1)).collect();
                format!("{{{}}}", items.join(", "))
            }
            4 => format!("{{a = {}}}", self.value(depth - 1)),
            5 => format!("{{{}, a = {}}}", self.value(depth - 1), self.value(depth - 1)),
            6 => format!("{{ok = {}}}", self.value(1)),
            7 => format!("{{err = {}}}", self.value(1)),
            8 => format!("{{double = {}}}", self.value(1)),
            9 => format!("{{map = {{[{}] = {}}}}}", self.value(1), self.value(depth - 1)),
            10 => format!("{{set = {{[{}] = true}}}}", self.value(1)),
            11 => format!("{{big_number = {}}}", self.pick(&["'12345678901234567890'", "12", "nil"])),
            12 => format!(
                "{{verbatim_string = {{format = {}, string = {}}}}}",
                self.pick(&["'txt'", "'mkd'", "nil", "5"]),
                self.text()
            ),
            _ => format!("{{[{}] = {}}}", self.number(), self.value(depth - 1)),
        }
    }

    fn value(&mut self, depth: u32) -> String {
        match self.random.below(if depth == 0 { 9 } else { 24 }) {
            0 => self.pick(&["nil", "true", "false", "cjson.null", "function() end"]).into(),
            1..4 => self.number(),
            4..6 => self.text(),
            6..9 => self.variable(),
            9..12 => self.table(depth),
            12..15 => self.call(),
            15..18 => self.library(),
            18 => {
                let operator = self.pick(&["+", "-", "*", "/", "%", "^", "..", "==", "<", "<=", "~=", "and", "or"]);
                format!("(({}) {operator} ({}))", self.value(depth - 1), self.value(depth - 1))
            }
            19 => format!("({}{})", self.pick(&["not ", "#", "-"]), self.value(depth - 1)),
            20 => format!("tonumber({})", self.value(depth - 1)),
            21 => format!("type({})", self.value(depth - 1)),
            22 => format!("show({})", self.value(depth - 1)),
            _ => format!("({})[{}]", self.value(depth - 1), self.value(0)),
        }
    }

    /// Something that a library makes of something.
    fn library(&mut self) -> String {
        const FORMATS: &[&str] =
            &["'>I2<i4'", "'bBhH'", "'s'", "'d'", "'i8'", "'!4bi4'", "'c3'", "'Bc0'", "'z'", "'f'", "'i3'", "'>L'"];
        const JSON: &[&str] = &[
            "'{\"a\": [1, 2, {\"b\": null}]}'",
            "'[1.5, -2e3, true, \"x\\\\u00e9\"]'",
            "'[1, 2'",
            "'{}'",
            "'[]'",
            "'\"text\"'",
            "'nul'",
            "'[[[[1]]]]'",
        ];
        let call = match self.random.below(30) {
            0..3 => format!("cjson.encode, {}", self.value(2)),
            3 => format!("cjson.decode, {}", self.pick(JSON)),
            4 => format!("cjson.decode, {}", self.text()),
            5 => return format!("show(cjson.decode(cjson.encode({})))", self.table(2)),
            6 | 7 => format!("cmsgpack.pack, {}, {}", self.value(2), self.value(1)),
            8 => return format!("all(cmsgpack.unpack(cmsgpack.pack({}, {})))", self.value(2), self.value(1)),
            9 => format!("cmsgpack.unpack, {}", self.text()),
            10 | 11 => format!("struct.pack, {}, {}, {}", self.pick(FORMATS), self.value(1), self.value(1)),
            12 => format!("struct.unpack, {}, {}", self.pick(FORMATS), self.text()),
            13 => format!("struct.size, {}", self.pick(FORMATS)),
            14 | 15 => {
                let name = self.pick(&["band", "bor", "bxor", "lshift", "rshift", "arshift", "rol", "ror", "tohex"]);
                format!("bit.{name}, {}, {}", self.value(1), self.value(1))
            }
            16 => format!("bit.{}, {}", self.pick(&["bnot", "tobit", "bswap", "tohex"]), self.value(1)),
            17 | 18 => format!("redis.error_reply, {}", self.value(1)),
            19 => format!("redis.status_reply, {}", self.value(1)),
            20 => return format!("redis.{}({})", self.pick(&["error_reply", "status_reply"]), self.text()),
            21 => format!("redis.sha1hex, {}", self.value(1)),
            22 => format!("string.{}, {}", self.pick(&["len", "upper", "reverse", "byte", "char"]), self.value(1)),
            23 => {
                format!("string.{}, {}, {}", self.pick(&["sub", "find", "match", "format"]), self.text(), self.value(1))
            }
            24 => format!(
                "string.format, {}, {}",
                self.pick(&["'%d'", "'%s'", "'%.3f'", "'%q'", "'%5x'", "'%c'", "'%y'"]),
                self.value(1)
            ),
            25 => format!("table.concat, {}, {}", self.value(2), self.pick(&["nil", "','", "5"])),
            26 => format!("unpack, {}", self.value(2)),
            27 => format!("math.{}, {}", self.pick(&["floor", "abs", "max", "sqrt", "ceil", "fmod"]), self.number()),
            28 => format!("select, {}, {}, {}", self.number(), self.value(1), self.value(1)),
            _ => {
                let name = self.pick(&[
                    "redis.set_repl, redis.REPL_ALL",
                    "redis.set_repl, 9",
                    "redis.replicate_commands",
                    "redis.breakpoint",
                    "redis.acl_check_cmd, 'get', 'a'",
                    "redis.acl_check_cmd, 'nosuch'",
                    "redis.acl_check_cmd",
                    "redis.sha1hex",
                    "redis.log, 1",
                    "loadstring, 'return ...', 'x'",
                    "loadstring, 'return return'",
                    "rawget, redis, 'nosuch'",
                    "getmetatable, redis",
                    "next, {}",
                    "rawequal, 1, 1",
                    "xpcall, error, function(e) return 'handled' end",
                ]);
                name.into()
            }
        };
        // By the name, as people write it, or as a value.
        match self.random.below(3) {
            0 => format!("try({call})"),
            _ => {
                let (function, arguments) = call.split_once(", ").unwrap_or((&call, ""));
                format!("({function}({arguments}))")
            }
        }
    }

    /// A call of a command, whose answer is the same everywhere.
    fn call(&mut self) -> String {
        let (words, answer, is_exact) = self.command();
        let how = if self.random.one_in(2) { "redis.call" } else { "redis.pcall" };
        let words: Vec<String> =
            words.iter().enumerate().map(|(at, word)| self.word(word, is_exact || at == 0)).collect();
        let call = match self.random.one_in(10) {
            true => format!("(select(2, pcall(redis.call, {})))", words.join(", ")),
            false => format!("{how}({})", words.join(", ")),
        };
        match answer {
            Answer::ToTheLetter => call,
            Answer::InAnyOrder => format!("loose({call})"),
            Answer::OfAKind | Answer::Open => format!("kind({call})"),
        }
    }

    /// A command, what a script may see of its answer, and whether its words are to stay as they are.
    fn command(&mut self) -> (Vec<Vec<u8>>, Answer, bool) {
        if self.random.one_in(8) {
            let line = self.pick(CALLS);
            let words = line::split(line.as_bytes()).expect("balanced quotes");
            let answer = match words[0].as_slice() {
                b"TIME" | b"RANDOMKEY" => Answer::OfAKind,
                _ => Answer::ToTheLetter,
            };
            return (words, answer, true);
        }
        loop {
            let (row, arguments) = self.grammar.choose(self.random);
            if row.full_name.starts_with("flush") && !self.random.one_in(30) {
                continue;
            }
            let mut words = Sentence::say(row, arguments, self.random);
            if self.random.one_in(10) {
                damage(&mut words, row, self.random);
            }
            with_one_text(&mut words, row.spec.group);
            // Errors may quote them, and end there in Redis.
            if row.spec.group == Group::Stream {
                words.iter_mut().filter(|word| word.contains(&0)).for_each(|word| *word = b"x".to_vec());
            }
            let answer = answer_of(&row.full_name, &words);
            if answer != Answer::Open {
                // Errors of streams quote words, and nothing is to expire meanwhile.
                let is_exact = row.spec.group == Group::Stream || row.spec.syntax.contains("seconds");
                return (words, answer, is_exact);
            }
        }
    }

    /// A word as it stands in a script.
    fn word(&mut self, word: &[u8], is_exact: bool) -> String {
        if is_key(word) && self.random.below(3) < self.declares {
            return format!("KEYS[{}]", place(&mut self.keys, word));
        }
        match self.random.below(30) {
            0 => return format!("ARGV[{}]", place(&mut self.argv, word)),
            1 if !is_exact => return format!("word({})", self.value(1)),
            _ => {}
        }
        let text = std::str::from_utf8(word).unwrap_or("");
        let is_short = text.len() < 15 && text.parse::<i64>().is_ok_and(|n| n.to_string() == text);
        if is_short && self.random.one_in(2) { text.into() } else { literal(word) }
    }
}

fn place(words: &mut Vec<Vec<u8>>, word: &[u8]) -> usize {
    match words.iter().position(|known| known == word) {
        Some(at) => at + 1,
        None => {
            words.push(word.to_vec());
            words.len()
        }
    }
}

/// Bytes as Lua reads them.
fn literal(bytes: &[u8]) -> String {
    let mut text = String::from("'");
    for &byte in bytes {
        match byte {
            b'\'' | b'\\' => text.extend(['\\', char::from(byte)]),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\{byte:03}")),
        }
    }
    text.push('\'');
    text
}

/// Changes numbers that have another text with 17 digits than the shortest.
pub(super) fn with_one_text(words: &mut [Vec<u8>], group: Group) {
    let as_scores = matches!(group, Group::SortedSet | Group::Geo);
    words.iter_mut().filter(|word| has_two_texts(word, as_scores)).for_each(|word| *word = b"2.5".to_vec());
}

/// Whether it is a number that has another text with 17 digits than the shortest.
fn has_two_texts(word: &[u8], also_integers: bool) -> bool {
    let text = std::str::from_utf8(word).unwrap_or("");
    let Some(number) = text.parse::<f64>().ok().filter(|number| number.is_finite()) else { return false };
    if !also_integers && !text.contains(['.', 'e', 'E']) {
        return false;
    }
    let digits =
        |text: String| text.split('e').next().unwrap_or("").trim_end_matches('0').trim_end_matches('.').to_string();
    digits(format!("{number:e}")) != digits(format!("{number:.16e}"))
}
