-- What scripts see of Lua. Runs once, when an interpreter is made, and returns the faces of the globals that scripts and functions
-- have, and what runs these.
--
-- A table that all scripts share is shown as a *face*: an empty table that reads through to what is behind it and refuses to be
-- written to. Functions that would look at the face itself, or write to it without asking, are replaced by such that know.

local natives = ...

local error, type, tonumber, tostring, select = error, type, tonumber, tostring, select
local next, pairs, rawget, rawset, unpack = next, pairs, rawget, rawset, unpack
local getmetatable, setmetatable = getmetatable, setmetatable
local pcall, xpcall, resume, create = pcall, xpcall, coroutine.resume, coroutine.create
local insert, concat, collectgarbage = table.insert, table.concat, collectgarbage
local plain, locate, called_name = natives.plain, natives.locate, natives.called_name

local READONLY = "Attempt to modify a readonly table"

-- face -> what is behind it
local behind = {}
-- face -> the face of its metatable
local metatables = {}

local function refuse()
  error(READONLY, 2)
end

local function readonly(shown)
  local face = {}
  behind[face] = shown
  return setmetatable(face, {__index = shown, __newindex = refuse})
end

-- The error of a wrong argument, in the words of Lua's own functions.
local function wrong(at, expected, count, value)
  local got = count < at and "no value" or type(value)
  error("bad argument #" .. at .. " to '" .. called_name(2) .. "' (" .. expected .. " expected, got " .. got .. ")", 3)
end

local globals = {}

-- ---- functions that know faces ----

function globals.pairs(...)
  local t = ...
  local shown = behind[t]
  if shown then
    return function(_, key) return next(shown, key) end, t, nil
  end
  if type(t) ~= "table" then wrong(1, "table", select("#", ...), t) end
  return next, t, nil
end

function globals.next(...)
  local t, key = ...
  if type(t) ~= "table" then wrong(1, "table", select("#", ...), t) end
  return next(behind[t] or t, key)
end

function globals.rawget(...)
  local t, key = ...
  if type(t) ~= "table" then wrong(1, "table", select("#", ...), t) end
  return rawget(behind[t] or t, key)
end

function globals.rawset(...)
  local t, key, value = ...
  if behind[t] then error(READONLY, 0) end
  if type(t) ~= "table" then wrong(1, "table", select("#", ...), t) end
  if key == nil or key ~= key then error("table index is " .. (key == nil and "nil" or "NaN"), 2) end
  return rawset(t, key, value)
end

local strings = {__index = nil}

function globals.getmetatable(...)
  local value = ...
  if select("#", ...) == 0 then error("bad argument #1 to '" .. called_name(1) .. "' (value expected)", 2) end
  if type(value) == "string" then return strings end
  if behind[value] then return metatables[value] end
  return getmetatable(value)
end

function globals.setmetatable(...)
  local t, metatable = ...
  if behind[t] then error(READONLY, 0) end
  if type(t) ~= "table" then wrong(1, "table", select("#", ...), t) end
  if metatable ~= nil and type(metatable) ~= "table" or select("#", ...) < 2 then
    error("bad argument #2 to '" .. called_name(1) .. "' (nil or table expected)", 2)
  end
  local before = getmetatable(t)
  if before ~= nil and (type(before) ~= "table" or rawget(before, "__metatable") ~= nil) then
    error("cannot change a protected metatable", 2)
  end
  return setmetatable(t, metatable)
end

local function insert_into(...)
  local t = ...
  if behind[t] then error(READONLY, 0) end
  local count = select("#", ...)
  if type(t) ~= "table" then wrong(1, "table", count, t) end
  if count ~= 2 and count ~= 3 then error("wrong number of arguments to 'insert'", 2) end
  if count == 3 then
    local _, at = ...
    if not tonumber(at) then wrong(2, "number", count, at) end
  end
  return insert(...)
end

-- ---- functions that hand errors to scripts ----

-- An error with a text is that text.
local function settle(ok, ...)
  if ok then return true, ... end
  local failure = ...
  if type(failure) == "userdata" then failure = plain(failure) end
  if type(failure) == "table" then
    local text = failure.err
    if type(text) == "string" then failure = text end
  end
  return false, failure
end

function globals.pcall(...)
  if select("#", ...) == 0 then wrong(1, "value", 0) end
  return settle(pcall(...))
end

function globals.xpcall(...)
  local f, handler = ...
  if select("#", ...) < 2 then error("bad argument #2 to '" .. called_name(1) .. "' (value expected)", 2) end
  return xpcall(f, function(failure)
    if type(failure) == "userdata" then
      local stopped
      failure, stopped = plain(failure)
      -- Nobody looks at what runs here for that reason, so it might never end.
      if stopped then return failure end
    end
    return handler(failure)
  end)
end

local function settle_thread(ok, ...)
  if ok then return true, ... end
  local failure = ...
  if type(failure) == "userdata" then failure = plain(failure) end
  return false, failure
end

local function resume_thread(...)
  if type((...)) ~= "thread" then error("bad argument #1 to '" .. called_name(1) .. "' (coroutine expected)", 2) end
  return settle_thread(resume(...))
