//! Libraries: code that runs once and registers functions, by `redis.register_function`, which are called later.

use super::api::{raise, text_of};
use super::{Commands, Ended, Interpreter, LogLevel, Shared};
use kv_core::resp::Reply;
use kv_core::types::library::{Function, FunctionFlags, WRONG_NAME, is_name};
use mlua::{Lua, MultiValue, Table, Value};

const USER_FUNCTION: &str = "@user_function";

/// What the code of a library may do to the world while it runs.
pub trait Desk {
    /// Whether it has had its time. Is called again and again.
    fn is_over(&mut self) -> bool;

    fn log(&mut self, level: LogLevel, text: &[u8]);
}

/// A function of a library, to be called.
#[derive(Clone)]
pub struct Callback(mlua::Function);

/// A library whose code runs.
pub(super) struct Registering {
    pub desk: Box<dyn Desk>,
    functions: Vec<(Function, Callback)>,
}

impl<C: Commands> Interpreter<C> {
    /// Runs a library's code, and gives the functions that it registers.
    ///
    /// Errors: what is wrong with it.
    pub fn register(&self, source: &[u8], desk: Box<dyn Desk>) -> Result<Vec<(Function, Callback)>, Vec<u8>> {
        let code = super::compile(&self.lua, source, USER_FUNCTION.as_bytes(), &self.library)
            .map_err(|text| [&b"ERR Error compiling function: "[..], &text].concat())?;
        {
            let mut slot = self.slot.borrow_mut();
            slot.registering = Some(Registering { desk, functions: Vec::new() });
            (slot.is_stopped, slot.stopped_at) = (false, None);
        }
        self.formats.restart();
        let result: mlua::Result<(bool, Value)> = self.registrar.call(code);
        let registering = self.slot.borrow_mut().registering.take().expect("it was put there");
        let failed = |text: &[u8]| Err([&b"ERR Error registering functions: "[..], text].concat());
        if self.end_stopped() {
            return failed(b"ERR FUNCTION LOAD timeout");
        }
        match result {
            Ok((true, _)) => Ok(registering.functions),
            Ok((false, Value::Table(error))) => match error.raw_get("err") {
                Ok(Value::String(text)) => failed(&text.as_bytes()),
                _ => failed(b"ERR unknown error"),
            },
            Ok((false, _)) => failed(b"ERR unknown error"),
            Err(error) => failed(format!("ERR {error}").as_bytes()),
        }
    }

    /// Calls a function, as [`Interpreter::run`] runs a script.
    pub fn call_function<'a, 'n>(
        &self,
        callback: &Callback,
        name: impl Fn() -> &'n str,
        keys: impl ExactSizeIterator<Item = &'a [u8]>,
        argv: impl ExactSizeIterator<Item = &'a [u8]>,
        commands: C,
        reply: &mut Reply<'_>,
    ) -> (C, Ended) {
        self.begin(commands, true);
        let result = (|| self.caller.call((&callback.0, self.list(keys)?, self.list(argv)?)))();
        self.end(result, name, reply)
    }
}

/// `redis.register_function`.
pub(super) fn register_function<C: Commands>(lua: &Lua, shared: &Shared<C>) -> mlua::Result<mlua::Function> {
    let shared = shared.clone();
    lua.create_function(move |lua, args: MultiValue| {
        // A function may have kept it.
        if shared.borrow().registering.is_none() {
            return raise("ERR redis.register_function can only be called on FUNCTION LOAD command");
        }
        let (function, callback) = function_of(lua, &args)?;
        if !is_name(&function.name) {
            return raise(&format!("ERR {WRONG_NAME}"));
        }
        let mut slot = shared.borrow_mut();
        let functions = &mut slot.registering.as_mut().expect("it was just there").functions;
        if functions.iter().any(|(known, _)| known.name.eq_ignore_ascii_case(&function.name)) {
            return raise("ERR Function already exists in the library");
        }
        functions.push((function, callback));
        Ok(())
    })
}

/// What the arguments describe: a name and a function, or a table.
fn function_of(lua: &Lua, args: &MultiValue) -> mlua::Result<(Function, Callback)> {
    let values: Vec<&Value> = args.iter().collect();
    match values[..] {
        [Value::Table(named)] => named_function(lua, named),
        [_] => raise(
            "ERR calling redis.register_function with a single argument is only applicable to Lua table (representing named \
             arguments).",
        ),
        [name, callback] => {
            let Some(name) = text_of(lua, name)? else {
                return raise("ERR first argument to redis.register_function must be a string");
            };
            let Value::Function(callback) = callback else {
                return raise("ERR second argument to redis.register_function must be a function");
            };
            let function = Function { name: name.into(), description: None, flags: FunctionFlags::default() };
            Ok((function, Callback(callback.clone())))
        }
        _ => raise("ERR wrong number of arguments to redis.register_function"),
    }
}

fn named_function(lua: &Lua, named: &Table) -> mlua::Result<(Function, Callback)> {
    let (mut name, mut description, mut callback, mut flags) = (None, None, None, FunctionFlags::default());
    let text = |value: &Value, name: &str| match text_of(lua, value)? {
        Some(text) => Ok(Some(text.into_boxed_slice())),
        None => raise(&format!("ERR {name} argument given to redis.register_function must be a string")),
    };
    for pair in named.pairs::<Value, Value>() {
        let (key, value) = pair?;
        let Some(key) = text_of(lua, &key)? else {
            return raise("ERR named argument key given to redis.register_function is not a string");
        };
        match (&*key.to_ascii_lowercase(), &value) {
            (b"function_name", value) => name = text(value, "function_name")?,
            (b"description", value) => description = text(value, "description")?,
            (b"callback", Value::Function(function)) => callback = Some(Callback(function.clone())),
            (b"callback", _) => {
                return raise("ERR callback argument given to redis.register_function must be a function");
            }
            (b"flags", Value::Table(list)) => flags = flags_of(lua, list)?,
            (b"flags", _) => {
                return raise(
                    "ERR flags argument to redis.register_function must be a table representing function flags",
                );
            }
            _ => return raise("ERR unknown argument given to redis.register_function"),
        }
    }
    match (name, callback) {
        (None, _) => raise("ERR redis.register_function must get a function name argument"),
        (_, None) => raise("ERR redis.register_function must get a callback argument"),
        (Some(name), Some(callback)) => Ok((Function { name, description, flags }, callback)),
    }
}

fn flags_of(lua: &Lua, list: &Table) -> mlua::Result<FunctionFlags> {
    let mut flags = FunctionFlags::default();
    for at in 1.. {
        let value: Value = list.raw_get(at)?;
        if value.is_nil() {
            break;
        }
        match text_of(lua, &value)?.and_then(|name| FunctionFlags::named(&name)) {
            Some(flag) => flags.add(flag),
            None => return raise("ERR unknown flag given"),
        }
    }
    Ok(flags)
}
