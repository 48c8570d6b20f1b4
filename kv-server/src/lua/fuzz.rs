//! Random bytes for the decoders of the libraries, and random values through their encoders and back.

use super::{Commands, Interpreter, LogLevel, Stop};
use kv_core::resp::{Arg, Proto, Reply};
use kv_core::structs::random::Random;

/// There are no commands.
struct Nothing;

impl Commands for Nothing {
    fn call(&mut self, _: &[u8], _: &[Arg], proto: Proto, out: &mut Vec<u8>) -> Result<(), Stop> {
        Reply::new(out, proto).error("ERR there are no commands");
        Ok(())
    }
    fn is_command(&mut self, _: &[u8], _: &[Arg]) -> bool {
        false
    }
    fn go_on(&mut self) -> Result<(), Stop> {
        Ok(())
    }
    fn log(&mut self, _: LogLevel, _: &[u8]) {}
}

/// What is decoded is encoded and decoded again, and must be the same then; formats are tried on any bytes.
const SCRIPT: &str = r#"
local bytes, format = ARGV[1], ARGV[2]
local function same(a, b)
  if type(a) ~= 'table' or type(b) ~= 'table' then return a == b or a ~= a and b ~= b end
  local count = 0
  for key, value in pairs(a) do
    count = count + 1
    -- A table as a key is found by nobody.
    if type(key) ~= 'table' and not same(value, b[key]) then return false end
  end
  for _ in pairs(b) do count = count - 1 end
  return count == 0
end
local function again(encode, decode, count)
  local values = {pcall(decode, bytes)}
  if values[1] then
    for i = 2, count or #values do
      local ok, text = pcall(encode, values[i])
      if ok then
        local ok, value = pcall(decode, text)
        if not ok then return {err = 'ERR not read back: ' .. value} end
        if not same(values[i], value) then return {err = 'ERR not the same'} end
      end
    end
  end
end
local wrong = again(cjson.encode, cjson.decode, 2) or again(cmsgpack.pack, cmsgpack.unpack)
if wrong then return wrong end
pcall(struct.unpack, format, bytes)
pcall(struct.unpack, format, bytes, tonumber(ARGV[3]))
pcall(struct.size, format)
pcall(struct.pack, format, 1, -1.5, bytes, 3, bytes)
pcall(cmsgpack.unpack_limit, bytes, tonumber(ARGV[3]), #format)
pcall(bit.tohex, tonumber(ARGV[3]), -tonumber(ARGV[3]))
return #bytes
"#;

/// Panics: when something is not read back as it was written, or the bytes end in anything but values or errors.
pub fn fuzz_libraries(seed: u64) {
    let mut random = Random::new(seed);
    let lua: Interpreter<Nothing> = Interpreter::default();
    let script = lua.compile(SCRIPT.as_bytes()).expect("it is a script");
    for _ in 0..20 {
        let text = random_text(&mut random);
        let formats = b"<>!bBhHlLTfdiIcxs 0123456789 i9I33c0z";
        let format: Vec<u8> = (0..random.index(8)).map(|_| formats[random.index(formats.len())]).collect();
        let number = (random.next_u64() as i64 >> random.index(64)).to_string();
        let argv = [&text[..], &format, number.as_bytes()];
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, Proto::Resp2);
        lua.run(&script, || "fuzz", std::iter::empty(), argv.into_iter(), Nothing, &mut reply);
        assert!(out.starts_with(b":"), "seed {seed}: {} of {}", String::from_utf8_lossy(&out), text.escape_ascii());
    }
}

/// Bytes that look like JSON, like MessagePack, or like nothing, for decoders.
pub fn random_text(random: &mut Random) -> Vec<u8> {
    const JSON: &[&[u8]] = &[
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\"a\"",
        b"\"b\\n\\u00e9\"",
        b"1",
        b"-2.5e3",
        b"0x1p4",
        b"null",
        b"true",
        b"nan",
        b" ",
        b"\"",
        b"\\ud83d\\ude00",
        b"\xff",
        b"{\"k\":[1,2,{}]}",
    ];
    const PACKED: &[&[u8]] = &[
        b"\x80",
        b"\x81\xa1a\x01",
        b"\x92\x01\xc0",
        b"\xdc\0\x02\x01\x02",
        b"\xcb\x3f\xf8\0\0\0\0\0\0",
        b"\xd9\x03abc",
        b"\xdf\0\0\0\x01",
        b"\xc1",
        b"\xff",
        b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x90",
        b"\xdd\xff\xff\xff\xff",
    ];
    let mut text = Vec::new();
    let kind = random.index(3);
    for _ in 0..random.index(12) {
        match kind {
            0 => text.extend_from_slice(JSON[random.index(JSON.len())]),
            1 => text.extend_from_slice(PACKED[random.index(PACKED.len())]),
            _ => text.push(random.next_u64() as u8),
        }
    }
    text
}