end

local function give_or_raise(ok, ...)
  if ok then return ... end
  local failure = ...
  if type(failure) == "userdata" then failure = plain(failure) end
  -- A text gets the place of the call in front: behind this function and the one that has given its place to it.
  error(failure, 3)
end

local function wrap_thread(...)
  local ok, thread = pcall(create, ...)
  if not ok then error("bad argument #1 to '" .. called_name(1) .. "' (Lua function expected)", 2) end
  return function(...) return give_or_raise(resume(thread, ...)) end
end

-- ---- functions that could reach further than a script may ----

-- The most values that Lua's stack takes at once. Lua's own check of it can be passed by by numbers that overflow.
local UNPACKED_MAX = 7997

function globals.unpack(...)
  local t, first, last = ...
  local count = select("#", ...)
  if type(t) ~= "table" then wrong(1, "table", count, t) end
  local from, to = first == nil and 1 or tonumber(first), last == nil and #t or tonumber(last)
  if not from then wrong(2, "number", count, first) end
  if not to then wrong(3, "number", count, last) end
  if not (to - from < UNPACKED_MAX) then error("too many results to unpack", 2) end
  -- As Lua would round them, but within what it can count.
  if to < from or from ~= from then return end
  if from < -2147483648 or to > 2147483647 then error("too many results to unpack", 2) end
  return unpack(t, from, to)
end

local load_text

function globals.loadstring(...)
  local text, name = ...
  if type(text) ~= "string" and type(text) ~= "number" then
    wrong(1, "string", select("#", ...), text)
  end
  return load_text(text, name)
end

function globals.load(...)
  local read, name = ...
  if type(read) ~= "function" then wrong(1, "function", select("#", ...), read) end
  local pieces = {}
  while true do
    local piece = read()
    if piece == nil or piece == "" then break end
    if type(piece) ~= "string" and type(piece) ~= "number" then return nil, "reader function must return a string" end
    pieces[#pieces + 1] = piece
  end
  return load_text(concat(pieces), name or "=(load)")
end

-- What would change the collector for all scripts does nothing.
function globals.collectgarbage(what, step)
  what = what or "collect"
  if what == "count" or what == "collect" or what == "step" then return collectgarbage(what, step) end
  local known = {stop = true, restart = true, setpause = true, setstepmul = true}
  if known[what] then return 0 end
  error("bad argument #1 to '" .. called_name(1) .. "' (invalid option '" .. tostring(what) .. "')", 2)
end

-- ---- what scripts see ----

for _, name in ipairs{"_VERSION", "assert", "error", "gcinfo", "ipairs", "rawequal", "select", "tonumber", "tostring",
                      "type"} do
  globals[name] = _G[name]
end

-- A change to this leaves a key out.
local NONE = {}

local function copy(t, changes)
  local result = {}
  for key, value in pairs(t) do result[key] = value end
  for key, value in pairs(changes) do
    if value == NONE then value = nil end
    result[key] = value
  end
  return result
end

globals.coroutine = readonly(copy(coroutine, {resume = resume_thread, wrap = wrap_thread}))
globals.table = readonly(copy(table, {insert = insert_into}))
globals.string = readonly(string)
globals.math = readonly(math)
globals.os = readonly{clock = os.clock}
for _, name in ipairs{"redis", "cjson", "cmsgpack", "struct", "bit"} do
  globals[name] = readonly(natives[name])
end

local function missing(_, name)
  error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
end

local function face_of_globals(shown)
  local face = readonly(setmetatable(shown, {__index = missing}))
  shown._G = face
  metatables[face] = readonly{__index = missing}
  return face
end

-- Functions see what scripts do, but for KEYS and ARGV and some of `redis`; the code of their library, which runs once and registers
-- them, no more than what it needs for that. Both look at the same face.
local redis_of_functions = copy(natives.redis, {breakpoint = NONE, debug = NONE, replicate_commands = NONE})
local called = copy(globals, {redis = readonly(redis_of_functions)})
local registering = setmetatable({redis = readonly(setmetatable(natives.registering, {__index = missing}))}, {__index = missing})

local sandbox = face_of_globals(globals)
local library = face_of_globals(called)
strings = readonly{__index = globals.string}

local function see(shown)
  behind[library] = shown
  getmetatable(library).__index = shown
end

-- What is called at the moment, and with what.
local callback, keys, argv

local function go()
  return callback(keys, argv)
end

return {
  sandbox = sandbox,
  library = library,
  run = function(script, keys, argv)
    globals.KEYS, globals.ARGV = keys or {}, argv or {}
    return xpcall(script, locate)
  end,
  call = function(f, k, a)
    callback, keys, argv = f, k or {}, a or {}
    local ok, result = xpcall(go, locate)
    callback, keys, argv = nil, nil, nil
    return ok, result
  end,
  register = function(code)
    see(registering)
    local ok, result = xpcall(code, locate)
    see(called)
    return ok, result
  end,
  accept = function(load) load_text = load end,
}
