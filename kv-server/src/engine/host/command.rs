//! COMMAND: the rows, as clients and proxies ask for them.

use super::{Call, Done, HostFn, help};
use kv_core::command::{
    Args, Argument, Begin, CATEGORIES, CommandError, CommandSpec, Find, KeySpec, Row, RowId, arguments_of,
    categories_of, keys_of, legacy_range, table,
};
use kv_core::resp::Reply;
use kv_core::types::pattern;

pub(super) const HANDLERS: &[(&str, HostFn)] = &[
    ("COMMAND", command),
    ("COMMAND|COUNT", count),
    ("COMMAND|DOCS", docs),
    ("COMMAND|GETKEYS", getkeys),
    ("COMMAND|GETKEYSANDFLAGS", getkeysandflags),
    ("COMMAND|HELP", help),
    ("COMMAND|INFO", info),
    ("COMMAND|LIST", list),
];

fn command(_: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    reply.array(table().top().len());
    table().top().iter().for_each(|&id| describe(id, reply));
    Ok(())
}

fn count(_: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    reply.int(table().top().len() as i64);
    Ok(())
}

/// Reply: an array; nil in the place of a name that is no command's.
fn info(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    if args.left() == 0 {
        return command(call, args, reply);
    }
    reply.array(args.left());
    while args.left() > 0 {
        match table().by_full_name(args.next()?) {
            Some(id) => describe(id, reply),
            None => reply.nil(),
        }
    }
    Ok(())
}

/// One command as COMMAND INFO tells it.
fn describe(id: RowId, reply: &mut Reply<'_>) {
    let row = table().row(id);
    let spec = row.spec;
    reply.array(10);
    reply.bulk(row.full_name.as_bytes());
    reply.int(spec.arity.as_redis());
    reply.set(spec.flags.shown().count());
    spec.flags.shown().for_each(|flag| reply.simple(flag));
    let (first, last, step) = legacy_range(spec);
    [first, last, step].into_iter().for_each(|position| reply.int(position));
    reply.set(categories_of(spec).count());
    categories_of(spec).for_each(|category| reply.simple(&format!("@{category}")));
    reply.set(spec.tips.len());
    spec.tips.iter().for_each(|tip| reply.bulk(tip.as_bytes()));
    reply.set(spec.keys.len());
    spec.keys.iter().for_each(|key| describe_key(key, reply));
    match row.subs.len() {
        // (Redis says it so.)
        0 => reply.set(0),
        count => reply.array(count),
    }
    row.subs.iter().for_each(|&sub| describe(sub, reply));
}

fn describe_key(key: &KeySpec, reply: &mut Reply<'_>) {
    let field = |reply: &mut Reply<'_>, name: &str, value: i64| {
        reply.bulk(name.as_bytes());
        reply.int(value);
    };
    let kind = |reply: &mut Reply<'_>, name: &str, fields: usize| {
        reply.map(2);
        reply.bulk(b"type");
        reply.bulk(name.as_bytes());
        reply.bulk(b"spec");
        reply.map(fields);
    };
    reply.map(3);
    reply.bulk(b"flags");
    access(key, reply);
    reply.bulk(b"begin_search");
    match key.begin {
        Begin::Index(at) => {
            kind(reply, "index", 1);
            field(reply, "index", at.into());
        }
        Begin::Keyword { word, from } => {
            kind(reply, "keyword", 2);
            reply.bulk(b"keyword");
            reply.bulk(word.as_bytes());
            field(reply, "startfrom", from.into());
        }
        Begin::Options { .. } => kind(reply, "unknown", 0),
    }
    reply.bulk(b"find_keys");
    match key.find {
        Find::Range { last, step, limit } => {
            kind(reply, "range", 3);
            field(reply, "lastkey", last.into());
            field(reply, "keystep", step.into());
            field(reply, "limit", limit.into());
        }
        Find::KeyNum { at, first, step } => {
            kind(reply, "keynum", 3);
            field(reply, "keynumidx", at.into());
            field(reply, "firstkey", first.into());
            field(reply, "keystep", step.into());
        }
        Find::Option(_) | Find::Patterns(_) => kind(reply, "unknown", 0),
    }
}

fn access(key: &KeySpec, reply: &mut Reply<'_>) {
    reply.set(key.access.0.len());
    key.access.0.iter().for_each(|word| reply.simple(word));
}

/// Reply: a map from name to documentation; names that are no command's are left out.
fn docs(_: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let mut ids: Vec<RowId> = Vec::new();
    if args.left() == 0 {
        ids.extend(table().top());
    }
    while args.left() > 0 {
        ids.extend(table().by_full_name(args.next()?));
    }
    reply.map(ids.len());
    ids.into_iter().for_each(|id| document(id, reply));
    Ok(())
}

fn document(id: RowId, reply: &mut Reply<'_>) {
    let row = table().row(id);
    let spec = row.spec;
    reply.bulk(row.full_name.as_bytes());
    let fields = [
        ("summary", spec.summary),
        ("since", spec.since),
        ("group", spec.group.as_str()),
        ("complexity", spec.complexity),
    ];
    // The arguments of a container are those of its subcommands.
    let arguments = if row.subs.is_empty() { arguments_of(spec) } else { Vec::new() };
    reply.map(fields.len() + usize::from(!arguments.is_empty()) + usize::from(!row.subs.is_empty()));
    for (name, text) in fields {
        reply.bulk(name.as_bytes());
        reply.bulk(text.as_bytes());
    }
    if !arguments.is_empty() {
        reply.bulk(b"arguments");
        document_arguments(&arguments, reply);
    }
    if !row.subs.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(row.subs.len());
        row.subs.iter().for_each(|&sub| document(sub, reply));
    }
}

fn document_arguments(arguments: &[Argument], reply: &mut Reply<'_>) {
    reply.array(arguments.len());
    for argument in arguments {
        let is_group = !argument.arguments.is_empty();
        let texts = [
            ("name", Some(argument.name.as_str())),
            ("type", Some(argument.kind.as_str())),
            ("display_text", Some(argument.name.as_str()).filter(|_| !is_group)),
            ("token", argument.token),
        ];
        let marks = [
            ("optional", argument.optional),
            ("multiple", argument.multiple),
            ("multiple_token", argument.multiple_token),
        ];
        let marks: Vec<&str> = marks.into_iter().filter_map(|(mark, is_set)| is_set.then_some(mark)).collect();
        let fields = texts.iter().filter(|(_, text)| text.is_some()).count()
            + usize::from(argument.key_spec.is_some())
            + usize::from(!marks.is_empty())
            + usize::from(is_group);
        reply.map(fields);
        for (field, text) in texts {
            if let Some(text) = text {
                reply.bulk(field.as_bytes());
                reply.bulk(text.as_bytes());
            }
        }
        if let Some(index) = argument.key_spec {
            reply.bulk(b"key_spec_index");
            reply.int(index as i64);
        }
        if !marks.is_empty() {
            reply.bulk(b"flags");
            reply.set(marks.len());
            marks.iter().for_each(|mark| reply.simple(mark));
        }
        if is_group {
            reply.bulk(b"arguments");
            document_arguments(&argument.arguments, reply);
        }
    }
}

/// The row that the words of a request name, if they are a request that it takes. Errors: Redis's words.
fn row_of(args: &Args<'_>) -> Result<&'static Row, CommandError> {
    use kv_core::command::Found;
    let mut words = args.fork();
    let name = words.next()?;
    let row = match table().find(name, words.peek()) {
        Found::Row(id) => table().row(id),
        Found::UnknownCommand | Found::UnknownSubcommand(_) | Found::MissingSubcommand(_) => {
            return Err(CommandError::err("Invalid command specified"));
        }
    };
    if row.spec.keys.is_empty() {
        return Err(CommandError::err("The command has no key arguments"));
    }
    if !row.spec.arity.accepts(args.left()) {
        return Err(CommandError::err("Invalid number of arguments specified for command"));
    }
    Ok(row)
}

/// The keys among the words that follow, in the order of the specifications, each with the one that found it.
fn keys_in<'a>(args: &mut Args<'a>) -> Result<Vec<(&'a [u8], &'static KeySpec)>, CommandError> {
    let row = row_of(args)?;
    let words: Vec<&[u8]> = (0..args.left()).map(|_| args.next()).collect::<Result<_, _>>()?;
    let mut keys = Vec::new();
    for key in row.spec.keys {
        let alone = CommandSpec { keys: std::slice::from_ref(key), ..*row.spec };
        keys_of(&alone, words.len(), |i| words[i], |at| keys.push((words[at], key)));
    }
    if keys.is_empty() {
        return Err(CommandError::err("Invalid arguments specified for command"));
    }
    Ok(keys)
}

fn getkeys(_: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let keys = keys_in(args)?;
    reply.array(keys.len());
    keys.iter().for_each(|(key, _)| reply.bulk(key));
    Ok(())
}

fn getkeysandflags(_: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let keys = keys_in(args)?;
    reply.array(keys.len());
    for (key, spec) in keys {
        reply.array(2);
        reply.bulk(key);
        access(spec, reply);
    }
    Ok(())
}

/// Reply: names, those of subcommands too.
fn list(_: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let all = || (0..table().len() as RowId).map(|id| table().row(id));
    let found: Vec<&Row> = if args.left() == 0 {
        all().collect()
    } else if args.left() == 3 && args.keyword("FILTERBY") {
        if args.keyword("MODULE") {
            Vec::new() // there are no modules
        } else if args.keyword("ACLCAT") {
            let word = args.next()?;
            match CATEGORIES.iter().find(|category| word.eq_ignore_ascii_case(category.as_bytes())) {
                Some(&wanted) => all().filter(|row| categories_of(row.spec).any(|c| c == wanted)).collect(),
                None => Vec::new(),
            }
        } else if args.keyword("PATTERN") {
            let wanted = args.next()?;
            all().filter(|row| pattern::matches_ignoring_case(wanted, row.full_name.as_bytes())).collect()
        } else {
            return Err(CommandError::Syntax);
        }
    } else {
        return Err(CommandError::Syntax);
    };
    reply.array(found.len());
    found.iter().for_each(|row| reply.bulk(row.full_name.as_bytes()));
    Ok(())
}
